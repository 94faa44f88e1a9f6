//! Rewrap: everything that DEKs of old epochs sealed is sealed anew with the newest, workspace by workspace, and then the
//! old keys are dropped. What a thief of an old key has then opens nothing that is stored from then on.
//!
//! The walk is a row of steps. Each is one change for the caller to commit, which holds how far the walk has come, so
//! that whoever stops anywhere goes on from there. A step requires of each row that it is what was read, so that no
//! write is lost; and the fence of every write sees to it that nothing old appears behind the walk. Keys are dropped
//! only after a pass over the workspace that found nothing old.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use strongroom_base::{PrincipalId, Timestamp, WorkspaceId, limits};
use strongroom_storage::{Change, Precondition, Row, Unavailable};

use crate::barrier::{Barrier, BarrierError};
use crate::chain::{ChainRow, Loaded, Ring, read_keyring, row_of};
use crate::envelope::{self, EnvelopeError, Record};
use crate::keyring::Deks;
use crate::planes::{self, Kind, StorageKey};

/// Keys that are counted at once.
const COUNTED: usize = 10_000;

/// How far a rewrap has come. There is one row of it, [`Rewrap::key`], that of the last one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Rewrap {
    /// Who started it.
    #[n(0)]
    pub by: PrincipalId,
    /// When.
    #[n(1)]
    pub started: Timestamp,
    /// When it was done; `None` while it runs.
    #[n(2)]
    pub ended: Option<Timestamp>,
    /// Rows that it has to look at, as counted when it began.
    #[n(3)]
    pub rows: u64,
    /// Rows that it has looked at; those that were written meanwhile count, too.
    #[n(4)]
    pub walked: u64,
    /// Rows that it has sealed anew.
    #[n(5)]
    pub rewrapped: u64,
    /// Rows that do not open. The old keys of their workspaces are kept.
    #[n(6)]
    pub unreadable: u64,
    #[n(7)]
    at: Option<At>,
}

impl Record for Rewrap {}

/// Where a walk is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct At {
    #[n(0)]
    workspace: WorkspaceId,
    /// What is of an older epoch than this is sealed anew.
    #[n(1)]
    target: u32,
    /// The key of the last row of this pass.
    #[cbor(n(2), with = "minicbor::bytes")]
    after: Option<Vec<u8>>,
    /// Passes over the workspace that are over.
    #[n(3)]
    passes: u32,
    /// Rows of this pass that were sealed anew.
    #[n(4)]
    rewrapped: u64,
    /// Rows of this pass that do not open.
    #[n(5)]
    unreadable: u64,
}

/// One step of a rewrap.
#[derive(Debug)]
pub struct RewrapStep {
    /// What to commit, together with `progress`.
    pub change: Change,
    /// How far the walk has come then.
    pub progress: Rewrap,
    /// Rows that were looked at.
    pub rows: usize,
}

impl Rewrap {
    /// One that `by` starts `now`.
    #[must_use]
    pub fn new(by: PrincipalId, now: Timestamp) -> Self {
        Self {
            by,
            started: now,
            ended: None,
            rows: 0,
            walked: 0,
            rewrapped: 0,
            unreadable: 0,
            at: None,
        }
    }

    /// Where its row is.
    #[must_use]
    pub fn key() -> StorageKey {
        planes::ordered(WorkspaceId::SYSTEM, Kind::Rewrap, &[])
    }
}

/// Rows of a page, sealed anew.
struct Resealed {
    change: Change,
    unreadable: u64,
}

impl Barrier {
    /// The next step from `progress`, with at most `limit` rows. `now` is when the walk ends, if it does.
    ///
    /// # Errors
    /// When storage cannot answer, or the keys cannot be had. What does not open is counted, and is no error.
    pub async fn rewrap(
        self: &Arc<Self>,
        progress: &Rewrap,
        now: Timestamp,
        limit: usize,
    ) -> Result<RewrapStep, BarrierError> {
        self.catch_up().await?;
        let mut step = RewrapStep {
            change: Change::default(),
            progress: progress.clone(),
            rows: 0,
        };
        let Some(at) = step.progress.at.take() else {
            step.progress.rows = self.count().await?;
            self.enter(&mut step, None, now).await?;
            return Ok(step);
        };
        match self.load(at.workspace).await {
            Ok(loaded) => self.walk(&mut step, at, loaded, now, limit).await?,
            // The workspace was removed, with all that was in it.
            Err(BarrierError::Missing(_)) => self.enter(&mut step, Some(at.workspace), now).await?,
            Err(error) => return Err(error),
        }
        Ok(step)
    }

