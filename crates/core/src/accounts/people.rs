//! Who there is, and who is logged in: what admins do with accounts, and everyone with their own sessions.

use std::sync::Arc;

use strongroom_auth_password::SetError;
use strongroom_barrier::Stored;
use strongroom_base::{PrincipalId, Slug, limits};
use strongroom_identity::{Principal, PrincipalKind, Standing};
use strongroom_policy::{PrincipalSet, Role};
use strongroom_sdk::{Error, Permit};
use strongroom_storage::Change;

use super::engine::{Accounts, label, no_caller, note_slug, parse_slug};
use super::people_ops::{
    AddPrincipal, ListPrincipals, ListTokens, PrincipalFacts, PrincipalPage, RevokeToken, Revoked,
    SetMembership, SetStanding, TokenFacts, TokenPage,
};

/// How often an end of a session is tried again that its own use got in the way of.
const ATTEMPTS: usize = 8;

impl Accounts {
    /// Makes an account.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a slug that somebody has; [`Error::Invalid`] for a slug, name or password out of form.
    pub async fn add_principal(&self, permit: &Permit, op: AddPrincipal) -> Result<PrincipalFacts, Error> {
        let slug = parse_slug(&op.slug)?;
        let name = label("name", op.name)?;
        note_slug(permit, &slug);
        let taken = || Error::Conflict(format!("`{slug}` is taken"));
        let roles = if op.is_admin {
            vec![Role::Admin]
        } else {
            Vec::new()
        };
        let mut change = Change::default();
        match (op.kind, &op.password, op.is_admin) {
            (PrincipalKind::Group, None, false) => {}
            (PrincipalKind::Group, ..) => {
                let why = "is a group's, which neither logs in nor has a role";
                return Err(Error::invalid("password", why));
            }
            (_, None, _) => return Err(Error::invalid("password", "is missing")),
            _ => {}
        }
        let principal = match permit.directory().by_slug(&slug).await? {
            Some(found) if found.record.standing == Standing::Reserved => {
                let claimed = Principal {
                    name,
                    roles,
                    standing: Standing::Active,
                    updated: permit.now(),
                    ..found.record.clone()
                }
                .of_kind(op.kind);
                permit.directory().replace(&mut change, &found, &claimed)?;
                claimed
            }
            Some(_) => return Err(taken()),
            None => {
                let made =
                    Principal::new(slug.clone(), name, roles, permit.now(), permit.rng()).of_kind(op.kind);
                permit.directory().add(&mut change, &made)?;
                made
            }
        };
        if let Some(password) = op.password {
            self.passwords
                .set(&mut change, principal.id, password, permit.rng())
                .await
                .map_err(password_refused)?;
        }
        match permit.commit(change).await {
            Err(Error::Conflict(_)) => return Err(taken()),
            done => done?,
        }
        facts(permit, &principal).await
    }

    /// Takes a user or service into a group, or out of it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a slug that nobody has; [`Error::Invalid`] for a group that is none, a member that is one or
    /// that nobody is yet, and one group too many.
    pub async fn set_membership(&self, permit: &Permit, op: SetMembership) -> Result<PrincipalFacts, Error> {
        let group = self.somebody(permit, &parse_slug(&op.group)?).await?;
        if group.record.kind() != PrincipalKind::Group || group.record.standing == Standing::Reserved {
            return Err(Error::invalid("group", "is the slug of no group"));
        }
        let mut attempts = 1..ATTEMPTS;
        loop {
            let member = self.somebody(permit, &parse_slug(&op.member)?).await?;
            let is_somebody = member.record.standing != Standing::Reserved;
            if member.record.kind() == PrincipalKind::Group || !is_somebody {
                let why = "is neither a user nor a service: groups are not in groups";
                return Err(Error::invalid("member", why));
            }
            let known = member.record.groups.clone().unwrap_or_default();
            let others = known.iter().filter(|known| *known != group.record.id);
            let groups: PrincipalSet = others.chain(op.is_member.then_some(group.record.id)).collect();
            if groups.iter().count() > limits::GROUPS {
                let why = format!("would be in more than {} groups", limits::GROUPS);
                return Err(Error::invalid("member", why));
            }
            if groups == known {
                return facts(permit, &member.record).await;
            }
            let changed = Principal {
                groups: (groups != PrincipalSet::default()).then_some(groups),
                updated: permit.now(),
                ..member.record.clone()
            };
            let mut change = Change::default();
            permit.directory().replace(&mut change, &member, &changed)?;
            match permit.commit(change).await {
                Err(Error::Conflict(_)) if attempts.next().is_some() => {}
                done => {
                    done?;
                    return facts(permit, &changed).await;
                }
            }
        }
    }

    /// Who there is.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an `after` that is no slug.
    pub async fn list_principals(&self, permit: &Permit, op: ListPrincipals) -> Result<PrincipalPage, Error> {
        let limit = page_limit(op.limit);
        let mut after = op.after.as_deref().map(parse_slug).transpose()?;
        let mut principals = Vec::new();
        loop {
            let page = permit.directory().list(after.as_ref(), limits::PAGE).await?;
            let is_last = page.len() < limits::PAGE;
            for found in page {
                let principal = &found.record;
                after = Some(principal.slug.clone());
                if op.kind.is_none_or(|kind| principal.kind() == kind) {
                    principals.push(facts(permit, principal).await?);
                }
                if principals.len() == limit || permit.is_time_to_answer() {
                    let next = after.map(|slug| slug.to_string());
                    return Ok(PrincipalPage { principals, next });
                }
            }
            if is_last {
                let next = None;
                return Ok(PrincipalPage { principals, next });
            }
        }
    }

