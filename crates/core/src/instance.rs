//! How an instance is made, opened and closed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_auth_password::{Passwords, SetError};
use strongroom_barrier::{Barrier, BarrierError, Kind, Place, RootKey};
use strongroom_base::{Clock, InstanceId, MountId, NodeId, RequestId, Rng, Slug, WorkspaceId, limits};
use strongroom_identity::{Directory, Invitations, Principal, SLUGS, Sessions};
use strongroom_ledger::{
    Config, FieldCipher, Journal, Ledger, LedgerRow, OpenedLedger, Origin, Outcome, PublishError, ReadError,
    Record as AuditRecord, SealError,
};
use strongroom_policy::{Role, Strictness};
use strongroom_sdk::{Error, RowAtRest, RowFlaw, RowKeeper, Space, Surroundings, Ties};
use strongroom_secret::{Key, SecretBytes, SecretText};
use strongroom_storage::{Change, CommitError, Precondition, Storage, Unavailable};
use strongroom_tlog::{NoteError, Signer};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::accounts::Accounts;
use crate::audit::Audit;
use crate::chores::{Chores, heart};
use crate::generation::{FIRST_GENERATION, LedgerKeyRecord, ledger_key, refuse_rollback};
use crate::inspection::NotALog;
use crate::keys::{Keys, Rewrapper};
use crate::mounts::{self, Mounts, PATHS};
use crate::nodes::{Node, NodeRecord, is_bookkeeping, node_key};
use crate::operators::Operators;
use crate::superblock::{LastCheckpoint, Superblock, SuperblockError, slots_key, superblock_key};
use crate::tokens::{TokenKey, TokenKeyRecord};
use crate::upkeep::Upkeeper;
use crate::{Core, Engines, keys};

/// The app that 1Backend clients use when they name none.
pub const UNNAMED_APP: &str = "unnamed";

/// What an instance stands on.
#[derive(Clone)]
pub struct Foundations {
    /// Where its data is: the ledger and the journal lie here.
    pub data_dir: PathBuf,
    /// Its storage.
    pub storage: Arc<dyn Storage>,
    /// Which of its nodes this is.
    pub node: Node,
    /// Its journal, opened before storage because storage syncs it.
    pub journal: Arc<Journal>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// How much room the disk has.
    pub space: Arc<Space>,
}

/// What a new instance begins with.
pub struct NewInstance {
    /// Its id.
    pub id: InstanceId,
    /// Its root key.
    pub root: RootKey,
    /// Its seal slots, encoded: they wrap `root`.
    pub slots: Vec<u8>,
    /// The slug of its first admin.
    pub admin: Slug,
    /// That admin's password.
    pub password: SecretText,
}

/// What the operator decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Whether anyone may register.
    pub open_registration: bool,
    /// Whether the seal key is one that nobody can guess.
    pub is_secure: bool,
    /// Which overdue secrets are not served.
    pub strictness: Strictness,
}

/// Why an instance does not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The root key or a record of the instance.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// Storage cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The first commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The audit ledger.
    #[error(transparent)]
    Ledger(#[from] strongroom_ledger::OpenError),
    /// The first record cannot be written.
    #[error(transparent)]
    Record(#[from] strongroom_ledger::LedgerError),
    /// The ledger's key.
    #[error("the ledger's signing key does not work")]
    LedgerKey(#[from] NoteError),
    /// The admin's password.
    #[error("the admin's password {0}")]
    Password(#[from] SetError),
    /// The superblock.
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
    /// Storage does not know this node.
    #[error(
        "storage has no readable record of node {0}: give the --data of a node that it has, or an empty folder to join \
         as a new one"
    )]
    NoNode(NodeId),
    /// Every start with an empty data directory makes a node.
    #[error(
        "the instance has had {} nodes, and can have no more: give the --data of one of them",
        limits::NODES
    )]
    TooManyNodes,
    /// A folder is not what the operator takes it for.
    #[error("`{}` cannot be used as a further ledger: {why}", .dir.display())]
    FurtherLedger {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        why: NotALog,
    },
    /// Somebody else made an instance in this storage at the same moment.
    #[error("another server has just made an instance in this storage: start again to join it")]
    Made,
    /// A fault of ours.
    #[error(transparent)]
    Internal(#[from] Error),
    /// Storage knows more of the ledger than the ledger does.
    #[error(
        "the ledger has {ledger} entries and storage knows of {storage}: the ledger is older than storage, or was cut"
    )]
    LedgerRolledBack {
        /// Entries that the ledger has.
        ledger: u64,
        /// Entries that storage knows of.
        storage: u64,
    },
    /// The ledger is not the one that storage knows.
    #[error(
        "the ledger does not continue the {storage} entries that storage knows of: it was rewritten, or is of another \
         history"
    )]
    LedgerRewritten {
        /// Entries that storage knows of.
        storage: u64,
    },
    /// The published ledger.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger knows of changes that storage does not have.
    #[error(
        "storage is at revision {storage} and the ledger knows of {ledger}: storage is older than the ledger"
    )]
    StorageRolledBack {
        /// The revision of storage.
        storage: u64,
        /// The newest revision in the ledger.
        ledger: u64,
    },
}

