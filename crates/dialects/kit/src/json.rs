//! Strict JSON (RFC 8259, with unique names as RFC 7493 §2.3 demands): what two readers could understand differently is
//! refused. Errors name the field or the position, and never quote a value.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use strongroom_base::limits;
use strongroom_sdk::Error;
use zeroize::Zeroize;

/// Keys of a whole document: they are held while it is checked, so this bounds the memory.
const KEYS: usize = 100_000;

/// Reads one JSON document. Fields that `T` does not have are ignored.
///
/// # Errors
/// `Invalid` when `bytes` are not UTF-8 or not JSON, when something follows the document, an object has the same key
/// twice, the nesting is deeper than [`limits::JSON_DEPTH`], or a field has the wrong type.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("body", "is not UTF-8"))?;
    check(text).map_err(|error| Error::invalid("body", format_args!("is refused: {error}")))?;
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|error| {
        let field = error.path().to_string();
        let field = if field == "." { "body".to_owned() } else { field };
        // serde's own text would quote the value.
        let (line, column) = (error.inner().line(), error.inner().column());
        Error::invalid(field, format_args!("has the wrong type at line {line} column {column}"))
    })
}

/// A `T` that must be written as an object. Alone, a derived `Deserialize` takes an array of its fields, too.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// Walks the whole text and keeps nothing of it.
fn check(text: &str) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Walk { depth_left: limits::JSON_DEPTH, keys_left: &mut { KEYS } }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Visits any JSON value.
struct Walk<'w> {
    depth_left: usize,
    keys_left: &'w mut usize,
}

impl Walk<'_> {
    /// Goes into an array or object.
    fn enter<E: serde::de::Error>(mut self) -> Result<Self, E> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("the nesting is too deep"))?;
        Ok(self)
    }

    /// For the next value at this depth.
    fn next(&mut self) -> Walk<'_> {
        Walk { depth_left: self.depth_left, keys_left: self.keys_left }
    }

    /// Notes a key of the object whose earlier keys are `seen`.
    fn note<'de, E: serde::de::Error>(&mut self, seen: &mut HashSet<Key<'de>>, key: Key<'de>) -> Result<(), E> {
        *self.keys_left = self.keys_left.checked_sub(1).ok_or_else(|| E::custom("there are too many keys"))?;
        if seen.insert(key) { Ok(()) } else { Err(E::custom("an object has the same key twice")) }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut walk = self.enter()?;
        while items.next_element_seed(walk.next())?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut walk = self.enter()?;
        let mut seen = HashSet::new();
        while let Some(key) = fields.next_key::<Key<'de>>()? {
            walk.note(&mut seen, key)?;
            fields.next_value_seed(walk.next())?;
        }
        Ok(())
    }
}

/// An object's key. It is copied only where it has escapes, and the copy is wiped: a caller may have confused keys
/// and values.
#[derive(PartialEq, Eq, Hash, serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Drop for Key<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Wire {
        id: Option<String>,
        all_apps: Option<bool>,
        secrets: Vec<Object<Entry>>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Entry {
        value: String,
    }

    impl<T: PartialEq> PartialEq for Object<T> {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    impl<T: fmt::Debug> fmt::Debug for Object<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    #[track_caller]
    fn refused(bytes: impl AsRef<[u8]>) -> String {
        from_slice::<Object<Wire>>(bytes.as_ref()).unwrap_err().to_string()
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let wire: Wire = from_slice(br#" {"id":"a","new":{"b":[1,null,-1.5e3,true]}} "#).unwrap();
        assert_eq!(wire, Wire { id: Some("a".into()), ..Wire::default() });
    }

    #[test]
    fn an_error_names_the_field_or_the_position_and_never_the_value() {
        for (text, error) in [
            (r#"{"allApps":"hunter2"}"#, "`allApps` has the wrong type at line 1 column 20"),
            (r#"{"secrets":[{"value":"a"},{"value":918273645}]}"#, "`secrets[1].value` has the wrong type at line 1 column 44"),
            (r#"{"secrets":[["hunter2"]]}"#, "`secrets[0]` has the wrong type at line 1 column 12"),
            (r#"["hunter2"]"#, "`body` has the wrong type at line 1 column 0"),
            (r#"{"a":"hunter2"} hunter2"#, "`body` is refused: trailing characters at line 1 column 17"),
            (r#"{"a":"hunter2""#, "`body` is refused: EOF while parsing an object at line 1 column 14"),
            (r#"{"a":1,"b":{"c":1},"a":2}"#, "`body` is refused: an object has the same key twice at line 1 column 22"),
            (r#"{"a":1,"\u0061":2}"#, "`body` is refused: an object has the same key twice at line 1 column 15"),
            (r#"{"x":[{"a":1,"a":1}]}"#, "`body` is refused: an object has the same key twice at line 1 column 16"),
        ] {
            assert_eq!(refused(text), error, "{text}");
        }
        assert_eq!(refused(b"{\"id\":\"\xff\"}"), "`body` is not UTF-8");
    }

    #[test]
    fn nesting_and_keys_are_bounded() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(from_slice::<Value>(nested(limits::JSON_DEPTH).as_bytes()).is_ok());
        assert!(refused(nested(limits::JSON_DEPTH + 1)).contains("nesting is too deep"));

        let keys = |count| format!("[{}]", vec![r#"{"a":0}"#; count].join(","));
        assert!(from_slice::<Value>(keys(KEYS).as_bytes()).is_ok());
        assert!(refused(keys(KEYS + 1)).contains("too many keys"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(".{0,6}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any_json()) {
            prop_assert_eq!(from_slice::<Value>(value.to_string().as_bytes()).unwrap(), value);
        }

        #[test]
        fn a_repeated_key_is_found_wherever_it_is(key in ".{0,6}", value in any_json(), depth in 0..40_usize) {
            let (key, value) = (json!(key), value.to_string());
            let text = format!("{}{{{key}:{value},{key}:{value}}}{}", "[".repeat(depth), "]".repeat(depth));
            prop_assert!(refused(text).contains("the same key twice"));
        }

        #[test]
        fn outside_bytes_are_read_as_the_reference_reads_them_or_refused(bytes in r#"[\[\]{}",:0-9a-z\\ .-]{0,40}"#) {
            if let Ok(value) = from_slice::<Value>(bytes.as_bytes()) {
                prop_assert_eq!(value, serde_json::from_str::<Value>(&bytes).unwrap());
            }
        }

        #[test]
        fn no_error_quotes_what_was_sent(canary in "[G-Z]{12}", at in 0..60_usize, junk in any::<u8>()) {
            let mut bytes = format!(r#"{{"id":{{"{canary}":"{canary}"}},"secrets":[{{"value":"{canary}"}}]}}"#).into_bytes();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = junk;
            }
            prop_assert!(!refused(bytes).contains(&canary));
        }
    }
}
