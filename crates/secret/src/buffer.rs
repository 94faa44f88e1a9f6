//! A buffer for plaintext that is being put together.

use bytes::Bytes;

use crate::wiped::WipedBytes;

/// Bytes that grow without leaving copies behind: an outgrown allocation is wiped before it is freed.
#[derive(Default)]
pub struct SecretBuffer(WipedBytes);

impl SecretBuffer {
    /// An empty buffer with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(WipedBytes::new(Vec::with_capacity(bytes)))
    }

    /// Appends `bytes`.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        if bytes.len() > self.0.capacity() - self.0.len() {
            self.grow(bytes.len());
        }
        self.0.extend_from_slice(bytes);
    }

    /// Makes room for `more` bytes, and wipes the allocation that has become too small.
    #[cold]
    fn grow(&mut self, more: usize) {
        let needed = self.0.len().saturating_add(more);
        let mut larger = WipedBytes::new(Vec::with_capacity(needed.next_power_of_two()));
        larger.extend_from_slice(&self.0);
        self.0 = larger;
    }

    /// The bytes so far.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes so far, to be changed in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The finished buffer as bytes for the network, without a copy; wiped when their last user drops them.
    #[must_use]
    pub fn into_shared(self) -> Bytes {
        struct Owner(SecretBuffer);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0.0
            }
        }
        Bytes::from_owner(Owner(self))
    }

    /// The buffer as ordinary bytes, for contents that are no longer secret: it has been encrypted in place.
    #[must_use]
    pub fn into_public(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }

    /// The finished buffer, without a copy.
    #[must_use]
    pub fn into_secret(self) -> crate::SecretBytes {
        crate::SecretBytes::new(self.into_public())
    }
}

/// Takes over bytes whose allocation is wiped with them.
impl From<Vec<u8>> for SecretBuffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self(WipedBytes::new(bytes))
    }
}

impl std::io::Write for SecretBuffer {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    /// Takes all at once: the usual loop is most of the work of a JSON writer's many short writes.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.extend(bytes);
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