impl OpenError {
    /// Whether ledger, journal and storage do not fit together, as after the restore of a backup.
    #[must_use]
    pub fn is_of_a_restore(&self) -> bool {
        use strongroom_ledger::JournalError::Missing;
        use strongroom_ledger::OpenError::{Damaged, Journal, Key};
        matches!(
            self,
            Self::LedgerRolledBack { .. }
                | Self::LedgerRewritten { .. }
                | Self::StorageRolledBack { .. }
                | Self::Ledger(Key | Damaged(_) | Journal(Missing { .. }))
        )
    }
}

/// The rows that an instance cannot be opened without, and those of its own keys.
pub(crate) struct InstanceRows;

impl RowKeeper for InstanceRows {
    fn read(&self, row: &RowAtRest) -> Result<Option<Ties>, RowFlaw> {
        match row.place() {
            // Whoever opened the seal has read its slots.
            Place::System(_) if *row.key() == slots_key() => {}
            Place::System(_) if *row.key() == superblock_key() => {
                let superblock = Superblock::from_bytes(row.value());
                superblock.map_err(|_| RowFlaw::Contradiction("it is no superblock of this version"))?;
            }
            Place::System(name) if name.starts_with("node/") => {
                let node =
                    NodeRecord::from_bytes(row.value()).filter(|node| *row.key() == node_key(node.node));
                node.ok_or(RowFlaw::Contradiction("it is no record of that node"))?;
            }
            // What lives puts it again and again; nobody reads it but for its revision.
            Place::System(_) if is_bookkeeping(row.key().as_bytes()) => {}
            Place::Ordered {
                workspace: WorkspaceId::SYSTEM,
                kind: Kind::LedgerKey,
                ..
            } => drop(row.open::<LedgerKeyRecord>()?),
            Place::Ordered {
                workspace: WorkspaceId::SYSTEM,
                kind: Kind::TokenKey,
                ..
            } => drop(row.open::<TokenKeyRecord>()?),
            _ => return Ok(None),
        }
        Ok(Some(Ties::default()))
    }
}

/// The loops of an open instance.
pub(crate) struct Running {
    stop: watch::Sender<bool>,
    loops: Mutex<Vec<JoinHandle<()>>>,
}

impl Core {
    /// Makes an instance in an empty storage, with one commit, and opens it.
    ///
    /// # Errors
    /// [`OpenError`]; the storage is then still empty, or the fate of the commit is unknown.
    pub async fn create(
        foundations: Foundations,
        new: NewInstance,
        settings: Settings,
        engines: Engines,
    ) -> Result<Arc<Self>, OpenError> {
        let Foundations {
            storage, clock, rng, ..
        } = &foundations;
        let mut change = Change::default();
        let workspaces = [WorkspaceId::SYSTEM, WorkspaceId::DEFAULT];
        let barrier = Barrier::create(storage.clone(), &new.root, &workspaces, rng.clone(), &mut change)?;
        // Of several that find an empty storage, one makes the instance.
        change.preconditions.push(Precondition {
            key: superblock_key().as_bytes().to_vec(),
            revision: None,
        });
        change.puts.push(Superblock::new(new.id).to_row());
        let node = NodeRecord::new(foundations.node.id(), FIRST_GENERATION);
        change.puts.push(node.to_row());
        change.puts.push((slots_key().as_bytes().to_vec(), new.slots));

        let slugs = barrier.view(WorkspaceId::SYSTEM, SLUGS).await?;
        let directory = Directory::new(slugs.clone());
        let admin = Principal::new(new.admin, String::new(), vec![Role::Admin], clock.now(), &**rng);
        directory.add(&mut change, &admin)?;
        Passwords::new(slugs.clone(), directory)
            .set(&mut change, admin.id, new.password, &**rng)
            .await?;

        let paths = barrier.view(WorkspaceId::SYSTEM, PATHS).await?;
        let path = mounts::app_path(UNNAMED_APP)?;
        mounts::add(
            &paths,
            &mut change,
            WorkspaceId::DEFAULT,
            MountId(1),
            &path,
            clock.now(),
            &**rng,
        )?;

        let seed = Key::fill(|seed| rng.fill(seed));
        let record = LedgerKeyRecord { seed, birth: None };
        slugs.put(&mut change, &ledger_key(node.node, FIRST_GENERATION), &record)?;

        let ledger = open_ledger(&foundations, &barrier, new.id, &node, record)?;
        let id = RequestId::generate(&**clock, &**rng);
        let born = AuditRecord::open(id, "instance.create", clock.now(), "");
        let note = ledger.note(&born, Outcome::Ok, &change)?;
        change.notes.push(note);
        match storage.commit(change).await {
            Err(CommitError::Conflict) => return Err(OpenError::Made),
            made => made?,
        };
        Self::assemble(&foundations, barrier, ledger.start(), settings, engines).await
    }

