//! The auth method *password*: it proves who calls by a slug and a password, and grants nothing.
//!
//! Argon2id (RFC 9106), one hash per core at a time with a bounded queue. Failures are counted in memory, per
//! principal and per source; only a lock is stored. An unknown slug costs and answers what a wrong password does.

mod hash;
mod throttle;

use std::sync::{Arc, Mutex, PoisonError};

use minicbor::{Decode, Encode};
use strongroom_barrier::{
    BarrierError, Kind, Place, Record, RowAtRest, RowFlaw, RowKeeper, StorageKey, Stored, Ties, View,
};
use strongroom_base::{PrincipalId, Rng, Slug, Timestamp, Ttl, WorkspaceId, limits};
use strongroom_identity::{Directory, Principal, Standing, principal_key};
use strongroom_secret::SecretText;
use strongroom_storage::Change;

use hash::{Hash, Hasher};
use throttle::Throttle;

/// A principal's password, hashed.
#[derive(Clone, Encode, Decode)]
struct PasswordRecord {
    #[n(0)]
    hash: Hash,
    /// No login before this time, right password or not.
    #[n(1)]
    locked_until: Option<Timestamp>,
}

impl Record for PasswordRecord {}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Unknown slug or wrong password; which is not told. Commit `lock`, if any, with the refusal.
    #[error("wrong slug or password")]
    Wrong {
        /// The change that locks the principal, after too many failures.
        lock: Option<Box<Change>>,
    },
    /// Too many failures, or too many logins at once.
    #[error("too many attempts")]
    Busy {
        /// When to come back.
        retry_after: Ttl,
    },
    /// Storage cannot answer.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
}

/// Why a password cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// Its length is outside [`limits::PASSWORD_BYTES`].
    #[error("must be {} to {} bytes long", limits::PASSWORD_BYTES.start(), limits::PASSWORD_BYTES.end())]
    Length,
    /// Too many logins at once.
    #[error("too many attempts")]
    Busy {
        /// When to come back.
        retry_after: Ttl,
    },
    /// Storage cannot answer.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
}

/// All passwords of an instance.
pub struct Passwords {
    view: View,
    directory: Directory,
    hasher: Hasher,
    throttle: Mutex<Throttle>,
}

impl Passwords {
    /// The passwords in `view`, which is of the system workspace.
    #[must_use]
    pub fn new(view: View, directory: Directory) -> Self {
        Self {
            view,
            directory,
            hasher: Hasher::new(),
            throttle: Mutex::default(),
        }
    }

    /// Proves that a caller at `source` who gives `slug` and `password` is the principal that it gives.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn login(
        &self,
        slug: &Slug,
        password: SecretText,
        source: &str,
        now: Timestamp,
    ) -> Result<Arc<Stored<Principal>>, LoginError> {
        self.throttle()
            .admit(slug, source, now)
            .map_err(|retry_after| LoginError::Busy { retry_after })?;
        let principal = self
            .directory
            .by_slug(slug)
            .await?
            .filter(|found| found.record.standing == Standing::Active);
        let stored = match &principal {
            Some(principal) => {
                self.view
                    .get::<PasswordRecord>(&self.key(principal.record.id))
                    .await?
            }
            None => None,
        };
        if let Some(until) = stored.as_ref().and_then(|stored| stored.record.locked_until)
            && now < until
        {
            return Err(LoginError::Busy {
                retry_after: until.since(now),
            });
        }
        // A text that is too long to be a password is not worth hashing, and is as wrong as any other.
        let is_too_long = password.len() > *limits::PASSWORD_BYTES.end();
        let password = if is_too_long {
            SecretText::default()
        } else {
            password
        };
        // Without a hash to compare with, one is computed all the same, so that time does not tell which it was.
        let hash = stored
            .as_ref()
            .map_or_else(Hash::of_nobody, |stored| stored.record.hash.clone());
        let is_right = self
            .hasher
            .verify(password, hash)
            .await
            .map_err(|retry_after| LoginError::Busy { retry_after })?;
        match (principal, stored) {
            (Some(principal), Some(_)) if is_right && !is_too_long => {
                self.throttle().succeeded(slug);
                Ok(principal)
            }
            (principal, stored) => {
                let lock_until = self.throttle().failed(slug, source, now);
                let lock = match (lock_until, principal, stored) {
                    (Some(until), Some(principal), Some(stored)) => {
                        Some(self.lock(principal.record.id, stored, until)?)
                    }
                    _ => None,
                };
                Err(LoginError::Wrong {
                    lock: lock.map(Box::new),
                })
            }
        }
    }

    /// Adds the password of `principal`, who has none yet, to `change`.
    ///
    /// # Errors
    /// [`SetError`].
    pub async fn set(
        &self,
        change: &mut Change,
        principal: PrincipalId,
        password: SecretText,
        rng: &dyn Rng,
    ) -> Result<(), SetError> {
        if !limits::PASSWORD_BYTES.contains(&password.len()) {
            return Err(SetError::Length);
        }
        let mut salt = [0; 16];
        rng.fill(&mut salt);
        let hash = self
            .hasher
            .hash(password, salt)
            .await
            .map_err(|retry_after| SetError::Busy { retry_after })?;
        let key = self.key(principal);
        self.view.expect(change, &key, None);
        Ok(self.view.put(
            change,
            &key,
            &PasswordRecord {
                hash,
                locked_until: None,
            },
        )?)
    }

    fn lock(
        &self,
        principal: PrincipalId,
        stored: Stored<PasswordRecord>,
        until: Timestamp,
    ) -> Result<Change, BarrierError> {
        let mut change = Change::default();
        let key = self.key(principal);
        self.view.expect(&mut change, &key, Some(stored.revision));
        self.view.put(
            &mut change,
            &key,
            &PasswordRecord {
                locked_until: Some(until),
                ..stored.record
            },
        )?;
        Ok(change)
    }

    fn key(&self, principal: PrincipalId) -> StorageKey {
        self.view.ordered(Kind::Password, &[principal.as_bytes()])
    }

    fn throttle(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RowKeeper for Passwords {
    fn read(&self, row: &RowAtRest) -> Result<Option<Ties>, RowFlaw> {
        let Place::Ordered {
            workspace: WorkspaceId::SYSTEM,
            kind: Kind::Password,
            rest,
        } = row.place()
        else {
            return Ok(None);
        };
        row.open::<PasswordRecord>()?;
        let principal = rest.as_slice().try_into().map(PrincipalId::from_bytes);
        let principal = principal.map_err(|_| RowFlaw::Contradiction("its key holds no principal"))?;
        Ok(Some(Ties::default().needing([principal_key(principal)])))
    }
}
