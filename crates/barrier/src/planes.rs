//! The bytes of storage keys. The first byte is the plane.
//!
//! | plane | key | what is visible in a copy of the storage |
//! |---|---|---|
//! | system `01` | a fixed ASCII name | that the row is there |
//! | names `02` | workspace u32 ‖ mount u32 ‖ (u16 length ‖ token)… | how many names, their depth and lengths |
//! | ordered `03` | workspace u32 ‖ kind u8 ‖ clear numbers and random ids | times and counts |
//! | outbox `04` | node u32 ‖ revision u64 | counts; owned by `storage` |
//!
//! Numbers are big-endian, so that key order is number order.

use std::ops::Range;

use strongroom_base::{MountId, WorkspaceId, limits};

const SYSTEM_PLANE: u8 = 1;
const NAMES_PLANE: u8 = 2;
/// What the names of the system rows with a workspace's keys begin with.
const WORKSPACE_KEYS: &str = "workspace/";
const ORDERED_PLANE: u8 = 3;
/// An id at the end of an ordered key.
const ID_BYTES: usize = 16;
/// Plane, workspace and mount before the first token of a name.
const NAMES_HEADER: usize = 9;

/// The key of a row. Only this crate spells one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageKey(Vec<u8>);

impl StorageKey {
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What follows workspace and kind in the key of an ordered row.
    #[must_use]
    pub fn ordered_parts(&self) -> Option<&[u8]> {
        self.0.strip_prefix(&[ORDERED_PLANE])?.get(5..)
    }

    /// The key's bytes, as storage takes them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a row of the ordered plane is, and so which room owns it. The numbers are on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// identity: principal id → the principal.
    Principal = 1,
    /// identity: principal id → the hash of its password.
    Password = 2,
    /// core: SHA-256 of a token's text → the session.
    Session = 3,
    /// core: time ‖ lease id → what expires then.
    Expiry = 4,
    /// core: principal id ‖ lease id → the session's key.
    SessionOf = 5,
    /// core: workspace ‖ mount id → the mount.
    Mount = 6,
    /// core: (node u32, but for the first ‖) ledger generation u32 → the seed of the key that signs its checkpoints.
    LedgerKey = 7,
    /// core: number u32 → the key that signs JSON web tokens.
    TokenKey = 8,
    /// barrier: how far the rewrap has come; one row.
    Rewrap = 9,
    /// core: principal id → the invitation to be it.
    Invitation = 10,
    /// static engine: secret id ‖ slot → a payload that is not in the secret's own row.
    Payload = 16,
    /// static engine: principal id ‖ mount id ‖ secret id → the secret's name; one row for each secret of a reader.
    ByPrincipal = 17,
    /// static engine: time of removal ‖ secret id → where the removed secret lies.
    Removed = 18,
    /// static engine: time from which a secret is overdue ‖ secret id → where it lies.
    Due = 19,
    /// static engine: principal id ‖ random id → what it asks for.
    AccessRequest = 20,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Principal,
        Self::Password,
        Self::Session,
        Self::Expiry,
        Self::SessionOf,
        Self::Mount,
        Self::LedgerKey,
        Self::TokenKey,
        Self::Rewrap,
        Self::Invitation,
        Self::Payload,
        Self::ByPrincipal,
        Self::Removed,
        Self::Due,
        Self::AccessRequest,
    ];

    /// What `docs/formats/record.md` calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Password => "password",
            Self::Session => "session",
            Self::Expiry => "expiry",
            Self::SessionOf => "session by principal",
            Self::Mount => "mount",
            Self::LedgerKey => "ledger key",
            Self::TokenKey => "token key",
            Self::Rewrap => "rewrap",
            Self::Invitation => "invitation",
            Self::Payload => "payload",
            Self::ByPrincipal => "by principal",
            Self::Removed => "removed",
            Self::Due => "due",
            Self::AccessRequest => "access request",
        }
    }
}

/// What a key shows to anyone.
pub(crate) enum Clear<'k> {
    System(&'k str),
    Name {
        workspace: WorkspaceId,
        mount: MountId,
    },
    Ordered {
        workspace: WorkspaceId,
        kind: Kind,
        rest: &'k [u8],
    },
}

