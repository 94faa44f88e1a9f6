//! One method per op: load, open row by row, call the rules, submit one change.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use strongroom_barrier::{Kind, StorageKey};
use strongroom_base::{Name, PrincipalId, SecretId, Slug, Timestamp, limits};
use strongroom_policy::{Capability, Lapse, Lists, PrincipalSet};
use strongroom_sdk::{Error, Mount, Opened, Permit};
use strongroom_secret::{SecretBytes, SecretText};
use strongroom_storage::Change;

use crate::care::Care;
use crate::logic::{NextVersion, is_beside, list_changes, next_version};
use crate::ops::{CareChange, ListSecrets, Listed, RemoveSecrets, Removed, SaveSecrets, Saved, SecretRead};
use crate::records::{
    Payload, PayloadRecord, ReadableBy, SecretRecord, Version, by_principal_key, by_principal_prefix,
    due_key, payload_key,
};

/// How often a change is made anew on top of what others changed meanwhile.
pub(crate) const ATTEMPTS: usize = 8;
/// Names and index rows read at once.
pub(crate) const PAGE: usize = 1_000;

/// The engine. It keeps nothing of its own: all it has comes with a permit.
#[derive(Default)]
pub struct StaticEngine;

impl StaticEngine {
    /// The secrets that the caller may read; others are as if they were not there.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a selected name that is none.
    pub async fn list(&self, permit: &Permit, op: ListSecrets) -> Result<Listed, Error> {
        if op
            .names
            .as_ref()
            .is_some_and(|names| names.len() > limits::BATCH_ENTRIES)
        {
            return Err(too_many("names"));
        }
        let mut selected = op.names.map(|names| selection(&names)).transpose()?;
        let mut listing = Listing::default();
        let mut mounts = permit.mounts().iter();
        while let Some(mount) = mounts.next() {
            if let Some(names) = &mut selected {
                let is_last = mounts.len() == 0;
                let names = if is_last { mem::take(names) } else { names.clone() };
                listing.add(permit, mount, names).await?;
                continue;
            }
            let mut after = None;
            loop {
                let names = readable_names(permit, mount, after.as_ref()).await?;
                let last = names.last().filter(|_| names.len() == PAGE).cloned();
                listing.add(permit, mount, names).await?;
                if last.is_none() {
                    break;
                }
                after = last;
            }
        }
        Ok(Listed {
            secrets: listing.secrets,
        })
    }

    /// Creates or replaces secrets, all or none.
    ///
    /// # Errors
    /// [`Error::Denied`] and [`Error::Invalid`] name the entry; [`Error::TooLarge`]; [`Error::Conflict`].
    pub async fn save(&self, permit: &Permit, op: SaveSecrets) -> Result<Saved, Error> {
        let entries = checked(permit, &op)?;
        let mut attempts = 1..ATTEMPTS;
        loop {
            let (change, _) = self.change_of_save(permit, &entries).await?;
            match permit.commit(change).await {
                Err(Error::Conflict(_)) if attempts.next().is_some() => {}
                done => return done.map(|()| Saved),
            }
        }
    }

    /// Removes secrets with all their versions, all or none.
    ///
    /// # Errors
    /// [`Error::Denied`] names the secret, in the same words whether it is there or not.
    pub async fn remove(&self, permit: &Permit, op: RemoveSecrets) -> Result<Removed, Error> {
        if op.names.len() > limits::BATCH_ENTRIES {
            return Err(too_many("names"));
        }
        let mount = permit.mounts().first().ok_or_else(no_mount)?;
        let names = op
            .names
            .iter()
            .map(|name| parse("id", name))
            .collect::<Result<Vec<_>, _>>()?;
        let mut attempts = 1..ATTEMPTS;
        loop {
            let change = self.change_of_remove(permit, mount, &names).await?;
            if change.deletes.is_empty() {
                return Ok(Removed);
            }
            match permit.commit(change).await {
                Err(Error::Conflict(_)) if attempts.next().is_some() => {}
                done => return done.map(|()| Removed),
            }
        }
    }

