//! An instance in this process: real but for its storage, which is memory, and its clock, which a test moves.

use std::sync::Arc;

use strongroom_barrier::RootKey;
use strongroom_base::{Clock, InstanceId, ManualClock, RequestId, Rng, Slug, SystemRng, Timestamp};
use strongroom_core::accounts::{Login, Register};
use strongroom_core::inspection::Inspection;
use strongroom_core::superblock::Superblock;
use strongroom_core::{
    Core, Credential, Engines, Foundations, NewInstance, Node, OpenError, OverdueSecret, Request, Settings,
    Strictness, TokenForm,
};
use strongroom_engine_static::StaticEngine;
use strongroom_ledger::Journal;
use strongroom_sdk::{Error, Op, RowKeeper};
use strongroom_secret::{Key, SecretText};
use strongroom_storage::Storage;
use tempfile::TempDir;

use crate::slots::{Copies, Pocket, engine, first_slot};

/// 2026-01-01T00:00:00Z.
const BIRTH: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const SETTINGS: Settings = Settings {
    open_registration: true,
    is_secure: true,
    strictness: Strictness::RefuseOverdue,
};
const PASSWORD: &str = "correct horse battery";

/// Tokens that differ in the claims that every dialect has.
pub(crate) const FORM: TokenForm = TokenForm::Jwt(|facts| {
    [("jti".to_owned(), facts.lease.to_string().into())]
        .into_iter()
        .collect()
});

/// The instance. Its first administrator is `admin`, and anyone may register.
pub(crate) struct House {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) instance: InstanceId,
    /// What opens its slots.
    pub(crate) pocket: Arc<Pocket>,
    /// The copies of its slots that were made.
    pub(crate) copies: Copies,
    core: Arc<Core>,
    rng: Arc<SystemRng>,
    storage: Arc<dyn Storage>,
    root: Key,
    dir: TempDir,
    node: Node,
}

impl House {
    /// A new instance in `storage`, which is empty.
    pub(crate) async fn on(storage: Arc<dyn Storage>) -> Self {
        Self::of_node(storage, Node::Only).await
    }