/// Reads `key`; `None` when it is none of the planes that the barrier writes.
pub(crate) fn read(key: &[u8]) -> Option<Clear<'_>> {
    let number = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes);
    let (plane, rest) = key.split_first()?;
    if *plane == SYSTEM_PLANE {
        return std::str::from_utf8(rest).ok().map(Clear::System);
    }
    let (workspace, rest) = rest.split_first_chunk()?;
    let workspace = WorkspaceId(number(workspace));
    match *plane {
        NAMES_PLANE => Some(Clear::Name {
            workspace,
            mount: MountId(number(rest.first_chunk()?)),
        }),
        ORDERED_PLANE => {
            let (code, rest) = rest.split_first()?;
            let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == *code)?;
            Some(Clear::Ordered {
                workspace,
                kind,
                rest,
            })
        }
        _ => None,
    }
}

/// The workspace whose DEK seals the row at `key`; `None` for the planes that no DEK seals.
pub(crate) fn workspace_of(key: &[u8]) -> Option<WorkspaceId> {
    let (plane, rest) = key.split_first()?;
    let workspace = rest.first_chunk()?;
    matches!(*plane, NAMES_PLANE | ORDERED_PLANE).then(|| WorkspaceId(u32::from_be_bytes(*workspace)))
}

/// A part of what a DEK seals, with rows of about the same size.
pub(crate) struct Span {
    pub(crate) range: Range<Vec<u8>>,
    /// Rows that may be read at once.
    pub(crate) page: usize,
}

/// Everything that the DEKs of `workspace` seal, in key order.
pub(crate) fn spans(workspace: WorkspaceId) -> [Span; 4] {
    let plane = |plane: u8| under(&[&[plane][..], &workspace.0.to_be_bytes()].concat());
    let (names, all) = (plane(NAMES_PLANE), plane(ORDERED_PLANE));
    let payloads = under(ordered(workspace, Kind::Payload, &[]).as_bytes());
    let small = limits::REWRAP_PAGE;
    [
        (names, small),
        (all.start..payloads.start.clone(), small),
        (payloads.clone(), limits::REWRAP_PAYLOADS),
        (payloads.end..all.end, small),
    ]
    .map(|(range, page)| Span { range, page })
}

/// The key of a system row.
#[must_use]
pub fn system(name: &str) -> StorageKey {
    let mut key = vec![SYSTEM_PLANE];
    key.extend_from_slice(name.as_bytes());
    StorageKey(key)
}

/// Where all system rows are.
#[must_use]
pub fn system_rows() -> Range<Vec<u8>> {
    under(&[SYSTEM_PLANE])
}

/// The key of the row with the keys of `workspace`.
pub(crate) fn workspace_keys(workspace: WorkspaceId) -> StorageKey {
    system(&name_of_keys(workspace))
}

/// What the row with the keys of `workspace` is called.
pub(crate) fn name_of_keys(workspace: WorkspaceId) -> String {
    format!("{WORKSPACE_KEYS}{}", workspace.0)
}

/// The workspace whose keys are in the row at `key`.
#[must_use]
pub fn keyed_workspace(key: &[u8]) -> Option<WorkspaceId> {
    match read(key)? {
        Clear::System(name) => keyed_by(name),
        _ => None,
    }
}

/// The workspace whose keys are in the system row with `name`.
pub(crate) fn keyed_by(name: &str) -> Option<WorkspaceId> {
    let workspace = WorkspaceId(name.strip_prefix(WORKSPACE_KEYS)?.parse().ok()?);
    // A number has one spelling.
    (name == name_of_keys(workspace)).then_some(workspace)
}