    /// The change that saves `entries`, and the version that the last of them has then.
    pub(crate) async fn change_of_save(
        &self,
        permit: &Permit,
        entries: &[Entry<'_>],
    ) -> Result<(Change, u32), Error> {
        let mut change = Change::default();
        let mut version = 0;
        let mut slugs = Vec::new();
        for entry in entries {
            slugs.extend(entry.lists.each().into_iter().flatten().flatten());
        }
        let ids = permit
            .directory()
            .resolve(&mut change, slugs, permit.now(), permit.rng())
            .await?;
        for entry in entries {
            let lists = entry.lists.clone().map(|list| {
                list.map(|slugs| {
                    slugs
                        .iter()
                        .filter_map(|slug| ids.get(slug).copied())
                        .collect::<PrincipalSet>()
                })
            });
            match permit.load::<SecretRecord>(entry.mount, &entry.name).await? {
                Some(row) => {
                    let secret = permit
                        .open(row, Capability::Write)
                        .map_err(|_| denied("write", &entry.name))?;
                    expect_version(entry.expected, secret.current_version(), &entry.name)?;
                    version = self.replace(permit, &mut change, entry, secret, lists)?;
                }
                None => {
                    permit
                        .claim(&entry.name, Capability::Write)
                        .map_err(|_| denied("write", &entry.name))?;
                    expect_version(entry.expected, 0, &entry.name)?;
                    version = self.create(permit, &mut change, entry, lists)?;
                }
            }
        }
        Ok((change, version))
    }

    fn create(
        &self,
        permit: &Permit,
        change: &mut Change,
        entry: &Entry<'_>,
        lists: Lists<Option<PrincipalSet>>,
    ) -> Result<u32, Error> {
        let caller = permit.caller().ok_or_else(no_mount)?;
        let defaults = if caller.is_admin() {
            Lists::default()
        } else {
            Lists::only(caller.id)
        };
        let id = SecretId::at(permit.now(), permit.rng());
        let value = entry.value.map_or(&[][..], |value| value.expose().as_bytes());
        let next = next_version(
            &[],
            permit.now(),
            caller.id,
            is_beside(value.len()),
            limits::VERSIONS_KEPT,
        );
        let record = SecretRecord {
            id,
            lists: merged(&defaults, lists),
            current: place(change, entry.mount, id, &next, value)?,
            versions: next.versions,
            owner: entry.owner.unwrap_or(caller.id),
            created: permit.now(),
            updated: permit.now(),
            care: match entry.care {
                Some(care) => Care::default().with(care)?.stored(),
                None => None,
            },
        };
        let key = entry.mount.named(&entry.name)?;
        entry.mount.expect(change, &key, None);
        index_readers(
            change,
            entry.mount,
            &entry.name,
            id,
            &PrincipalSet::default(),
            &record.lists.readers,
        )?;
        put_secret(change, entry.mount, &entry.name, &key, None, &record)?;
        Ok(record.current_version())
    }

    fn replace(
        &self,
        permit: &Permit,
        change: &mut Change,
        entry: &Entry<'_>,
        secret: Opened<SecretRecord>,
        lists: Lists<Option<PrincipalSet>>,
    ) -> Result<u32, Error> {
        let lists = merged(&secret.lists, lists);
        for capability in list_changes(&secret.lists, &lists) {
            permit
                .also(&secret, capability)
                .map_err(|_| denied("change the lists of", &entry.name))?;
        }
        index_readers(
            change,
            entry.mount,
            &entry.name,
            secret.id,
            &secret.lists.readers,
            &lists.readers,
        )?;
        entry.mount.expect(change, secret.key(), Some(secret.revision()));
        let owner = entry.owner.unwrap_or(secret.owner);
        if owner != secret.owner {
            permit
                .also(&secret, Capability::Review)
                .map_err(|_| denied("change the owner of", &entry.name))?;
        }
        let key = secret.key().clone();
        let was_due = secret.due();
        let mut record = SecretRecord {
            lists,
            owner,
            updated: permit.now(),
            ..secret.into_record()
        };
        if let Some(care) = entry.care {
            record.care = record.care.unwrap_or_default().with(care)?.stored();
        }
        if let Some(value) = entry.value {
            let caller = permit.caller().ok_or_else(no_mount)?;
            add_version(
                change,
                entry.mount,
                &mut record,
                permit.now(),
                caller.id,
                value.expose().as_bytes(),
            )?;
        }
        put_secret(change, entry.mount, &entry.name, &key, was_due, &record)?;
        Ok(record.current_version())
    }

    async fn change_of_remove(
        &self,
        permit: &Permit,
        mount: &Mount,
        names: &[Name],
    ) -> Result<Change, Error> {
        let mut change = Change::default();
        let names: BTreeSet<_> = names.iter().collect();
        for name in names {
            let Some(row) = permit.load::<SecretRecord>(mount, name).await? else {
                permit
                    .claim(name, Capability::Delete)
                    .map_err(|_| denied("delete", name))?;
                continue;
            };
            let secret = permit
                .open(row, Capability::Delete)
                .map_err(|_| denied("delete", name))?;
            mount.expect(&mut change, secret.key(), Some(secret.revision()));
            mount.delete(&mut change, secret.key());
            delete_payloads(&mut change, mount, &secret);
            delete_due(&mut change, mount, secret.id, secret.due());
            for reader in secret.lists.readers.iter() {
                mount.delete(&mut change, &by_principal_key(mount, reader, secret.id));
            }
        }
        Ok(change)
    }
}

/// One entry of a save whose form has been checked.
pub(crate) struct Entry<'o> {
    pub(crate) mount: &'o Mount,
    pub(crate) name: Name,
    pub(crate) value: Option<&'o SecretText>,
    pub(crate) lists: Lists<Option<Vec<Slug>>>,
    /// The version that must be current; 0 for none.
    pub(crate) expected: Option<u32>,
    /// Who is to answer for it.
    pub(crate) owner: Option<PrincipalId>,
    /// What is said of it.
    pub(crate) care: Option<&'o CareChange>,
}

