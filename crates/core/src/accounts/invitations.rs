//! Invitations: an account that somebody makes by a code that an admin gave.

use std::sync::Arc;

use strongroom_barrier::Stored;
use strongroom_base::{Slug, limits};
use strongroom_identity::{Principal, Standing};
use strongroom_sdk::{Error, NotProved, Permit};
use strongroom_storage::Change;

use super::engine::{Accounts, label, note_slug, parse_slug};
use super::people::{facts, password_refused};
use super::people_ops::{AcceptInvitation, Invitation, Invite, PrincipalFacts};
use crate::tokens::random_text;

/// Letters and digits of a code: 142 bits, so nobody guesses one.
const CODE_LENGTH: usize = 24;

impl Accounts {
    /// Invites somebody to an account.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a slug that somebody has.
    pub async fn invite(&self, permit: &Permit, op: Invite) -> Result<Invitation, Error> {
        let slug = parse_slug(&op.slug)?;
        note_slug(permit, &slug);
        let taken = || Error::Conflict(format!("`{slug}` is taken"));
        let found = permit.directory().by_slug(&slug).await?;
        if found.is_some_and(|found| found.record.standing != Standing::Reserved) {
            return Err(taken());
        }
        let mut change = Change::default();
        let ids = permit
            .directory()
            .resolve(&mut change, [&slug], permit.now(), permit.rng())
            .await?;
        let id = ids.get(&slug).copied().ok_or_else(taken)?;
        let code = random_text(CODE_LENGTH, permit.rng());
        let expires = permit.now().after(limits::INVITATION);
        self.invitations.put(&mut change, id, &code, expires)?;
        match permit.commit(change).await {
            Err(Error::Conflict(_)) => Err(taken()),
            done => done.map(|()| Invitation { code, expires }),
        }
    }

    /// Makes the account that the caller was invited to.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an unknown slug, a wrong code and one that has ended or was used alike.
    pub async fn accept_invitation(
        &self,
        permit: &Permit,
        op: AcceptInvitation,
    ) -> Result<PrincipalFacts, Error> {
        let (slug, name) = (parse_slug(&op.slug)?, label("name", op.name)?);
        let refused = || Error::Unauthenticated(NotProved::NotInvited);
        let found = self.reserved(permit, &slug).await?.ok_or_else(refused)?;
        let id = found.record.id;
        let stored = self.invitations.find(id).await?.ok_or_else(refused)?;
        if !stored.record.admits(&op.code, permit.now()) {
            return Err(refused());
        }
        permit
            .record()
            .add(|record| record.set_principal(id, slug.as_str()));
        let accepted = Principal {
            name,
            standing: Standing::Active,
            updated: permit.now(),
            ..found.record.clone()
        };
        let mut change = Change::default();
        self.invitations.end(&mut change, id, &stored);
        permit.directory().replace(&mut change, &found, &accepted)?;
        self.passwords
            .set(&mut change, id, op.password, permit.rng())
            .await
            .map_err(password_refused)?;
        match permit.commit(change).await {
            // Somebody else was faster with the same code.
            Err(Error::Conflict(_)) => return Err(refused()),
            done => done?,
        }
        facts(permit, &accepted).await
    }

    /// The principal called `slug`, if nobody is it yet. What nobody is called may be a password in the wrong field, so it
    /// is not recorded.
    async fn reserved(&self, permit: &Permit, slug: &Slug) -> Result<Option<Arc<Stored<Principal>>>, Error> {
        let found = permit.directory().by_slug(slug).await?;
        let found = found.filter(|found| found.record.standing == Standing::Reserved);
        if found.is_some() {
            note_slug(permit, slug);
        }
        Ok(found)
    }
}
