//! The gate. Every request of every dialect is one call of [`Core::call`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use strongroom_barrier::Stored;
use strongroom_base::{RequestId, limits};
use strongroom_identity::{Session, SessionKey, Sessions};
use strongroom_ledger::{Ledger, Outcome, Record};
use strongroom_policy::{Allowed, Capability, Denied, Resource, decide};
use strongroom_sdk::{Caller, Error, Mount, NotProved, Op, Permit, RequestRecord, Surroundings, Target};
use strongroom_secret::SecretText;
use strongroom_storage::Change;
use tokio::sync::watch;

use crate::Engines;
use crate::instance::{Running, Settings};
use crate::internal;
use crate::mounts::Mounts;
use crate::upkeep::{OverdueList, Upkeeper};

/// One unsealed instance.
pub struct Core {
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) sessions: Sessions,
    pub(crate) mounts: Arc<Mounts>,
    pub(crate) engines: Engines,
    pub(crate) settings: Settings,
    pub(crate) running: Running,
    pub(crate) upkeep: Arc<Upkeeper>,
}

/// A request as a dialect hands it over.
pub struct Request<O> {
    /// Its id; that of its ledger leaves.
    pub id: RequestId,
    /// The caller's proof.
    pub caller: Credential,
    /// The address that it came from, without a port.
    pub source: Arc<str>,
    /// What is asked for.
    pub op: O,
}

/// What a caller proves itself with.
pub enum Credential {
    /// Nothing.
    None,
    /// A token where that dialect wants it.
    Token(SecretText),
    /// A token in the URL, where logs and histories keep it. It is refused, and recorded so that it can be revoked.
    TokenInUrl(SecretText),
}

