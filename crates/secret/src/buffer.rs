//! A buffer for plaintext that is being put together.

use bytes::Bytes;
use zeroize::Zeroizing;

/// Bytes that grow without leaving copies behind: an outgrown allocation is wiped before it is freed.
#[derive(Default)]
pub struct SecretBuffer(Zeroizing<Vec<u8>>);

impl SecretBuffer {
    /// An empty buffer with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes)))
    }

    /// Appends `bytes`.
    pub fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
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

impl std::io::Write for SecretBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
