//! Sessions: what a token stands for. The token's text is never stored; its SHA-256 is the session's key.

use std::sync::Arc;

use aws_lc_rs::digest;
use minicbor::{Decode, Encode};
use strongroom_barrier::{
    BarrierError, Kind, Place, Record, RowAtRest, RowFlaw, RowKeeper, StorageKey, Stored, Ties, View,
};
use strongroom_base::{LeaseId, MountId, PrincipalId, Timestamp, WorkspaceId, limits};
use strongroom_lease::Term;
use strongroom_secret::SecretText;
use strongroom_storage::Change;

use crate::directory::principal_key;

/// A login that lasts.
#[derive(Clone, Encode, Decode)]
pub struct Session {
    /// The lease that it is.
    #[n(0)]
    pub lease: LeaseId,
    /// Who logged in.
    #[n(1)]
    pub principal: PrincipalId,
    /// The workspace that its requests act in.
    #[n(2)]
    pub workspace: WorkspaceId,
    /// The mount that its requests act on, unless they name another.
    #[n(3)]
    pub mount: MountId,
    /// What the client called itself; may be empty.
    #[n(4)]
    pub device: String,
    /// How long it lasts.
    #[n(5)]
    pub term: Term,
}

/// What the expiry and by-principal rows point to.
#[derive(Encode, Decode)]
struct Pointer(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

impl Record for Session {}
impl Record for Pointer {}

/// The key of a session: the SHA-256 of its token's text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// The key of the session that `token` opens; `None` for a text too long to be a token.
    #[must_use]
    pub fn of(token: &SecretText) -> Option<Self> {
        let text = token.expose().as_bytes();
        if text.len() > limits::TOKEN_BYTES {
            return None;
        }
        digest::digest(&digest::SHA256, text)
            .as_ref()
            .try_into()
            .ok()
            .map(Self)
    }
}

/// All sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    view: View,
}

impl Sessions {
    /// The sessions in `view`, which is of the system workspace.
    #[must_use]
    pub fn new(view: View) -> Self {
        Self { view }
    }

    /// The session at `key`, live or not.
    ///
    /// # Errors
    /// When storage cannot answer or the row is damaged.
    pub async fn find(&self, key: SessionKey) -> Result<Option<Arc<Stored<Session>>>, BarrierError> {
        self.view.cached(&self.key(key)).await
    }

    /// How many sessions `principal` has, counting at most `limit`.
    ///
    /// # Errors
    /// As [`Sessions::find`].
    pub async fn count(&self, principal: PrincipalId, limit: usize) -> Result<usize, BarrierError> {
        let rows = self
            .view
            .scan::<Pointer>(Kind::SessionOf, principal.as_bytes(), None, limit)
            .await?;
        Ok(rows.len())
    }

    /// The sessions of `principal` behind `after`, in the order in which they began, at most `limit`; `None` for one that
    /// has ended since the index was read.
    ///
    /// # Errors
    /// As [`Sessions::find`].
    pub async fn of(
        &self,
        principal: PrincipalId,
        after: Option<LeaseId>,
        limit: usize,
    ) -> Result<Vec<(LeaseId, Option<(SessionKey, Stored<Session>)>)>, BarrierError> {
        let prefix = principal.as_bytes();
        let after = after.map(|lease| self.view.ordered(Kind::SessionOf, &[prefix, lease.as_bytes()]));
        let rows = self
            .view
            .scan::<Pointer>(Kind::SessionOf, prefix, after.as_ref(), limit)
            .await?;
        let mut sessions = Vec::with_capacity(rows.len());
        for (index, pointer) in rows {
            let lease = index.ordered_parts().and_then(|parts| parts.split_last_chunk());
            let Some((_, lease)) = lease else { continue };
            let key = SessionKey(pointer.record.0);
            let stored = self.view.get::<Session>(&self.key(key)).await?;
            sessions.push((LeaseId::from_bytes(*lease), stored.map(|stored| (key, stored))));
        }
        Ok(sessions)
    }

    /// The session of `principal` that is the lease `lease`.
    ///
    /// # Errors
    /// As [`Sessions::find`].
    pub async fn by_lease(
        &self,
        principal: PrincipalId,
        lease: LeaseId,
    ) -> Result<Option<(SessionKey, Stored<Session>)>, BarrierError> {
        let index = self
            .view
            .ordered(Kind::SessionOf, &[principal.as_bytes(), lease.as_bytes()]);
        let Some(pointer) = self.view.get::<Pointer>(&index).await? else {
            return Ok(None);
        };
        let key = SessionKey(pointer.record.0);
        let stored = self.view.get::<Session>(&self.key(key)).await?;
        Ok(stored.map(|stored| (key, stored)))
    }