/// The entries of `op` by mount and name, the last of each winning.
fn checked<'o>(permit: &'o Permit, op: &'o SaveSecrets) -> Result<Vec<Entry<'o>>, Error> {
    if op.entries.len() > limits::BATCH_ENTRIES {
        return Err(too_many("secrets"));
    }
    let mut entries = BTreeMap::new();
    for (index, (entry, mount)) in op.entries.iter().zip(permit.mounts()).enumerate() {
        let name = parse(&format!("secrets[{index}].id"), &entry.name)?;
        let value = entry.value.as_ref();
        bounded(value, &name)?;
        let lists = parse_lists(&format!("secrets[{index}]: a permission list"), &entry.lists)?;
        entries.insert(
            (mount.id(), name.clone()),
            Entry {
                mount,
                name,
                value,
                lists,
                expected: None,
                owner: None,
                care: None,
            },
        );
    }
    let entries: Vec<Entry<'_>> = entries.into_values().collect();
    // Each may be a principal that has to be made, before any of them can be looked up in the others' lists.
    let lists = entries.iter().flat_map(|entry| entry.lists.each());
    let principals: BTreeSet<&Slug> = lists.flatten().flatten().collect();
    if principals.len() > limits::SAVE_PRINCIPALS {
        let why = format!(
            "name more than {} principals: send several requests",
            limits::SAVE_PRINCIPALS
        );
        return Err(Error::invalid("secrets", why));
    }
    Ok(entries)
}

pub(crate) fn parse(field: &str, name: &str) -> Result<Name, Error> {
    Name::from_path(name).map_err(|error| Error::invalid(field, error))
}

