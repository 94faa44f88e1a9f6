//! How an instance is made, opened and closed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_auth_password::{Passwords, SetError};
use strongroom_barrier::{Barrier, BarrierError, Kind, Place, RootKey};
use strongroom_base::{Clock, InstanceId, MountId, RequestId, Rng, Slug, WorkspaceId};
use strongroom_identity::{Directory, Invitations, Principal, SLUGS, Sessions};
use strongroom_ledger::{
    Config, FieldCipher, Journal, Ledger, OpenedLedger, Outcome, PublishError, ReadError,
    Record as AuditRecord, SealError,
};
use strongroom_policy::{Role, Strictness};
use strongroom_sdk::{Error, RowAtRest, RowFlaw, RowKeeper, Space, Surroundings, Ties};
use strongroom_secret::{Key, SecretBytes, SecretText};
use strongroom_storage::{Change, CommitError, Storage, Unavailable};
use strongroom_tlog::{NoteError, Signer};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::accounts::Accounts;
use crate::audit::Audit;
use crate::generation::{LedgerKeyRecord, ledger_key, refuse_rollback};
use crate::keys::{Keys, Rewrapper};
use crate::mounts::{self, Mounts, PATHS};
use crate::superblock::{FORMAT, LastCheckpoint, Superblock, slots_key, superblock_key};
use crate::tokens::{TokenKey, TokenKeyRecord};
use crate::upkeep::Upkeeper;
use crate::{Core, Engines, expiry, keys};

/// The app that 1Backend clients use when they name none.
pub const UNNAMED_APP: &str = "unnamed";
const FIRST_GENERATION: u32 = 1;

/// What an instance stands on.
pub struct Foundations {
    /// Where its data is: the ledger and the journal lie here.
    pub data_dir: PathBuf,
    /// Its storage.
    pub storage: Arc<dyn Storage>,
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
        let superblock = Superblock {
            format: FORMAT,
            instance: new.id,
            generation: FIRST_GENERATION,
            checkpoint: None,
        };
        change.puts.push(superblock.to_row());
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
        slugs.put(&mut change, &ledger_key(&slugs, FIRST_GENERATION), &record)?;

        let ledger = open_ledger(&foundations, &barrier, &superblock, record)?.start();
        let id = RequestId::generate(&**clock, &**rng);
        let born = AuditRecord::open(id, "instance.create", clock.now(), "");
        change.note = Some(ledger.note(&born, Outcome::Ok, &change)?);
        storage.commit(change).await?;
        Self::assemble(&foundations, barrier, ledger, settings, engines).await
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
        let (barrier, ledger) = unlock(&foundations, superblock, root).await?;
        refuse_rollback(superblock, &ledger, &*foundations.storage).await?;
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
        let rewrapper = Rewrapper::new(surroundings.clone(), slugs.clone(), wake.clone());
        let keys_engine = Keys::new(barrier, slugs, wake);
        let (stop, stopped) = watch::channel(false);
        let upkeep = Upkeeper::new(surroundings.clone(), mounts.clone(), engines.tended.clone());
        let upkeep = Arc::new(upkeep);
        let expiry = tokio::spawn(expiry::run(
            surroundings.clone(),
            sessions.clone(),
            stopped.clone(),
        ));
        let tending = tokio::spawn(upkeep.clone().run(stopped.clone()));
        let rewrap = tokio::spawn(keys::run(rewrapper, stopped));
        let running = Running {
            stop,
            loops: Mutex::new(vec![expiry, tending, rewrap]),
        };
        let audit = Audit::new(&surroundings, engines.judge.clone());
        let engines = engines.with(accounts).with(audit).with(keys_engine);
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

/// The barrier of the instance that `superblock` describes, opened with its root key, and the ledger, which is not
/// growing.
pub(crate) async fn unlock(
    foundations: &Foundations,
    superblock: &Superblock,
    root: &RootKey,
) -> Result<(Arc<Barrier>, OpenedLedger), OpenError> {
    let Foundations { storage, rng, .. } = foundations;
    let barrier = Barrier::open(storage.clone(), root, rng.clone()).await?;
    let view = barrier.view(WorkspaceId::SYSTEM, SLUGS).await?;
    // Loads the workspace's keys, so that records of refusals can be sealed under them from the first request on; and if
    // they are damaged, that is said before anything begins.
    barrier.view(WorkspaceId::DEFAULT, MountId(1)).await?;
    let stored = view
        .get::<LedgerKeyRecord>(&ledger_key(&view, superblock.generation))
        .await?;
    let record = stored
        .ok_or_else(|| BarrierError::Missing("the ledger's key".into()))?
        .record;
    let ledger = open_ledger(foundations, &barrier, superblock, record)?;
    Ok((barrier, ledger))
}

fn open_ledger(
    foundations: &Foundations,
    barrier: &Arc<Barrier>,
    superblock: &Superblock,
    record: LedgerKeyRecord,
) -> Result<OpenedLedger, OpenError> {
    // The node's part of the origin is 1 until there is a second node.
    let origin = format!("{}/1/{}", superblock.instance, superblock.generation);
    let is_known = superblock.checkpoint.is_some();
    let superblock = Superblock {
        checkpoint: None,
        ..superblock.clone()
    };
    Ok(Ledger::open(Config {
        data_dir: foundations.data_dir.clone(),
        signer: Signer::from_seed(&origin, &record.seed)?,
        // A log that storage knows of was begun: if it is not there, it is lost.
        birth: record.birth.filter(|_| !is_known),
        journal: foundations.journal.clone(),
        storage: foundations.storage.clone(),
        checkpoint_row: Box::new(move |checkpoint| {
            let last = LastCheckpoint {
                size: checkpoint.size,
                root: checkpoint.root.0,
            };
            Some(
                Superblock {
                    checkpoint: Some(last),
                    ..superblock.clone()
                }
                .to_row(),
            )
        }),
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
