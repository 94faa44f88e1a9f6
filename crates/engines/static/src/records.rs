//! What the engine stores. Nobody else spells these keys and fields.

use minicbor::{Decode, Encode};
use strongroom_barrier::{Kind, Named, Place, Record, StorageKey, planes};
use strongroom_base::{MountId, Name, PrincipalId, SecretId, Timestamp, WorkspaceId};
use strongroom_identity::principal_key;
use strongroom_policy::{Lapse, Lists, PrincipalSet};
use strongroom_sdk::{IndexRow, Mount, Protected, RowAtRest, RowFlaw, RowKeeper, Ties};
use strongroom_secret::SecretBytes;

use crate::StaticEngine;
use crate::care::Care;

/// A secret.
#[derive(Encode, Decode)]
pub(crate) struct SecretRecord {
    #[n(0)]
    pub(crate) id: SecretId,
    #[n(1)]
    pub(crate) lists: Lists,
    /// Oldest first; the last one is current. Never empty.
    #[n(2)]
    pub(crate) versions: Vec<Version>,
    #[n(3)]
    pub(crate) current: Payload,
    /// Who answers for it: who made it, until it is given to another.
    #[n(4)]
    pub(crate) owner: PrincipalId,
    #[n(5)]
    pub(crate) created: Timestamp,
    #[n(6)]
    pub(crate) updated: Timestamp,
    /// What is said of it; `None` when that is nothing.
    #[n(7)]
    pub(crate) care: Option<Care>,
}

/// One version of a secret's value.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Version {
    /// Counts from 1 and never restarts.
    #[n(0)]
    pub(crate) number: u32,
    #[n(1)]
    pub(crate) created: Timestamp,
    /// Where its payload row is; `None` while it is inside the secret's record.
    #[n(2)]
    pub(crate) slot: Option<u32>,
    /// Who saved it; `None` in versions that are older than this field.
    #[n(3)]
    pub(crate) by: Option<PrincipalId>,
}

/// Where the current value is.
#[derive(Encode, Decode)]
pub(crate) enum Payload {
    /// Here.
    #[n(0)]
    Inline(#[cbor(n(0), with = "strongroom_barrier::cbor::secret_bytes")] SecretBytes),
    /// In the payload row of the current version's slot.
    #[n(1)]
    Beside,
}

/// A value in a row of its own. It says which version it is, as slots are used again.
#[derive(Encode, Decode)]
pub(crate) struct PayloadRecord {
    #[n(0)]
    pub(crate) version: u32,
    #[cbor(n(1), with = "strongroom_barrier::cbor::secret_bytes")]
    pub(crate) value: SecretBytes,
}

/// A secret that was removed and can be had back: it lies beside its mount, under its name.
#[derive(Encode, Decode)]
pub(crate) struct RemovedRecord {
    #[n(0)]
    pub(crate) secret: SecretRecord,
    #[n(1)]
    pub(crate) at: Timestamp,
}

/// An index row: where a removed secret lies, by the time of its removal.
#[derive(Encode, Decode)]
pub(crate) struct RemovedAt {
    #[n(0)]
    pub(crate) mount: MountId,
    #[n(1)]
    pub(crate) segments: Vec<String>,
    /// Where its values lie.
    #[n(2)]
    pub(crate) slots: Vec<u32>,
}

/// An index row: a secret that is overdue from the time on that its key begins with.
#[derive(Encode, Decode)]
pub(crate) struct Due {
    #[n(0)]
    pub(crate) mount: MountId,
    #[n(1)]
    pub(crate) segments: Vec<String>,
    #[n(2)]
    pub(crate) lapse: Lapse,
    /// Who answers for it.
    #[n(3)]
    pub(crate) owner: PrincipalId,
}

/// A request for access to a secret, whether there is one of that name or not.
#[derive(Encode, Decode)]
pub(crate) struct Request {
    #[n(0)]
    pub(crate) mount: MountId,
    #[n(1)]
    pub(crate) segments: Vec<String>,
    /// Whether it is to write; otherwise it is to read.
    #[n(2)]
    pub(crate) wants_write: bool,
    /// Why, in the words of who asks.
    #[n(3)]
    pub(crate) reason: String,
    #[n(4)]
    pub(crate) at: Timestamp,
}

/// An index row: the name of a secret that a principal may read.
#[derive(Encode, Decode)]
pub(crate) struct ReadableBy {
    #[n(0)]
    pub(crate) segments: Vec<String>,
}

impl Record for SecretRecord {}
impl Record for PayloadRecord {}
impl Record for ReadableBy {}
impl Record for RemovedRecord {}
impl Record for RemovedAt {}
impl Record for Due {}
impl Record for Request {}
impl IndexRow for Request {}
impl IndexRow for RemovedAt {}
impl IndexRow for Due {}

impl Named for RemovedAt {
    fn into_name(self) -> Name {
        Name::from_stored(self.segments)
    }
}

impl Named for Request {
    fn into_name(self) -> Name {
        Name::from_stored(self.segments)
    }
}

impl Named for Due {
    fn into_name(self) -> Name {
        Name::from_stored(self.segments)
    }
}
impl IndexRow for ReadableBy {}

impl Named for ReadableBy {
    fn into_name(self) -> Name {
        Name::from_stored(self.segments)
    }
}

impl SecretRecord {
    /// The number of the current version.
    pub(crate) fn current_version(&self) -> u32 {
        self.versions.last().map_or(0, |version| version.number)
    }

