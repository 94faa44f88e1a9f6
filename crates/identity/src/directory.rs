//! Principals by id and by slug.

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use strongroom_barrier::{
    BarrierError, Kind, Place, Record, RowAtRest, RowFlaw, RowKeeper, StorageKey, Stored, Ties, View, planes,
};
use strongroom_base::{Name, PrincipalId, Rng, Slug, Timestamp, WorkspaceId};
use strongroom_policy::{PrincipalSet, Role, Subject};
use strongroom_storage::Change;

/// A user, service or group.
#[derive(Clone, Encode, Decode)]
pub struct Principal {
    /// Its id, which never changes.
    #[n(0)]
    pub id: PrincipalId,
    /// Its name on the wire, unique in the instance.
    #[n(1)]
    pub slug: Slug,
    /// What people call it; may be empty.
    #[n(2)]
    pub name: String,
    /// Its roles.
    #[n(3)]
    pub roles: Vec<Role>,
    /// Whether anyone may be it.
    #[n(4)]
    pub standing: Standing,
    /// When it was made.
    #[n(5)]
    pub created: Timestamp,
    /// When it last changed.
    #[n(6)]
    pub updated: Timestamp,
    /// Sessions that began at this time or earlier are over.
    #[n(7)]
    pub sessions_after: Option<Timestamp>,
    /// What it is; `None` for a user.
    #[n(8)]
    pub kind: Option<PrincipalKind>,
    /// The groups that it is in, if any.
    #[n(9)]
    pub groups: Option<PrincipalSet>,
}

/// What a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum PrincipalKind {
    /// A person.
    #[n(0)]
    User,
    /// A program.
    #[n(1)]
    Service,
    /// Users and services that permission lists name together.
    #[n(2)]
    Group,
}

/// Whether anyone may be a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// Somebody is.
    #[n(0)]
    Active,
    /// A permission list named it before there was such a principal. Whoever registered the slug first would inherit
    /// what was shared with it, so nobody can.
    #[n(1)]
    Reserved,
    /// Somebody was, and may not log in any more.
    #[n(2)]
    Disabled,
}

/// The slug's row.
#[derive(Encode, Decode)]
struct SlugOf(#[n(0)] PrincipalId);

impl Record for Principal {}
impl Record for SlugOf {}

impl Principal {
    /// A principal that somebody is, made now.
    #[must_use]
    pub fn new(slug: Slug, name: String, roles: Vec<Role>, now: Timestamp, rng: &dyn Rng) -> Self {
        let id = PrincipalId::at(now, rng);
        Self {
            id,
            slug,
            name,
            roles,
            standing: Standing::Active,
            created: now,
            updated: now,
            sessions_after: None,
            kind: None,
            groups: None,
        }
    }

    /// The same principal, as one of `kind`.
    #[must_use]
    pub fn of_kind(mut self, kind: PrincipalKind) -> Self {
        self.kind = Some(kind).filter(|kind| *kind != PrincipalKind::User);
        self
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> PrincipalKind {
        self.kind.unwrap_or(PrincipalKind::User)
    }

    /// Whether a session of it that began at `began` may go on.
    #[must_use]
    pub fn admits(&self, began: Timestamp) -> bool {
        self.standing == Standing::Active && self.sessions_after.is_none_or(|after| began > after)
    }

    /// Whether it has the admin role.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.roles.contains(&Role::Admin)
    }
}

/// All principals. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    view: View,
}

impl Directory {
    /// The directory in `view`, which is of the system workspace and [`crate::SLUGS`].
    #[must_use]
    pub fn new(view: View) -> Self {
        Self { view }
    }

    /// The principal with `id`.
    ///
    /// # Errors
    /// When storage cannot answer or the row is damaged.
    pub async fn by_id(&self, id: PrincipalId) -> Result<Option<Arc<Stored<Principal>>>, BarrierError> {
        self.view.cached(&principal_key(id)).await
    }

    /// `principal` as the rules see it, in those of its groups that are not disabled.
    ///
    /// # Errors
    /// As [`Directory::by_id`].
    pub async fn subject(&self, principal: &Principal) -> Result<Subject, BarrierError> {
        let mut groups = Vec::new();
        for group in principal.groups.iter().flat_map(PrincipalSet::iter) {
            let found = self.by_id(group).await?;
            if found.is_some_and(|found| found.record.standing == Standing::Active) {
                groups.push(group);
            }
        }
        Ok(Subject {
            id: principal.id,
            slug: principal.slug.clone(),
            roles: principal.roles.as_slice().into(),
            groups: groups.into_iter().collect(),
        })
    }

    /// The principal called `slug`.
    ///
    /// # Errors
    /// As [`Directory::by_id`].
    pub async fn by_slug(&self, slug: &Slug) -> Result<Option<Arc<Stored<Principal>>>, BarrierError> {
        match self.view.cached::<SlugOf>(&self.slug_key(slug)?).await? {
            Some(found) => self.by_id(found.record.0).await,
            None => Ok(None),
        }
    }

