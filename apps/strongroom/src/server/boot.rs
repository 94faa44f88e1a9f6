//! From a directory to an open instance: the first start makes it, later ones unseal it.
//!
//! The order of a first start matters. The key file and the password are durable before the one commit that makes
//! the instance, so whatever instance there is can be opened and logged in to. What an interrupted first start leaves
//! outside the data directory belongs to an instance id that never was.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_barrier::{RootKey, RowKeeper};
use strongroom_base::{Clock, InstanceId, RequestId, Rng, SystemClock, SystemRng, limits};
use strongroom_core::accounts::Login;
use strongroom_core::inspection::Inspection;
use strongroom_core::slots::{SealParts, SealSlots};
use strongroom_core::superblock::{Superblock, SuperblockError, slots_key};
use strongroom_core::{
    Core, Credential, Engines, Foundations, NewInstance, OpenError, Request, Room, Settings, Space,
    Strictness, TokenForm, UNNAMED_APP, random_text,
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

use super::data_dir::{
    DataDir, DataDirError, LEDGER, STORAGE, copy_slots, create_private_dir, write_private,
};
use super::environment::Environment;
use super::keys::Keys;
use super::reserve::{Reserve, Watch};
use super::storage;
use crate::config::{Config, RefuseOverdue};

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
    /// A file outside the data directory cannot be written.
    #[error("cannot write `{}`", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// An open instance, and where its things are.
pub(super) struct Booted {
    pub(super) core: Arc<Core>,
    pub(super) slots: SealSlots,
    pub(super) is_first_start: bool,
    /// The key file, if that is how the seal opens.
    pub(super) key_file: Option<PathBuf>,
    /// The password of the first administrator, while its file exists.
    pub(super) password_file: Option<PathBuf>,
    pub(super) verifier_key: PathBuf,
    /// How much room the disk has.
    pub(super) space: Arc<Space>,
    pub(super) _watch: Watch,
    /// Held as long as the instance is open.
    pub(super) _data_dir: DataDir,
}

/// Opens the instance that `config` names, or makes it. `url` is where clients reach it; `wrap` puts something between
/// storage and its committer, for tests that watch or break it.
pub(super) async fn boot<B: Backend>(
    config: &Config,
    environment: &Environment,
    url: &str,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    wrap: impl FnOnce(RedbBackend) -> B,
) -> Result<Booted, BootError> {
    let data_dir = DataDir::open(&config.data_dir)?;
    let reserve = Reserve::open(data_dir.path()).map_err(BootError::Disk)?;
    let journal = Journal::open(&data_dir.journal())?;
    let storage = storage::open(config.storage.as_ref(), &data_dir, &journal, clock.clone(), wrap).await?;
    let superblock = Superblock::read(&*storage).await?;
    let start = Start {
        config,
        environment,
        url,
        keys: Arc::new(Keys::new(config, environment)?),
        foundations: Foundations {
            data_dir: data_dir.path().to_owned(),
            storage,
            journal,
            clock,
            rng,
            space: reserve.space(),
        },
        reserve,
    };
    match superblock {
        Some(superblock) => start.later(data_dir, &superblock).await,
        None if data_dir.was_an_instance() => Err(BootError::Lost),
        None => start.first(data_dir).await,
    }
}

struct Start<'a> {
    config: &'a Config,
    environment: &'a Environment,
    url: &'a str,
    keys: Arc<Keys>,
    foundations: Foundations,
    reserve: Reserve,
}

