//! Secrets that are overdue: found by an index that is in the order of time, never by looking at all.

use async_trait::async_trait;
use strongroom_barrier::{Kind, StorageKey};
use strongroom_base::{Name, SecretId, Timestamp, limits};
use strongroom_policy::Capability;
use strongroom_sdk::{Error, Ground, Mount, Overdue, Permit, Upkeep};
use strongroom_storage::Change;

use crate::StaticEngine;
use crate::engine::{PAGE, Slugs};
use crate::one::{facts, page_limit};
use crate::ops::{FindStale, Stale};
use crate::records::{Due, RemovedAt, SecretRecord, due_key, index_parts, payload_key};

impl StaticEngine {
    /// The secrets that are overdue and that the caller may read, those that are longest so first. A page that takes long to
    /// fill ends before it is full.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an `after` that is not the `next` of an earlier page.
    pub async fn stale(&self, permit: &Permit, op: FindStale) -> Result<Stale, Error> {
        let limit = page_limit(op.limit);
        let mut page = Stale {
            secrets: Vec::new(),
            next: None,
        };
        let Some(any) = permit.mounts().first() else {
            return Ok(page);
        };
        let mut after = op
            .after
            .as_deref()
            .map(|text| parse_cursor(any, text))
            .transpose()?;
        let mut slugs = Slugs::default();
        loop {
            let rows = permit
                .index::<Due>(any, Kind::Due, &[], after.as_ref(), PAGE)
                .await?;
            let is_last = rows.len() < PAGE;
            for (key, row) in rows {
                let Some((due, id)) = index_parts(&key) else {
                    continue;
                };
                if due > permit.now() {
                    return Ok(page);
                }
                let (mount, name) = (row.record.mount, Name::from_stored(row.record.segments));
                let mount = permit.mounts().iter().find(|known| known.id() == mount);
                if let Some(mount) = mount {
                    look(permit, mount, &name, id, &mut slugs, &mut page).await?;
                }
                if page.secrets.len() == limit || permit.is_time_to_answer() {
                    page.next = Some(format!("{}-{id}", due.as_millis()));
                    return Ok(page);
                }
                after = Some(key);
            }
            if is_last {
                return Ok(page);
            }
        }
    }
}

/// Adds the secret `name` to `page` if it is the one with `id`, and the caller's to see.
async fn look(
    permit: &Permit,
    mount: &Mount,
    name: &Name,
    id: SecretId,
    slugs: &mut Slugs,
    page: &mut Stale,
) -> Result<(), Error> {
    let Some(row) = permit.load_unseen::<SecretRecord>(mount, name).await? else {
        return Ok(());
    };
    let Ok(secret) = permit.open(row, Capability::List) else {
        return Ok(());
    };
    if secret.id == id {
        permit.note(mount, name);
        page.secrets
            .push(facts(permit, mount, name, &secret, slugs).await?);
    }
    Ok(())
}

/// The index row that a `next` names.
fn parse_cursor(mount: &Mount, text: &str) -> Result<StorageKey, Error> {
    let parts = text.split_once('-');
    let parts = parts.and_then(|(due, id)| Some((due.parse().ok()?, id.parse().ok()?)));
    let (due, id): (u64, SecretId) =
        parts.ok_or_else(|| Error::invalid("after", "is not the `next` of an earlier page of this"))?;
    Ok(due_key(mount.workspace(), Timestamp::from_millis(due), id))
}

#[async_trait]
impl Upkeep for StaticEngine {
    async fn purge(&self, ground: &Ground) -> Result<Option<Change>, Error> {
        let mut change = Change::default();
        let rows = ground
            .index::<RemovedAt>(Kind::Removed, limits::PURGE_BATCH)
            .await?;
        for (key, row) in rows {
            let Some((at, id)) = index_parts(&key) else {
                continue;
            };
            if at.after(limits::REMOVED_KEPT) > ground.now() {
                break;
            }
            let mount = ground.mount(row.record.mount).await?;
            // Whoever has it back removes this row: then nothing of this is done.
            mount.expect(&mut change, &key, Some(row.revision));
            mount.delete(&mut change, &key);
            let aside = mount.aside();
            aside.delete(
                &mut change,
                &aside.named(&Name::from_stored(row.record.segments))?,
            );
            for slot in row.record.slots {
                mount.delete(&mut change, &payload_key(&mount, id, slot));
            }
        }
        Ok((!change.deletes.is_empty()).then_some(change))
    }

    async fn overdue(&self, ground: &Ground) -> Result<Vec<Overdue>, Error> {
        let rows = ground.index::<Due>(Kind::Due, limits::OVERDUE_COUNTED).await?;
        let mut overdue = Vec::new();
        for (key, row) in rows {
            let Some((due, id)) = index_parts(&key) else {
                continue;
            };
            if due > ground.now() {
                break;
            }
            let mount = ground.mount(row.record.mount).await?;
            let name = Name::from_stored(row.record.segments);
            overdue.push(Overdue {
                id,
                path: format!("{}/{name}", mount.path()),
                due,
                lapse: row.record.lapse,
                owner: row.record.owner,
            });
        }
        Ok(overdue)
    }
}
