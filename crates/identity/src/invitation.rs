//! Invitations: whoever has the code may become a principal that nobody is yet. The code's text is never stored.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use minicbor::{Decode, Encode};
use strongroom_barrier::{
    BarrierError, Kind, Place, Record, RowAtRest, RowFlaw, RowKeeper, StorageKey, Stored, Ties, View,
};
use strongroom_base::{PrincipalId, Timestamp, WorkspaceId, limits};
use strongroom_secret::SecretText;
use strongroom_storage::Change;

use crate::directory::principal_key;

/// The invitation to be one principal.
#[derive(Encode, Decode)]
pub struct Invitation {
    /// SHA-256 of the code.
    #[cbor(n(0), with = "minicbor::bytes")]
    code: [u8; 32],
    #[n(1)]
    expires: Timestamp,
}

impl Record for Invitation {}

impl Invitation {
    /// Whether `code` is its code, and it has not ended at `now`.
    #[must_use]
    pub fn admits(&self, code: &SecretText, now: Timestamp) -> bool {
        let is_right = verify_slices_are_equal(&self.code, &hash(code)).is_ok();
        is_right && now < self.expires
    }
}

/// All invitations; one for each principal at most. Cheap to clone.
#[derive(Clone)]
pub struct Invitations {
    view: View,
}

impl Invitations {
    /// The invitations in `view`, which is of the system workspace.
    #[must_use]
    pub fn new(view: View) -> Self {
        Self { view }
    }

    /// The invitation to be `principal`, ended or not.
    ///
    /// # Errors
    /// When storage cannot answer or the row is damaged.
    pub async fn find(&self, principal: PrincipalId) -> Result<Option<Stored<Invitation>>, BarrierError> {
        self.view.get(&self.key(principal)).await
    }

    /// Adds the invitation to be `principal` to `change`, in the place of an earlier one.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn put(
        &self,
        change: &mut Change,
        principal: PrincipalId,
        code: &SecretText,
        expires: Timestamp,
    ) -> Result<(), BarrierError> {
        let invitation = Invitation {
            code: hash(code),
            expires,
        };
        self.view.put(change, &self.key(principal), &invitation)
    }

    /// Ends `stored`, the invitation to be `principal`, in `change`, which then requires that it is there still.
    pub fn end(&self, change: &mut Change, principal: PrincipalId, stored: &Stored<Invitation>) {
        let key = self.key(principal);
        self.view.expect(change, &key, Some(stored.revision));
        self.view.delete(change, &key);
    }

    fn key(&self, principal: PrincipalId) -> StorageKey {
        self.view.ordered(Kind::Invitation, &[principal.as_bytes()])
    }
}

impl RowKeeper for Invitations {
    fn read(&self, row: &RowAtRest) -> Result<Option<Ties>, RowFlaw> {
        let Place::Ordered {
            workspace: WorkspaceId::SYSTEM,
            kind: Kind::Invitation,
            rest,
        } = row.place()
        else {
            return Ok(None);
        };
        row.open::<Invitation>()?;
        let principal = rest.as_slice().try_into().map(PrincipalId::from_bytes);
        let principal = principal.map_err(|_| RowFlaw::Contradiction("its key holds no principal"))?;
        Ok(Some(Ties::default().needing([principal_key(principal)])))
    }
}

fn hash(code: &SecretText) -> [u8; 32] {
    // A longer text is none of ours, and not worth the work.
    let text = code.expose().as_bytes();
    let text = text.get(..limits::TOKEN_BYTES).unwrap_or(text);
    let mut hash = [0; 32];
    let digest = digest::digest(&digest::SHA256, text);
    hash.iter_mut()
        .zip(digest.as_ref())
        .for_each(|(byte, digested)| *byte = *digested);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/formats/record.md`: a field's number and form are on disk and never change.
    #[test]
    fn the_bytes_of_records() {
        let invitation = Invitation {
            code: [3; 32],
            expires: Timestamp::from_millis(4),
        };
        let bytes = minicbor::to_vec(&invitation).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("825820{}04", "03".repeat(32)));
    }

    #[test]
    fn the_right_code_in_time_is_admitted() {
        let text = |text: &str| SecretText::new(text.to_owned());
        let invitation = Invitation {
            code: hash(&text("code")),
            expires: Timestamp::from_millis(10),
        };
        for (code, now, is_good) in [
            ("code", 9, true),
            ("code", 10, false),
            ("cod", 9, false),
            ("", 9, false),
        ] {
            let admitted = invitation.admits(&text(code), Timestamp::from_millis(now));
            assert_eq!(admitted, is_good, "{code} {now}");
        }
    }
}