impl Core {
    /// The audit ledger, for those who follow what it publishes.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.surroundings.ledger
    }

    /// What is overdue, as of this node's last look: for metrics.
    #[must_use]
    pub fn overdue(&self) -> watch::Receiver<OverdueList> {
        self.upkeep.overdue()
    }

    /// The same for those who are told. Of several nodes one has it: the one that does what is done once.
    #[must_use]
    pub fn overdue_to_tell(&self) -> watch::Receiver<OverdueList> {
        self.upkeep.to_tell()
    }

    /// Does at once what is otherwise done from time to time: purges what was removed long ago, and looks what is overdue.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub async fn tend(&self) -> Result<(), Error> {
        self.upkeep.tend().await
    }

    /// Authenticates the caller, decides, runs the op, and records what came of it. No answer leaves before its record
    /// is written, and no change is durable without one.
    ///
    /// # Errors
    /// The op's own; [`Error::Unauthenticated`]; [`Error::Denied`]; [`Error::AuditUnavailable`], which withholds the
    /// answer.
    pub async fn call<O: Op>(self: &Arc<Self>, request: Request<O>) -> Result<O::Outcome, Error> {
        if O::CAPABILITY != Capability::Connect {
            return self.run(request).await;
        }
        // A stranger who hangs up must not get out of being counted and recorded.
        let core = self.clone();
        let running = tokio::spawn(async move { core.run(request).await });
        running.await.map_err(Error::internal)?
    }

    async fn run<O: Op>(&self, request: Request<O>) -> Result<O::Outcome, Error> {
        self.surroundings.space.answers()?;
        let now = self.surroundings.clock.now();
        let record = RequestRecord::new(Record::open(request.id, O::NAME, now, request.source.clone()));
        // A panic is a fault of ours like any other: it has a record, too.
        let result = AssertUnwindSafe(self.decide_and_run(&record, request))
            .catch_unwind()
            .await;
        let result = result.unwrap_or_else(|_| Err(Error::internal("a panic, logged where it happened")));
        // A change took the record with it; anything else is recorded here, before the answer leaves.
        record.close(&self.surroundings.ledger, outcome(&result)).await?;
        result
    }

    async fn decide_and_run<O: Op>(
        &self,
        record: &RequestRecord,
        request: Request<O>,
    ) -> Result<O::Outcome, Error> {
        let target = request.op.target();
        let caller = match self.authenticate(record, request.caller).await {
            // A stale token does not keep its holder from logging in again.
            Err(Error::Unauthenticated(NotProved::UnknownToken))
                if matches!(target, Target::Public | Target::Registration) =>
            {
                None
            }
            authenticated => authenticated?,
        };
        let (allowed, mounts) = self.grant(record, caller.as_ref(), O::CAPABILITY, target).await?;
        let deadline = self
            .surroundings
            .clock
            .monotonic()
            .plus(Duration::from_secs(limits::REQUEST_SECS));
        let surroundings = self.surroundings.clone();
        let permit = Permit::new(
            allowed,
            caller,
            request.source,
            mounts,
            record.clone(),
            surroundings,
            deadline,
        );
        request.op.run(self.engines.get::<O::Engine>()?, &permit).await
    }

    /// The caller behind `credential`; `None` when it shows none.
    async fn authenticate(
        &self,
        record: &RequestRecord,
        credential: Credential,
    ) -> Result<Option<Caller>, Error> {
        let (token, is_in_url) = match credential {
            Credential::None => return Ok(None),
            Credential::Token(token) => (token, false),
            Credential::TokenInUrl(token) => (token, true),
        };
        let found = self.caller(&token).await?;
        if let Some((_, Caller { subject, .. })) = &found {
            record.add(|record| record.set_principal(subject.id, subject.slug.as_str()));
        }
        match found {
            _ if is_in_url => Err(Error::Unauthenticated(NotProved::TokenInUrl)),
            None => Err(Error::Unauthenticated(NotProved::UnknownToken)),
            Some((key, caller)) => {
                self.renew(key, &caller.session).await?;
                Ok(Some(caller))
            }
        }
    }

    async fn caller(&self, token: &SecretText) -> Result<Option<(SessionKey, Caller)>, Error> {
        let Some(key) = SessionKey::of(token) else {
            return Ok(None);
        };
        let now = self.surroundings.clock.now();
        let session = self
            .sessions
            .find(key)
            .await?
            .filter(|session| session.record.term.is_live(now));
        let Some(session) = session else { return Ok(None) };
        let principal = self
            .surroundings
            .directory
            .by_id(session.record.principal)
            .await?;
        let began = session.record.term.created;
        let Some(principal) = principal.filter(|principal| principal.record.admits(began)) else {
            return Ok(None);
        };
        let subject = self.surroundings.directory.subject(&principal.record).await?;
        Ok(Some((key, Caller { subject, session })))
    }

    /// Moves the session's idle end, at most once an hour.
    async fn renew(&self, key: SessionKey, session: &Stored<Session>) -> Result<(), Error> {
        let now = self.surroundings.clock.now();
        let term = session
            .record
            .term
            .used(now, limits::SESSION_IDLE, limits::SESSION_EXTEND_EVERY);
        let Some(term) = term else { return Ok(()) };
        let mut change = Change::default();
        self.sessions.renew(&mut change, key, session, term)?;
        match internal::commit(
            &self.surroundings,
            "session.renew",
            Some(session.record.principal),
            change,
        )
        .await
        {
            // Another request of the session has just done it, or it must wait: it still ends when it should.
            Err(Error::Conflict(_) | Error::Full) => Ok(()),
            done => done,
        }
    }

    /// Decides about `target` and gives the mounts that the request may act on, in the order in which it names them.
    async fn grant(
        &self,
        record: &RequestRecord,
        caller: Option<&Caller>,
        capability: Capability,
        target: Target,
    ) -> Result<(Allowed, Vec<Mount>), Error> {
        let decided = |resource| {
            decide(caller.map(|caller| &caller.subject), capability, resource)
                .map_err(|denied| refuse(record, denied))
        };
        let open = self.settings.open_registration;
        let is_made = !matches!(target, Target::Mount(_));
        let hosts = match target {
            Target::Public => return Ok((decided(Resource::Public)?, Vec::new())),
            Target::Registration => return Ok((decided(Resource::Registration { open })?, Vec::new())),
            Target::Account => return Ok((decided(Resource::Account)?, Vec::new())),
            Target::Instance => return Ok((decided(Resource::Everything)?, Vec::new())),
            Target::EveryMount => None,
            Target::Mounts(hosts) => Some(hosts),
            Target::Mount(host) => Some(vec![host]),
        };
        let mut allowed = decided(Resource::OwnMount)?;
        let session = &caller
            .ok_or(Error::Unauthenticated(NotProved::Missing))?
            .session
            .record;
        record.add(|record| record.set_workspace(session.workspace));
        let own = self.mounts.by_id(session.workspace, session.mount).await?;
        let Some(hosts) = hosts else {
            return match decided(Resource::OtherMount) {
                Ok(every) => Ok((every, self.mounts.all(session.workspace).await?)),
                Err(_) => Ok((allowed, vec![own])),
            };
        };
        let mut mounts = Vec::with_capacity(hosts.len());
        for host in hosts {
            mounts.push(match host {
                Some(host) if !self.mounts.is_at(&own, &host) => {
                    allowed = decided(Resource::OtherMount)?;
                    if is_made {
                        self.mounts
                            .ensure(session.workspace, &host, session.principal)
                            .await?
                    } else {
                        self.mounts.by_host(session.workspace, &host).await?
                    }
                }
                _ => own.clone(),
            });
        }
        Ok((allowed, mounts))
    }
}

fn refuse(record: &RequestRecord, denied: Denied) -> Error {
    use strongroom_policy::Reason;
    record.add(|record| record.because(denied.reason().as_str()));
    match denied.reason() {
        Reason::NotLoggedIn => Error::Unauthenticated(NotProved::Missing),
        reason => Error::Denied(format!("this is not yours to do: {reason}")),
    }
}

/// The word of the ledger for how a request ended.
pub(crate) fn outcome<T>(result: &Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ok,
        Err(Error::Unauthenticated(_)) => Outcome::Unauthenticated,
        Err(Error::Denied(_)) => Outcome::Denied,
        Err(Error::NotFound(_)) => Outcome::NotFound,
        Err(Error::Conflict(_)) => Outcome::Conflict,
        Err(Error::Invalid { .. } | Error::TooLarge { .. }) => Outcome::Invalid,
        Err(Error::RateLimited { .. }) => Outcome::RateLimited,
        Err(
            Error::Unavailable(_)
            | Error::Full
            | Error::AuditUnavailable(_)
            | Error::Sealed
            | Error::NotInitialized,
        ) => Outcome::Unavailable,
        Err(Error::Internal(_)) => Outcome::Error,
    }
}