    /// Ends `stored` in `change`.
    pub fn end(&self, change: &mut Change, key: SessionKey, stored: &Stored<Session>) {
        self.view.expect(change, &self.key(key), Some(stored.revision));
        self.view.delete(change, &self.key(key));
        self.view.delete(change, &self.expiry_key(&stored.record));
        self.view.delete(change, &self.by_principal_key(&stored.record));
    }

    /// Adds a session to `change`: its record, and its rows in the expiry index and by principal.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn add(&self, change: &mut Change, key: SessionKey, session: &Session) -> Result<(), BarrierError> {
        self.view.expect(change, &self.key(key), None);
        self.view.put(change, &self.key(key), session)?;
        self.view
            .put(change, &self.expiry_key(session), &Pointer(key.0))?;
        self.view
            .put(change, &self.by_principal_key(session), &Pointer(key.0))
    }

    /// Gives `stored` the term `term` in `change`.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn renew(
        &self,
        change: &mut Change,
        key: SessionKey,
        stored: &Stored<Session>,
        term: Term,
    ) -> Result<(), BarrierError> {
        let renewed = Session {
            term,
            ..stored.record.clone()
        };
        self.view.expect(change, &self.key(key), Some(stored.revision));
        self.view.put(change, &self.key(key), &renewed)?;
        self.view.delete(change, &self.expiry_key(&stored.record));
        self.view.put(change, &self.expiry_key(&renewed), &Pointer(key.0))
    }

    /// Ends in `change` the sessions that the expiry index says ended before `now`, at most `limit`; how many.
    /// The session's own record decides: one that lives on keeps it.
    ///
    /// # Errors
    /// As [`Sessions::find`].
    pub async fn end_expired(
        &self,
        change: &mut Change,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, BarrierError> {
        let mut ended = 0;
        for (index, pointer) in self.view.scan::<Pointer>(Kind::Expiry, &[], None, limit).await? {
            if index >= self.view.ordered(Kind::Expiry, &[&now.as_millis().to_be_bytes()]) {
                break;
            }
            let key = self.key(SessionKey(pointer.record.0));
            if let Some(stored) = self.view.get::<Session>(&key).await?
                && !stored.record.term.is_live(now)
            {
                self.view.expect(change, &key, Some(stored.revision));
                self.view.delete(change, &key);
                self.view.delete(change, &self.by_principal_key(&stored.record));
            }
            self.view.delete(change, &index);
            ended += 1;
        }
        Ok(ended)
    }

    fn key(&self, key: SessionKey) -> StorageKey {
        self.view.ordered(Kind::Session, &[&key.0])
    }

    fn expiry_key(&self, session: &Session) -> StorageKey {
        let ends = session.term.ends().as_millis().to_be_bytes();
        self.view
            .ordered(Kind::Expiry, &[&ends, session.lease.as_bytes()])
    }

    fn by_principal_key(&self, session: &Session) -> StorageKey {
        self.view.ordered(
            Kind::SessionOf,
            &[session.principal.as_bytes(), session.lease.as_bytes()],
        )
    }
}

impl RowKeeper for Sessions {
    fn read(&self, row: &RowAtRest) -> Result<Option<Ties>, RowFlaw> {
        let Place::Ordered {
            workspace: WorkspaceId::SYSTEM,
            kind,
            rest,
        } = row.place()
        else {
            return Ok(None);
        };
        Ok(Some(match kind {
            Kind::Session => {
                let session: Session = row.open()?;
                Ties::default()
                    .owning(self.expiry_key(&session), rest.clone())
                    .owning(self.by_principal_key(&session), rest.clone())
                    .needing([principal_key(session.principal)])
            }
            Kind::Expiry | Kind::SessionOf => Ties::of_owned(row.open::<Pointer>()?.0),
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/formats/record.md`: a field's number and form are on disk and never change.
    #[test]
    fn the_bytes_of_records() {
        let session = Session {
            lease: LeaseId::from_bytes([1; 16]),
            principal: PrincipalId::from_bytes([2; 16]),
            workspace: WorkspaceId::DEFAULT,
            mount: MountId(4),
            device: "d".into(),
            term: Term {
                created: Timestamp::from_millis(5),
                idle_until: Timestamp::from_millis(6),
                deadline: Timestamp::from_millis(7),
            },
        };
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (one, two) = ("01".repeat(16), "02".repeat(16));
        let session = hex(minicbor::to_vec(&session).unwrap());
        assert_eq!(session, format!("8650{one}50{two}0104616483050607"));
        let pointer = hex(minicbor::to_vec(Pointer([3; 32])).unwrap());
        assert_eq!(pointer, format!("815820{}", "03".repeat(32)));
    }

    #[test]
    fn a_text_too_long_is_no_token() {
        let of_length = |length| SessionKey::of(&SecretText::new("x".repeat(length)));
        assert!(of_length(limits::TOKEN_BYTES).is_some());
        assert!(of_length(limits::TOKEN_BYTES + 1).is_none());
    }
}