    /// The slots in which its values lie.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.versions.iter().filter_map(|version| version.slot).collect()
    }

    /// From when on it is overdue, and why; `None` if never.
    pub(crate) fn due(&self) -> Option<(Timestamp, Lapse)> {
        let saved = self.versions.last()?.created;
        self.care.as_ref()?.due(saved)
    }

    /// The index row by which it is found when it is overdue, for the secret `name` in `mount`.
    pub(crate) fn due_row(
        &self,
        workspace: WorkspaceId,
        mount: MountId,
        segments: &[String],
    ) -> Option<(StorageKey, Due)> {
        let (at, lapse) = self.due()?;
        let row = Due {
            mount,
            segments: segments.to_vec(),
            lapse,
            owner: self.owner,
        };
        Some((due_key(workspace, at, self.id), row))
    }
}

impl Protected for SecretRecord {
    fn lists(&self) -> &Lists {
        &self.lists
    }

    fn owner(&self) -> PrincipalId {
        self.owner
    }

    fn lapse(&self, now: Timestamp) -> Option<Lapse> {
        let (at, lapse) = self.due()?;
        (at <= now).then_some(lapse)
    }
}

impl Protected for RemovedRecord {
    fn lists(&self) -> &Lists {
        &self.secret.lists
    }

    fn owner(&self) -> PrincipalId {
        self.secret.owner
    }
}

/// The index row of what was removed `at` a time.
pub(crate) fn removed_key(workspace: WorkspaceId, at: Timestamp, secret: SecretId) -> StorageKey {
    planes::ordered(
        workspace,
        Kind::Removed,
        &[&at.as_millis().to_be_bytes(), secret.as_bytes()],
    )
}

/// The index row of a secret that is overdue from `at` on.
pub(crate) fn due_key(workspace: WorkspaceId, at: Timestamp, secret: SecretId) -> StorageKey {
    planes::ordered(
        workspace,
        Kind::Due,
        &[&at.as_millis().to_be_bytes(), secret.as_bytes()],
    )
}

/// The time and the secret of an index row that is in the order of time.
pub(crate) fn index_parts(key: &StorageKey) -> Option<(Timestamp, SecretId)> {
    let (time, id) = key.ordered_parts()?.split_first_chunk()?;
    let time = Timestamp::from_millis(u64::from_be_bytes(*time));
    Some((time, SecretId::from_bytes(id.try_into().ok()?)))
}

pub(crate) fn payload_key(mount: &Mount, secret: SecretId, slot: u32) -> StorageKey {
    payload_in(mount.workspace(), secret, slot)
}

fn payload_in(workspace: WorkspaceId, secret: SecretId, slot: u32) -> StorageKey {
    planes::ordered(
        workspace,
        Kind::Payload,
        &[secret.as_bytes(), &slot.to_be_bytes()],
    )
}

