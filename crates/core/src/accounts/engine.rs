//! One method per op.

use std::convert::Infallible;
use std::sync::Arc;

use strongroom_auth_password::{LoginError, Passwords};
use strongroom_base::{LeaseId, Slug, Timestamp, WorkspaceId, limits};
use strongroom_identity::{Invitations, Principal, Session, SessionKey, Sessions};
use strongroom_lease::Term;
use strongroom_ledger::Outcome;
use strongroom_policy::{Role, Subject};
use strongroom_sdk::{Error, Mount, NotProved, Permit};
use strongroom_secret::SecretText;
use strongroom_storage::Change;

use super::ops::{
    Account, Describe, IsSecure, Login, Malformed, MintRoot, Minted, PublicKey, PublicKeyPem, Refresh,
    Register, SessionFacts, WhoAmI,
};
use super::people::password_refused;
use crate::instance::{Settings, UNNAMED_APP};
use crate::mounts::Mounts;
use crate::tokens::{TokenForm, TokenKey, random_text};

/// Random characters in the slug of an admin that shares made.
const RECOVERY_SLUG: usize = 8;

/// The engine of accounts and sessions.
pub struct Accounts {
    pub(crate) passwords: Passwords,
    pub(crate) sessions: Sessions,
    pub(crate) invitations: Invitations,
    pub(crate) mounts: Arc<Mounts>,
    pub(crate) token_key: TokenKey,
    pub(crate) settings: Settings,
}

impl Accounts {
    /// Logs a principal in.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an unknown slug and a wrong password alike; [`Error::RateLimited`].
    pub async fn login(&self, permit: &Permit, op: Login) -> Result<Minted, Error> {
        let slug = parse_slug(&op.slug)?;
        let device = label("device", op.device)?;
        crate::mounts::app_path(&op.host)?;
        // What nobody is called may be a password in the wrong field.
        if permit.directory().by_slug(&slug).await?.is_some() {
            note_slug(permit, &slug);
        }
        let proof = self
            .passwords
            .login(&slug, op.password, permit.source(), permit.now())
            .await;
        let principal = match proof {
            Ok(principal) => principal,
            Err(LoginError::Wrong { lock }) => return Err(self.refuse(permit, lock).await),
            Err(LoginError::Busy { retry_after }) => return Err(Error::RateLimited { retry_after }),
            Err(LoginError::Barrier(error)) => return Err(error.into()),
        };
        self.welcome(
            permit,
            Change::default(),
            &principal.record,
            &op.host,
            device,
            op.form,
        )
        .await
    }

    /// Makes an account and logs it in.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a slug that somebody has, or that permission lists already name.
    pub async fn register(&self, permit: &Permit, op: Register) -> Result<Minted, Error> {
        let slug = parse_slug(&op.slug)?;
        let (name, device) = (label("name", op.name)?, label("device", op.device)?);
        let taken = || {
            let text =
                format!("`{slug}` is taken, or reserved because a secret's lists name it: an admin can help");
            Error::Conflict(text)
        };
        if permit.directory().by_slug(&slug).await?.is_some() {
            note_slug(permit, &slug);
            return Err(taken());
        }
        let principal = Principal::new(slug.clone(), name, Vec::new(), permit.now(), permit.rng());
        let mut change = Change::default();
        permit.directory().add(&mut change, &principal)?;
        self.passwords
            .set(&mut change, principal.id, op.password, permit.rng())
            .await
            .map_err(password_refused)?;
        note_slug(permit, &slug);
        let minted = self
            .welcome(permit, change, &principal, &op.host, device, op.form)
            .await;
        minted.map_err(|error| {
            if matches!(error, Error::Conflict(_)) {
                taken()
            } else {
                error
            }
        })
    }

