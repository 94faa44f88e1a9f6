//! What rows say of each other. Each room that stores rows tells it of its own ([`RowKeeper`]), so that the operator's
//! check can see whether all rows of an instance fit together, and which no room knows.

use std::sync::Arc;

use strongroom_base::WorkspaceId;

use crate::barrier::{Barrier, BarrierError};
use crate::chain::{self, ChainRow};
use crate::envelope::Record;
use crate::keyring::Deks;
use crate::place::Place;
use crate::planes::{Kind, StorageKey};
use crate::rewrap::Rewrap;
use crate::xaes::AeadError;

/// A row of a stopped instance, for whoever stores its kind.
pub struct RowAtRest {
    key: StorageKey,
    place: Place,
    value: Vec<u8>,
    /// The keys of its workspace; none for the system plane, whose rows are sealed with others or in clear.
    keys: Option<(WorkspaceId, Arc<Deks>)>,
}

/// What a row says of others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ties {
    /// The rows that are there because of this one, each with what it must say.
    pub owns: Vec<(StorageKey, Vec<u8>)>,
    /// What this row says to the one because of which it is there; `None` for a row that stands on its own.
    pub says: Option<Vec<u8>>,
    /// Rows that must be there, whatever they say.
    pub needs: Vec<StorageKey>,
}

/// What is wrong with a row by itself.
#[derive(Debug, thiserror::Error)]
pub enum RowFlaw {
    /// It does not open, or is no such record.
    #[error(transparent)]
    Unreadable(#[from] BarrierError),
    /// It opens, and says what cannot be.
    #[error("the record contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// A room that stores rows.
pub trait RowKeeper: Send + Sync {
    /// What `row` says; `None` when it is of no kind that this room stores.
    ///
    /// # Errors
    /// [`RowFlaw`] when it is, and is no such row.
    fn read(&self, row: &RowAtRest) -> Result<Option<Ties>, RowFlaw>;
}

impl Ties {
    /// Those of a row that is there because of another, to which it says `says`.
    #[must_use]
    pub fn of_owned(says: impl Into<Vec<u8>>) -> Self {
        Self {
            says: Some(says.into()),
            ..Self::default()
        }
    }

    /// These, and that the row at `key` is there because of this one, to say `says`.
    #[must_use]
    pub fn owning(mut self, key: StorageKey, says: impl Into<Vec<u8>>) -> Self {
        self.owns.push((key, says.into()));
        self
    }

    /// These, and that there must be rows at `keys`.
    #[must_use]
    pub fn needing(mut self, keys: impl IntoIterator<Item = StorageKey>) -> Self {
        self.needs.extend(keys);
        self
    }
}

impl RowAtRest {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> &StorageKey {
        &self.key
    }

    /// Where it lies.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its value as storage has it.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Its record.
    ///
    /// # Errors
    /// [`BarrierError::Damaged`].
    pub fn open<T: Record>(&self) -> Result<T, BarrierError> {
        let (workspace, deks) = self.keys.as_ref().ok_or(AeadError)?;
        chain::open(deks, *workspace, &self.key, self.value.clone())
    }

    /// That this is the row of `key`, which its record speaks of.
    ///
    /// # Errors
    /// [`RowFlaw::Contradiction`].
    pub fn lies_at(&self, key: &StorageKey) -> Result<(), RowFlaw> {
        if self.key == *key {
            Ok(())
        } else {
            Err(RowFlaw::Contradiction("it belongs to another key"))
        }
    }
}

impl Barrier {
    /// The row of storage at `key` with `value`.
    ///
    /// # Errors
    /// When the keys of its workspace cannot be had.
    pub async fn at_rest(&self, key: Vec<u8>, value: Vec<u8>) -> Result<RowAtRest, BarrierError> {
        let place = self.place(&key).await?;
        let keys = match place {
            Place::Name { workspace, .. } | Place::Ordered { workspace, .. } => {
                Some((workspace, self.keys(workspace).await?.deks()))
            }
            Place::System(_) | Place::Unknown => None,
        };
        Ok(RowAtRest {
            key: StorageKey::from_bytes(key),
            place,
            value,
            keys,
        })
    }
}

impl RowKeeper for Arc<Barrier> {
    /// The keyring, which an open barrier has read, the keys of workspaces, and how far a rewrap has come.
    fn read(&self, row: &RowAtRest) -> Result<Option<Ties>, RowFlaw> {
        match row.place() {
            Place::System(name) => match chain::row_called(name) {
                Some(ChainRow::Keyring) => {}
                Some(ChainRow::Workspace(workspace)) => {
                    self.chain
                        .ring()
                        .open(workspace, row.key(), row.value().to_vec())?;
                }
                None => return Ok(None),
            },
            Place::Ordered {
                workspace: WorkspaceId::SYSTEM,
                kind: Kind::Rewrap,
                ..
            } => drop(row.open::<Rewrap>()?),
            _ => return Ok(None),
        }
        Ok(Some(Ties::default()))
    }
}