    /// Keeps a principal from logging in and ends its sessions, or lets it log in again.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for the caller itself, and for a slug that nobody is yet.
    pub async fn set_standing(&self, permit: &Permit, op: SetStanding) -> Result<PrincipalFacts, Error> {
        let slug = parse_slug(&op.slug)?;
        let found = self.somebody(permit, &slug).await?;
        let caller = permit.caller().ok_or_else(no_caller)?;
        if found.record.id == caller.id {
            let why = "is your own: another admin can do this, so that one is left";
            return Err(Error::invalid("slug", why));
        }
        let standing = match (found.record.standing, op.is_active) {
            (Standing::Reserved, _) => {
                let why = "is only reserved by permission lists: nobody is this principal yet";
                return Err(Error::invalid("slug", why));
            }
            (_, true) => Standing::Active,
            (_, false) => Standing::Disabled,
        };
        if standing == found.record.standing {
            return facts(permit, &found.record).await;
        }
        let now = permit.now();
        let changed = Principal {
            standing,
            updated: now,
            // Sessions from before are over, and stay so when it may log in again.
            sessions_after: match standing {
                Standing::Disabled => Some(now),
                _ => found.record.sessions_after,
            },
            ..found.record.clone()
        };
        let mut change = Change::default();
        permit.directory().replace(&mut change, &found, &changed)?;
        permit.commit(change).await?;
        facts(permit, &changed).await
    }

    /// The live sessions of a principal.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a principal that is not there.
    pub async fn list_tokens(&self, permit: &Permit, op: ListTokens) -> Result<TokenPage, Error> {
        let limit = page_limit(op.limit);
        let whose = self.whose(permit, op.of.as_deref()).await?;
        let own = permit.session().map(|session| session.lease);
        let mut page = TokenPage {
            tokens: Vec::new(),
            next: None,
        };
        let mut after = op.after;
        loop {
            let sessions = self.sessions.of(whose.record.id, after, limit).await?;
            let is_last = sessions.len() < limit;
            for (id, stored) in sessions {
                after = Some(id);
                // Its own record is gone already, or says that it is over.
                let Some((_, stored)) = stored else { continue };
                let session = stored.record;
                if !session.term.is_live(permit.now()) || !whose.record.admits(session.term.created) {
                    continue;
                }
                let mount = self.mounts.by_id(session.workspace, session.mount).await?;
                page.tokens.push(TokenFacts {
                    id,
                    app: mount.path().to_owned(),
                    device: session.device,
                    created: session.term.created,
                    idle_until: session.term.ends(),
                    deadline: session.term.deadline,
                    is_current: own == Some(id),
                });
            }
            if is_last {
                return Ok(page);
            }
            if page.tokens.len() >= limit || permit.is_time_to_answer() {
                page.next = after;
                return Ok(page);
            }
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`Error::NotFound`] for one that is not that principal's, or has ended.
    pub async fn revoke_token(&self, permit: &Permit, op: RevokeToken) -> Result<Revoked, Error> {
        let whose = self.whose(permit, op.of.as_deref()).await?;
        let mut attempts = 1..ATTEMPTS;
        loop {
            let found = self.sessions.by_lease(whose.record.id, op.id).await?;
            let (key, stored) = found.ok_or_else(|| {
                let text = format!("`{}` has no session `{}`", whose.record.slug, op.id);
                Error::NotFound(text)
            })?;
            let mut change = Change::default();
            self.sessions.end(&mut change, key, &stored);
            match permit.commit(change).await {
                // The session was used, and its idle end moved.
                Err(Error::Conflict(_)) if attempts.next().is_some() => {}
                done => return done.map(|()| Revoked),
            }
        }
    }

    /// The principal called `slug`, or the caller.
    async fn whose(&self, permit: &Permit, slug: Option<&str>) -> Result<Arc<Stored<Principal>>, Error> {
        match slug {
            Some(slug) => self.somebody(permit, &parse_slug(slug)?).await,
            None => {
                let id: PrincipalId = permit.caller().ok_or_else(no_caller)?.id;
                permit.directory().by_id(id).await?.ok_or_else(no_caller)
            }
        }
    }

    async fn somebody(&self, permit: &Permit, slug: &Slug) -> Result<Arc<Stored<Principal>>, Error> {
        let found = permit.directory().by_slug(slug).await?;
        let found = found.ok_or_else(|| Error::NotFound(format!("there is no `{slug}`")))?;
        note_slug(permit, slug);
        Ok(found)
    }
}

fn page_limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(limits::PAGE).clamp(1, limits::PAGE)
}

pub(super) fn password_refused(error: SetError) -> Error {
    match error {
        SetError::Length => Error::invalid("password", error),
        SetError::Busy { retry_after } => Error::RateLimited { retry_after },
        SetError::Barrier(error) => error.into(),
    }
}

pub(super) async fn facts(permit: &Permit, principal: &Principal) -> Result<PrincipalFacts, Error> {
    let mut groups = Vec::new();
    for group in principal.groups.iter().flat_map(PrincipalSet::iter) {
        if let Some(found) = permit.directory().by_id(group).await? {
            groups.push(found.record.slug.to_string());
        }
    }
    groups.sort_unstable();
    Ok(PrincipalFacts {
        id: principal.id,
        slug: principal.slug.clone(),
        name: principal.name.clone(),
        kind: principal.kind(),
        is_admin: principal.is_admin(),
        standing: principal.standing,
        created: principal.created,
        groups,
    })
}