    /// Goes on to the first workspace behind `after` in which something may be old.
    async fn enter(
        &self,
        step: &mut RewrapStep,
        after: Option<WorkspaceId>,
        now: Timestamp,
    ) -> Result<(), BarrierError> {
        for workspace in self.workspaces().await? {
            if after.is_some_and(|after| workspace <= after) {
                continue;
            }
            let loaded = match self.load(workspace).await {
                Err(error) if is_unreadable(&error) => {
                    step.progress.unreadable += 1;
                    continue;
                }
                loaded => loaded?,
            };
            if !self.has_old(&loaded) {
                continue;
            }
            let target = if self.is_due(loaded.kek) {
                self.extend(&mut step.change, workspace, loaded)?.newest()?.0
            } else {
                loaded.record.deks.newest()
            };
            step.progress.at = Some(At {
                workspace,
                target,
                after: None,
                passes: 0,
                rewrapped: 0,
                unreadable: 0,
            });
            return Ok(());
        }
        self.finish(step, now).await
    }

    /// Takes a page of the workspace that the walk is in, or leaves it.
    async fn walk(
        self: &Arc<Self>,
        step: &mut RewrapStep,
        mut at: At,
        loaded: Loaded,
        now: Timestamp,
        limit: usize,
    ) -> Result<(), BarrierError> {
        let page = self.page(at.workspace, at.after.as_deref(), limit).await?;
        step.rows = page.len();
        if let Some((last, _)) = page.last() {
            at.after = Some(last.clone());
            let deks = Deks::new(&loaded.record, loaded.kek, Some(loaded.revision))?;
            let (barrier, workspace, target) = (self.clone(), at.workspace, at.target);
            let sealing = move || barrier.reseal_page(&deks, workspace, target, page);
            let resealed = tokio::task::spawn_blocking(sealing).await;
            let resealed = resealed.map_err(|error| Unavailable(error.into()))??;
            let rewrapped = resealed.change.puts.len() as u64;
            at.rewrapped += rewrapped;
            at.unreadable += resealed.unreadable;
            step.progress.rewrapped += rewrapped;
            if at.passes == 0 {
                step.progress.walked += step.rows as u64;
            }
            step.change = resealed.change;
            step.progress.at = Some(at);
        } else if at.rewrapped > 0 {
            step.progress.at = Some(At {
                after: None,
                passes: at.passes + 1,
                rewrapped: 0,
                unreadable: 0,
                ..at
            });
        } else {
            self.leave(step, &at, loaded)?;
            self.enter(step, Some(at.workspace), now).await?;
        }
        Ok(())
    }

    /// Drops the old DEKs of a workspace in which nothing is old any more.
    fn leave(&self, step: &mut RewrapStep, at: &At, loaded: Loaded) -> Result<(), BarrierError> {
        let Loaded {
            mut record,
            kek,
            revision,
        } = loaded;
        step.progress.unreadable += at.unreadable;
        if at.unreadable == 0 && record.deks.drop_before(at.target) {
            // Under the same KEK as before: with a newer one it would seem to have the DEK of that rotation.
            self.put_keys(&mut step.change, at.workspace, &record, (kek, revision))?;
        }
        Ok(())
    }

    /// Drops the KEKs that wrap nothing any more, and ends the walk.
    async fn finish(&self, step: &mut RewrapStep, now: Timestamp) -> Result<(), BarrierError> {
        step.progress.ended = Some(now);
        let Ring {
            mut keyring,
            revision,
        } = read_keyring(&**self.storage(), &self.chain.root()).await?;
        // A row that does not open may need any of them.
        let oldest = self.oldest_kek().await?;
        if oldest.is_some_and(|oldest| keyring.keks.drop_before(oldest)) {
            self.put_keyring(&mut step.change, &Ring { keyring, revision })?;
        }
        Ok(())
    }

