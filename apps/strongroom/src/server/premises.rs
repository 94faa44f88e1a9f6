//! The ground that an instance's house stands on: its storage, its files, what opens its slots. From here an instance is
//! opened or made, and closed again, as often as somebody wants; the ground stays.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use strongroom_barrier::RootKey;
use strongroom_base::{InstanceId, limits};
use strongroom_core::house::{Site, SiteError};
use strongroom_core::slots::{SealParts, SealSlots, SlotHealth};
use strongroom_core::superblock::{Superblock, slots_key};
use strongroom_core::{Core, Engines, Foundations, NewInstance, Node, Room, Settings, Strictness};
use strongroom_engine_static::StaticEngine;
use strongroom_followers::{FollowerMetrics, Followers};
use strongroom_seal::{Reach, SealError, Slots};
use tokio::task::AbortHandle;

use super::boot::BootError;
use super::data_dir::{DataDir, DataDirError, Seat, copy_slots};
use super::keys::Keys;
use super::overdue::{self, Tally, Telling};
use crate::config::{Config, RefuseOverdue};

/// What stays when the seal closes.
pub(super) struct Premises {
    pub(super) config: Config,
    pub(super) foundations: Foundations,
    pub(super) keys: Arc<Keys>,
    pub(super) data_dir: DataDir,
    /// For the next opening alone.
    accept_restored: Mutex<Option<String>>,
    /// Which slots opened when they were last tried.
    pub(super) health: Arc<SlotHealth>,
    /// What the metrics tell of those who follow the ledger.
    pub(super) followers: FollowerMetrics,
    /// What they tell of what is overdue.
    pub(super) tally: Tally,
    tenants: Mutex<Option<Tenants>>,
}

/// What runs as long as the instance is open.
struct Tenants {
    _followers: Followers,
    _telling: Telling,
    slot_checks: AbortHandle,
}

impl Drop for Tenants {
    fn drop(&mut self) {
        self.slot_checks.abort();
    }
}

impl Premises {
    pub(super) fn new(
        config: &Config,
        foundations: Foundations,
        keys: Arc<Keys>,
        data_dir: DataDir,
    ) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            foundations,
            keys,
            data_dir,
            accept_restored: Mutex::new(config.accept_restored.clone()),
            health: Arc::default(),
            followers: FollowerMetrics::default(),
            tally: Tally::default(),
            tenants: Mutex::default(),
        })
    }

    /// Opens the instance with `root`, which `slot` gave.
    ///
    /// # Errors
    /// [`BootError`].
    pub(super) async fn open_core(
        &self,
        root: &RootKey,
        slot: u32,
        is_weak: bool,
    ) -> Result<Arc<Core>, BootError> {
        let storage = &*self.foundations.storage;
        let found = Superblock::find(storage).await?.ok_or(BootError::Lost)?;
        let place = place_in(&self.data_dir, found.instance(), self.foundations.node)?;
        let superblock = found.migrate(storage).await?;
        let mut foundations = self.foundations.clone();
        foundations.node = match place {
            Place::Has(node) => node,
            Place::Free => join(&self.data_dir, &foundations, root).await?,
        };
        self.data_dir.take_seat(Seat {
            instance: superblock.instance,
            node: foundations.node.id(),
        })?;
        let encoded = storage.get(slots_key().as_bytes()).await?;
        let encoded = encoded.ok_or(SealError::Slots)?.value;
        let accepted = self.accept_restored().clone();
        if let Some(reason) = accepted {
            Core::accept_restored(&foundations, root, &reason).await?;
            *self.accept_restored() = None;
        }
        let slots = self.seal_slots(superblock.instance, root.duplicate(), slot);
        let settings = self.settings(is_weak);
        let core = Core::open(foundations, &superblock, root, settings, engines(&slots)).await?;
        tell_of_other_slots(&self.data_dir, &encoded)?;
        self.data_dir.copy_slots(&encoded)?;
        self.settle_in(&core, slots)?;
        Ok(core)
    }

    /// Makes the instance `new`, whose root key `slot` gives, and opens it.
    ///
    /// # Errors
    /// [`BootError`].
    pub(super) async fn make_core(
        &self,
        new: NewInstance,
        slot: u32,
        is_weak: bool,
    ) -> Result<Arc<Core>, BootError> {
        self.data_dir.discard_unfinished_start()?;
        let slots = self.seal_slots(new.id, new.root.duplicate(), slot);
        let (foundations, settings) = (self.foundations.clone(), self.settings(is_weak));
        let (encoded, instance, node) = (new.slots.clone(), new.id, foundations.node.id());
        let core = Core::create(foundations, new, settings, engines(&slots)).await?;
        self.data_dir.take_seat(Seat { instance, node })?;
        self.data_dir.copy_slots(&encoded)?;
        self.settle_in(&core, slots)?;
        Ok(core)
    }

    /// Starts what runs as long as the instance is open.
    fn settle_in(&self, core: &Arc<Core>, slots: SealSlots) -> Result<(), BootError> {
        let followers = Followers::start(
            core.ledger(),
            &self.config.witnesses,
            &self.config.copies,
            self.data_dir.path(),
            &self.followers,
        )?;
        let telling = overdue::start(core, &self.config.webhooks, &self.tally)?;
        let slot_checks = tokio::spawn(check_slots(slots)).abort_handle();
        *self.tenants() = Some(Tenants {
            _followers: followers,
            _telling: telling,
            slot_checks,
        });
        Ok(())
    }

    /// The slots of `instance`, of which `opened_by` gave its root key.
    fn seal_slots(&self, instance: InstanceId, root: RootKey, opened_by: u32) -> SealSlots {
        let data_dir = self.foundations.data_dir.clone();
        let parts = SealParts {
            instance,
            root,
            opened_by,
            storage: self.foundations.storage.clone(),
            reach: self.keys.clone(),
            rng: self.foundations.rng.clone(),
            copy: Arc::new(move |slots: &[u8]| copy_slots(&data_dir, slots)),
        };
        SealSlots::with_health(parts, self.health.clone())
    }

    fn settings(&self, has_weak_key: bool) -> Settings {
        Settings {
            open_registration: self.config.open_registration,
            is_secure: !has_weak_key,
            strictness: match self.config.refuse_overdue {
                RefuseOverdue::Never => Strictness::Serve,
                RefuseOverdue::Expired => Strictness::RefuseExpired,
                RefuseOverdue::All => Strictness::RefuseOverdue,
            },
        }
    }

    fn accept_restored(&self) -> MutexGuard<'_, Option<String>> {
        self.accept_restored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn tenants(&self) -> MutexGuard<'_, Option<Tenants>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Site for Premises {
    async fn slots(&self) -> Result<Option<(InstanceId, Slots)>, SiteError> {
        let storage = &*self.foundations.storage;
        let Some(found) = Superblock::find(storage).await? else {
            return Ok(None);
        };
        let row = storage.get(slots_key().as_bytes()).await?;
        let slots = Slots::from_bytes(&row.ok_or(SealError::Slots)?.value)?;
        Ok(Some((found.instance(), slots)))
    }

    fn reach(&self) -> &dyn Reach {
        &*self.keys
    }

    async fn open(&self, root: &RootKey, slot: u32, is_weak: bool) -> Result<Arc<Core>, SiteError> {
        Ok(self.open_core(root, slot, is_weak).await?)
    }

    async fn make(&self, new: NewInstance, slot: u32, is_weak: bool) -> Result<Arc<Core>, SiteError> {
        Ok(self.make_core(new, slot, is_weak).await?)
    }

    fn left(&self) {
        drop(self.tenants().take());
    }

    fn is_encrypted(&self) -> bool {
        self.config.tls.is_some()
    }
}

