//! The house that an instance lives in, whatever state it is in: not made yet, sealed, or open. The dialects hold the
//! house; only an open one has a [`Core`], and keys with it.
//!
//! While it is not open, every request is refused and leaves a record without anything sensitive. What can be asked of it
//! all the same are [`Errand`]s: they need no instance, and most of them no caller who has proved itself.

mod door;
mod errands;
mod founding;
mod recovery;
mod site;
mod watch;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use futures::FutureExt;
use strongroom_barrier::RootKey;
use strongroom_base::{Clock, RequestId, Rng, limits};
use strongroom_ledger::{Outcome, PublishError, Record, Standby};
use strongroom_sdk::{Error, Op, Space};
use tokio::time::timeout;

pub use errands::{Errand, NoErrand, Recover, SealShown, ShowSeal, Unseal, Visit};
pub use founding::{Founded, Initialize};
pub use recovery::{Recovered, Recovery};
pub use site::{Site, SiteError};
pub use strongroom_seal::Waiting;

use crate::gate::outcome;
use crate::operators::SealInstance;
use crate::{Core, Foundations, Request, internal};
use door::Door;
pub(crate) use door::share_refusal;
use site::NoSite;

/// An instance's house.
pub struct House {
    site: Arc<dyn Site>,
    stay: ArcSwapOption<Stay>,
    standby: Standby,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    space: Arc<Space>,
    door: Mutex<Door>,
    /// Opening, closing and founding take turns.
    turn: tokio::sync::Mutex<()>,
    /// One passphrase at a time: each takes a core and much memory.
    stretching: tokio::sync::Mutex<()>,
    is_made: AtomicBool,
    /// Whoever closed it does not want it to open by itself.
    was_closed: AtomicBool,
    /// What keeps it from opening by itself.
    problems: Mutex<Vec<String>>,
}

/// An open instance. Each request holds it as long as it runs.
struct Stay {
    core: Arc<Core>,
    /// Nobody sends: whoever waits learns that all are gone when this is.
    left: tokio::sync::watch::Sender<()>,
}

impl House {
    /// A closed house on `foundations`, for an instance that `site` opens or makes. `is_made` says whether there is one.
    #[must_use]
    pub fn new(foundations: &Foundations, site: Arc<dyn Site>, is_made: bool) -> Arc<Self> {
        let Foundations {
            journal,
            clock,
            rng,
            space,
            ..
        } = foundations;
        Arc::new(Self {
            site,
            stay: ArcSwapOption::empty(),
            standby: Standby::new(journal.clone(), clock.clone(), rng.clone()),
            clock: clock.clone(),
            rng: rng.clone(),
            space: space.clone(),
            door: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            stretching: tokio::sync::Mutex::default(),
            is_made: AtomicBool::new(is_made),
            was_closed: AtomicBool::new(false),
            problems: Mutex::default(),
        })
    }

    /// A house in which `core` is open, and which cannot open anything else: for programs that keep an instance in
    /// themselves.
    ///
    /// # Errors
    /// As [`House::move_in`].
    pub fn around(foundations: &Foundations, core: Arc<Core>) -> Result<Arc<Self>, Error> {
        let house = Self::new(foundations, Arc::new(NoSite), true);
        house.move_in(core)?;
        Ok(house)
    }

    /// Has the gate answer `request`, if the instance is open.
    ///
    /// # Errors
    /// [`Error::Sealed`], [`Error::NotInitialized`]; what [`Core::call`] says.
    pub async fn call<O: Op>(&self, request: Request<O>) -> Result<O::Outcome, Error> {
        if let Some(stay) = self.stay.load_full() {
            return stay.core.call(request).await;
        }
        self.space.answers()?;
        let record = Record::open(request.id, O::NAME, self.clock.now(), request.source.clone());
        self.record(record, Outcome::Unavailable).await?;
        Err(self.closed())
    }

    /// Runs `errand` for who came as `visit`, and leaves a record of it.
    ///
    /// # Errors
    /// The errand's own; [`Error::AuditUnavailable`], which withholds the answer.
    pub async fn attend<E: Errand>(self: &Arc<Self>, visit: Visit, errand: E) -> Result<E::Outcome, Error> {
        // A stranger who hangs up must not get out of being counted, throttled and recorded.
        let house = self.clone();
        let running = tokio::spawn(async move { house.run(visit, errand).await });
        running.await.map_err(Error::internal)?
    }