/// That a value is not too large.
pub(crate) fn bounded(value: Option<&SecretText>, name: &Name) -> Result<(), Error> {
    if value.is_some_and(|value| value.len() > limits::VALUE_BYTES) {
        let what = format!("the value of `{name}`");
        return Err(Error::TooLarge {
            what,
            limit_bytes: limits::VALUE_BYTES,
        });
    }
    Ok(())
}

/// The names that a caller selects, each once, in their order.
fn selection(names: &[String]) -> Result<Vec<Name>, Error> {
    let names = names.iter().map(|name| parse("id", name));
    let mut names = names.collect::<Result<Vec<_>, _>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

pub(crate) fn parse_lists(
    field: &str,
    lists: &Lists<Option<Vec<String>>>,
) -> Result<Lists<Option<Vec<Slug>>>, Error> {
    let mut failure = None;
    let lists = lists.clone().map(|list| {
        let list = list?;
        if list.len() > limits::LIST_ENTRIES {
            let why = format!("has more than {} entries", limits::LIST_ENTRIES);
            failure = Some(Error::invalid(field, why));
            return None;
        }
        let slugs: Result<Vec<_>, _> = list.iter().map(|slug| Slug::new(slug)).collect();
        slugs
            .map_err(|error| failure = Some(Error::invalid(field, format!("has an entry that {error}"))))
            .ok()
    });
    failure.map_or(Ok(lists), Err)
}

/// The next [`PAGE`] names of `mount` that the caller may be able to read: of all for an admin, of the index's for others.
pub(crate) async fn readable_names(
    permit: &Permit,
    mount: &Mount,
    after: Option<&Name>,
) -> Result<Vec<Name>, Error> {
    let caller = permit.caller().ok_or_else(no_mount)?;
    if caller.is_admin() {
        return permit.names(mount, after, PAGE).await;
    }
    let mut names = names_of(permit, mount, caller.id, after).await?;
    if caller.groups.iter().next().is_none() {
        return Ok(names);
    }
    // Each of these is in order and has the first names behind `after`, so the first of all are the first of these.
    for group in caller.groups.iter() {
        names.extend(names_of(permit, mount, group, after).await?);
    }
    names.sort_unstable();
    names.dedup();
    names.truncate(PAGE);
    Ok(names)
}

/// The next [`PAGE`] names of `mount` that lists let `principal` read.
async fn names_of(
    permit: &Permit,
    mount: &Mount,
    principal: PrincipalId,
    after: Option<&Name>,
) -> Result<Vec<Name>, Error> {
    let prefix = by_principal_prefix(principal, mount.id());
    permit
        .index_names::<ReadableBy>(mount, Kind::ByPrincipal, &prefix, after, PAGE)
        .await
}

/// A listing in the making.
#[derive(Default)]
struct Listing {
    secrets: Vec<SecretRead>,
    bytes: usize,
    slugs: Slugs,
}

impl Listing {
    /// Adds those of `names` that the caller may read.
    async fn add(
        &mut self,
        permit: &Permit,
        mount: &Mount,
        names: impl IntoIterator<Item = Name>,
    ) -> Result<(), Error> {
        for name in names {
            permit.in_time()?;
            let Some(secret) = read(permit, mount, name, &mut self.slugs).await? else {
                continue;
            };
            self.bytes += size_of_listed(&secret);
            if self.bytes > limits::LISTING_BYTES {
                return Err(Error::TooLarge {
                    what: "this listing, which could name fewer secrets,".into(),
                    limit_bytes: limits::LISTING_BYTES,
                });
            }
            self.secrets.push(secret);
        }
        Ok(())
    }
}

fn size_of_listed(secret: &SecretRead) -> usize {
    let segments = secret.name.segments().iter().map(String::as_str);
    let slugs = secret.lists.each().into_iter().flatten().map(Slug::as_str);
    let texts: usize = segments.chain(slugs).map(str::len).sum();
    limits::LISTED_BYTES + texts + secret.value.len()
}

/// The secret `name`, if there is one and the caller may read it. A value that lies beside its record is looked up after
/// the record: if that has changed meanwhile, both are loaded again.
async fn read(
    permit: &Permit,
    mount: &Mount,
    name: Name,
    slugs: &mut Slugs,
) -> Result<Option<SecretRead>, Error> {
    for _ in 0..ATTEMPTS {
        let Some(row) = permit.load::<SecretRecord>(mount, &name).await? else {
            return Ok(None);
        };
        let Ok(secret) = permit.open(row, Capability::Read) else {
            return Ok(None);
        };
        let beside = beside(permit, mount, &secret).await?;
        let lists = slugs.of(permit, &secret.lists).await?;
        let record = secret.into_record();
        let value = match (record.current, beside) {
            (Payload::Inline(value), _) | (Payload::Beside, Some(value)) => value,
            (Payload::Beside, None) => continue,
        };
        return Ok(Some(SecretRead {
            id: record.id,
            mount: mount.uid(),
            name,
            value,
            lists,
        }));
    }
    Err(Error::internal("a secret's payload row is missing"))
}

/// That the version `current` of `name` (0: there is none) is the `expected` one.
pub(crate) fn expect_version(expected: Option<u32>, current: u32, name: &Name) -> Result<(), Error> {
    match (expected, current) {
        (Some(expected), current) if expected != current => Err(Error::Conflict(match (expected, current) {
            (0, _) => format!("there is a `{name}` already, at version {current}"),
            (_, 0) => format!("there is no `{name}`, so version {expected} is not its current one"),
            _ => format!("`{name}` is at version {current}, not {expected}: somebody has changed it"),
        })),
        _ => Ok(()),
    }
}

/// Gives `record` the value `value`, saved by `by`, as its next version.
pub(crate) fn add_version(
    change: &mut Change,
    mount: &Mount,
    record: &mut SecretRecord,
    now: Timestamp,
    by: PrincipalId,
    value: &[u8],
) -> Result<(), Error> {
    let replaced = record.current_version();
    let next = next_version(
        &record.versions,
        now,
        by,
        is_beside(value.len()),
        limits::VERSIONS_KEPT,
    );
    let current = place(change, mount, record.id, &next, value)?;
    let old = std::mem::replace(&mut record.current, current);
    if let (Some(slot), Payload::Inline(old)) = (next.retire_to, old) {
        let payload = PayloadRecord {
            version: replaced,
            value: old,
        };
        mount.put(change, &payload_key(mount, record.id, slot), &payload)?;
    }
    for &slot in &next.freed {
        mount.delete(change, &payload_key(mount, record.id, slot));
    }
    record.versions = next.versions;
    Ok(())
}

/// Puts `record` at `key`, and its row in the index of what is overdue; `was_due` is what that had before.
pub(crate) fn put_secret(
    change: &mut Change,
    mount: &Mount,
    name: &Name,
    key: &StorageKey,
    was_due: Option<(Timestamp, Lapse)>,
    record: &SecretRecord,
) -> Result<(), Error> {
    let due = record.due_row(mount.workspace(), mount.id(), name.segments());
    if was_due.map(|(at, _)| at) != record.due().map(|(at, _)| at) {
        delete_due(change, mount, record.id, was_due);
    }
    if let Some((key, row)) = due {
        mount.put(change, &key, &row)?;
    }
    mount.put(change, key, record)
}

/// Takes the secret out of the index of what is overdue.
pub(crate) fn delete_due(
    change: &mut Change,
    mount: &Mount,
    secret: SecretId,
    was_due: Option<(Timestamp, Lapse)>,
) {
    if let Some((at, _)) = was_due {
        mount.delete(change, &due_key(mount.workspace(), at, secret));
    }
}

/// Removes the rows with values of `secret`.
pub(crate) fn delete_payloads(change: &mut Change, mount: &Mount, secret: &SecretRecord) {
    for slot in secret.versions.iter().filter_map(|version| version.slot) {
        mount.delete(change, &payload_key(mount, secret.id, slot));
    }
}

/// The value of the current version, if it lies beside the record and that still knows it.
pub(crate) async fn beside(
    permit: &Permit,
    mount: &Mount,
    secret: &Opened<SecretRecord>,
) -> Result<Option<SecretBytes>, Error> {
    let Some(Version {
        number,
        slot: Some(slot),
        ..
    }) = secret.versions.last()
    else {
        return Ok(None);
    };
    let key = payload_key(mount, secret.id, *slot);
    let payload = permit.part::<PayloadRecord, _>(mount, secret, &key).await?;
    let current = payload.filter(|payload| payload.version == *number);
    Ok(current.map(|payload| payload.value))
}

/// The slugs behind ids, each looked up once.
#[derive(Default)]
pub(crate) struct Slugs(BTreeMap<PrincipalId, Slug>);

impl Slugs {
    /// The slug of one principal, if somebody has that id.
    pub(crate) async fn one(&mut self, permit: &Permit, id: PrincipalId) -> Result<Option<Slug>, Error> {
        if !self.0.contains_key(&id)
            && let Some(principal) = permit.directory().by_id(id).await?
        {
            self.0.insert(id, principal.record.slug.clone());
        }
        Ok(self.0.get(&id).cloned())
    }

    pub(crate) async fn of(&mut self, permit: &Permit, lists: &Lists) -> Result<Lists<Vec<Slug>>, Error> {
        for id in lists.each().into_iter().flat_map(PrincipalSet::iter) {
            self.one(permit, id).await?;
        }
        Ok(lists.as_ref().map(|list| {
            let mut slugs: Vec<Slug> = list.iter().filter_map(|id| self.0.get(&id).cloned()).collect();
            slugs.sort_unstable();
            slugs
        }))
    }
}

/// Puts the value of `next`'s newest version where that version says.
fn place(
    change: &mut Change,
    mount: &Mount,
    secret: SecretId,
    next: &NextVersion,
    value: &[u8],
) -> Result<Payload, Error> {
    let value = SecretBytes::new(value.to_vec());
    match next.versions.last() {
        Some(Version {
            number,
            slot: Some(slot),
            ..
        }) => {
            let payload = PayloadRecord {
                version: *number,
                value,
            };
            mount.put(change, &payload_key(mount, secret, *slot), &payload)?;
            Ok(Payload::Beside)
        }
        _ => Ok(Payload::Inline(value)),
    }
}

/// Makes the index rows of the secret `name` follow its readers.
pub(crate) fn index_readers(
    change: &mut Change,
    mount: &Mount,
    name: &Name,
    secret: SecretId,
    old: &PrincipalSet,
    new: &PrincipalSet,
) -> Result<(), Error> {
    for gone in old.iter().filter(|&reader| !new.contains(reader)) {
        mount.delete(change, &by_principal_key(mount, gone, secret));
    }
    for added in new.iter().filter(|&reader| !old.contains(reader)) {
        let row = ReadableBy {
            segments: name.segments().to_vec(),
        };
        mount.put(change, &by_principal_key(mount, added, secret), &row)?;
    }
    Ok(())
}

/// `old` lists, with those of `new` that are given in their place.
fn merged(old: &Lists, new: Lists<Option<PrincipalSet>>) -> Lists {
    old.clone().zip(new).map(|(old, new)| new.unwrap_or(old))
}

pub(crate) fn denied(verb: &str, name: &Name) -> Error {
    let first = name.segments().first().map_or("", String::as_str);
    Error::Denied(format!(
        "you may not {verb} `{name}`: only admins, those whom its lists name, and `{first}` for a new `{first}/…` may"
    ))
}

fn too_many(field: &str) -> Error {
    Error::invalid(
        field,
        format!(
            "has more than {} entries: send several requests",
            limits::BATCH_ENTRIES
        ),
    )
}

pub(crate) fn no_mount() -> Error {
    Error::internal("the gate gave a permit without a caller or a mount")
}
