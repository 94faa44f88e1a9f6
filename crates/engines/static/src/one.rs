//! The ops on one secret: read any version of it, save, roll back, remove and have back; and lists without values.

use strongroom_base::{Name, PrincipalId, Slug, Ttl, limits};
use strongroom_policy::{Capability, Lapse, PrincipalSet, Reason};
use strongroom_sdk::{Error, Mount, Opened, Permit, Protected};
use strongroom_secret::SecretBytes;
use strongroom_storage::Change;

use crate::StaticEngine;
use crate::engine::{
    ATTEMPTS, Entry, Slugs, add_version, bounded, delete_due, delete_payloads, denied, expect_version,
    index_readers, no_mount, parse, parse_lists, put_secret, readable_names,
};
use crate::ops::{
    AnnotateSecret, BrowseSecrets, Browsed, DescribeSecret, Gone, PutSecret, ReadSecret, Removal,
    RemoveSecret, RestoreSecret, RollBack, SavedVersion, SecretFacts, ValueRead, VersionFacts,
};
use crate::records::{
    Payload, PayloadRecord, RemovedAt, RemovedRecord, SecretRecord, Version, payload_key, removed_key,
};

impl StaticEngine {
    /// The value of one version of a secret.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a secret that is not there and one that is not the caller's to read alike, and for a
    /// version that is not kept.
    pub async fn read_one(&self, permit: &Permit, op: ReadSecret) -> Result<ValueRead, Error> {
        let (mount, name) = place_of(permit, &op.secret.name)?;
        for _ in 0..ATTEMPTS {
            let secret = readable(permit, mount, &name).await?;
            let version = version_of(&secret, op.version, &name)?;
            // The secret may have changed after its record was read: then its row is read again.
            if let Some(value) = value_of(permit, mount, secret, &version).await? {
                return Ok(ValueRead {
                    name: name.to_string(),
                    version: version.number,
                    saved: version.created,
                    value,
                });
            }
        }
        Err(Error::internal("a version's payload row is missing"))
    }

    /// Creates a secret, or gives it a new value.
    ///
    /// # Errors
    /// As [`StaticEngine::save`]; [`Error::Conflict`] when another version than the expected one is current.
    pub async fn put(&self, permit: &Permit, op: PutSecret) -> Result<SavedVersion, Error> {
        let (mount, name) = place_of(permit, &op.secret.name)?;
        bounded(Some(&op.value), &name)?;
        let entries = [Entry {
            mount,
            name,
            value: Some(&op.value),
            lists: parse_lists("a permission list", &op.lists)?,
            expected: op.expected,
            owner: owner(permit, op.care.owner.as_deref()).await?,
            care: Some(&op.care),
        }];
        let mut attempts = 1..ATTEMPTS;
        loop {
            let (change, version) = self.change_of_save(permit, &entries).await?;
            match permit.commit(change).await {
                Err(Error::Conflict(_)) if attempts.next().is_some() => {}
                done => return done.map(|()| SavedVersion { version }),
            }
        }
    }

    /// Changes what is said of a secret beside its value.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none; [`Error::Invalid`] for an owner whom nobody is, and for labels out of
    /// form; otherwise as [`StaticEngine::put`].
    pub async fn annotate(&self, permit: &Permit, op: AnnotateSecret) -> Result<SavedVersion, Error> {
        let (mount, name) = place_of(permit, &op.secret.name)?;
        let owner = owner(permit, op.care.owner.as_deref()).await?;
        let mut attempts = 1..ATTEMPTS;
        loop {
            // The version is expected to be current, so that no secret is made of what is removed meanwhile.
            let current = writable(permit, mount, &name).await?.current_version();
            let entries = [Entry {
                mount,
                name: name.clone(),
                value: None,
                lists: parse_lists("a permission list", &op.lists)?,
                expected: Some(current),
                owner,
                care: Some(&op.care),
            }];
            let committed = match self.change_of_save(permit, &entries).await {
                Ok((change, version)) => permit.commit(change).await.map(|()| SavedVersion { version }),
                Err(error) => Err(error),
            };
            match committed {
                Err(Error::Conflict(_)) if attempts.next().is_some() => {}
                done => return done,
            }
        }
    }

