//! Strict JSON (RFC 8259, with unique names as RFC 7493 §2.3 demands): what two readers could understand differently is
//! refused. Errors name the field or the position and never quote a value, and no secret is copied to memory that is not
//! wiped.

mod escape;
mod strict;

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use strongroom_sdk::Error;
use strongroom_secret::SecretText;

/// Reads one JSON document. Fields that `T` does not have are ignored.
///
/// # Errors
/// `Invalid` when `bytes` are not UTF-8 or not JSON, when something follows the document, an object has the same key
/// twice, the nesting is deeper than [`JSON_DEPTH`](strongroom_base::limits::JSON_DEPTH), or a field has the wrong type.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("body", "is not UTF-8"))?;
    strict::check(text).map_err(|error| Error::invalid("body", format_args!("is refused: {error}")))?;
    serde_json::from_str(text).map_err(|_| wrong_type::<T>(text))
}

/// Reads one object, as [`from_slice`] does; no bytes at all are `{}`.
///
/// # Errors
/// As [`from_slice`]'s.
pub fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let bytes = bytes.trim_ascii();
    from_slice(if bytes.is_empty() { b"{}" } else { bytes }).map(|Object(object)| object)
}

/// Names the field of `text` that is no `T`'s: all other faults have been found by now, and serde's own text would quote
/// the value. Keeping track of where a reader is costs more than reading does, so it is done the second time only.
fn wrong_type<T: DeserializeOwned>(text: &str) -> Error {
    let again = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_str(text));
    let field = again.err().map(|error| error.path().to_string());
    let field = field.filter(|field| field != ".");
    Error::invalid(field.as_deref().unwrap_or("body"), "has the wrong type")
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

/// For serde's `deserialize_with`, in types that [`from_slice`] reads: a string that is secret, or `null`. `serde_json`
/// would resolve its escapes in a buffer that is not wiped.
///
/// # Errors
/// If it is neither a string nor `null`, or an escape stands for no character.
pub fn secret_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretText>, D::Error> {
    let Some(raw) = Option::<&RawValue>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let literal = raw
        .get()
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let mut text = literal
        .and_then(escape::resolve)
        .ok_or_else(|| D::Error::custom("expected a string"))?;
    Ok(Some(SecretText::new(std::mem::take(&mut *text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use strongroom_base::limits;

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

    #[derive(serde::Deserialize)]
    struct Login {
        #[serde(default, deserialize_with = "secret_text")]
        password: Option<SecretText>,
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
        from_slice::<Object<Wire>>(bytes.as_ref())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let wire: Wire = from_slice(br#" {"id":"a","new":{"b":[1,null,-1.5e3,true]}} "#).unwrap();
        assert_eq!(
            wire,
            Wire {
                id: Some("a".into()),
                ..Wire::default()
            }
        );
    }

    #[test]
    fn an_error_names_the_field_or_the_position_and_never_the_value() {
        for (text, error) in [
            (r#"{"allApps":"hunter2"}"#, "`allApps` has the wrong type"),
            (
                r#"{"secrets":[{"value":"a"},{"value":918273645}]}"#,
                "`secrets[1].value` has the wrong type",
            ),
            (r#"{"secrets":[["hunter2"]]}"#, "`secrets[0]` has the wrong type"),
            (r#"["hunter2"]"#, "`body` has the wrong type"),
            (
                r#"{"a":"hunter2"} hunter2"#,
                "`body` is refused: trailing characters at line 1 column 17",
            ),
            (
                r#"{"a":"hunter2""#,
                "`body` is refused: EOF while parsing an object at line 1 column 14",
            ),
            (
                r#"{"a":1,"b":{"c":1},"a":2}"#,
                "`body` is refused: an object has the same key twice",
            ),
            (
                r#"{"a":1,"\u0061":2}"#,
                "`body` is refused: an object has the same key twice",
            ),
            (
                r#"{"x":[{"a":1,"a":1}]}"#,
                "`body` is refused: an object has the same key twice",
            ),
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
        assert!(from_slice::<Value>(keys(strict::KEYS).as_bytes()).is_ok());
        assert!(refused(keys(strict::KEYS + 1)).contains("too many keys"));
    }

    #[test]
    fn a_secret_is_a_string_or_null() {
        let login =
            |text: &str| from_slice::<Object<Login>>(text.as_bytes()).map(|Object(login)| login.password);
        let password = login(r#"{"password": "a\n\u00e4" }"#).unwrap().unwrap();
        assert_eq!(password.expose(), "a\nä");
        assert!(login(r#"{"password":null}"#).unwrap().is_none());
        assert!(login("{}").unwrap().is_none());
        for wrong in ["918273645", "[\"hunter2\"]", r#""\ud800""#] {
            let error = login(&format!(r#"{{"password":{wrong}}}"#))
                .unwrap_err()
                .to_string();
            assert_eq!(error, "`password` has the wrong type");
        }
    }

    #[test]
    fn of_many_keys_none_may_be_repeated() {
        let keys = |keys: &[usize]| {
            let members: Vec<_> = keys.iter().map(|key| format!("\"key {key}\":0")).collect();
            from_slice::<Value>(format!("{{{}}}", members.join(",")).as_bytes())
        };
        let mut numbers: Vec<_> = (0..40).collect();
        assert!(keys(&numbers).is_ok());
        for (first, second) in [(0, 1), (0, 39), (7, 8), (8, 39), (38, 39)] {
            let kept = std::mem::replace(&mut numbers[second], first);
            assert!(keys(&numbers).is_err(), "{first} again at {second}");
            numbers[second] = kept;
        }
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
                prop::collection::hash_map(".{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
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
            if let Err(error) = from_slice::<Object<Wire>>(&bytes) {
                prop_assert!(!error.to_string().contains(&canary));
            }
        }
    }
}
