//! From a directory to an instance's house. With `up` the first start makes the instance, later ones unseal it; with
//! `server` it may stay sealed, or not be made yet.
//!
//! The order of a first start matters. The key file and the password are durable before the one commit that makes
//! the instance, so whatever instance there is can be opened and logged in to. What an interrupted first start leaves
//! outside the data directory belongs to an instance id that never was.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_barrier::{RootKey, RowKeeper};
use strongroom_base::{Clock, InstanceId, NodeId, RequestId, Rng, SystemClock, SystemRng, limits};
use strongroom_core::accounts::Login;
use strongroom_core::house::House;
use strongroom_core::inspection::Inspection;
use strongroom_core::superblock::{Found, Superblock, SuperblockError, slots_key};
use strongroom_core::{
    Core, Credential, Foundations, NewInstance, Node, OpenError, Request, Room, TokenForm, UNNAMED_APP,
    random_text,
};
use strongroom_engine_static::StaticEngine;
use strongroom_ledger::{Journal, JournalError};
use strongroom_seal::{
    Given, NewSlot, Opened, Reach, SealError, SealKeyError, SlotKind, Slots, Tried, Unreached,
};
use strongroom_secret::{SecretBuffer, SecretText};
use strongroom_storage::{Backend, Storage, Unavailable};
use strongroom_storage_postgres::SettingsError;
use strongroom_storage_redb::RedbBackend;

use super::data_dir::{DataDir, DataDirError, LEDGER, STORAGE, create_private_dir, write_private};
use super::environment::Environment;
use super::keys::Keys;
use super::premises::{Place, Premises, place_in};
use super::reserve::{Reserve, Watch};
use super::storage;
use crate::config::Config;

/// Characters of the first administrator's password: 24 of 62 are 142 bits.
const PASSWORD_LENGTH: usize = 24;
/// The slot that the first start makes.
const FIRST_SLOT: u32 = 1;

/// Why there is no instance to serve.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// There is no place for keys.
    #[error("there is no home directory for the key file: set HOME, or XDG_CONFIG_HOME and XDG_STATE_HOME")]
    NoHome,
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The storage file.
    #[error(transparent)]
    StorageFile(#[from] strongroom_storage_redb::OpenError),
    /// The URL of the database.
    #[error("the URL of --storage {0}")]
    StorageUrl(#[from] SettingsError),
    /// The database.
    #[error(transparent)]
    Database(#[from] strongroom_storage_postgres::OpenError),
    /// The database's password.
    #[error("cannot read the password of the database in `{}`", .0.display())]
    Password(PathBuf, #[source] io::Error),
    /// Two storages.
    #[error("the data directory `{}` has a storage of its own: give another --data with this --storage", .0.display())]
    Embedded(PathBuf),
    /// Storage cannot answer.
    #[error(transparent)]
    Storage(#[from] Unavailable),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Storage is not an instance's of this version.
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
    /// An instance was here and its storage is empty.
    #[error(
        "the storage is empty, and there was an instance here before: give the --storage that it had, or restore the \
         data directory from a backup"
    )]
    Lost,
    /// The data directory is of another instance.
    #[error(
        "the data directory `{}` is of instance {there}, and the storage of {here}: give the data directory of one of \
         its nodes, or an empty folder to join it as a new one",
        .dir.display()
    )]
    OtherInstance {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        there: InstanceId,
        /// Whose storage it was to be used with.
        here: InstanceId,
    },
    /// It does not say which node it is of.
    #[error(
        "the data directory `{}` does not say which node it is of, as `node` and `ledger.vkey` are missing: restore them, \
         or give an empty folder to join as a new node",
        .0.display()
    )]
    NoSeat(PathBuf),
    /// Nothing is there to be looked at.
    #[error("there is no instance in `{}`: give its data directory as --data", .0.display())]
    NoInstance(PathBuf),
    /// A key in the environment is none.
    #[error("the seal key in {0} {1}")]
    SealKey(&'static str, SealKeyError),
    /// There can be no thread for tokens.
    #[error("there can be no thread for the PKCS#11 module")]
    Tokens(#[source] io::Error),
    /// The first slot cannot be made.
    #[error(transparent)]
    FirstSlot(#[from] Unreached),
    /// The seal does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The instance does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no instance yet.
    #[error(
        "there is no instance to unseal in the data directory: give its own --data; or make one without --unseal-from, and          add slots with `strongroom operator slots add`"
    )]
    NothingToUnseal,
    /// The disk cannot be looked at.
    #[error("the disk of the data directory cannot be looked at")]
    Disk(#[source] io::Error),
    /// A new instance begins with a reserve.
    #[error(
        "the disk has too little room for a new instance: {} MiB must be free",
        limits::SPACE_PLENTY_BYTES >> 20
    )]
    NoRoom,
    /// A witness cannot be asked, or a copy not be made.
    #[error(transparent)]
    Followers(#[from] strongroom_followers::StartError),
    /// A file outside the data directory cannot be written.
    #[error("cannot write `{}`", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// An instance's house, and where its things are.
pub(super) struct Booted {
    pub(super) house: Arc<House>,
    pub(super) premises: Arc<Premises>,
    pub(super) is_first_start: bool,
    /// The key file, if there is a slot of that kind.
    pub(super) key_file: Option<PathBuf>,
    /// The password of the first administrator, while its file exists.
    pub(super) password_file: Option<PathBuf>,
    pub(super) verifier_key: PathBuf,
    pub(super) _watch: Watch,
}

/// What a start does of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Makes an instance where there is none, and does not start unless it is open.
    Up,
    /// Makes none, and waits for its operators where no slot opens by itself.
    Server,
}