    /// Makes a new version with the value of an earlier one.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a version that is not kept; otherwise as [`StaticEngine::put`].
    pub async fn roll_back(&self, permit: &Permit, op: RollBack) -> Result<SavedVersion, Error> {
        let (mount, name) = place_of(permit, &op.secret.name)?;
        let caller = permit.caller().ok_or_else(no_mount)?.id;
        let mut attempts = 1..ATTEMPTS;
        loop {
            let secret = writable(permit, mount, &name).await?;
            expect_version(op.expected, secret.current_version(), &name)?;
            let version = version_of(&secret, Some(op.to), &name)?;
            if version.number == secret.current_version() {
                let why = format!("is the current version of `{name}`: there is nothing to roll back");
                return Err(Error::invalid("to", why));
            }
            let mut change = Change::default();
            mount.expect(&mut change, secret.key(), Some(secret.revision()));
            let (key, was_due) = (secret.key().clone(), secret.due());
            let old = earlier_value(permit, mount, &secret, &version).await?;
            let (Some(value), mut record) = (old, secret.into_record()) else {
                // Its slot has been used again since the record was read.
                if attempts.next().is_some() {
                    continue;
                }
                return Err(Error::internal("a version's payload row is missing"));
            };
            add_version(
                &mut change,
                mount,
                &mut record,
                permit.now(),
                caller,
                value.expose(),
            )?;
            record.updated = permit.now();
            let version = record.current_version();
            put_secret(&mut change, mount, &name, &key, was_due, &record)?;
            match permit.commit(change).await {
                Err(Error::Conflict(_)) if attempts.next().is_some() => {}
                done => return done.map(|()| SavedVersion { version }),
            }
        }
    }

    /// Removes a secret: out of sight, to be had back for a time, or for good.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is nothing to remove; [`Error::Denied`].
    pub async fn remove_one(&self, permit: &Permit, op: RemoveSecret) -> Result<Gone, Error> {
        let (mount, name) = place_of(permit, &op.secret.name)?;
        let mut attempts = 1..ATTEMPTS;
        loop {
            let (change, gone) = match op.removal {
                Removal::Restorable => set_aside(permit, mount, &name).await?,
                Removal::ForGood => drop_all(permit, mount, &name).await?,
            };
            match permit.commit(change).await {
                Err(Error::Conflict(_)) if attempts.next().is_some() => {}
                done => return done.map(|()| gone),
            }
        }
    }

    /// Has a removed secret back.
    ///
    /// # Errors
    /// [`Error::NotFound`] when none of that name can be had back by the caller; [`Error::Conflict`] when the name is
    /// another's by now.
    pub async fn restore(&self, permit: &Permit, op: RestoreSecret) -> Result<SavedVersion, Error> {
        let (mount, name) = place_of(permit, &op.secret.name)?;
        let none = || {
            let text = format!("there is no removed `{name}` that you may have back");
            Error::NotFound(text)
        };
        let aside = mount.aside();
        let row = permit
            .load::<RemovedRecord>(&aside, &name)
            .await?
            .ok_or_else(none)?;
        let removed = permit.open(row, Capability::Delete).map_err(|_| none())?;
        if removed.at.after(limits::REMOVED_KEPT) <= permit.now() {
            return Err(none());
        }
        let key = mount.named(&name)?;
        let mut change = Change::default();
        aside.expect(&mut change, removed.key(), Some(removed.revision()));
        mount.expect(&mut change, &key, None);
        forget(&mut change, mount, &removed);
        let RemovedRecord { secret, .. } = removed.into_record();
        let readers = &secret.lists.readers;
        index_readers(
            &mut change,
            mount,
            &name,
            secret.id,
            &PrincipalSet::default(),
            readers,
        )?;
        put_secret(&mut change, mount, &name, &key, None, &secret)?;
        let version = secret.current_version();
        match permit.commit(change).await {
            Ok(()) => Ok(SavedVersion { version }),
            Err(Error::Conflict(_)) => Err(Error::Conflict(format!(
                "there is another `{name}` by now: remove it first, or leave this one"
            ))),
            Err(error) => Err(error),
        }
    }

