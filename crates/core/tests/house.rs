//! A house and its states, in this process: who may make an instance, and that nobody holds its keys once it is sealed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use strongroom_barrier::RootKey;
use strongroom_base::{Clock, InstanceId, ManualClock, RequestId, Rng, SystemRng};
use strongroom_core::accounts::WhoAmI;
use strongroom_core::house::{Founded, House, Initialize, ShowSeal, Site, SiteError, Unseal, Visit};
use strongroom_core::operators::SealInstance;
use strongroom_core::superblock::{Superblock, slots_key};
use strongroom_core::{
    Core, Credential, Engines, Foundations, NewInstance, Node, Request, Room, Settings, Space,
};
use strongroom_engine_static::StaticEngine;
use strongroom_ledger::Journal;
use strongroom_sdk::{Error, NotProved};
use strongroom_seal::{Given, Reach, Seal, SlotKind, Slots, Unreached};
use strongroom_secret::SecretText;
use strongroom_storage::{Embedded, Memory};
use tempfile::TempDir;

const HERE: &str = "127.0.0.1";
const ELSEWHERE: &str = "192.0.2.7";

/// Ground in memory, whose slots open by nothing but shares.
struct Lot {
    foundations: Foundations,
    is_encrypted: bool,
    /// The instance that was open last.
    last: Mutex<Weak<Core>>,
    _folder: TempDir,
}

impl Lot {
    fn new(is_encrypted: bool, space: Space) -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal")).unwrap();
        let companion = Arc::new(journal.sync_handle());
        Arc::new(Self {
            foundations: Foundations {
                data_dir: folder.path().to_owned(),
                storage: Arc::new(Embedded::open(Memory::default(), companion).unwrap()),
                node: Node::Only,
                journal,
                clock: Arc::new(ManualClock::default()),
                rng: Arc::new(SystemRng::default()),
                space: Arc::new(space),
            },
            is_encrypted,
            last: Mutex::default(),
            _folder: folder,
        })
    }

    fn house(self: &Arc<Self>) -> Arc<House> {
        House::new(&self.foundations, self.clone(), false)
    }

    fn moved(&self, core: Arc<Core>) -> Arc<Core> {
        *self.last.lock().unwrap() = Arc::downgrade(&core);
        core
    }
}

#[async_trait]
impl Reach for Lot {
    async fn prepare(&self, _: InstanceId, _: u32, _: &SlotKind) -> Result<(), Unreached> {
        Err(Unreached::Stopping)
    }

    fn place(&self, _: InstanceId, _: u32, kind: &SlotKind) -> String {
        kind.opens_by()
    }

    async fn reach(
        &self,
        _: InstanceId,
        _: u32,
        _: &SlotKind,
        _: &Given,
    ) -> Result<Arc<dyn Seal>, Unreached> {
        Err(Unreached::Stopping)
    }
}

fn engines() -> Engines {
    Engines::new(StaticEngine).with(StaticEngine)
}

#[async_trait]
impl Site for Lot {
    async fn slots(&self) -> Result<Option<(InstanceId, Slots)>, SiteError> {
        let storage = &*self.foundations.storage;
        let Some(found) = Superblock::find(storage).await? else {
            return Ok(None);
        };
        let row = storage.get(slots_key().as_bytes()).await?.unwrap();
        Ok(Some((found.instance(), Slots::from_bytes(&row.value)?)))
    }

    fn reach(&self) -> &dyn Reach {
        self
    }

    async fn open(&self, root: &RootKey, _: u32, _: bool) -> Result<Arc<Core>, SiteError> {
        let storage = &*self.foundations.storage;
        let superblock = Superblock::find(storage).await?.unwrap().migrate(storage).await?;
        let (foundations, settings) = (self.foundations.clone(), Settings::default());
        Ok(self.moved(Core::open(foundations, &superblock, root, settings, engines()).await?))
    }

    async fn make(&self, new: NewInstance, _: u32, _: bool) -> Result<Arc<Core>, SiteError> {
        let (foundations, settings) = (self.foundations.clone(), Settings::default());
        Ok(self.moved(Core::create(foundations, new, settings, engines()).await?))
    }

    fn left(&self) {}

    fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }
}

fn id() -> RequestId {
    let (clock, rng): (&dyn Clock, &dyn Rng) = (&ManualClock::default(), &SystemRng::default());
    RequestId::generate(clock, rng)
}

fn from(source: &str) -> Visit {
    Visit {
        id: id(),
        source: source.into(),
    }
}

fn wish() -> Initialize {
    Initialize {
        shares: 3,
        threshold: 2,
        slots: Vec::new(),
        admin: "admin".to_owned(),
    }
}

async fn found(lot: &Arc<Lot>, source: &str) -> Result<(Arc<House>, Founded), Error> {
    let house = lot.house();
    let founded = house.attend(from(source), wish()).await?;
    Ok((house, founded))
}

fn request<O>(token: &SecretText, op: O) -> Request<O> {
    Request {
        id: id(),
        caller: Credential::Token(SecretText::new(token.expose().to_owned())),
        source: ELSEWHERE.into(),
        op,
    }
}

fn who_am_i() -> WhoAmI {
    WhoAmI {
        count_sessions: false,
    }
}

#[tokio::test]
async fn shares_do_not_cross_the_network_readable() {
    for (is_encrypted, source, may) in [
        (false, HERE, true),
        (false, "::1", true),
        (false, ELSEWHERE, false),
        (false, "unknown", false),
        (true, ELSEWHERE, true),
    ] {
        let lot = Lot::new(is_encrypted, Space::default());
        let made = found(&lot, source).await;
        assert_eq!(made.is_ok(), may, "{source}");
        if let Err(error) = made {
            assert!(
                matches!(&error, Error::Denied(text) if text.contains("TLS")),
                "{error}"
            );
            assert!(lot.slots().await.unwrap().is_none(), "nothing was made");
        }
    }
}

#[tokio::test]
async fn a_full_disk_takes_no_new_instance() {
    let space = Space::default();
    space.set(Room::Scarce, 0);
    let lot = Lot::new(false, space);
    assert!(matches!(found(&lot, HERE).await, Err(Error::Full)));
    assert!(lot.slots().await.unwrap().is_none());
}

#[tokio::test]
async fn a_sealed_house_holds_no_key_and_opens_again() {
    let lot = Lot::new(false, Space::default());
    let (house, founded) = found(&lot, HERE).await.ok().unwrap();
    let token = &founded.root_token;
    for round in 0..3 {
        assert!(house.call(request(token, who_am_i())).await.is_ok(), "{round}");
        let again = house.attend(from(HERE), wish()).await;
        assert!(matches!(again, Err(Error::Conflict(_))), "there is one already");
        let stranger = request(&SecretText::new("unknown".into()), SealInstance);
        let refused = house.clone().seal(stranger).await;
        assert!(matches!(
            refused,
            Err(Error::Unauthenticated(NotProved::UnknownToken))
        ));
        assert!(house.is_open());

        house.clone().seal(request(token, SealInstance)).await.unwrap();
        assert!(
            lot.last.lock().unwrap().upgrade().is_none(),
            "nobody has the core, and its keys, any more"
        );
        assert!(matches!(
            house.call(request(token, who_am_i())).await,
            Err(Error::Sealed)
        ));
        let shown = house.attend(from(ELSEWHERE), ShowSeal).await.unwrap();
        assert!(shown.is_initialized && shown.is_sealed && shown.problems.is_empty());

        for share in &founded.shares[1..] {
            let share = SecretText::new(share.expose().to_owned());
            house.attend(from(ELSEWHERE), Unseal::Share(share)).await.unwrap();
        }
        assert!(house.is_open());
    }
    house.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_only_this_machine_is_told() {
    let lot = Lot::new(false, Space::default());
    let house = lot.house();
    assert!(!house.open_unattended().await);
    let shown = house.attend(from(HERE), ShowSeal).await.unwrap();
    assert!(
        !shown.is_initialized && shown.problems.is_empty(),
        "none is expected to open"
    );
    let unseal = Unseal::Share(SecretText::new("srshare1-aaaaaa".into()));
    let refused = house.attend(from(HERE), unseal).await;
    assert!(matches!(refused, Err(Error::NotInitialized)));
}
