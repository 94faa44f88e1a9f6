//! Hidden names. A segment is stored as `token = AES-256-GCM-SIV(folder key, segment)` (RFC 8452) with a fixed nonce:
//! the same segment in the same folder always has the same token, so it can be looked up, and nothing else shows but
//! its length. The folder's key is derived from the folder's own storage key, so equal names differ by folder.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use quick_cache::sync::Cache;
use strongroom_secret::Key;

use crate::planes;
use crate::xaes::AeadError;

/// Deterministic encryption is the purpose here, and RFC 8452 is safe under a repeated nonce: equal inputs show as
/// equal, which within one folder never happens.
const NONCE: [u8; 12] = [0; 12];
/// Folders whose keys are kept, ready for use.
const FOLDERS: usize = 500;

/// The key that hides a workspace's names.
pub(crate) struct NameKey {
    key: hmac::Key,
    folders: Cache<Box<[u8]>, Arc<LessSafeKey>>,
}

impl NameKey {
    pub(crate) fn new(key: &Key) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key.expose()),
            folders: Cache::new(FOLDERS),
        }
    }

    /// Extends `folder`, the storage key of a folder, by `segment`.
    pub(crate) fn push(&self, folder: &mut Vec<u8>, segment: &str) -> Result<(), AeadError> {
        let key = self.folder_key(folder)?;
        let mut token = Vec::with_capacity(segment.len() + AES_256_GCM_SIV.tag_len());
        token.extend(segment.as_bytes());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(NONCE), Aad::empty(), &mut token)?;
        planes::push_token(folder, &token);
        Ok(())
    }

    /// Gives the segments of `tokens`, all found in the folder with the storage key `folder`.
    pub(crate) fn reveal<'t>(
        &self,
        folder: &[u8],
        tokens: impl Iterator<Item = &'t [u8]>,
    ) -> Result<Vec<String>, AeadError> {
        let key = self.folder_key(folder)?;
        let reveal = |token: &[u8]| {
            let mut data = token.to_vec();
            let length = key
                .open_in_place(Nonce::assume_unique_for_key(NONCE), Aad::empty(), &mut data)?
                .len();
            data.truncate(length);
            String::from_utf8(data).map_err(|_| AeadError)
        };
        tokens.map(reveal).collect()
    }

    fn folder_key(&self, folder: &[u8]) -> Result<Arc<LessSafeKey>, AeadError> {
        if let Some(kept) = self.folders.get(folder) {
            return Ok(kept);
        }
        let key = hmac::sign(&self.key, folder);
        let key = Arc::new(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key.as_ref())?));
        self.folders.insert(folder.into(), key.clone());
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use strongroom_base::{MountId, WorkspaceId};

    fn names() -> NameKey {
        NameKey::new(&Key::from_slice(&[4; 32]).unwrap())
    }

    /// RFC 8452 appendix C.2, second test: the provider's primitive is the one that the format names.
    #[test]
    fn aes_256_gcm_siv_vector() {
        let mut key = [0; 32];
        key[0] = 1;
        let mut nonce = [0; 12];
        nonce[0] = 3;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &key).unwrap());
        let mut data = 1u64.to_le_bytes().to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut data)
            .unwrap();
        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28");
    }

    #[test]
    fn equal_segments_differ_by_folder() {
        let key_of = |mount| {
            let mut key = planes::mount_prefix(WorkspaceId(1), MountId(mount));
            names().push(&mut key, "PASSWORD").unwrap();
            key[9..].to_vec()
        };
        assert_eq!(key_of(1), key_of(1));
        assert_ne!(key_of(1), key_of(2));
    }

    proptest! {
        #[test]
        fn a_token_reveals_its_segment_in_its_folder_only(segment in "\\PC{1,64}") {
            let folder = planes::mount_prefix(WorkspaceId(1), MountId(1));
            let mut key = folder.clone();
            names().push(&mut key, &segment).unwrap();
            let (token, more) = planes::first_token(&key[folder.len()..]).unwrap();
            prop_assert!(!more);
            prop_assert_eq!(names().reveal(&folder, [token].into_iter()).unwrap(), vec![segment]);
            prop_assert!(names().reveal(&key, [token].into_iter()).is_err());
        }
    }
}