    /// What is known of a secret beside its value.
    ///
    /// # Errors
    /// As [`StaticEngine::read_one`].
    pub async fn describe(&self, permit: &Permit, op: DescribeSecret) -> Result<SecretFacts, Error> {
        let (mount, name) = place_of(permit, &op.secret.name)?;
        let row = permit.load::<SecretRecord>(mount, &name).await?;
        let secret = row.and_then(|row| permit.open(row, Capability::List).ok());
        let secret = secret.ok_or_else(|| unreadable(&name))?;
        facts(permit, mount, &name, &secret, &mut Slugs::default()).await
    }

    /// The secrets of a mount that the caller may read, without their values. A page that takes long to fill ends before
    /// it is full.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a prefix or an `after` that no name has.
    pub async fn browse(&self, permit: &Permit, op: BrowseSecrets) -> Result<Browsed, Error> {
        let mount = permit.mounts().first().ok_or_else(no_mount)?;
        let limit = page_limit(op.limit);
        let (exact, mut after) = start(&op)?;
        let mut page = Browsed {
            secrets: Vec::new(),
            next: None,
        };
        let mut slugs = Slugs::default();
        let mut names: Vec<Name> = exact.into_iter().collect();
        loop {
            for name in std::mem::take(&mut names) {
                if !name.to_string().starts_with(&op.prefix) {
                    return Ok(page);
                }
                let Some(row) = permit.load::<SecretRecord>(mount, &name).await? else {
                    continue;
                };
                let Ok(secret) = permit.open(row, Capability::List) else {
                    continue;
                };
                page.secrets
                    .push(facts(permit, mount, &name, &secret, &mut slugs).await?);
                if page.secrets.len() == limit || permit.is_time_to_answer() {
                    page.next = Some(name.to_string());
                    return Ok(page);
                }
            }
            names = readable_names(permit, mount, after.as_ref()).await?;
            let Some(last) = names.last() else {
                return Ok(page);
            };
            after = Some(last.clone());
        }
    }
}

pub(crate) fn page_limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(limits::PAGE).clamp(1, limits::PAGE)
}

/// The mount of a request, and the name in it that `text` spells.
fn place_of<'p>(permit: &'p Permit, text: &str) -> Result<(&'p Mount, Name), Error> {
    let mount = permit.mounts().first().ok_or_else(no_mount)?;
    Ok((mount, parse("name", text)?))
}

/// The name that a page begins with, if it may, and the name behind which it goes on. Names are in the order of their
/// parts, so those that begin with one text are neighbours, and the text itself comes first.
fn start(op: &BrowseSecrets) -> Result<(Option<Name>, Option<Name>), Error> {
    if let Some(after) = &op.after {
        return Ok((None, Some(parse("after", after)?)));
    }
    if op.prefix.is_empty() {
        return Ok((None, None));
    }
    let first = parse("prefix", op.prefix.strip_suffix('/').unwrap_or(&op.prefix))?;
    let exact = (!op.prefix.ends_with('/')).then(|| first.clone());
    Ok((exact, Some(first)))
}

/// The secret `name`, which the caller may read.
async fn readable(permit: &Permit, mount: &Mount, name: &Name) -> Result<Opened<SecretRecord>, Error> {
    let row = permit.load::<SecretRecord>(mount, name).await?;
    let row = row.ok_or_else(|| unreadable(name))?;
    permit
        .open(row, Capability::Read)
        .map_err(|denied| match denied.reason() {
            Reason::Lapsed(lapse) => lapsed(name, lapse),
            _ => unreadable(name),
        })
}

fn unreadable(name: &Name) -> Error {
    Error::NotFound(format!("there is no `{name}` that you may read"))
}

/// Its reader may know why it is not served.
fn lapsed(name: &Name, lapse: Lapse) -> Error {
    let why = match lapse {
        Lapse::Expired => "has expired",
        Lapse::RotationDue => "should have got a new value long ago",
    };
    Error::Denied(format!(
        "`{name}` {why}, and this server does not serve what is overdue: whoever may write it must renew it"
    ))
}