/// The key of an ordered row.
#[must_use]
pub fn ordered(workspace: WorkspaceId, kind: Kind, parts: &[&[u8]]) -> StorageKey {
    let mut key = Vec::with_capacity(6 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(ORDERED_PLANE);
    key.extend(workspace.0.to_be_bytes());
    key.push(kind as u8);
    for part in parts {
        key.extend_from_slice(part);
    }
    StorageKey(key)
}

/// What every name of a mount begins with.
#[must_use]
pub(crate) fn mount_prefix(workspace: WorkspaceId, mount: MountId) -> Vec<u8> {
    let mut key = Vec::with_capacity(NAMES_HEADER + 64);
    key.push(NAMES_PLANE);
    key.extend(workspace.0.to_be_bytes());
    key.extend(mount.0.to_be_bytes());
    key
}

/// Appends a token to the key of a folder.
pub(crate) fn push_token(key: &mut Vec<u8>, token: &[u8]) {
    // A segment is at most 1,024 bytes and its token 16 more, so the length always fits.
    key.extend(u16::try_from(token.len()).unwrap_or(u16::MAX).to_be_bytes());
    key.extend_from_slice(token);
}

/// The first token of `rest`, what follows a folder's key; and whether the name goes on behind it.
pub(crate) fn first_token(rest: &[u8]) -> Option<(&[u8], bool)> {
    let (length, rest) = rest.split_first_chunk()?;
    let (token, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((token, !rest.is_empty()))
}

/// The keys of all folders that a names key lies in, outermost first; nothing for other planes.
pub(crate) fn folders_of(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_name = key.first() == Some(&NAMES_PLANE);
    let mut end = is_name.then_some(NAMES_HEADER);
    std::iter::from_fn(move || {
        let folder = key.get(..end?)?;
        let rest = key.get(folder.len()..)?;
        end = first_token(rest).and_then(|(token, more)| more.then_some(folder.len() + 2 + token.len()));
        Some(folder)
    })
}

/// The keys of the listings that the row at `key` is in, each with the row's item there: of a name, its folders and its
/// token in each; of an ordered row, what comes before its last id, and that id.
pub(crate) fn listings_of(key: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let in_folders = folders_of(key).filter_map(|folder| {
        let (token, _) = first_token(key.get(folder.len()..)?)?;
        Some((folder, token))
    });
    let is_ordered = key.first() == Some(&ORDERED_PLANE);
    let in_index = key.split_last_chunk::<ID_BYTES>();
    let in_index = in_index.filter(|_| is_ordered);
    in_folders.chain(in_index.map(|(prefix, id)| (prefix, &id[..])))
}

/// All keys that begin with `prefix`.
#[must_use]
pub(crate) fn under(prefix: &[u8]) -> Range<Vec<u8>> {
    prefix.to_vec()..successor(prefix)
}

/// The first key behind all that begin with `prefix`, whose plane byte is far below 255.
#[must_use]
pub(crate) fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while end.pop_if(|last| *last == u8::MAX).is_some() {}
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_the_prefix_and_nothing_beside_it() {
        let range = under(&[2, 0xff, 0xff]);
        assert_eq!(range.end, [3]);
        assert!(range.contains(&vec![2, 0xff, 0xff, 0xff]) && !range.contains(&vec![3]));
    }

    #[test]
    fn the_spans_of_a_workspace_are_all_that_its_deks_seal_and_nothing_else() {
        for workspace in [0, 1, 7, u32::MAX - 1].map(WorkspaceId) {
            let spans = spans(workspace);
            let holds = |key: &StorageKey| {
                let key = key.as_bytes().to_vec();
                spans.iter().filter(|span| span.range.contains(&key)).count()
            };
            assert!(spans.is_sorted_by(|one, next| one.range.end <= next.range.start));
            for of in [workspace, WorkspaceId(workspace.0 + 1)] {
                let mut name = mount_prefix(of, MountId(u32::MAX));
                push_token(&mut name, b"one");
                let ordered = Kind::ALL.map(|kind| ordered(of, kind, &[&[0xff; 40]]));
                for key in ordered.into_iter().chain([StorageKey(name)]) {
                    assert_eq!(holds(&key), usize::from(of == workspace), "{key:?}");
                    assert_eq!(workspace_of(key.as_bytes()), Some(of));
                }
            }
            assert_eq!(holds(&system("keyring")), 0);
        }
        assert_eq!(workspace_of(system("workspace/1").as_bytes()), None);
    }

    #[test]
    fn folders_of_a_name() {
        let mut key = mount_prefix(WorkspaceId(1), MountId(2));
        let root = key.clone();
        push_token(&mut key, b"one");
        let inner = key.clone();
        push_token(&mut key, b"two");
        assert_eq!(folders_of(&key).collect::<Vec<_>>(), [&root[..], &inner[..]]);
        assert_eq!(folders_of(&inner).collect::<Vec<_>>(), [&root[..]]);
        assert_eq!(folders_of(system("superblock").as_bytes()).count(), 0);
        let items: Vec<_> = listings_of(&key).collect();
        assert_eq!(items, [(&root[..], &b"one"[..]), (&inner[..], &b"two"[..])]);
    }

    #[test]
    fn an_ordered_row_is_in_the_listing_before_its_last_id() {
        let key = ordered(WorkspaceId(1), Kind::ByPrincipal, &[b"prefix", &[7; 16]]);
        let prefix = ordered(WorkspaceId(1), Kind::ByPrincipal, &[b"prefix"]);
        let items: Vec<_> = listings_of(key.as_bytes()).collect();
        assert_eq!(items, [(prefix.as_bytes(), &[7; 16][..])]);
        assert_eq!(
            listings_of(system("superblock, which is long enough").as_bytes()).count(),
            0
        );
    }
}