    /// A new instance in `storage`, which is empty, and may be shared.
    pub(crate) async fn of_node(storage: Arc<dyn Storage>, node: Node) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, rng) = (Arc::new(ManualClock::at(BIRTH)), Arc::new(SystemRng::default()));
        let foundations = Foundations {
            data_dir: dir.path().to_owned(),
            storage: storage.clone(),
            node,
            journal: Journal::open(&dir.path().join("journal")).unwrap(),
            clock: clock.clone(),
            rng: rng.clone(),
            space: Arc::default(),
        };
        let root = Key::fill(|key| rng.fill(key));
        let instance = InstanceId::generate(&*clock, &*rng);
        let root_key = || RootKey::from_key(Key::from_slice(root.expose()).unwrap());
        let (pocket, copies) = (Arc::<Pocket>::default(), Copies::default());
        let slots = first_slot(instance, &root_key(), &pocket).await;
        let sealed = engine(
            instance,
            root_key(),
            storage.clone(),
            pocket.clone(),
            copies.clone(),
        );
        let new = NewInstance {
            id: instance,
            root: root_key(),
            slots: slots.to_bytes().unwrap(),
            admin: Slug::new("admin").unwrap(),
            password: SecretText::new(PASSWORD.to_owned()),
        };
        let engines = Engines::new(StaticEngine)
            .tending(StaticEngine)
            .with(sealed)
            .with(StaticEngine);
        let core = Core::create(foundations, new, SETTINGS, engines).await.unwrap();
        Self {
            clock,
            instance,
            pocket,
            copies,
            core,
            rng,
            storage,
            root,
            dir,
            node,
        }
    }

    /// A further node of the same instance, which reaches its storage through `storage`. Its clock is its own.
    pub(crate) async fn join(&self, storage: Arc<dyn Storage>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(self.clock.now()));
        let rng: Arc<dyn Rng> = self.rng.clone();
        let root = || RootKey::from_key(Key::from_slice(self.root.expose()).unwrap());
        let node = Core::join(&storage, &root(), &*clock, &rng).await.unwrap();
        let node = Node::OneOf(node);
        let foundations = Foundations {
            data_dir: dir.path().to_owned(),
            storage: storage.clone(),
            node,
            journal: Journal::open(&dir.path().join("journal")).unwrap(),
            clock: clock.clone(),
            rng,
            space: Arc::default(),
        };
        let superblock = self.superblock().await;
        let engines = Engines::new(StaticEngine).with(StaticEngine);
        let core = Core::open(foundations, &superblock, &root(), SETTINGS, engines)
            .await
            .unwrap();
        Self {
            clock,
            instance: self.instance,
            pocket: self.pocket.clone(),
            copies: self.copies.clone(),
            core,
            rng: self.rng.clone(),
            storage,
            root: Key::from_slice(self.root.expose()).unwrap(),
            dir,
            node,
        }
    }

    /// Stops the instance, so that it can be looked at; the directory must be kept as long.
    pub(crate) async fn rest(self) -> (Inspection, TempDir) {
        self.core.shutdown().await.unwrap();
        let (foundations, superblock) = (self.foundations(), self.superblock().await);
        let root = RootKey::from_key(self.root);
        let engines: Vec<Box<dyn RowKeeper>> = vec![Box::new(StaticEngine)];
        let inspection = Inspection::open(foundations, &superblock, &root, engines, &[])
            .await
            .unwrap();
        (inspection, self.dir)
    }

    /// The instance opens with `root` from now on.
    pub(crate) fn set_root(&mut self, root: &[u8]) {
        self.root = Key::from_slice(root).unwrap();
    }

    /// Stops the instance and opens it again, after `meanwhile`.
    pub(crate) async fn reopened(mut self, meanwhile: impl FnOnce()) -> Result<Self, OpenError> {
        self.core.shutdown().await.unwrap();
        meanwhile();
        let superblock = self.superblock().await;
        let root = RootKey::from_key(Key::from_slice(self.root.expose()).unwrap());
        let engines = Engines::new(StaticEngine).with(StaticEngine);
        self.core = Core::open(self.foundations(), &superblock, &root, SETTINGS, engines).await?;
        Ok(self)
    }

    fn foundations(&self) -> Foundations {
        Foundations {
            data_dir: self.dir.path().to_owned(),
            storage: self.storage.clone(),
            node: self.node,
            journal: Journal::open(&self.dir.path().join("journal")).unwrap(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
            space: Arc::default(),
        }
    }

    async fn superblock(&self) -> Superblock {
        let found = Superblock::find(&*self.storage).await.unwrap().unwrap();
        found.migrate(&*self.storage).await.unwrap()
    }

    /// Which node it is.
    pub(crate) fn node(&self) -> Node {
        self.node
    }

    /// What becomes of `op` when the holder of `token` asks for it.
    pub(crate) async fn call<O: Op>(&self, token: &str, op: O) -> Result<O::Outcome, Error> {
        self.ask(Credential::Token(SecretText::new(token.to_owned())), op)
            .await
    }

    /// Does what is due, and gives what is overdue.
    pub(crate) async fn tend(&self) -> Vec<OverdueSecret> {
        self.core.tend().await.unwrap();
        self.core.overdue().borrow().to_vec()
    }

    /// How many rows the secrets of the default workspace have, named and ordered.
    pub(crate) async fn rows_of_secrets(&self) -> usize {
        let mut count = 0;
        for plane in [2, 3] {
            let workspace = vec![plane, 0, 0, 0, 1]..vec![plane, 0, 0, 0, 2];
            count += self
                .storage
                .keys(workspace, None, usize::MAX)
                .await
                .unwrap()
                .len();
        }
        count
    }

    /// The token of a new session of `slug`.
    pub(crate) async fn log_in(&self, slug: &str) -> String {
        let op = Login {
            host: "unnamed".to_owned(),
            slug: slug.to_owned(),
            password: SecretText::new(PASSWORD.to_owned()),
            device: String::new(),
            form: FORM,
        };
        self.ask(Credential::None, op)
            .await
            .unwrap()
            .token
            .expose()
            .to_owned()
    }

    /// Makes the account `slug`; gives the token of its first session.
    pub(crate) async fn register(&self, slug: &str) -> String {
        let op = Register {
            host: "unnamed".to_owned(),
            slug: slug.to_owned(),
            name: String::new(),
            password: SecretText::new(PASSWORD.to_owned()),
            device: String::new(),
            form: FORM,
        };
        self.ask(Credential::None, op)
            .await
            .unwrap()
            .token
            .expose()
            .to_owned()
    }

    async fn ask<O: Op>(&self, caller: Credential, op: O) -> Result<O::Outcome, Error> {
        let (clock, rng): (&dyn Clock, &dyn Rng) = (&*self.clock, &*self.rng);
        let request = Request {
            id: RequestId::generate(clock, rng),
            caller,
            source: "192.0.2.7".into(),
            op,
        };
        self.core.call(request).await
    }
}