    /// Adds `principal` to `change`, which then requires that nobody has its slug.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn add(&self, change: &mut Change, principal: &Principal) -> Result<(), BarrierError> {
        let slug = self.slug_key(&principal.slug)?;
        self.view.expect(change, &slug, None);
        self.view.put(change, &slug, &SlugOf(principal.id))?;
        self.view.put(change, &principal_key(principal.id), principal)
    }

    /// Puts `new` in the place of `stored` in `change`, which then requires that nothing has changed it.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn replace(
        &self,
        change: &mut Change,
        stored: &Stored<Principal>,
        new: &Principal,
    ) -> Result<(), BarrierError> {
        let key = principal_key(stored.record.id);
        self.view.expect(change, &key, Some(stored.revision));
        self.view.put(change, &key, new)
    }

    /// Principals behind `after`, by slug, at most `limit`.
    ///
    /// # Errors
    /// As [`Directory::by_id`].
    pub async fn list(
        &self,
        after: Option<&Slug>,
        limit: usize,
    ) -> Result<Vec<Arc<Stored<Principal>>>, BarrierError> {
        let root = self.view.root();
        let children = self.view.list(&root, after.map(Slug::as_str), limit).await?;
        let mut principals = Vec::with_capacity(children.len());
        for child in children {
            let slug = Slug::new(&child.segment).map_err(|_| BarrierError::Missing("a slug".into()))?;
            if let Some(found) = self.by_slug(&slug).await? {
                principals.push(found);
            }
        }
        Ok(principals)
    }

    /// The ids behind `slugs`. A slug that nobody has is reserved by `change`.
    ///
    /// # Errors
    /// As [`Directory::by_id`].
    pub async fn resolve<'s>(
        &self,
        change: &mut Change,
        slugs: impl IntoIterator<Item = &'s Slug>,
        now: Timestamp,
        rng: &dyn Rng,
    ) -> Result<BTreeMap<Slug, PrincipalId>, BarrierError> {
        let mut ids = BTreeMap::new();
        for slug in slugs {
            if ids.contains_key(slug) {
                continue;
            }
            let id = match self.by_slug(slug).await? {
                Some(principal) => principal.record.id,
                None => {
                    let reserved = Principal {
                        standing: Standing::Reserved,
                        ..Principal::new(slug.clone(), String::new(), Vec::new(), now, rng)
                    };
                    self.add(change, &reserved)?;
                    reserved.id
                }
            };
            ids.insert(slug.clone(), id);
        }
        Ok(ids)
    }

    fn slug_key(&self, slug: &Slug) -> Result<StorageKey, BarrierError> {
        self.view.named(&Name::from_stored(vec![slug.to_string()]))
    }
}

impl RowKeeper for Directory {
    fn read(&self, row: &RowAtRest) -> Result<Option<Ties>, RowFlaw> {
        Ok(Some(match row.place() {
            Place::Ordered {
                workspace: WorkspaceId::SYSTEM,
                kind: Kind::Principal,
                ..
            } => {
                let principal: Principal = row.open()?;
                row.lies_at(&principal_key(principal.id))?;
                let groups = principal.groups.iter().flat_map(PrincipalSet::iter);
                Ties::default()
                    .needing(groups.map(principal_key))
                    .owning(self.slug_key(&principal.slug)?, *principal.id.as_bytes())
            }
            Place::Name {
                workspace: WorkspaceId::SYSTEM,
                mount: crate::SLUGS,
                ..
            } => Ties::of_owned(*row.open::<SlugOf>()?.0.as_bytes()),
            _ => return Ok(None),
        }))
    }
}

/// The key of the principal with `id`.
#[must_use]
pub fn principal_key(id: PrincipalId) -> StorageKey {
    planes::ordered(WorkspaceId::SYSTEM, Kind::Principal, &[id.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/formats/record.md`: a field's number and form are on disk and never change.
    #[test]
    fn the_bytes_of_records() {
        let id = PrincipalId::from_bytes([1; 16]);
        let principal = Principal {
            id,
            slug: Slug::new("al").unwrap(),
            name: "A".into(),
            roles: vec![Role::Admin],
            standing: Standing::Reserved,
            created: Timestamp::from_millis(2),
            updated: Timestamp::from_millis(3),
            sessions_after: None,
            kind: None,
            groups: None,
        };
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let one = "01".repeat(16);
        assert_eq!(
            hex(minicbor::to_vec(&principal).unwrap()),
            format!("8750{one}62616c61418100010203")
        );
        let service = Principal {
            standing: Standing::Disabled,
            sessions_after: Some(Timestamp::from_millis(4)),
            ..principal
        }
        .of_kind(PrincipalKind::Service);
        let member = Principal {
            groups: Some(PrincipalSet::from_iter([id])),
            ..service.clone()
        };
        assert!(hex(minicbor::to_vec(&member).unwrap()).ends_with(&format!("04018150{one}")));
        assert_eq!(
            hex(minicbor::to_vec(&service).unwrap()),
            format!("8950{one}62616c6141810002020304 01").replace(' ', "")
        );
        assert_eq!(hex(minicbor::to_vec(SlugOf(id)).unwrap()), format!("8150{one}"));
    }
}