/// Opens the instance that `config` names, or makes it, or waits for operators to do so: as `manner` says. `url` is where
/// clients reach it; `wrap` puts something between storage and its committer, for tests that watch or break it.
pub(super) async fn boot<B: Backend>(
    config: &Config,
    environment: &Environment,
    manner: Manner,
    url: &str,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    wrap: impl FnOnce(RedbBackend) -> B,
) -> Result<Booted, BootError> {
    let data_dir = DataDir::open(&config.data_dir)?;
    let reserve = Reserve::open(data_dir.path()).map_err(BootError::Disk)?;
    let journal = Journal::open(&data_dir.journal())?;
    let storage = storage::open(config.storage.as_ref(), &data_dir, &journal, clock.clone(), wrap).await?;
    let node = node_of(config);
    let found = Superblock::find(&*storage).await?;
    match &found {
        Some(found) => {
            place_in(&data_dir, found.instance(), node)?;
        }
        None if data_dir.was_an_instance() => return Err(BootError::Lost),
        None => {}
    }
    let foundations = Foundations {
        data_dir: data_dir.path().to_owned(),
        storage,
        node,
        journal,
        clock,
        rng,
        space: reserve.space(),
    };
    let keys = Arc::new(Keys::new(config, environment)?);
    let premises = Premises::new(config, foundations, keys, data_dir);
    let house = House::new(&premises.foundations, premises.clone(), found.is_some());
    let start = Start {
        environment,
        url,
        premises,
        house,
        reserve,
    };
    match (found, manner) {
        (Some(found), Manner::Up) => start.later(&found).await,
        (None, Manner::Up) => start.first().await,
        (_, Manner::Server) => start.wait().await,
    }
}

struct Start<'a> {
    environment: &'a Environment,
    url: &'a str,
    premises: Arc<Premises>,
    house: Arc<House>,
    reserve: Reserve,
}