/// The principal called `slug`, who is to answer for a secret.
async fn owner(permit: &Permit, slug: Option<&str>) -> Result<Option<PrincipalId>, Error> {
    let Some(slug) = slug else { return Ok(None) };
    let slug = Slug::new(slug).map_err(|error| Error::invalid("owner", error))?;
    match permit.directory().by_slug(&slug).await? {
        Some(owner) => Ok(Some(owner.record.id)),
        None => Err(Error::invalid("owner", "is the slug of nobody here")),
    }
}

/// The secret `name`, which the caller may write.
async fn writable(permit: &Permit, mount: &Mount, name: &Name) -> Result<Opened<SecretRecord>, Error> {
    match permit.load::<SecretRecord>(mount, name).await? {
        Some(row) => permit
            .open(row, Capability::Write)
            .map_err(|_| denied("write", name)),
        None => {
            permit
                .claim(name, Capability::Write)
                .map_err(|_| denied("write", name))?;
            Err(Error::NotFound(format!("there is no `{name}`")))
        }
    }
}

/// The secret `name` of `mount`, which the caller may remove, if there is one.
async fn removable(
    permit: &Permit,
    mount: &Mount,
    name: &Name,
) -> Result<Option<Opened<SecretRecord>>, Error> {
    let refused = |_| denied("delete", name);
    match permit.load::<SecretRecord>(mount, name).await? {
        Some(row) => permit.open(row, Capability::Delete).map(Some).map_err(refused),
        None => {
            permit.claim(name, Capability::Delete).map_err(refused)?;
            Ok(None)
        }
    }
}

/// The entry of the version table that is meant.
fn version_of(secret: &SecretRecord, number: Option<u32>, name: &Name) -> Result<Version, Error> {
    let versions = &secret.versions;
    let found = match number {
        None => versions.last(),
        Some(number) => versions.iter().find(|version| version.number == number),
    };
    found.cloned().ok_or_else(|| {
        let (number, oldest) = (
            number.unwrap_or_default(),
            versions.first().map_or(0, |first| first.number),
        );
        let text = format!(
            "`{name}` has no version {number}: {oldest} to {} are kept",
            secret.current_version()
        );
        Error::NotFound(text)
    })
}

/// The value of `version`; `None` when it is not where the record, which may be old by now, says.
async fn value_of(
    permit: &Permit,
    mount: &Mount,
    secret: Opened<SecretRecord>,
    version: &Version,
) -> Result<Option<SecretBytes>, Error> {
    if version.slot.is_some() {
        return earlier_value(permit, mount, &secret, version).await;
    }
    Ok(match secret.into_record().current {
        Payload::Inline(value) => Some(value),
        Payload::Beside => None,
    })
}

/// The value of a `version` that lies beside the record.
async fn earlier_value(
    permit: &Permit,
    mount: &Mount,
    secret: &Opened<SecretRecord>,
    version: &Version,
) -> Result<Option<SecretBytes>, Error> {
    let Some(slot) = version.slot else { return Ok(None) };
    let key = payload_key(mount, secret.id, slot);
    let payload = permit.part::<PayloadRecord, _>(mount, secret, &key).await?;
    let payload = payload.filter(|payload| payload.version == version.number);
    Ok(payload.map(|payload| payload.value))
}

/// The change that puts the secret `name` aside. One of that name that was removed earlier cannot be had back then, so it
/// takes the right to remove that, too.
async fn set_aside(permit: &Permit, mount: &Mount, name: &Name) -> Result<(Change, Gone), Error> {
    let secret = removable(permit, mount, name).await?;
    let secret = secret.ok_or_else(|| Error::NotFound(format!("there is no `{name}`")))?;
    let aside = mount.aside();
    let mut change = Change::default();
    let earlier = earlier_removed(permit, &aside, name).await?;
    let revision = earlier.as_ref().map(Opened::revision);
    if let Some(earlier) = &earlier {
        forget_for_good(&mut change, mount, earlier);
    }
    let key = aside.named(name)?;
    aside.expect(&mut change, &key, revision);
    take_out(&mut change, mount, &secret);
    let at = permit.now();
    let index = RemovedAt {
        mount: mount.id(),
        segments: name.segments().to_vec(),
        slots: secret.slots(),
    };
    mount.put(
        &mut change,
        &removed_key(mount.workspace(), at, secret.id),
        &index,
    )?;
    let secret = secret.into_record();
    aside.put(&mut change, &key, &RemovedRecord { secret, at })?;
    let restorable_until = Some(at.after(limits::REMOVED_KEPT));
    Ok((change, Gone { restorable_until }))
}