    /// Gives the caller another token; the old one lives as long as before.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub async fn refresh(&self, permit: &Permit, op: Refresh) -> Result<Minted, Error> {
        let (caller, session) = (
            permit.caller().ok_or_else(no_caller)?,
            permit.session().ok_or_else(no_caller)?,
        );
        let mount = permit.mounts().first().ok_or_else(no_caller)?;
        let deadline = session.term.deadline;
        let device = session.device.clone();
        self.mint(
            permit,
            Change::default(),
            caller,
            session.workspace,
            mount,
            device,
            Some(deadline),
            op.form,
        )
        .await
    }

    /// Makes an admin without a password, and logs it in.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub(crate) async fn mint_root(&self, permit: &Permit, op: MintRoot) -> Result<Minted, Error> {
        let proof = format!("slot {}", op.proof.slot());
        permit.record().add(|record| record.set_reason(&proof));
        let slug = format!(
            "recovery-{}",
            random_text(RECOVERY_SLUG, permit.rng()).expose().to_lowercase()
        );
        let (slug, name) = (parse_slug(&slug)?, "recovery by shares".to_owned());
        let admin = Principal::new(slug, name, vec![Role::Admin], permit.now(), permit.rng());
        let mut change = Change::default();
        permit.directory().add(&mut change, &admin)?;
        let device = "root token".to_owned();
        self.welcome(permit, change, &admin, UNNAMED_APP, device, TokenForm::Opaque)
            .await
    }

    /// The caller's account.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub async fn who_am_i(&self, permit: &Permit, op: WhoAmI) -> Result<Account, Error> {
        let caller = permit.caller().ok_or_else(no_caller)?;
        let found = permit.directory().by_id(caller.id).await?.ok_or_else(no_caller)?;
        let sessions = if op.count_sessions {
            self.sessions.count(caller.id, limits::SESSIONS_COUNTED).await?
        } else {
            0
        };
        let Principal {
            id,
            slug,
            name,
            created,
            updated,
            ..
        } = found.record.clone();
        Ok(Account {
            id,
            slug,
            name,
            is_admin: caller.is_admin(),
            created,
            updated,
            sessions,
        })
    }

    /// The key that verifies tokens.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub async fn public_key(&self, _: &Permit, _: PublicKey) -> Result<PublicKeyPem, Error> {
        let pem = self
            .token_key
            .signer()
            .await?
            .public_pem()
            .map_err(Error::internal)?;
        Ok(PublicKeyPem { pem })
    }

    /// Whether the seal key is one that nobody can guess.
    ///
    /// # Errors
    /// None of its own.
    pub async fn is_secure(&self, _: &Permit, _: IsSecure) -> Result<bool, Error> {
        Ok(self.settings.is_secure)
    }

    /// Leaves a record, and no more.
    ///
    /// # Errors
    /// None of its own.
    pub async fn describe(&self, _: &Permit, _: Describe) -> Result<(), Error> {
        Ok(())
    }

    /// Fails as its dialect says.
    ///
    /// # Errors
    /// Always.
    pub async fn malformed(&self, _: &Permit, op: Malformed) -> Result<Infallible, Error> {
        Err(op.error)
    }

    /// The refusal of a wrong password, and the lock that comes with the last one allowed.
    async fn refuse(&self, permit: &Permit, lock: Option<Box<Change>>) -> Error {
        let refused = Error::Unauthenticated(NotProved::WrongPassword);
        match lock {
            None => refused,
            Some(lock) => match permit.commit_as(*lock, Outcome::Unauthenticated).await {
                // Locked or changed by another attempt at the same time.
                Ok(()) | Err(Error::Conflict(_)) => refused,
                Err(error) => error,
            },
        }
    }

    /// A session for a principal that has just proved itself, or been made by `change`.
    async fn welcome(
        &self,
        permit: &Permit,
        change: Change,
        principal: &Principal,
        host: &str,
        device: String,
        form: TokenForm,
    ) -> Result<Minted, Error> {
        let workspace = WorkspaceId::DEFAULT;
        permit
            .record()
            .add(|record| record.set_principal(principal.id, principal.slug.as_str()));
        let mount = self.mounts.ensure(workspace, host, principal.id).await?;
        self.mint(
            permit,
            change,
            &permit.directory().subject(principal).await?,
            workspace,
            &mount,
            device,
            None,
            form,
        )
        .await
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "they are the fields of the session that is made of them here"
    )]
    async fn mint(
        &self,
        permit: &Permit,
        mut change: Change,
        subject: &Subject,
        workspace: WorkspaceId,
        mount: &Mount,
        device: String,
        deadline: Option<Timestamp>,
        form: TokenForm,
    ) -> Result<Minted, Error> {
        let now = permit.now();
        let mut term = Term::starting(now, limits::SESSION_IDLE, limits::SESSION_ABSOLUTE);
        term.deadline = deadline.unwrap_or(term.deadline);
        let facts = SessionFacts {
            lease: LeaseId::at(now, permit.rng()),
            principal: subject.id,
            slug: subject.slug.clone(),
            is_admin: subject.is_admin(),
            mount: mount.uid(),
            host: mount
                .path()
                .split_once('/')
                .map_or("", |(_, host)| host)
                .to_owned(),
            device: device.clone(),
            created: now,
            expires: now.after(limits::TOKEN_TEXT).min(term.ends()),
        };
        let token: SecretText = self.token_key.mint(form, &facts).await?;
        let key = SessionKey::of(&token).ok_or_else(|| Error::internal("a minted token is too long"))?;
        let (lease, principal) = (facts.lease, facts.principal);
        let session = Session {
            lease,
            principal,
            workspace,
            mount: mount.id(),
            device,
            term,
        };
        self.sessions.add(&mut change, key, &session)?;
        permit.commit(change).await?;
        Ok(Minted { token, facts })
    }
}

pub(super) fn note_slug(permit: &Permit, slug: &Slug) {
    permit
        .record()
        .add(|record| record.touch(format!("users/{slug}")));
}

pub(super) fn parse_slug(text: &str) -> Result<Slug, Error> {
    Slug::new(text).map_err(|error| Error::invalid("slug", error))
}

pub(super) fn label(field: &str, text: String) -> Result<String, Error> {
    if text.len() > limits::LABEL_BYTES || text.chars().any(char::is_control) {
        let why = format!(
            "must be at most {} bytes without control characters",
            limits::LABEL_BYTES
        );
        return Err(Error::invalid(field, why));
    }
    Ok(text)
}

pub(super) fn no_caller() -> Error {
    Error::internal("the gate gave a permit without a caller")
}
