//! One method per op. A change of the slots is one commit, which holds only if nobody changed them meanwhile.

use std::io;
use std::sync::Arc;

use strongroom_barrier::{Barrier, BarrierError, RootKey};
use strongroom_base::{InstanceId, Rng, with_causes};
use strongroom_sdk::{Error, Permit};
use strongroom_seal::{
    CredentialName, Given, NewSlot, PassphraseError, Reach, Seal, SealError, ShareSet, Slot, SlotKind, Slots,
    Stretch, Threshold, TokenKey, Unreached,
};
use strongroom_secret::SecretText;
use strongroom_storage::{Change, Precondition, Revision, Storage};
use tokio::sync::Mutex;

use super::drill;
use super::health::SlotHealth;
use super::ops::{
    AddSlot, Added, CheckSlots, DrillSlot, Drilled, ListSlots, NewKind, RemoveSlot, Removed, SlotCheck,
    SlotFacts, Verdict,
};
use super::rekey::Rekeying;
use crate::superblock::slots_key;

/// What the slots of an open instance are made of.
pub struct SealParts {
    /// Whose they are.
    pub instance: InstanceId,
    /// What they wrap.
    pub root: RootKey,
    /// The slot that opened the instance.
    pub opened_by: u32,
    /// Where they are.
    pub storage: Arc<dyn Storage>,
    /// Where what opens them is.
    pub reach: Arc<dyn Reach>,
    /// For a drill.
    pub rng: Arc<dyn Rng>,
    /// Where a copy of them is kept.
    pub copy: Arc<dyn SlotsCopy>,
}

/// Where a copy of the slots is kept beside storage.
pub trait SlotsCopy: Send + Sync {
    /// Replaces the copy by `slots`, durably. Blocks.
    ///
    /// # Errors
    /// When the file system refuses.
    fn keep(&self, slots: &[u8]) -> io::Result<()>;
}

impl<F: Fn(&[u8]) -> io::Result<()> + Send + Sync> SlotsCopy for F {
    fn keep(&self, slots: &[u8]) -> io::Result<()> {
        self(slots)
    }
}

/// The engine of the slots. Cheap to clone.
#[derive(Clone)]
pub struct SealSlots(Arc<Inner>);

struct Inner {
    parts: SealParts,
    health: Arc<SlotHealth>,
    /// Held by who changes the slots: what a change prepares outside goes by the next id.
    changing: Mutex<()>,
    rekeying: Rekeying,
}

/// A new slot's kind, its seal, and its shares.
struct Made {
    kind: SlotKind,
    seal: Arc<dyn Seal>,
    shares: Vec<SecretText>,
}

impl SealSlots {
    /// The slots of `parts`.
    #[must_use]
    pub fn new(parts: SealParts) -> Self {
        Self::with_health(parts, Arc::default())
    }

    /// The slots of `parts`, of which `health` tells: it outlives an instance that is sealed and opened again.
    #[must_use]
    pub fn with_health(parts: SealParts, health: Arc<SlotHealth>) -> Self {
        Self(Arc::new(Inner {
            parts,
            health,
            changing: Mutex::default(),
            rekeying: Rekeying::default(),
        }))
    }

    /// Which slots opened when they were last tried, for metrics.
    #[must_use]
    pub fn health(&self) -> Arc<SlotHealth> {
        self.0.health.clone()
    }

    /// Tries every slot that opens unattended, and warns of those that do not open. For a schedule: it leaves no record.
    ///
    /// # Errors
    /// When the slots cannot be read.
    pub async fn check_unattended(&self) -> Result<(), Error> {
        let (slots, _) = self.load().await?;
        self.0.health.keep(|id| slots.slot(id).is_ok());
        for slot in slots.iter().filter(|slot| slot.kind().is_unattended()) {
            if let Verdict::Fails(why) = self.trial(slot, &Given::default()).await {
                tracing::warn!(
                    slot = slot.id(),
                    kind = slot.kind().name(),
                    why,
                    "a seal slot does not open: `strongroom operator slots check` tries it again"
                );
            }
        }
        Ok(())
    }