    async fn run<E: Errand>(self: &Arc<Self>, visit: Visit, errand: E) -> Result<E::Outcome, Error> {
        self.space.answers()?;
        let record = Record::open(visit.id, E::NAME, self.clock.now(), visit.source.clone());
        let result = AssertUnwindSafe(errand.run(self, &visit)).catch_unwind().await;
        let result = result.unwrap_or_else(|_| Err(Error::internal("a panic, logged where it happened")));
        self.record(record, outcome(&result)).await?;
        result
    }

    /// Seals the instance for an admin: nothing new is answered, what is in flight ends, the ledger is published, and the
    /// keys are dropped. It does not open by itself again before a restart.
    ///
    /// # Errors
    /// Those of the gate.
    pub async fn seal(self: Arc<Self>, request: Request<SealInstance>) -> Result<(), Error> {
        self.call(request).await?;
        // It is done, whether the caller waits for it or not.
        let closing = tokio::spawn(async move {
            let _turn = self.turn.lock().await;
            let closed = self.close().await;
            tracing::info!("the seal is closed: nothing is answered until it is opened again");
            closed
        });
        closing.await.map_err(Error::internal)?.map_err(Error::internal)
    }

    /// Whether the instance is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stay.load().is_some()
    }

    /// Whether there is an instance, as far as this house knows.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.is_made.load(Ordering::Relaxed)
    }

    /// Lets the open instance `core` in.
    ///
    /// # Errors
    /// [`Error::AuditUnavailable`] when what was recorded so far cannot be made durable.
    pub fn move_in(&self, core: Arc<Core>) -> Result<(), Error> {
        self.standby
            .relieve()
            .map_err(|error| Error::AuditUnavailable(error.into()))?;
        let left = tokio::sync::watch::Sender::default();
        self.stay.store(Some(Arc::new(Stay { core, left })));
        self.is_made.store(true, Ordering::Relaxed);
        *self.door() = Door::default();
        self.problems().clear();
        Ok(())
    }

    /// Publishes what waits for the ledger and closes the house, as the server stops.
    ///
    /// # Errors
    /// [`PublishError`]: something still waits, and is safe where it is.
    pub async fn shutdown(&self) -> Result<(), PublishError> {
        let _turn = self.turn.lock().await;
        self.close().await
    }

    async fn close(&self) -> Result<(), PublishError> {
        self.was_closed.store(true, Ordering::Relaxed);
        let Some(stay) = self.stay.swap(None) else {
            if let Err(error) = self.standby.relieve() {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "what was recorded while sealed is not all durable");
            }
            return Ok(());
        };
        let (core, mut others) = (stay.core.clone(), stay.left.subscribe());
        drop(stay);
        // It fails when the last request has dropped its hold.
        if timeout(limits::SEAL_DRAIN.into(), others.changed())
            .await
            .is_err()
        {
            tracing::warn!("requests are still in flight: the keys are dropped when the last of them ends");
        }
        self.site.left();
        core.shutdown().await
    }

    /// Opens the instance with `root`, which slot `slot` gave.
    async fn open(&self, root: &RootKey, slot: u32, is_weak: bool) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        if self.is_open() {
            return Ok(());
        }
        let core = self
            .site
            .open(root, slot, is_weak)
            .await
            .map_err(Error::internal)?;
        let noted = internal::leave(&core.surroundings, "seal.open", &format!("slot {slot}")).await;
        let moved = noted.and_then(|()| self.move_in(core.clone()));
        if moved.is_err() {
            self.site.left();
            let _ = core.shutdown().await; // what keeps it from ending well has been told by `moved`
        } else {
            tracing::info!(slot, "the seal is open");
        }
        moved
    }

    /// What a request learns while the house is closed.
    fn closed(&self) -> Error {
        if self.is_made() {
            Error::Sealed
        } else {
            Error::NotInitialized
        }
    }

    fn core(&self) -> Option<Arc<Stay>> {
        self.stay.load_full()
    }

    /// Leaves `record` where records go now.
    async fn record(&self, record: Record, outcome: Outcome) -> Result<(), Error> {
        let left = match self.core() {
            Some(stay) => stay.core.surroundings.ledger.close(record, outcome).await,
            None => self.standby.close(&record, outcome),
        };
        left.map_err(|error| Error::AuditUnavailable(error.into()))
    }

    fn new_id(&self) -> RequestId {
        RequestId::generate(&*self.clock, &*self.rng)
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn problems(&self) -> MutexGuard<'_, Vec<String>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
