//! Secret payloads: values, passwords and tokens on their way through a request.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};

use crate::wiped::{WipedBytes, WipedText};

/// Secret bytes of any length, wiped when dropped.
#[derive(Default)]
pub struct SecretBytes(WipedBytes);

/// Secret UTF-8 text of any length, wiped when dropped.
#[derive(Default)]
pub struct SecretText(WipedText);

impl SecretBytes {
    /// Takes the bytes over; the vector must never have grown, or its old allocations keep copies.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(WipedBytes::new(bytes))
    }

    /// The bytes, for whoever may use them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes, which is not secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl SecretText {
    /// Takes the text over; it must never have grown, or its old allocations keep copies.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(WipedText::new(text))
    }

    /// The text, for whoever may use it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes, which is not secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same text as bytes, without a copy.
    #[must_use]
    pub fn into_bytes(mut self) -> SecretBytes {
        SecretBytes::new(std::mem::take(&mut *self.0).into_bytes())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes")
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    /// Reads a string, copying it once into memory that is wiped.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SecretText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretText, E> {
                Ok(SecretText::new(text.to_owned()))
            }
            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<SecretText, E> {
                Ok(SecretText::new(text))
            }
        }
        // The deserializer's own error would quote a value of the wrong type, which may be a secret, too.
        deserializer
            .deserialize_str(Text)
            .map_err(|_| D::Error::custom("expected a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use static_assertions::assert_not_impl_any;

    assert_not_impl_any!(SecretBytes: fmt::Display, Clone, PartialEq, serde::Serialize);
    assert_not_impl_any!(SecretText: fmt::Display, Clone, PartialEq, serde::Serialize);

    #[test]
    fn debug_shows_the_type_only() {
        assert_eq!(format!("{:?}", SecretText::new("hunter2".into())), "SecretText");
        assert_eq!(
            format!("{:?}", SecretBytes::new(b"hunter2".to_vec())),
            "SecretBytes"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_quoted() {
        let error = serde_json::from_str::<SecretText>("918273645")
            .unwrap_err()
            .to_string();
        assert!(!error.contains("918273645"), "{error}");
    }
}