impl Start<'_> {
    async fn first(self, data_dir: DataDir) -> Result<Booted, BootError> {
        if !self.environment.given.is_empty() {
            return Err(BootError::NothingToUnseal);
        }
        if self.foundations.space.room() != Room::Plenty {
            return Err(BootError::NoRoom);
        }
        data_dir.discard_unfinished_start()?;
        let (clock, rng) = (&*self.foundations.clock, &*self.foundations.rng);
        let id = InstanceId::generate(clock, rng);
        let request_id = RequestId::generate(clock, rng);
        let (kind, key_file) = if self.keys.has_env_key() {
            (SlotKind::EnvVar, None)
        } else {
            (SlotKind::KeyFile, Some(self.keys.key_file(id, FIRST_SLOT)))
        };
        self.keys.prepare(id, FIRST_SLOT, &kind).await?;
        let seal = self.keys.reach(id, FIRST_SLOT, &kind, &Given::default()).await?;
        let password = random_text(PASSWORD_LENGTH, rng);
        let password_file = self.environment.password_file(id);
        in_private_dir(&password_file)?;
        write_line(&password_file, password.expose().as_bytes())?;
        let credentials = self.config.credentials_out.as_deref().map(|path| Credentials {
            path,
            url: self.url,
            slug: self.config.admin_slug.as_str(),
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
        let settings = settings(self.config, seal.is_weak());
        let sealed = seal_slots(
            id,
            root.duplicate(),
            FIRST_SLOT,
            &self.foundations,
            self.keys.clone(),
        );
        let admin = self.config.admin_slug.clone();
        let new = NewInstance {
            id,
            root,
            slots: slots.clone(),
            admin,
            password,
        };
        let engines = engines(&sealed);
        let core = Core::create(self.foundations, new, settings, engines).await?;
        data_dir.copy_slots(&slots)?;
        if let Some(credentials) = &credentials {
            // Only an instance that is there can give a token.
            let token = credentials.log_in(&core, request_id).await?;
            credentials.write(Some(&token))?;
        }
        let verifier_key = data_dir.verifier_key();
        let password_file = Some(password_file);
        Ok(Booted {
            core,
            slots: sealed,
            is_first_start: true,
            key_file,
            password_file,
            verifier_key,
            space: self.reserve.space(),
            _watch: self.reserve.watch().map_err(BootError::Disk)?,
            _data_dir: data_dir,
        })
    }

    async fn later(self, data_dir: DataDir, superblock: &Superblock) -> Result<Booted, BootError> {
        let Self {
            config,
            environment,
            keys,
            foundations,
            reserve,
            ..
        } = self;
        let unsealed = unseal(&*foundations.storage, superblock, &keys, &environment.given).await?;
        let settings = settings(config, unsealed.opened.is_weak);
        let accepted = match &config.accept_restored {
            Some(reason) => {
                Some(Core::accept_restored(&foundations, superblock, &unsealed.opened.root, reason).await?)
            }
            None => None,
        };
        let superblock = accepted.as_ref().unwrap_or(superblock);
        let Opened { root, slot, .. } = &unsealed.opened;
        let sealed = seal_slots(
            superblock.instance,
            root.duplicate(),
            *slot,
            &foundations,
            keys.clone(),
        );
        let core = Core::open(foundations, superblock, root, settings, engines(&sealed)).await?;
        tell_of_other_slots(&data_dir, &unsealed.encoded)?;
        data_dir.copy_slots(&unsealed.encoded)?;
        Ok(Booted {
            core,
            slots: sealed,
            is_first_start: false,
            key_file: unsealed.key_file(superblock.instance, &keys),
            password_file: Some(environment.password_file(superblock.instance)).filter(|path| path.exists()),
            verifier_key: data_dir.verifier_key(),
            space: reserve.space(),
            _watch: reserve.watch().map_err(BootError::Disk)?,
            _data_dir: data_dir,
        })
    }
}

/// What opened a seal.
struct Unsealed {
    opened: Opened,
    slots: Slots,
    /// The slots as they are in storage.
    encoded: Vec<u8>,
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
    superblock: &Superblock,
    keys: &Keys,
    given: &Given,
) -> Result<Unsealed, BootError> {
    let row = storage.get(slots_key().as_bytes()).await?;
    let encoded = row.ok_or(SealError::Slots)?.value;
    let slots = Slots::from_bytes(&encoded)?;
    let opened = slots.open(superblock.instance, keys, given).await?;
    for Tried { slot, why, .. } in &opened.tried {
        tracing::warn!(
            slot,
            error = why as &dyn std::error::Error,
            "a seal slot does not open"
        );
    }
    Ok(Unsealed {
        opened,
        slots,
        encoded,
    })
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

/// Opens the instance that `config` names, in whose data directory no server runs, without starting it.
///
/// # Errors
/// [`BootError`].
pub(crate) async fn inspect(config: &Config, environment: &Environment) -> Result<AtRest, BootError> {
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
    let superblock = Superblock::read(&*storage).await?.ok_or(BootError::Lost)?;
    let keys = Keys::new(config, environment)?;
    let unsealed = unseal(&*storage, &superblock, &keys, &environment.given).await?;
    let foundations = Foundations {
        data_dir: path.to_owned(),
        storage,
        journal,
        clock,
        rng: Arc::new(SystemRng::default()),
        space: Arc::default(),
    };
    Ok(AtRest {
        inspection: Inspection::open(foundations, &superblock, &unsealed.opened.root, keepers()).await?,
        storage_file: config.storage.is_none().then(|| data_dir.storage()),
        _data_dir: data_dir,
    })
}

/// The engines of this program.
fn engines(slots: &SealSlots) -> Engines {
    Engines::new(StaticEngine)
        .tending(StaticEngine)
        .with(StaticEngine)
        .with(slots.clone())
}

/// The slots of `instance`, of which `opened_by` gave its root key.
fn seal_slots(
    instance: InstanceId,
    root: RootKey,
    opened_by: u32,
    foundations: &Foundations,
    keys: Arc<Keys>,
) -> SealSlots {
    let data_dir = foundations.data_dir.clone();
    SealSlots::new(SealParts {
        instance,
        root,
        opened_by,
        storage: foundations.storage.clone(),
        reach: keys,
        rng: foundations.rng.clone(),
        copy: Arc::new(move |slots: &[u8]| copy_slots(&data_dir, slots)),
    })
}

/// The same engines, for what they say of their rows.
fn keepers() -> Vec<Box<dyn RowKeeper>> {
    vec![Box::new(StaticEngine)]
}

fn settings(config: &Config, has_weak_key: bool) -> Settings {
    Settings {
        open_registration: config.open_registration,
        is_secure: !has_weak_key,
        strictness: match config.refuse_overdue {
            RefuseOverdue::Never => Strictness::Serve,
            RefuseOverdue::Expired => Strictness::RefuseExpired,
            RefuseOverdue::All => Strictness::RefuseOverdue,
        },
    }
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