impl Start<'_> {
    async fn first(self) -> Result<Booted, BootError> {
        let Premises {
            config,
            foundations,
            keys,
            ..
        } = &*self.premises;
        if !self.environment.given.is_empty() {
            return Err(BootError::NothingToUnseal);
        }
        if foundations.space.room() != Room::Plenty {
            return Err(BootError::NoRoom);
        }
        let (clock, rng) = (&*foundations.clock, &*foundations.rng);
        let id = InstanceId::generate(clock, rng);
        let request_id = RequestId::generate(clock, rng);
        let (kind, key_file) = if keys.has_env_key() {
            (SlotKind::EnvVar, None)
        } else {
            (SlotKind::KeyFile, Some(keys.key_file(id, FIRST_SLOT)))
        };
        keys.prepare(id, FIRST_SLOT, &kind).await?;
        let seal = keys.reach(id, FIRST_SLOT, &kind, &Given::default()).await?;
        let password = random_text(PASSWORD_LENGTH, rng);
        let password_file = self.environment.password_file(id);
        in_private_dir(&password_file)?;
        write_line(&password_file, password.expose().as_bytes())?;
        let credentials = config.credentials_out.as_deref().map(|path| Credentials {
            path,
            url: self.url,
            slug: config.admin_slug.as_str(),
            password: SecretText::new(password.expose().to_owned()),
        });
        if let Some(credentials) = &credentials {
            credentials.write(None)?;
        }

        let root = RootKey::generate(rng);
        let first = NewSlot {
            kind,
            label: String::new(),
            created: clock.now(),
        };
        let slots = Slots::create(id, &root, first, &*seal, rng).await?.to_bytes()?;
        let new = NewInstance {
            id,
            root,
            slots,
            admin: config.admin_slug.clone(),
            password,
        };
        let core = self.premises.make_core(new, FIRST_SLOT, seal.is_weak()).await?;
        if let Some(credentials) = &credentials {
            // Only an instance that is there can give a token.
            let token = credentials.log_in(&core, request_id).await?;
            credentials.write(Some(&token))?;
        }
        self.house.move_in(core).map_err(OpenError::from)?;
        self.done(true, key_file, Some(password_file))
    }

    async fn later(self, found: &Found) -> Result<Booted, BootError> {
        let Premises {
            foundations, keys, ..
        } = &*self.premises;
        let unsealed = unseal(
            &*foundations.storage,
            found.instance(),
            keys,
            &self.environment.given,
        )
        .await?;
        let Opened {
            root, slot, is_weak, ..
        } = &unsealed.opened;
        let core = self.premises.open_core(root, *slot, *is_weak).await?;
        self.house.move_in(core).map_err(OpenError::from)?;
        let key_file = unsealed.key_file(found.instance(), keys);
        let password_file = self.environment.password_file(found.instance());
        self.done(false, key_file, Some(password_file).filter(|path| path.exists()))
    }

    /// Opens the instance if there is one and a slot opens it by itself. If not, that is said where the house is asked.
    async fn wait(self) -> Result<Booted, BootError> {
        self.house.open_unattended().await;
        self.done(false, None, None)
    }

    fn done(
        self,
        is_first_start: bool,
        key_file: Option<PathBuf>,
        password_file: Option<PathBuf>,
    ) -> Result<Booted, BootError> {
        Ok(Booted {
            verifier_key: self.premises.data_dir.verifier_key(),
            house: self.house,
            premises: self.premises,
            is_first_start,
            key_file,
            password_file,
            _watch: self.reserve.watch().map_err(BootError::Disk)?,
        })
    }
}

/// What opened a seal.
struct Unsealed {
    opened: Opened,
    slots: Slots,
}

impl Unsealed {
    /// The file of the key, if there is such a slot.
    fn key_file(&self, instance: InstanceId, keys: &Keys) -> Option<PathBuf> {
        let mut slots = self.slots.iter();
        let slot = slots.find(|slot| *slot.kind() == SlotKind::KeyFile)?;
        Some(keys.key_file(instance, slot.id()))
    }
}

/// Opens the seal of the instance in `storage` with the keys at hand, and what was given.
async fn unseal(
    storage: &dyn Storage,
    instance: InstanceId,
    keys: &Keys,
    given: &Given,
) -> Result<Unsealed, BootError> {
    let row = storage.get(slots_key().as_bytes()).await?;
    let slots = Slots::from_bytes(&row.ok_or(SealError::Slots)?.value)?;
    let opened = slots.open(instance, keys, given).await?;
    for Tried { slot, why, .. } in &opened.tried {
        tracing::warn!(
            slot,
            error = why as &dyn std::error::Error,
            "a seal slot does not open"
        );
    }
    Ok(Unsealed { opened, slots })
}

/// An instance at rest that this process alone has open.
pub(crate) struct AtRest {
    pub(crate) inspection: Inspection,
    /// Where storage lies, unless it is a database.
    storage_file: Option<PathBuf>,
    /// Held as long as the instance is open.
    _data_dir: DataDir,
}

impl AtRest {
    /// Closes the instance, and compares every page of its storage file with its checksum: while it is open, what is
    /// read is trusted, so that what damage hides seems not to be there.
    ///
    /// # Errors
    /// [`BootError::StorageFile`].
    pub(crate) fn verify(self) -> Result<(), BootError> {
        drop(self.inspection);
        match self.storage_file {
            Some(file) => Ok(RedbBackend::verify_file(
                &file,
                strongroom_base::limits::STORAGE_CACHE_BYTES,
            )?),
            None => Ok(()),
        }
    }
}