    /// The oldest KEK that wraps a workspace's keys; `None` when one of them does not open.
    async fn oldest_kek(&self) -> Result<Option<u32>, BarrierError> {
        let mut oldest = u32::MAX;
        for workspace in self.workspaces().await? {
            match self.load(workspace).await {
                Ok(loaded) => oldest = oldest.min(loaded.kek),
                Err(error) if is_unreadable(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(oldest))
    }

    /// Rows of `workspace` behind `after`, in key order: as many as one step takes, and none only at the end.
    async fn page(
        &self,
        workspace: WorkspaceId,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Row)>, BarrierError> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for span in planes::spans(workspace) {
            loop {
                let wanted = span.page.min(limit.max(1) - page.len());
                let last = page.last().map(|(key, _): &(Vec<u8>, Row)| key.as_slice());
                let after = last.or(after).map(<[u8]>::to_vec);
                let rows = self.storage().scan(span.range.clone(), after, wanted).await?;
                let is_last = rows.len() < wanted;
                for (key, row) in rows {
                    bytes += row.value.len();
                    if bytes > limits::REWRAP_BYTES && !page.is_empty() {
                        return Ok(page);
                    }
                    page.push((key, row));
                }
                if page.len() >= limit.max(1) {
                    return Ok(page);
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(page)
    }

    fn reseal_page(
        &self,
        deks: &Deks,
        workspace: WorkspaceId,
        target: u32,
        page: Vec<(Vec<u8>, Row)>,
    ) -> Result<Resealed, BarrierError> {
        let (mut change, mut unreadable) = (Change::default(), 0);
        let progress = Rewrap::key();
        for (key, row) in page {
            // Every step writes it anyway.
            if key == progress.as_bytes() || envelope::epoch_of(&row.value).is_ok_and(|epoch| epoch >= target)
            {
                continue;
            }
            match self.reseal(deks, deks.newest()?, workspace, &key, row.value) {
                Ok(value) => {
                    change.preconditions.push(Precondition {
                        key: key.clone(),
                        revision: Some(row.revision),
                    });
                    change.puts.push((key, value));
                }
                Err(EnvelopeError::Body) => return Err(EnvelopeError::Body.into()),
                Err(_) => unreadable += 1,
            }
        }
        Ok(Resealed { change, unreadable })
    }

    /// Whether something of the workspace may be sealed with a DEK that is not the newest, or is due to be.
    fn has_old(&self, loaded: &Loaded) -> bool {
        self.is_due(loaded.kek) || loaded.record.deks.numbers().len() > 1
    }

    /// How many rows a rewrap that begins now has to look at.
    async fn count(&self) -> Result<u64, BarrierError> {
        let mut rows = 0;
        for workspace in self.workspaces().await? {
            match self.load(workspace).await {
                Ok(loaded) if self.has_old(&loaded) => rows += self.count_in(workspace).await?,
                Err(error) if !is_unreadable(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(rows)
    }

    async fn count_in(&self, workspace: WorkspaceId) -> Result<u64, BarrierError> {
        let mut rows = 0;
        for span in planes::spans(workspace) {
            let mut after = None;
            loop {
                let keys = self.storage().keys(span.range.clone(), after, COUNTED).await?;
                rows += keys.len() as u64;
                if keys.len() < COUNTED {
                    break;
                }
                after = keys.into_iter().next_back();
            }
        }
        Ok(rows)
    }

    /// The workspaces that have keys, by number.
    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, BarrierError> {
        let range = planes::under(planes::system("").as_bytes());
        let keys = self.storage().keys(range, None, usize::MAX).await?;
        let workspace = |key: &Vec<u8>| match row_of(key) {
            Some(ChainRow::Workspace(workspace)) => Some(workspace),
            _ => None,
        };
        let mut workspaces: Vec<_> = keys.iter().filter_map(workspace).collect();
        workspaces.sort_unstable();
        Ok(workspaces)
    }
}

/// Whether `error` says that the row of a workspace's keys does not open.
fn is_unreadable(error: &BarrierError) -> bool {
    matches!(
        error,
        BarrierError::DamagedKeys(..) | BarrierError::UnknownKek(..)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/formats/record.md`: a field's number and form are on disk and never change.
    #[test]
    fn the_bytes_of_records() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut progress = Rewrap::new(PrincipalId::from_bytes([7; 16]), Timestamp::from_millis(1));
        let by = "07".repeat(16);
        assert_eq!(
            hex(minicbor::to_vec(&progress).unwrap()),
            format!("8750{by}01f600000000")
        );
        progress.ended = Some(Timestamp::from_millis(2));
        (progress.rows, progress.walked, progress.rewrapped) = (3, 4, 5);
        progress.at = Some(At {
            workspace: WorkspaceId(1),
            target: 6,
            after: Some(vec![8]),
            passes: 9,
            rewrapped: 10,
            unreadable: 11,
        });
        assert_eq!(
            hex(minicbor::to_vec(&progress).unwrap()),
            format!("8850{by}0102030405008601064108090a0b")
        );
    }
}