pub(crate) fn by_principal_key(mount: &Mount, principal: PrincipalId, secret: SecretId) -> StorageKey {
    by_principal_in(mount.workspace(), mount.id(), principal, secret)
}

fn by_principal_in(
    workspace: WorkspaceId,
    mount: MountId,
    principal: PrincipalId,
    secret: SecretId,
) -> StorageKey {
    planes::ordered(
        workspace,
        Kind::ByPrincipal,
        &[&by_principal_prefix(principal, mount), secret.as_bytes()],
    )
}

/// What all index rows of `principal` in `mount` begin with.
pub(crate) fn by_principal_prefix(principal: PrincipalId, mount: MountId) -> Vec<u8> {
    [&principal.as_bytes()[..], &mount.0.to_be_bytes()].concat()
}

/// The reader and the mount of an index row.
pub(crate) fn by_principal_parts(key: &StorageKey) -> Option<(PrincipalId, MountId)> {
    let parts = key.ordered_parts()?;
    let (principal, rest) = parts.split_first_chunk()?;
    let (mount, _) = rest.split_first_chunk()?;
    Some((
        PrincipalId::from_bytes(*principal),
        MountId(u32::from_be_bytes(*mount)),
    ))
}

impl RowKeeper for StaticEngine {
    fn read(&self, row: &RowAtRest) -> Result<Option<Ties>, RowFlaw> {
        Ok(Some(match row.place() {
            Place::Name {
                workspace,
                mount,
                segments: Some(segments),
            } if *workspace != WorkspaceId::SYSTEM && mount.is_aside() => {
                let RemovedRecord { secret, at } = row.open()?;
                let index = removed_key(*workspace, at, secret.id);
                let says = removed_says(mount.home(), segments, &secret.slots());
                ties(&secret, *workspace, None, segments)?.owning(index, says)
            }
            Place::Name {
                workspace,
                mount,
                segments: Some(segments),
            } if *workspace != WorkspaceId::SYSTEM => ties(&row.open()?, *workspace, Some(*mount), segments)?,
            Place::Ordered {
                kind: Kind::Removed, ..
            } => {
                let RemovedAt {
                    mount,
                    segments,
                    slots,
                } = row.open()?;
                Ties::of_owned(removed_says(mount, &segments, &slots))
            }
            Place::Ordered {
                kind: Kind::AccessRequest,
                rest,
                ..
            } => {
                row.open::<Request>()?;
                let who = rest
                    .split_first_chunk()
                    .map(|(who, _)| PrincipalId::from_bytes(*who));
                let who = who.ok_or(RowFlaw::Contradiction("its key holds no principal"))?;
                Ties::default().needing([principal_key(who)])
            }
            Place::Ordered { kind: Kind::Due, .. } => Ties::of_owned(due_says(&row.open()?)),
            Place::Ordered {
                kind: Kind::Payload, ..
            } => Ties::of_owned(row.open::<PayloadRecord>()?.version.to_be_bytes()),
            Place::Ordered {
                kind: Kind::ByPrincipal,
                ..
            } => Ties::of_owned(spelled(&row.open::<ReadableBy>()?.segments)),
            _ => return Ok(None),
        }))
    }
}

/// What `secret`, whose name is `segments`, says of its payloads, its index rows in `mount` (none for a removed one) and
/// the principals of its lists.
fn ties(
    secret: &SecretRecord,
    workspace: WorkspaceId,
    mount: Option<MountId>,
    segments: &[String],
) -> Result<Ties, RowFlaw> {
    let current = secret.versions.last();
    let current = current.ok_or(RowFlaw::Contradiction("it has no version"))?;
    if current.slot.is_some() != matches!(secret.current, Payload::Beside) {
        return Err(RowFlaw::Contradiction(
            "its current value is in no place or in two",
        ));
    }
    let mut ties = Ties::default();
    for version in &secret.versions {
        if let Some(slot) = version.slot {
            let key = payload_in(workspace, secret.id, slot);
            ties = ties.owning(key, version.number.to_be_bytes());
        }
    }
    if let Some(mount) = mount {
        for reader in secret.lists.readers.iter() {
            let key = by_principal_in(workspace, mount, reader, secret.id);
            ties = ties.owning(key, spelled(segments));
        }
        if let Some((key, row)) = secret.due_row(workspace, mount, segments) {
            ties = ties.owning(key, due_says(&row));
        }
    }
    let principals = secret.lists.each().into_iter().flat_map(PrincipalSet::iter);
    Ok(ties.needing(principals.chain([secret.owner]).map(principal_key)))
}

