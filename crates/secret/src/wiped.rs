//! Memory that is wiped when dropped, all of its allocation. `Zeroizing` does the same with a `Vec`, but a byte at a
//! time, which is felt in every request.

use std::ops::{Deref, DerefMut};

use zeroize::zeroize_bytes;

/// Bytes that are wiped when dropped. What they leave behind when they grow is not: see [`crate::SecretBuffer`].
#[derive(Default)]
pub(crate) struct WipedBytes(Vec<u8>);

/// Text that is wiped when dropped.
#[derive(Default)]
pub(crate) struct WipedText(String);

impl WipedBytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl WipedText {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

impl Drop for WipedBytes {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl Drop for WipedText {
    fn drop(&mut self) {
        wipe(&mut std::mem::take(&mut self.0).into_bytes());
    }
}

impl Deref for WipedBytes {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for WipedBytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Deref for WipedText {
    type Target = String;
    fn deref(&self) -> &String {
        &self.0
    }
}

impl DerefMut for WipedText {
    fn deref_mut(&mut self) -> &mut String {
        &mut self.0
    }
}

/// Overwrites all that `bytes` have room for. Growing up to there moves nothing.
fn wipe(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.capacity(), 0);
    zeroize_bytes(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_allocation_is_wiped_where_it_is() {
        let mut bytes = Vec::with_capacity(100);
        bytes.extend(b"hunter2, and what was cut off behind it");
        bytes.truncate(7);
        let place = bytes.as_ptr();
        wipe(&mut bytes);
        assert_eq!((bytes.as_ptr(), bytes.len()), (place, bytes.capacity()));
        assert!(bytes.iter().all(|byte| *byte == 0));
    }
}