/// Opens the instance that `config` names, in whose data directory no server runs, without starting it. `others` are
/// data directories of other nodes, or copies of them, whose ledgers are used as well.
///
/// # Errors
/// [`BootError`].
pub(crate) async fn inspect(
    config: &Config,
    environment: &Environment,
    others: &[PathBuf],
) -> Result<AtRest, BootError> {
    let path = &config.data_dir;
    let present = if config.storage.is_some() { LEDGER } else { STORAGE };
    if !path.join(present).exists() {
        return Err(BootError::NoInstance(path.to_owned()));
    }
    let data_dir = DataDir::open(path)?;
    let journal = Journal::open(&data_dir.journal())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let storage = storage::open(
        config.storage.as_ref(),
        &data_dir,
        &journal,
        clock.clone(),
        |backend| backend,
    )
    .await?;
    let found = Superblock::find(&*storage).await?.ok_or(BootError::Lost)?;
    let Place::Has(node) = place_in(&data_dir, found.instance(), node_of(config))? else {
        return Err(BootError::NoInstance(path.to_owned()));
    };
    let keys = Keys::new(config, environment)?;
    let unsealed = unseal(&*storage, found.instance(), &keys, &environment.given).await?;
    let superblock = found.migrate(&*storage).await?;
    let foundations = Foundations {
        data_dir: path.to_owned(),
        storage,
        node,
        journal,
        clock,
        rng: Arc::new(SystemRng::default()),
        space: Arc::default(),
    };
    Ok(AtRest {
        inspection: Inspection::open(foundations, &superblock, &unsealed.opened.root, keepers(), others)
            .await?,
        storage_file: config.storage.is_none().then(|| data_dir.storage()),
        _data_dir: data_dir,
    })
}

/// Which node a new instance's first server is: there may be others only where storage is shared.
fn node_of(config: &Config) -> Node {
    match config.storage {
        Some(_) => Node::OneOf(NodeId::FIRST),
        None => Node::Only,
    }
}

/// The engines of this program, for what they say of their rows.
fn keepers() -> Vec<Box<dyn RowKeeper>> {
    vec![Box::new(StaticEngine)]
}

/// What the file for the first administrator's tools says.
struct Credentials<'a> {
    path: &'a Path,
    url: &'a str,
    slug: &'a str,
    password: SecretText,
}

impl Credentials<'_> {
    /// A token of the administrator for the native dialect: a session like any other.
    async fn log_in(&self, core: &Arc<Core>, id: RequestId) -> Result<SecretText, BootError> {
        let op = Login {
            host: UNNAMED_APP.to_owned(),
            slug: self.slug.to_owned(),
            password: SecretText::new(self.password.expose().to_owned()),
            device: "root token".to_owned(),
            form: TokenForm::Opaque,
        };
        let request = Request {
            id,
            caller: Credential::None,
            source: "first start".into(),
            op,
        };
        Ok(core.call(request).await.map_err(OpenError::from)?.token)
    }

    fn write(&self, root_token: Option<&SecretText>) -> Result<(), BootError> {
        #[derive(serde::Serialize)]
        struct File<'a> {
            url: &'a str,
            admin: Admin<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            root_token: Option<&'a str>,
        }
        #[derive(serde::Serialize)]
        struct Admin<'a> {
            slug: &'a str,
            password: &'a str,
        }
        let file = File {
            url: self.url,
            admin: Admin {
                slug: self.slug,
                password: self.password.expose(),
            },
            root_token: root_token.map(SecretText::expose),
        };
        let mut json = SecretBuffer::with_capacity(512);
        serde_json::to_writer_pretty(&mut json, &file)
            .map_err(|error| BootError::Write(self.path.to_owned(), error.into()))?;
        write_line(self.path, json.expose())
    }
}

fn write_line(path: &Path, bytes: &[u8]) -> Result<(), BootError> {
    let mut line = SecretBuffer::with_capacity(bytes.len() + 1);
    line.extend(bytes);
    line.extend(b"\n");
    write_private(path, line.expose()).map_err(|error| BootError::Write(path.to_owned(), error))
}

fn in_private_dir(path: &Path) -> Result<(), BootError> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    create_private_dir(folder).map_err(|error| BootError::Write(folder.to_owned(), error))
}