    /// Opens the instance that `superblock` describes with its root key.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        foundations: Foundations,
        superblock: &Superblock,
        root: &RootKey,
        settings: Settings,
        engines: Engines,
    ) -> Result<Arc<Self>, OpenError> {
        let Unlocked {
            barrier,
            ledger,
            node,
        } = unlock(&foundations, superblock, root).await?;
        refuse_rollback(&node, &ledger, &*foundations.storage).await?;
        Self::assemble(&foundations, barrier, ledger.start(), settings, engines).await
    }

    /// Publishes what waits for the ledger and stops the loops. Requests that come later are still answered and
    /// recorded in the journal.
    ///
    /// # Errors
    /// [`PublishError`]: something still waits, and is safe where it is.
    pub async fn shutdown(&self) -> Result<(), PublishError> {
        self.running.stop.send_replace(true);
        let loops = std::mem::take(&mut *self.running.loops.lock().unwrap_or_else(PoisonError::into_inner));
        for ended in loops {
            let _ = ended.await; // a panic in it has been told by the panic hook
        }
        self.surroundings.ledger.shutdown().await
    }

    async fn assemble(
        foundations: &Foundations,
        barrier: Arc<Barrier>,
        ledger: Arc<Ledger>,
        settings: Settings,
        engines: Engines,
    ) -> Result<Arc<Self>, OpenError> {
        let slugs = barrier.view(WorkspaceId::SYSTEM, SLUGS).await?;
        let paths = barrier.view(WorkspaceId::SYSTEM, PATHS).await?;
        let directory = Directory::new(slugs.clone());
        let surroundings = Arc::new(Surroundings {
            storage: foundations.storage.clone(),
            barrier: barrier.clone(),
            ledger,
            directory: directory.clone(),
            clock: foundations.clock.clone(),
            rng: foundations.rng.clone(),
            space: foundations.space.clone(),
            strictness: settings.strictness,
        });
        let sessions = Sessions::new(slugs.clone());
        let mounts = Arc::new(Mounts::new(barrier.clone(), surroundings.clone(), paths));
        let accounts = Accounts {
            passwords: Passwords::new(slugs.clone(), directory),
            sessions: sessions.clone(),
            invitations: Invitations::new(slugs.clone()),
            mounts: mounts.clone(),
            token_key: TokenKey::new(slugs.clone(), surroundings.clone()),
            settings,
        };
        let wake = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(false);
        let node = foundations.node;
        let chores = Chores::new(surroundings.clone(), sessions.clone(), node, wake.clone());
        let rewrapper = Rewrapper::new(surroundings.clone(), slugs.clone(), wake.clone(), chores.fence());
        let upkeep = Arc::new(Upkeeper::new(
            surroundings.clone(),
            mounts.clone(),
            engines.tended.clone(),
            chores.fence(),
        ));
        let keys_engine = Keys::new(barrier, slugs, wake);
        let mut loops = vec![
            tokio::spawn(upkeep.clone().run(stopped.clone())),
            tokio::spawn(keys::run(rewrapper, stopped.clone())),
            tokio::spawn(chores.run(stopped.clone())),
        ];
        if node.is_shared() {
            loops.push(tokio::spawn(heart::beat(
                surroundings.clone(),
                node.id(),
                stopped,
            )));
        }
        let running = Running {
            stop,
            loops: Mutex::new(loops),
        };
        let audit = Audit::new(&surroundings, engines.judge.clone());
        let engines = engines
            .with(accounts)
            .with(audit)
            .with(keys_engine)
            .with(Operators);
        Ok(Arc::new(Self {
            surroundings,
            sessions,
            mounts,
            engines,
            settings,
            running,
            upkeep,
        }))
    }
}