    /// All slots.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub async fn list(&self, _: &Permit, _: ListSlots) -> Result<Vec<SlotFacts>, Error> {
        let (slots, _) = self.load().await?;
        Ok(slots.iter().map(|slot| self.facts(slot)).collect())
    }

    /// Adds a slot, after a trial whether it gives the root key back.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what cannot be a slot or not be reached, [`Error::Conflict`]; nothing was changed.
    pub async fn add(&self, permit: &Permit, op: AddSlot) -> Result<Added, Error> {
        let _alone = self.0.changing.lock().await;
        let parts = &self.0.parts;
        let (mut slots, revision) = self.load().await?;
        let id = slots.next_id();
        // A root key that was replaced meanwhile must not get a slot: it opens nothing any more.
        if !self.opens_keyring(&parts.root).await? {
            return Err(Error::Conflict(
                "the root key was replaced since this server opened the instance: start it again first"
                    .to_owned(),
            ));
        }
        let made = self.make(id, op.kind, permit.rng()).await?;
        self.refuse_double(&slots, &made.kind).await?;
        if made.seal.is_weak() {
            return Err(Error::invalid(
                "kind",
                "has a key that anyone could guess: use another one",
            ));
        }
        let new = NewSlot {
            kind: made.kind,
            label: op.label,
            created: permit.now(),
        };
        let added = slots.add(parts.instance, &parts.root, new, &*made.seal, permit.rng());
        added.await.map_err(|error| refusal(&error))?;
        self.save(permit, &slots, revision, id).await?;
        self.0.health.tried(id, true);
        let slot = slots.slot(id).map_err(|error| refusal(&error))?;
        Ok(Added {
            slot: self.facts(slot),
            shares: made.shares,
        })
    }

    /// Removes a slot. The one that opened the instance may go, too; the last may not.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`]; nothing was changed.
    pub async fn remove(&self, permit: &Permit, op: RemoveSlot) -> Result<Removed, Error> {
        let _alone = self.0.changing.lock().await;
        let (mut slots, revision) = self.load().await?;
        let removed = slots.remove(op.id).map_err(|error| refusal(&error))?;
        let slot = self.facts(&removed);
        self.save(permit, &slots, revision, op.id).await?;
        self.0.health.keep(|id| id != op.id);
        Ok(Removed {
            slot,
            unattended_left: slots.iter().filter(|slot| slot.kind().is_unattended()).count(),
        })
    }

    /// Tries slots: those that open unattended, and the others with what was given.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] for what was given.
    pub async fn check(&self, permit: &Permit, op: CheckSlots) -> Result<Vec<SlotCheck>, Error> {
        let (slots, _) = self.load().await?;
        let given = read_given(op.given.as_ref())?;
        let slots = match op.id {
            Some(id) => slots.only(id).map_err(|error| refusal(&error))?,
            None => slots,
        };
        let mut checks = Vec::with_capacity(slots.iter().len());
        for slot in slots.iter() {
            permit.record().add(|record| record.touch(path(slot.id())));
            let verdict = self.trial(slot, &given).await;
            checks.push(SlotCheck {
                slot: self.facts(slot),
                verdict,
            });
        }
        Ok(checks)
    }

    /// Proves on a copy that a slot alone opens the instance: nothing but the copy and what opens the slot is used.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] with the reason when it does not open.
    pub async fn drill(&self, permit: &Permit, op: DrillSlot) -> Result<Drilled, Error> {
        let parts = &self.0.parts;
        let given = read_given(op.given.as_ref())?;
        permit.record().add(|record| record.touch(path(op.id)));
        let copy = drill::Copy::with_slot_alone(&*parts.storage, op.id).await?;
        let opened = copy.open(&*parts.reach, &given, parts.rng.clone()).await;
        self.0.health.tried(op.id, opened.is_ok());
        let workspaces = opened?;
        Ok(Drilled {
            slot: self.facts(copy.slot(op.id)?),
            rows: copy.rows(),
            workspaces,
        })
    }

    /// Whose they are.
    pub(super) fn instance(&self) -> InstanceId {
        self.0.parts.instance
    }

    pub(super) fn rekeying(&self) -> &Rekeying {
        &self.0.rekeying
    }

    pub(super) async fn load(&self) -> Result<(Slots, Revision), Error> {
        let row = self.0.parts.storage.get(slots_key().as_bytes()).await;
        let row = row.map_err(|error| Error::Unavailable(error.into()))?;
        let row = row.ok_or_else(|| Error::internal(SealError::Slots))?;
        let slots = Slots::from_bytes(&row.value).map_err(Error::internal)?;
        Ok((slots, row.revision))
    }

    /// Commits `slots` in the place of those of `revision`, with the record of what became of the slot `id`.
    async fn save(&self, permit: &Permit, slots: &Slots, revision: Revision, id: u32) -> Result<(), Error> {
        permit.record().add(|record| record.touch(path(id)));
        let bytes = slots.to_bytes().map_err(Error::internal)?;
        let key = slots_key().as_bytes().to_vec();
        let change = Change {
            preconditions: vec![Precondition {
                key: key.clone(),
                revision: Some(revision),
            }],
            puts: vec![(key, bytes.clone())],
            ..Change::default()
        };
        permit.commit(change).await?;
        let copy = self.0.parts.copy.clone();
        let copied = tokio::task::spawn_blocking(move || copy.keep(&bytes)).await;
        if let Err(error) = copied.unwrap_or_else(|error| Err(io::Error::other(error))) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "the copy of the seal slots beside storage is old: the next start makes it anew"
            );
        }
        Ok(())
    }

    /// What the new slot `id` opens by, made and reached.
    async fn make(&self, id: u32, kind: NewKind, rng: &dyn Rng) -> Result<Made, Error> {
        let mut given = Given::default();
        let kind = match kind {
            NewKind::Shares { needed, shares } => return made_of_shares(needed, shares, rng),
            NewKind::KeyFile => SlotKind::KeyFile,
            NewKind::EnvVar => SlotKind::EnvVar,
            NewKind::Passphrase(passphrase) => {
                let invalid = |error: PassphraseError| Error::invalid("passphrase", error);
                Stretch::accept(&passphrase).map_err(invalid)?;
                given = Given::from_passphrase(passphrase);
                SlotKind::Passphrase(Stretch::new(rng))
            }
            NewKind::Pkcs11 { token, key } => {
                let key = key.unwrap_or_else(|| self.key_label(id));
                let key = TokenKey::new(&token, &key).map_err(|error| Error::invalid("token", error))?;
                SlotKind::Pkcs11(key)
            }
            NewKind::SystemdCredential { name } => {
                let name = CredentialName::new(&name).map_err(|error| Error::invalid("name", error))?;
                SlotKind::SystemdCredential(name)
            }
        };
        let parts = &self.0.parts;
        let unreached =
            |why: Unreached| Error::invalid("kind", format!("cannot be used: {}", with_causes(&why)));
        parts
            .reach
            .prepare(parts.instance, id, &kind)
            .await
            .map_err(unreached)?;
        let seal = parts
            .reach
            .reach(parts.instance, id, &kind, &given)
            .await
            .map_err(unreached)?;
        Ok(Made {
            kind,
            seal,
            shares: Vec::new(),
        })
    }

    /// A label for the key of the slot `id` in a token, which other instances may use as well.
    fn key_label(&self, id: u32) -> String {
        let instance = self.0.parts.instance.to_string();
        let end = instance.rsplit('-').next().unwrap_or_default();
        format!("strongroom {end} {id}")
    }

    /// Refuses a second slot that opens by the very same thing: it would only seem to be another way.
    async fn refuse_double(&self, slots: &Slots, kind: &SlotKind) -> Result<(), Error> {
        let same = slots
            .iter()
            .find(|slot| slot.kind() == kind && *kind != SlotKind::KeyFile);
        match same {
            Some(slot) if self.trial(slot, &Given::default()).await == Verdict::Opens => Err(
                Error::Conflict(format!("slot {} opens by the same already", slot.id())),
            ),
            _ => Ok(()),
        }
    }

    /// Whether `root` is the instance's root key now.
    async fn opens_keyring(&self, root: &RootKey) -> Result<bool, Error> {
        let parts = &self.0.parts;
        match Barrier::open(parts.storage.clone(), root, parts.rng.clone()).await {
            Ok(_) => Ok(true),
            Err(BarrierError::WrongRootKey) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Tries `slot`, and remembers what came of it.
    async fn trial(&self, slot: &Slot, given: &Given) -> Verdict {
        let parts = &self.0.parts;
        if !slot.kind().is_unattended() && given.is_empty() {
            return Verdict::NotTried;
        }
        let verdict = match slot.open(parts.instance, &*parts.reach, given).await {
            Ok((root, _)) => match self.opens_keyring(&root).await {
                Ok(true) => Verdict::Opens,
                Ok(false) => Verdict::Fails("it gives another root key".to_owned()),
                Err(error) => Verdict::Fails(with_causes(&error)),
            },
            // What was given is for another slot.
            Err(Unreached::NoPassphrase) => return Verdict::NotTried,
            Err(Unreached::Shares(strongroom_seal::SharesError::None { .. })) => return Verdict::NotTried,
            Err(why) => Verdict::Fails(with_causes(&why)),
        };
        self.0.health.tried(slot.id(), verdict == Verdict::Opens);
        verdict
    }

    fn facts(&self, slot: &Slot) -> SlotFacts {
        let parts = &self.0.parts;
        SlotFacts {
            id: slot.id(),
            kind: slot.kind().name(),
            label: slot.label().to_owned(),
            opens_by: parts.reach.place(parts.instance, slot.id(), slot.kind()),
            created: slot.created(),
            is_unattended: slot.kind().is_unattended(),
            is_in_use: slot.id() == parts.opened_by,
            is_ok: self.0.health.of(slot.id()),
        }
    }
}

fn made_of_shares(needed: u8, shares: u8, rng: &dyn Rng) -> Result<Made, Error> {
    let invalid = |_| {
        Error::invalid(
            "threshold",
            "must be 2 or more, and not more than there are shares",
        )
    };
    let threshold = Threshold::new(needed, shares).map_err(invalid)?;
    let (set, key, shares) = ShareSet::generate(threshold, rng).map_err(Error::internal)?;
    Ok(Made {
        kind: SlotKind::Shares(set),
        seal: Arc::new(key),
        shares,
    })
}

fn read_given(text: Option<&SecretText>) -> Result<Given, Error> {
    let given = text.map(Given::read).transpose();
    Ok(given
        .map_err(|error| Error::invalid("given", error))?
        .unwrap_or_default())
}

/// What the ledger calls the slot `id`.
fn path(id: u32) -> String {
    format!("seal/slots/{id}")
}

/// `error` as an answer.
pub(super) fn refusal(error: &SealError) -> Error {
    let text = with_causes(error);
    match error {
        SealError::NoSlot(_) => Error::NotFound(text),
        SealError::LastSlot(_) | SealError::TooMany => Error::Conflict(text),
        SealError::Label(why) => Error::invalid("label", why),
        SealError::Fault(_) | SealError::Untrue => Error::invalid("kind", format!("cannot be used: {text}")),
        SealError::Slots | SealError::Newer(_) | SealError::NoneOpens(_) => Error::internal(text),
    }
}
