//! `operator/…`: the state of the seal, and the steps that change it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_core::house::{Founded, Initialize, Recover, Recovered, Recovery, SealShown, Unseal, Waiting};
use strongroom_core::slots::{ConfirmRekey, RekeySlot, RekeyStep, Rekeyed};
use strongroom_dialect_kit::{json, reply};
use strongroom_sdk::Error;
use strongroom_secret::SecretText;

/// A secret that an answer is for.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Shown(
    #[serde(serialize_with = "reply::secret_text")]
    #[schemars(with = "String")]
    SecretText,
);

#[derive(Serialize, JsonSchema)]
pub(crate) struct StatusReply {
    /// Whether there is an instance.
    initialized: bool,
    /// Whether nothing is answered until the seal is opened.
    sealed: bool,
    /// How far the shares of each slot have come.
    progress: Vec<Progress>,
    version: &'static str,
    /// What keeps it from opening by itself; for callers on the server's machine only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Progress {
    slot: u32,
    /// Shares that were given.
    given: usize,
    /// Shares that are needed.
    needed: u8,
}

impl From<Waiting> for Progress {
    fn from(waiting: Waiting) -> Self {
        Self {
            slot: waiting.slot,
            given: waiting.given,
            needed: waiting.needed,
        }
    }
}

impl From<SealShown> for StatusReply {
    fn from(shown: SealShown) -> Self {
        Self {
            initialized: shown.is_initialized,
            sealed: shown.is_sealed,
            progress: shown.progress.into_iter().map(Progress::from).collect(),
            version: env!("CARGO_PKG_VERSION"),
            problems: shown.problems,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct InitRequest {
    /// Shares that are made: 2 to 255.
    #[serde(default)]
    shares: u8,
    /// How many of them open the seal: 2 or more.
    #[serde(default)]
    threshold: u8,
    /// Further slots, which open unattended: `key-file`, `env-var`, `systemd-credential:NAME`.
    #[serde(default)]
    slots: Vec<String>,
    /// The slug of the first administrator.
    #[serde(default = "admin")]
    admin: String,
}

fn admin() -> String {
    "admin".to_owned()
}

impl From<InitRequest> for Initialize {
    fn from(request: InitRequest) -> Self {
        Self {
            shares: request.shares,
            threshold: request.threshold,
            slots: request.slots,
            admin: request.admin,
        }
    }
}

/// Nothing of it is kept anywhere.
#[derive(Serialize, JsonSchema)]
pub(crate) struct InitReply {
    /// The shares, each for somebody else.
    shares: Vec<Shown>,
    admin: Admin,
    /// A token of the administrator.
    root_token: Shown,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Admin {
    slug: String,
    password: Shown,
}

impl From<Founded> for InitReply {
    fn from(founded: Founded) -> Self {
        Self {
            shares: founded.shares.into_iter().map(Shown).collect(),
            admin: Admin {
                slug: founded.admin.to_string(),
                password: Shown(founded.password),
            },
            root_token: Shown(founded.root_token),
        }
    }
}

/// Exactly one of them.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct UnsealRequest {
    /// One share.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "Option<String>")]
    share: Option<SecretText>,
    /// The passphrase of a slot.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "Option<String>")]
    passphrase: Option<SecretText>,
    /// Forget the shares so far.
    #[serde(default)]
    reset: bool,
}

impl TryFrom<UnsealRequest> for Unseal {
    type Error = Error;

    fn try_from(request: UnsealRequest) -> Result<Self, Error> {
        match (request.share, request.passphrase, request.reset) {
            (Some(share), None, false) => Ok(Self::Share(share)),
            (None, Some(passphrase), false) => Ok(Self::Passphrase(passphrase)),
            (None, None, true) => Ok(Self::Reset),
            _ => Err(Error::invalid(
                "share",
                "or `passphrase` or `reset` is given, and one of them only",
            )),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct SealedReply {
    pub(crate) sealed: bool,
}

/// Exactly one of them.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct RecoverRequest {
    /// One share.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "Option<String>")]
    share: Option<SecretText>,
    /// Forget the shares so far.
    #[serde(default)]
    cancel: bool,
}

impl TryFrom<RecoverRequest> for Recover {
    type Error = Error;

    fn try_from(request: RecoverRequest) -> Result<Self, Error> {
        match (request.share, request.cancel) {
            (Some(share), false) => Ok(Self::Share(share)),
            (None, true) => Ok(Self::Cancel),
            _ => Err(Error::invalid(
                "share",
                "or `cancel` is given, and one of them only",
            )),
        }
    }
}

/// The last share that is needed gives the token; nothing of it is kept anywhere.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RecoverReply {
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    /// The slug of the new admin.
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_token: Option<Shown>,
}

impl From<Recovery> for RecoverReply {
    fn from(recovery: Recovery) -> Self {
        let (progress, done) = match recovery {
            Recovery::Waiting(waiting) => (Some(Progress::from(waiting)), None),
            Recovery::Cancelled => (None, None),
            Recovery::Done(done) => (None, Some(done)),
        };
        let (slug, root_token) = done
            .map(|Recovered { slug, root_token }| (slug.to_string(), Shown(root_token)))
            .unzip();
        Self {
            progress,
            slug,
            root_token,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct RekeyRequest {
    /// The slot whose shares are replaced; may be left out where one slot alone opens by shares.
    slot: Option<u32>,
    /// Shares that are made: 2 to 255.
    #[serde(default)]
    shares: u8,
    /// How many of them open the seal: 2 or more.
    #[serde(default)]
    threshold: u8,
}

impl From<RekeyRequest> for RekeySlot {
    fn from(request: RekeyRequest) -> Self {
        Self {
            id: request.slot,
            needed: request.threshold,
            shares: request.shares,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct RekeyReply {
    /// The slot that opens until the new shares are confirmed.
    old: u32,
    /// The slot of the new shares.
    new: u32,
    /// The shares, each for somebody else. They are kept nowhere.
    shares: Vec<Shown>,
}

impl From<Rekeyed> for RekeyReply {
    fn from(rekeyed: Rekeyed) -> Self {
        Self {
            old: rekeyed.old,
            new: rekeyed.new.id,
            shares: rekeyed.shares.into_iter().map(Shown).collect(),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ConfirmRequest {
    /// One of the new shares.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "String")]
    share: Option<SecretText>,
}

impl TryFrom<ConfirmRequest> for ConfirmRekey {
    type Error = Error;

    fn try_from(request: ConfirmRequest) -> Result<Self, Error> {
        let share = request
            .share
            .ok_or_else(|| Error::invalid("share", "is missing"))?;
        Ok(Self { share })
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct RekeyStepReply {
    /// How far the new shares have come.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    /// The slot that was removed, once they are confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<u32>,
}

impl From<RekeyStep> for RekeyStepReply {
    fn from(step: RekeyStep) -> Self {
        match step {
            RekeyStep::Waiting(waiting) => Self {
                progress: Some(waiting.into()),
                removed: None,
            },
            RekeyStep::Done { old, .. } => Self {
                progress: None,
                removed: Some(old),
            },
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct CancelledReply {
    pub(crate) cancelled: bool,
}
