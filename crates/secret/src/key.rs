//! Key material of a fixed length.

use zeroize::Zeroizing;

/// `N` bytes of key material. Boxed, so that a move copies a pointer and never the key; wiped when dropped.
pub struct Key<const N: usize = 32>(Box<Zeroizing<[u8; N]>>);

impl<const N: usize> Key<N> {
    /// A key that `fill` writes in place, so that no copy of it is left on the stack.
    ///
    /// # Errors
    /// Whatever `fill` fails with.
    pub fn try_fill<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut key = Box::new(Zeroizing::new([0; N]));
        fill(&mut key)?;
        Ok(Self(key))
    }

    /// A key that `fill` writes in place.
    pub fn fill(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut key = Box::new(Zeroizing::new([0; N]));
        fill(&mut key);
        Self(key)
    }

    /// A key copied from `bytes`; `None` unless it is exactly `N` bytes long.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == N).then(|| Self::fill(|key| key.copy_from_slice(bytes)))
    }

    /// The key's bytes, for the primitive that uses them.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use static_assertions::assert_not_impl_any;

    assert_not_impl_any!(Key<32>: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, serde::Serialize);

    #[test]
    fn only_the_exact_length_is_a_key() {
        assert!(Key::<32>::from_slice(&[7; 31]).is_none());
        assert!(Key::<32>::from_slice(&[7; 33]).is_none());
        assert_eq!(Key::<32>::from_slice(&[7; 32]).unwrap().expose(), &[7; 32]);
    }
}