/// The change that removes the secret `name`, and one of that name that was removed earlier, with all their versions.
async fn drop_all(permit: &Permit, mount: &Mount, name: &Name) -> Result<(Change, Gone), Error> {
    let mut change = Change::default();
    let secret = removable(permit, mount, name).await?;
    if let Some(secret) = &secret {
        take_out(&mut change, mount, secret);
        delete_payloads(&mut change, mount, secret);
    }
    let aside = mount.aside();
    let earlier = earlier_removed(permit, &aside, name).await?;
    if let Some(earlier) = &earlier {
        aside.expect(&mut change, earlier.key(), Some(earlier.revision()));
        forget_for_good(&mut change, mount, earlier);
        aside.delete(&mut change, earlier.key());
    }
    if secret.is_none() && earlier.is_none() {
        return Err(Error::NotFound(format!(
            "there is no `{name}`, nor one that could be had back"
        )));
    }
    Ok((
        change,
        Gone {
            restorable_until: None,
        },
    ))
}

/// What was removed earlier under `name`, if the caller may remove it.
async fn earlier_removed(
    permit: &Permit,
    aside: &Mount,
    name: &Name,
) -> Result<Option<Opened<RemovedRecord>>, Error> {
    let Some(row) = permit.load_unseen::<RemovedRecord>(aside, name).await? else {
        return Ok(None);
    };
    permit.open(row, Capability::Delete).map(Some).map_err(|_| {
        Error::Denied(format!(
            "another `{name}` was removed earlier and can still be had back, and it is not yours to drop: whoever may \
             delete it, or an admin, must undelete it or drop it for good first"
        ))
    })
}

/// Takes a secret out of `mount`, but for its values.
fn take_out(change: &mut Change, mount: &Mount, secret: &Opened<SecretRecord>) {
    mount.expect(change, secret.key(), Some(secret.revision()));
    mount.delete(change, secret.key());
    delete_due(change, mount, secret.id, secret.due());
    for reader in secret.lists.readers.iter() {
        mount.delete(
            change,
            &crate::records::by_principal_key(mount, reader, secret.id),
        );
    }
}

/// Takes a removed secret out of its place beside `mount` and the index, but for its values.
fn forget(change: &mut Change, mount: &Mount, removed: &Opened<RemovedRecord>) {
    let index = removed_key(mount.workspace(), removed.at, removed.secret.id);
    mount.delete(change, &index);
    mount.delete(change, removed.key());
}

/// Takes a removed secret's index row and values out; its own row is the caller's.
fn forget_for_good(change: &mut Change, mount: &Mount, removed: &Opened<RemovedRecord>) {
    let index = removed_key(mount.workspace(), removed.at, removed.secret.id);
    mount.delete(change, &index);
    delete_payloads(change, mount, &removed.secret);
}

pub(crate) async fn facts(
    permit: &Permit,
    mount: &Mount,
    name: &Name,
    secret: &SecretRecord,
    slugs: &mut Slugs,
) -> Result<SecretFacts, Error> {
    let mut versions = Vec::with_capacity(secret.versions.len());
    for version in &secret.versions {
        let by = match version.by {
            Some(by) => slugs.one(permit, by).await?,
            None => None,
        };
        versions.push(VersionFacts {
            number: version.number,
            saved: version.created,
            by,
        });
    }
    Ok(SecretFacts {
        id: secret.id,
        path: format!("{}/{name}", mount.path()),
        name: name.to_string(),
        owner: slugs.one(permit, secret.owner).await?,
        created: secret.created,
        updated: secret.updated,
        versions,
        lists: slugs.of(permit, &secret.lists).await?,
        expires: secret.care.as_ref().and_then(|care| care.expires),
        rotate_every: secret
            .care
            .as_ref()
            .and_then(|care| care.rotate_every)
            .map(Ttl::from_millis),
        labels: secret
            .care
            .as_ref()
            .map(|care| care.labels.clone())
            .unwrap_or_default(),
        due: secret.due().map(|(at, _)| at),
        lapse: secret.lapse(permit.now()),
    })
}
