//! Making an instance at the wish of an operator: its root key is split among people, and nothing of it is kept in a file
//! that was not asked for.

use std::sync::Arc;

use strongroom_barrier::RootKey;
use strongroom_base::{InstanceId, Slug};
use strongroom_sdk::{Error, Room};
use strongroom_seal::{
    CredentialName, Given, NewSlot, SealError, ShareSet, SlotKind, Slots, Threshold, Unreached,
};
use strongroom_secret::SecretText;

use super::{Errand, House, Visit};
use crate::accounts::Login;
use crate::{Credential, NewInstance, Request, TokenForm, UNNAMED_APP, random_text};

/// Characters of the first administrator's password: 24 of 62 are 142 bits.
const PASSWORD_LENGTH: usize = 24;
/// The slot of the shares.
const FIRST_SLOT: u32 = 1;
/// Names of unattended slots that take no parameter, and what comes before the name of a systemd credential.
const KEY_FILE: &str = "key-file";
const ENV_VAR: &str = "env-var";
const CREDENTIAL: &str = "systemd-credential:";

/// Make the instance. Only where there is none, and where nobody can read the answer along. Answers [`Founded`].
pub struct Initialize {
    /// Shares that the root key's first slot is split into.
    pub shares: u8,
    /// How many of them open it.
    pub threshold: u8,
    /// Further slots, which open unattended: `key-file`, `env-var`, `systemd-credential:NAME`.
    pub slots: Vec<String>,
    /// The slug of the first administrator.
    pub admin: String,
}

/// What is said once, and kept nowhere.
pub struct Founded {
    /// The shares.
    pub shares: Vec<SecretText>,
    /// The first administrator.
    pub admin: Slug,
    /// Its password.
    pub password: SecretText,
    /// A token of it.
    pub root_token: SecretText,
}

impl Errand for Initialize {
    type Outcome = Founded;
    const NAME: &'static str = "instance.init";

    async fn run(self, house: &Arc<House>, visit: &Visit) -> Result<Founded, Error> {
        house.found(visit, self).await
    }
}

/// The slots of a new instance, and what opens the first.
struct NewSeal {
    slots: Slots,
    root: RootKey,
    shares: Vec<SecretText>,
    is_weak: bool,
}

impl House {
    async fn found(&self, visit: &Visit, wish: Initialize) -> Result<Founded, Error> {
        let _turn = self.turn.lock().await;
        match self.slots().await {
            Ok(_) => return Err(Error::Conflict("there is an instance here already".to_owned())),
            Err(Error::NotInitialized) => {}
            Err(error) => return Err(error),
        }
        if !visit.is_local() && !self.site.is_encrypted() {
            return Err(Error::Denied(
                "an instance is made from this machine, or over TLS: the shares must not cross the network readable"
                    .to_owned(),
            ));
        }
        if self.space.room() != Room::Plenty {
            return Err(Error::Full);
        }
        let admin = Slug::new(&wish.admin).map_err(|error| Error::invalid("admin", error))?;
        let id = InstanceId::generate(&*self.clock, &*self.rng);
        let seal = self.new_seal(id, &wish).await?;
        let password = random_text(PASSWORD_LENGTH, &*self.rng);
        let new = NewInstance {
            id,
            root: seal.root,
            slots: seal.slots.to_bytes().map_err(Error::internal)?,
            admin: admin.clone(),
            password: SecretText::new(password.expose().to_owned()),
        };
        let core = self
            .site
            .make(new, FIRST_SLOT, seal.is_weak)
            .await
            .map_err(Error::internal)?;
        let login = Login {
            host: UNNAMED_APP.to_owned(),
            slug: admin.to_string(),
            password: SecretText::new(password.expose().to_owned()),
            device: "root token".to_owned(),
            form: TokenForm::Opaque,
        };
        let request = Request {
            id: self.new_id(),
            caller: Credential::None,
            source: visit.source.clone(),
            op: login,
        };
        let root_token = core.call(request).await?.token;
        self.move_in(core)?;
        Ok(Founded {
            shares: seal.shares,
            admin,
            password,
            root_token,
        })
    }

    async fn new_seal(&self, id: InstanceId, wish: &Initialize) -> Result<NewSeal, Error> {
        let threshold =
            Threshold::new(wish.threshold, wish.shares).map_err(|error| Error::invalid("shares", error))?;
        let kinds = wish.slots.iter().map(|text| unattended(text));
        let kinds: Vec<_> = kinds.collect::<Result<_, _>>()?;
        let root = RootKey::generate(&*self.rng);
        let (set, key, shares) = ShareSet::generate(threshold, &*self.rng).map_err(Error::internal)?;
        let first = self.new_slot(SlotKind::Shares(set));
        let slots = Slots::create(id, &root, first, &key, &*self.rng).await;
        let (mut slots, mut is_weak) = (slots.map_err(Error::internal)?, false);
        for kind in kinds {
            let (slot, reach) = (slots.next_id(), self.site.reach());
            reach.prepare(id, slot, &kind).await.map_err(unreached)?;
            let seal = reach.reach(id, slot, &kind, &Given::default()).await;
            let seal = seal.map_err(unreached)?;
            let new = self.new_slot(kind);
            let added = slots.add(id, &root, new, &*seal, &*self.rng).await;
            added.map_err(|error| match error {
                SealError::TooMany => Error::invalid("slots", error),
                error => Error::internal(error),
            })?;
            is_weak |= seal.is_weak();
        }
        Ok(NewSeal {
            slots,
            root,
            shares,
            is_weak,
        })
    }

    fn new_slot(&self, kind: SlotKind) -> NewSlot {
        NewSlot {
            kind,
            label: String::new(),
            created: self.clock.now(),
        }
    }
}

/// The kind of slot that `text` names.
fn unattended(text: &str) -> Result<SlotKind, Error> {
    match (text, text.strip_prefix(CREDENTIAL)) {
        (KEY_FILE, _) => Ok(SlotKind::KeyFile),
        (ENV_VAR, _) => Ok(SlotKind::EnvVar),
        (_, Some(name)) => {
            let name = CredentialName::new(name).map_err(|error| {
                Error::invalid(
                    "slots",
                    format_args!("name a credential that cannot be: its name {error}"),
                )
            })?;
            Ok(SlotKind::SystemdCredential(name))
        }
        _ => Err(Error::invalid(
            "slots",
            format_args!("are `{KEY_FILE}`, `{ENV_VAR}` or `{CREDENTIAL}NAME`"),
        )),
    }
}

fn unreached(error: Unreached) -> Error {
    Error::invalid(
        "slots",
        format_args!("cannot be made: {}", strongroom_base::with_causes(&error)),
    )
}
