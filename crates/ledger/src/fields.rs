//! What a leaf says: in clear to anyone, sealed to those whom the gate shows it, and one field at a time to whom it is
//! disclosed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use strongroom_base::{PrincipalId, RequestId, Timestamp, WorkspaceId};
use strongroom_secret::{Key, ct_eq};
use strongroom_storage::{OutboxKey, Revision};

use crate::entry::{FieldCipher, Salts, SealError, SealedFields, commitment};
use crate::leaf::{Leaf, LeafFlaw};
use crate::rows::RowMark;

/// What a leaf says in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFacts {
    /// When the request came, or the leaf before if that is later.
    pub time: Timestamp,
    /// The highest storage revision of the outbox that was drained up to and with this leaf.
    pub outbox: u64,
    /// The row of another node's outbox that had it, if that node did not come back to take it into its own ledger.
    pub from: Option<OutboxKey>,
    /// The request.
    pub id: RequestId,
    /// What was asked for.
    pub op: String,
    /// How it ended.
    pub outcome: String,
    /// Where it acted.
    pub workspace: Option<WorkspaceId>,
    /// Who asked.
    pub principal: Option<PrincipalId>,
    /// The requests that this leaf only counts.
    pub counted: Option<u64>,
    /// Its place, from 1, among the leaves of its request.
    pub part: u32,
    /// The leaves of its request.
    pub parts: u32,
    sealed: Option<Vec<u8>>,
}

impl LeafFacts {
    pub(crate) fn of(leaf: &Leaf<'_>) -> Self {
        let place = leaf.place();
        Self {
            time: Timestamp::from_millis(leaf.marks().t),
            outbox: leaf.marks().w,
            from: leaf.from(),
            // INVARIANT: a leaf that was parsed has ids and base64 of the right form.
            id: leaf.id().parse().unwrap_or(RequestId::from_bytes([0; 16])),
            op: leaf.op().to_owned(),
            outcome: leaf.outcome().to_owned(),
            workspace: leaf.workspace().map(WorkspaceId),
            principal: leaf.principal().and_then(|id| id.parse().ok()),
            counted: leaf.counted(),
            part: place.part,
            parts: place.parts,
            sealed: leaf.sealed().and_then(|text| STANDARD.decode(text).ok()),
        }
    }

    /// The revision at which the group of its change ended; for a leaf without a change, of one before it.
    #[must_use]
    pub fn committed(&self) -> Revision {
        self.from.map_or(Revision(self.outbox), |row| row.revision)
    }

    /// What the leaf has sealed, opened by `cipher`; `None` when it has nothing sensitive. Whom it is shown to is the
    /// caller's to decide.
    ///
    /// # Errors
    /// [`SealError`] when it does not open.
    pub fn open(&self, cipher: &dyn FieldCipher) -> Result<Option<Fields>, SealError> {
        let Some(sealed) = &self.sealed else {
            return Ok(None);
        };
        let workspace = self.workspace.unwrap_or(WorkspaceId::SYSTEM);
        let plaintext = cipher.open(workspace, self.id, sealed)?;
        let fields: SealedFields<'_> = minicbor::decode(plaintext.expose()).map_err(|_| SealError)?;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Some(Fields {
            slug: owned(fields.slug),
            source: owned(fields.source),
            reason: owned(fields.reason),
            why: fields.why.iter().map(ToString::to_string).collect(),
            paths: fields.paths.iter().map(ToString::to_string).collect(),
            rows: RowMark::decode(fields.rows.unwrap_or_default()).ok_or(SealError)?,
            entry_key: Key::from_slice(fields.entry_key).ok_or(SealError)?,
        }))
    }
}

/// What was sealed in a leaf.
pub struct Fields {
    /// The caller's slug at the time.
    pub slug: Option<String>,
    /// Where the request came from.
    pub source: Option<String>,
    /// Why the caller asked.
    pub reason: Option<String>,
    /// The reasons of the decisions.
    pub why: Vec<String>,
    /// What the request saw or changed.
    pub paths: Vec<String>,
    /// What it did to storage.
    pub rows: Vec<RowMark>,
    entry_key: Key,
}

impl Fields {
    /// Value number `index` of `field` with its salt: whoever has the leaf can check it, and learns nothing else.
    #[must_use]
    pub fn disclose(&self, field: FieldName, index: u32) -> Option<Disclosure> {
        let list = |values: &[String]| values.get(index as usize).cloned();
        let single = |value: &Option<String>| value.clone().filter(|_| index == 0);
        let value = match field {
            FieldName::Slug => single(&self.slug),
            FieldName::Source => single(&self.source),
            FieldName::Reason => single(&self.reason),
            FieldName::Why => list(&self.why),
            FieldName::Paths => list(&self.paths),
        }?;
        let salt = Salts::new(self.entry_key.expose()).salt(field.as_str(), index);
        Some(Disclosure {
            format: DISCLOSURE.to_owned(),
            field,
            index,
            value,
            salt: STANDARD.encode(salt),
        })
    }
}

/// A field of a leaf that is committed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldName {
    /// The caller's slug.
    Slug,
    /// The caller's address.
    Source,
    /// The caller's reason.
    Reason,
    /// Decision reasons.
    Why,
    /// Paths.
    Paths,
}

impl FieldName {
    /// Its name in the leaf.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slug => "slug",
            Self::Source => "source",
            Self::Reason => "reason",
            Self::Why => "why",
            Self::Paths => "paths",
        }
    }
}

impl std::str::FromStr for FieldName {
    type Err = LeafFlaw;

    fn from_str(text: &str) -> Result<Self, LeafFlaw> {
        let all = [Self::Slug, Self::Source, Self::Reason, Self::Why, Self::Paths];
        all.into_iter()
            .find(|field| field.as_str() == text)
            .ok_or(LeafFlaw::Encoding)
    }
}

const DISCLOSURE: &str = "strongroom/disclosure@v1";

/// One value of one leaf, with what it takes to check it: `docs/formats/disclosure.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    format: String,
    /// The field.
    pub field: FieldName,
    /// The value's number in the field, from 0.
    pub index: u32,
    /// The value.
    pub value: String,
    salt: String,
}

/// A disclosure does not fit the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisclosureError {
    /// The file is of another format, or its salt is none.
    #[error("it is no `{DISCLOSURE}`")]
    Format,
    /// The leaf is none.
    #[error("the leaf {0}")]
    Leaf(LeafFlaw),
    /// The leaf says nothing there, or committed to something else.
    #[error("the leaf does not say this")]
    Value,
}

impl Disclosure {
    /// Checks that `leaf`, the exact bytes of a leaf, committed to this value.
    ///
    /// # Errors
    /// [`DisclosureError`].
    pub fn verify(&self, leaf: &[u8]) -> Result<(), DisclosureError> {
        let salt = STANDARD.decode(&self.salt).ok().filter(|salt| salt.len() == 32);
        let salt = salt
            .filter(|_| self.format == DISCLOSURE)
            .ok_or(DisclosureError::Format)?;
        let leaf = Leaf::parse(leaf).map_err(DisclosureError::Leaf)?;
        let committed = leaf
            .commitment(self.field, self.index)
            .and_then(|text| STANDARD.decode(text).ok());
        match committed {
            Some(committed) if ct_eq(&committed, &commitment(&salt, &self.value)) => Ok(()),
            _ => Err(DisclosureError::Value),
        }
    }
}