/// What a removed secret and its index row say of each other.
fn removed_says(mount: MountId, segments: &[String], slots: &[u32]) -> Vec<u8> {
    format!("{} {slots:?} {}", mount.0, spelled(segments)).into_bytes()
}

/// What a secret and the index row of its being overdue say of each other.
fn due_says(row: &Due) -> Vec<u8> {
    format!(
        "{} {:?} {} {}",
        row.mount.0,
        row.lapse,
        row.owner,
        spelled(&row.segments)
    )
    .into_bytes()
}

/// A name as one text: no segment holds the separator.
fn spelled(segments: &[String]) -> String {
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(record: &impl Encode<()>) -> String {
        let bytes = minicbor::to_vec(record).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `docs/formats/record.md`: a field's number and form are on disk and never change.
    #[test]
    fn the_bytes_of_records() {
        let owner = PrincipalId::from_bytes([1; 16]);
        let secret = SecretRecord {
            id: SecretId::from_bytes([2; 16]),
            lists: Lists {
                readers: PrincipalSet::from_iter([owner]),
                ..Lists::default()
            },
            versions: vec![
                Version {
                    number: 1,
                    created: Timestamp::from_millis(3),
                    slot: Some(0),
                    by: None,
                },
                Version {
                    number: 2,
                    created: Timestamp::from_millis(4),
                    slot: None,
                    by: None,
                },
            ],
            current: Payload::Inline(SecretBytes::new(b"v".to_vec())),
            owner,
            created: Timestamp::from_millis(3),
            updated: Timestamp::from_millis(4),
            care: None,
        };
        let (one, two) = ("01".repeat(16), "02".repeat(16));
        assert_eq!(
            hex(&secret),
            format!("8750{two}868150{one}80808080808283010300820204820081417650{one}0304")
        );
        assert_eq!(hex(&Payload::Beside), "820180");
        let payload = PayloadRecord {
            version: 1,
            value: SecretBytes::new(b"v".to_vec()),
        };
        assert_eq!(hex(&payload), "82014176");
        let readable = ReadableBy {
            segments: vec!["a".into(), "b".into()],
        };
        assert_eq!(hex(&readable), "818261616162");
        let saved = Version {
            number: 3,
            created: Timestamp::from_millis(5),
            slot: None,
            by: Some(owner),
        };
        assert_eq!(hex(&saved), format!("840305f650{one}"));
        let cared = SecretRecord {
            care: Some(Care {
                expires: Some(Timestamp::from_millis(8)),
                rotate_every: Some(9),
                labels: [("k".to_owned(), "v".to_owned())].into(),
            }),
            ..minicbor::decode(&minicbor::to_vec(&secret).unwrap()).unwrap()
        };
        assert!(
            hex(&cared).starts_with(&format!("8850{two}86")) && hex(&cared).ends_with("0304830809a1616b6176")
        );
        let request = Request {
            mount: MountId(7),
            segments: vec!["a".into()],
            wants_write: true,
            reason: "r".into(),
            at: Timestamp::from_millis(9),
        };
        assert_eq!(hex(&request), "8507816161f5617209");
        let due = Due {
            mount: MountId(7),
            segments: vec!["a".into()],
            lapse: Lapse::RotationDue,
            owner,
        };
        assert_eq!(hex(&due), format!("840781616101 50{one}").replace(' ', ""));
        let removed = RemovedRecord {
            secret,
            at: Timestamp::from_millis(6),
        };
        assert!(hex(&removed).starts_with(&format!("828750{two}86")) && hex(&removed).ends_with("030406"));
        let index = RemovedAt {
            mount: MountId(7),
            segments: vec!["a".into()],
            slots: vec![3],
        };
        assert_eq!(hex(&index), "83078161618103");
    }
}