/// What a data directory is to the instance in storage.
pub(super) enum Place {
    /// It is of this node.
    Has(Node),
    /// It is of none, and can become one.
    Free,
}

/// What `data_dir` is to the instance in a storage that is shared, or not, as `node` says.
pub(super) fn place_in(data_dir: &DataDir, instance: InstanceId, node: Node) -> Result<Place, BootError> {
    let dir = || data_dir.path().to_owned();
    let seat = data_dir.seat()?;
    match (node, seat) {
        // Storage is in the directory itself. What else is wrong with it, the ledger says.
        (Node::Only, _) => Ok(Place::Has(Node::Only)),
        (Node::OneOf(_), Some(seat)) if seat.instance == instance => Ok(Place::Has(Node::OneOf(seat.node))),
        (Node::OneOf(_), _) if !data_dir.was_an_instance() => Ok(Place::Free),
        (Node::OneOf(_), Some(seat)) => Err(BootError::OtherInstance {
            dir: dir(),
            there: seat.instance,
            here: instance,
        }),
        (Node::OneOf(_), None) => Err(BootError::NoSeat(dir())),
    }
}

/// Makes `data_dir` that of a further node.
async fn join(data_dir: &DataDir, foundations: &Foundations, root: &RootKey) -> Result<Node, BootError> {
    if foundations.space.room() != Room::Plenty {
        return Err(BootError::NoRoom);
    }
    data_dir.discard_unfinished_start()?;
    let Foundations {
        storage, clock, rng, ..
    } = foundations;
    Ok(Node::OneOf(Core::join(storage, root, &**clock, rng).await?))
}

/// The engines of this program.
fn engines(slots: &SealSlots) -> Engines {
    Engines::new(StaticEngine)
        .tending(StaticEngine)
        .with(StaticEngine)
        .with(slots.clone())
}

/// Tries the slots that open unattended, now and once a day: what opens the instance may be lost long before the next
/// start.
async fn check_slots(slots: SealSlots) {
    loop {
        if let Err(error) = slots.check_unattended().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the seal slots could not be tried");
        }
        tokio::time::sleep(limits::SLOT_CHECK_EVERY.into()).await;
    }
}

/// Storage has the slots that count. A copy beside it that says something else is of a crash, or somebody changed one of
/// both: it is kept, and told.
fn tell_of_other_slots(data_dir: &DataDir, slots: &[u8]) -> Result<(), DataDirError> {
    let Some(other) = data_dir.set_other_slots_aside(slots)? else {
        return Ok(());
    };
    let ids = |encoded| match Slots::from_bytes(encoded) {
        Ok(slots) => slots
            .iter()
            .map(|slot| slot.id().to_string())
            .collect::<Vec<_>>()
            .join(", "),
        Err(_) => "none that can be read".to_owned(),
    };
    let kept = data_dir.other_slots();
    tracing::warn!(
        storage = ids(slots),
        copy = ids(&other),
        kept = %kept.display(),
        "the copy of the seal slots is not what storage has: the slots of storage are used, and the copy is kept aside"
    );
    Ok(())
}