/// An instance that its root key has opened.
pub(crate) struct Unlocked {
    pub(crate) barrier: Arc<Barrier>,
    /// The ledger of this node, which is not growing.
    pub(crate) ledger: OpenedLedger,
    /// What storage knows of this node.
    pub(crate) node: NodeRecord,
}

/// Opens the instance that `superblock` describes with its root key.
pub(crate) async fn unlock(
    foundations: &Foundations,
    superblock: &Superblock,
    root: &RootKey,
) -> Result<Unlocked, OpenError> {
    let Foundations { storage, rng, .. } = foundations;
    let (node, _) = NodeRecord::read(&**storage, foundations.node.id()).await?;
    let barrier = Barrier::open(storage.clone(), root, rng.clone()).await?;
    // Loads the workspace's keys, so that records of refusals can be sealed under them from the first request on; and if
    // they are damaged, that is said before anything begins.
    barrier.view(WorkspaceId::DEFAULT, MountId(1)).await?;
    let record = ledger_key_of(&barrier, &node).await?;
    let ledger = open_ledger(foundations, &barrier, superblock.instance, &node, record)?;
    Ok(Unlocked {
        barrier,
        ledger,
        node,
    })
}

/// The key of the ledger of `node`.
pub(crate) async fn ledger_key_of(
    barrier: &Arc<Barrier>,
    node: &NodeRecord,
) -> Result<LedgerKeyRecord, BarrierError> {
    let view = barrier.view(WorkspaceId::SYSTEM, SLUGS).await?;
    let key = ledger_key(node.node, node.generation);
    let stored = view.get::<LedgerKeyRecord>(&key).await?;
    let missing = || BarrierError::Missing("the ledger's key".into());
    Ok(stored.ok_or_else(missing)?.record)
}

/// The name of the ledger of `node`.
pub(crate) fn origin_of(instance: InstanceId, node: &NodeRecord) -> Origin {
    Origin {
        instance,
        node: node.node,
        generation: node.generation,
    }
}

fn open_ledger(
    foundations: &Foundations,
    barrier: &Arc<Barrier>,
    instance: InstanceId,
    node: &NodeRecord,
    record: LedgerKeyRecord,
) -> Result<OpenedLedger, OpenError> {
    let origin = origin_of(instance, node).to_string();
    let is_known = node.checkpoint.is_some();
    let (id, generation) = (node.node, node.generation);
    Ok(Ledger::open(Config {
        data_dir: foundations.data_dir.clone(),
        signer: Signer::from_seed(&origin, &record.seed)?,
        // A log that storage knows of was begun: if it is not there, it is lost.
        birth: record.birth.filter(|_| !is_known),
        journal: foundations.journal.clone(),
        storage: foundations.storage.clone(),
        node: id,
        row: LedgerRow {
            key: node_key(id).as_bytes().to_vec(),
            value: Box::new(move |checkpoint, claimed| {
                let last = LastCheckpoint {
                    size: checkpoint.size,
                    root: checkpoint.root.0,
                };
                let record = NodeRecord {
                    claimed: claimed.0,
                    checkpoint: Some(last),
                    ..NodeRecord::new(id, generation)
                };
                record.to_bytes()
            }),
            is_shared: foundations.node.is_shared(),
        },
        cipher: Arc::new(LedgerFields(barrier.clone())),
        clock: foundations.clock.clone(),
        rng: foundations.rng.clone(),
    })?)
}

/// The barrier as what encrypts the fields of leaves, and opens them.
pub(crate) struct LedgerFields(pub(crate) Arc<Barrier>);

impl FieldCipher for LedgerFields {
    fn seal(&self, workspace: WorkspaceId, id: RequestId, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0
            .seal_ledger_fields(workspace, id.as_bytes(), plaintext)
            .map_err(|_| SealError)
    }

    fn open(&self, workspace: WorkspaceId, id: RequestId, sealed: &[u8]) -> Result<SecretBytes, SealError> {
        self.0
            .open_ledger_fields(workspace, id.as_bytes(), sealed)
            .map_err(|_| SealError)
    }
}
