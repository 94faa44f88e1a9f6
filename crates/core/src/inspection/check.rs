//! The check: whether everything opens, and whether the rows fit together: each index row has the record that it is of,
//! and each record its index rows. Every room tells what its own rows say ([`RowKeeper`]); here it is put together.
//!
//! A row that others must not be without is tied to them: both sides tell of the tie, and a tie of which only one side
//! tells is a finding. So one pass over storage is enough, and a second one only where names are wanted for findings.

use std::collections::HashMap;

use strongroom_barrier::{BarrierError, Place, StorageKey};
use strongroom_base::WorkspaceId;
use strongroom_ledger::{RowDigest, row_digest};
use strongroom_sdk::{RowFlaw, RowKeeper, Ties};
use strongroom_storage::{Row, Storage, is_outbox};

use super::InspectionError;
use super::atlas::{Atlas, RowName};
use super::scrub::each_page;
use crate::mounts::mount_key;

/// What a check found.
#[derive(Debug, Default)]
pub struct Check {
    /// Rows of storage that were read; those of the outbox are among the leaves.
    pub rows: u64,
    /// Leaves that were opened, those that wait in the outbox included.
    pub leaves: u64,
    /// Rows that do not open or do not fit.
    pub findings: Vec<Misfitting>,
}

/// A row that does not open or does not fit.
#[derive(Debug)]
pub struct Misfitting {
    /// The row.
    pub row: RowName,
    /// What is wrong with it.
    pub misfit: Misfit,
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// No room stores such rows.
    #[error("is of no kind that this version knows")]
    Unknown,
    /// It does not open, or contradicts itself.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] RowFlaw),
    /// It is there because of another row, which is not there or says otherwise.
    #[error("belongs to nothing: the row that it is of is missing, or tells of another")]
    Orphan,
    /// A row that is there because of it is missing or says otherwise.
    #[error("lacks {0}, or that tells of another")]
    Lacks(RowName),
    /// A row that must be there is not.
    #[error("needs {0}, which is missing")]
    Needs(RowName),
}

impl Misfit {
    /// The word for it in output for scripts.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unreadable(_) => "unreadable",
            Self::Orphan => "orphan",
            Self::Lacks(_) => "lacks",
            Self::Needs(_) => "needs",
        }
    }
}

/// Reads every row of `storage`. Keeps about 40 bytes in memory for each tie of which the other side was not met yet
/// (an index row, a payload beside its secret), and the keys of rows that others need: principals and mounts.
///
/// # Errors
/// [`InspectionError`].
pub(super) async fn check(
    storage: &dyn Storage,
    keepers: &[Box<dyn RowKeeper>],
    atlas: &Atlas,
    leaves: u64,
) -> Result<Check, InspectionError> {
    let mut check = Check {
        leaves,
        ..Check::default()
    };
    let mut balance = HashMap::new();
    let mut needs = HashMap::new();
    each_tied(storage, keepers, atlas, async |key, read| {
        check.rows += 1;
        match read {
            Ok(ties) => {
                weigh(&mut balance, &key, &ties);
                for need in ties.needs {
                    needs.entry(need).or_insert_with(|| key.clone());
                }
            }
            Err(misfit) => check.findings.push(Misfitting {
                row: atlas.name(&key).await?,
                misfit,
            }),
        }
        Ok(())
    })
    .await?;
    for (needed, key) in needs {
        if storage.get(needed.as_bytes()).await?.is_none() {
            check.findings.push(Misfitting {
                row: atlas.name(&key).await?,
                misfit: Misfit::Needs(atlas.name(needed.as_bytes()).await?),
            });
        }
    }
    if !balance.is_empty() {
        one_sided(storage, keepers, atlas, &balance, &mut check.findings).await?;
    }
    Ok(check)
}

/// How many rows tell of a tie from the side of its owner, less those from the other side; without zeros.
type Balance = HashMap<RowDigest, i32>;

fn weigh(balance: &mut Balance, key: &[u8], ties: &Ties) {
    let owned = ties.says.iter().map(|says| (digest(key, says), -1));
    let owns = ties
        .owns
        .iter()
        .map(|(key, says)| (digest(key.as_bytes(), says), 1));
    for (tie, weight) in owned.chain(owns) {
        let sum = balance.entry(tie).or_default();
        *sum += weight;
        if *sum == 0 {
            balance.remove(&tie);
        }
    }
}

/// The digest of a tie: that the row at `key` says `says`.
fn digest(key: &[u8], says: &[u8]) -> RowDigest {
    let length = key.len().to_be_bytes();
    row_digest(&[&length, key, says].concat())
}

/// Names the rows on the only sides of the ties in `balance`.
async fn one_sided(
    storage: &dyn Storage,
    keepers: &[Box<dyn RowKeeper>],
    atlas: &Atlas,
    balance: &Balance,
    findings: &mut Vec<Misfitting>,
) -> Result<(), InspectionError> {
    each_tied(storage, keepers, atlas, async |key, read| {
        let Ok(Ties { owns, says, .. }) = read else {
            return Ok(());
        };
        let is_odd = |key: &[u8], says: &[u8]| balance.contains_key(&digest(key, says));
        if says.is_some_and(|says| is_odd(&key, &says)) {
            findings.push(Misfitting {
                row: atlas.name(&key).await?,
                misfit: Misfit::Orphan,
            });
        }
        for (owned, _) in owns.iter().filter(|(key, says)| is_odd(key.as_bytes(), says)) {
            findings.push(Misfitting {
                row: atlas.name(&key).await?,
                misfit: Misfit::Lacks(atlas.name(owned.as_bytes()).await?),
            });
        }
        Ok(())
    })
    .await
}

/// Calls `each` with the key of every row but those of the outbox, and with what the row says.
async fn each_tied(
    storage: &dyn Storage,
    keepers: &[Box<dyn RowKeeper>],
    atlas: &Atlas,
    mut each: impl AsyncFnMut(Vec<u8>, Result<Ties, Misfit>) -> Result<(), InspectionError>,
) -> Result<(), InspectionError> {
    each_page(storage, async |page| {
        for (key, row) in page {
            if !is_outbox(&key) {
                let read = read(keepers, atlas, &key, row).await;
                if let Err(Misfit::Unreadable(RowFlaw::Unreadable(BarrierError::Unavailable(error)))) = read {
                    return Err(error.into());
                }
                each(key, read).await?;
            }
        }
        Ok(())
    })
    .await
}

/// What the room that stores the row at `key` tells of it.
async fn read(keepers: &[Box<dyn RowKeeper>], atlas: &Atlas, key: &[u8], row: Row) -> Result<Ties, Misfit> {
    let row = atlas
        .at_rest(key.to_vec(), row.value)
        .await
        .map_err(RowFlaw::from)?;
    if let Place::Name { segments: None, .. } = row.place() {
        return Err(RowFlaw::Contradiction("its name does not open").into());
    }
    for keeper in keepers {
        if let Some(ties) = keeper.read(&row)? {
            return Ok(ties.needing(mount_of(row.place())));
        }
    }
    Err(Misfit::Unknown)
}

/// The key of the mount in which a named row lies.
fn mount_of(place: &Place) -> Option<StorageKey> {
    match place {
        Place::Name { workspace, mount, .. } if *workspace != WorkspaceId::SYSTEM => {
            Some(mount_key(*workspace, mount.home()))
        }
        _ => None,
    }
}
