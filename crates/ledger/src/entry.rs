//! Entries: what a record becomes the moment its request ends. An entry is a leaf for each of its parts, complete but
//! for the three numbers that only the sequencer knows; all that is sensitive is committed to and sealed already,
//! so that no journal and no storage ever holds a clear name.

use std::borrow::Cow;
use std::io::Write as _;
use std::iter;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minicbor::encode::write::Writer;
use minicbor::{Decode, Encode};
use strongroom_base::{NodeId, RequestId, Rng, Timestamp, WorkspaceId, limits};
use strongroom_secret::{Key, SecretBuffer, SecretBytes};
use strongroom_storage::{OutboxKey, Revision};
use strongroom_tlog::ENTRY_BYTES;

use crate::hmac::hmac_sha256;
use crate::journal::FRAME_HEADER;
use crate::leaf::PREFIX_BYTES;
use crate::record::{Outcome, Record};
use crate::rows::RowMark;

/// The first byte of an entry.
const VERSION: u8 = 1;
/// Bytes of the length of a fragment.
const LENGTH: usize = 2;
/// Most entries fit, so that their buffer never grows.
const USUAL_BYTES: usize = 1280;
/// The first byte of an entry that another node's outbox had.
const DRAINED: u8 = 2;
/// Version and time.
const HEAD: usize = 1 + 8;
/// Node and revision, between version and time.
const ORIGIN: usize = 4 + 8;

/// Encrypts the sensitive fields of leaves. The encryption boundary over storage implements it.
pub trait FieldCipher: Send + Sync + 'static {
    /// Encrypts `plaintext` under the ledger key of `workspace`, bound to the request `id`.
    ///
    /// # Errors
    /// [`SealError`] when there is no such key at hand.
    fn seal(&self, workspace: WorkspaceId, id: RequestId, plaintext: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Decrypts what [`FieldCipher::seal`] gave.
    ///
    /// # Errors
    /// [`SealError`] when it was sealed for another workspace or request, or was changed.
    fn open(&self, workspace: WorkspaceId, id: RequestId, sealed: &[u8]) -> Result<SecretBytes, SealError>;
}

/// The sensitive fields of a record cannot be encrypted, or not be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fields of an audit record cannot be sealed or opened")]
pub struct SealError;

/// What `sealed` of a leaf decrypts to: the key that all the leaf's salts come from, and what was committed to.
#[derive(Encode, Decode)]
#[cfg_attr(test, derive(PartialEq, Debug))]
pub struct SealedFields<'a> {
    /// 32 random bytes.
    #[cbor(b(0), with = "minicbor::bytes")]
    pub entry_key: &'a [u8],
    /// The caller's slug at the time.
    #[b(1)]
    pub slug: Option<&'a str>,
    /// Where the request came from.
    #[b(2)]
    pub source: Option<&'a str>,
    /// Why the caller asked.
    #[b(3)]
    pub reason: Option<&'a str>,
    /// The reasons of the decisions.
    #[b(4)]
    pub why: Vec<&'a str>,
    /// What the request saw or changed.
    #[b(5)]
    pub paths: Vec<&'a str>,
    /// The [`RowMark`]s of the request's change; absent without any.
    #[cbor(b(6), with = "minicbor::bytes")]
    pub rows: Option<&'a [u8]>,
}

impl SealedFields<'_> {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let single = [self.slug, self.source, self.reason].into_iter().flatten();
        single
            .chain(self.why.iter().copied())
            .chain(self.paths.iter().copied())
    }

    fn is_empty(&self) -> bool {
        self.texts().next().is_none() && self.rows.is_none()
    }

    /// The fields in CBOR, in memory that is wiped.
    fn encode(&self) -> Result<SecretBuffer, SealError> {
        // With three bytes for the head of each text the buffer need not grow. No more than that: it is wiped whole.
        let texts = self.texts().map(|text| text.len() + 3).sum::<usize>();
        let room = texts + self.entry_key.len() + self.rows.map_or(0, <[u8]>::len) + 16;
        let mut writer = Writer::new(SecretBuffer::with_capacity(room));
        minicbor::encode(self, &mut writer).map_err(|_| SealError)?;
        Ok(writer.into_inner())
    }
}

/// The salts of one leaf.
pub struct Salts<'k>(&'k [u8]);

impl<'k> Salts<'k> {
    /// The salts that come from `entry_key`.
    #[must_use]
    pub fn new(entry_key: &'k [u8]) -> Self {
        Self(entry_key)
    }

    /// The commitment to `value` as number `index` of `field`: `HMAC-SHA256(salt, value)`, where salt is
    /// `HMAC-SHA256(entry key, "strongroom/leaf/v1" ‖ 0x00 ‖ field ‖ 0x00 ‖ u32 index, big-endian)`.
    #[must_use]
    pub fn commit(&self, field: &str, index: u32, value: &str) -> [u8; 32] {
        commitment(&self.salt(field, index), value)
    }

    /// The salt of number `index` of `field`.
    pub(crate) fn salt(&self, field: &str, index: u32) -> [u8; 32] {
        let label = b"strongroom/leaf/v1\0";
        hmac_sha256(self.0, &[label, field.as_bytes(), &[0], &index.to_be_bytes()])
    }
}

/// The commitment to `value` under `salt`.
pub(crate) fn commitment(salt: &[u8], value: &str) -> [u8; 32] {
    hmac_sha256(salt, &[value.as_bytes()])
}

/// An entry is no entry, or one of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an audit entry is malformed")]
pub(crate) struct MalformedEntry;

/// The bytes of an entry: `version u8 ‖ time u64 ‖` for each part `length u16 ‖ fragment`, numbers big-endian. A
/// fragment is what follows the sequencer's numbers in a leaf, up to the leaf's end. An entry that was drained from the
/// outbox of another node has `node u32 ‖ revision u64` of its row there after the version.
pub(crate) struct Entry {
    /// The entry behind room for the header of a journal frame, so that it is written without a copy.
    frame: Vec<u8>,
    time: Timestamp,
    from: Option<OutboxKey>,
}

impl Entry {
    /// The entry of `record`, sealed, with what its change does to storage.
    ///
    /// # Errors
    /// [`SealError`], which cannot happen to a record that has nothing sensitive.
    pub(crate) fn seal(
        record: &Record,
        outcome: Outcome,
        rows: &[RowMark],
        cipher: &dyn FieldCipher,
        rng: &dyn Rng,
    ) -> Result<Self, SealError> {
        let mut frame = Vec::with_capacity(USUAL_BYTES);
        frame.resize(FRAME_HEADER, 0);
        frame.push(VERSION);
        frame.extend(record.time.as_millis().to_be_bytes());
        let parts = Part::all(record, rows);
        let count = parts.clone().count();
        for (part, Part { why, paths, rows }) in (1..).zip(parts) {
            let entry_key = Key::<32>::fill(|key| rng.fill(key));
            let rows: Vec<u8> = rows.iter().flat_map(|row| row.to_bytes()).flatten().collect();
            let fields = SealedFields {
                entry_key: entry_key.expose(),
                slug: record.slug.as_deref(),
                source: Some(&*record.source).filter(|source| !source.is_empty()),
                reason: record.reason.as_deref(),
                why: why.iter().map(AsRef::as_ref).collect(),
                paths: paths.iter().map(String::as_str).collect(),
                rows: Some(rows.as_slice()).filter(|rows| !rows.is_empty()),
            };
            let place = frame.len();
            frame.extend([0; LENGTH]);
            write_clear(&mut frame, record, outcome, part, count);
            if !fields.is_empty() {
                write_commitments(&mut frame, &fields);
                let plaintext = fields.encode()?;
                let workspace = record.workspace.unwrap_or(WorkspaceId::SYSTEM);
                let sealed = cipher.seal(workspace, record.id, plaintext.expose())?;
                frame.extend(br#","sealed":""#);
                write_base64(&mut frame, &sealed);
                frame.push(b'"');
            }
            frame.push(b'}');
            // INVARIANT: the limits of a part keep a leaf below its bound, unless the cipher adds tens of kilobytes.
            let length = u16::try_from(frame.len() - place - LENGTH)
                .ok()
                .filter(|length| fits(*length))
                .ok_or(SealError)?;
            let bytes = frame.iter_mut().skip(place).zip(length.to_be_bytes());
            bytes.for_each(|(place, byte)| *place = byte);
        }
        Ok(Self {
            frame,
            time: record.time,
            from: None,
        })
    }

    /// The bytes of the entry `bytes`, which was found in the outbox row `from` of another node, for one's own outbox.
    /// If that node had drained it itself, it keeps the place where it was first.
    ///
    /// # Errors
    /// [`MalformedEntry`].
    pub(crate) fn drained(bytes: &[u8], from: OutboxKey) -> Result<Vec<u8>, MalformedEntry> {
        let entry = Self::decode(bytes)?;
        let rest = bytes.get(1..).filter(|_| entry.from.is_none());
        Ok(rest.map_or_else(
            || bytes.to_vec(),
            |rest| {
                let (node, revision) = (from.node.0.to_be_bytes(), from.revision.0.to_be_bytes());
                [&[DRAINED], &node[..], &revision, rest].concat()
            },
        ))
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`MalformedEntry`] unless `bytes` are one whole entry with one part or more.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, MalformedEntry> {
        let (from, rest) = match bytes.split_first().ok_or(MalformedEntry)? {
            (&VERSION, rest) => (None, rest),
            (&DRAINED, rest) => {
                let (node, rest) = rest.split_first_chunk().ok_or(MalformedEntry)?;
                let (revision, rest) = rest.split_first_chunk().ok_or(MalformedEntry)?;
                let from = OutboxKey {
                    node: NodeId(u32::from_be_bytes(*node)),
                    revision: Revision(u64::from_be_bytes(*revision)),
                };
                (Some(from), rest)
            }
            _ => return Err(MalformedEntry),
        };
        let (time, mut parts) = rest.split_first_chunk().ok_or(MalformedEntry)?;
        if parts.is_empty() {
            return Err(MalformedEntry);
        }
        while !parts.is_empty() {
            (_, parts) = split_part(parts).ok_or(MalformedEntry)?;
        }
        let frame = [&[0; FRAME_HEADER], bytes].concat();
        Ok(Self {
            frame,
            time: Timestamp::from_millis(u64::from_be_bytes(*time)),
            from,
        })
    }

    /// When the request came.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// The row of another node's outbox that had it.
    pub(crate) fn from(&self) -> Option<OutboxKey> {
        self.from
    }

    /// The fragments of the entry's leaves, in order.
    pub(crate) fn fragments(&self) -> impl Iterator<Item = &[u8]> {
        let head = HEAD + self.from.map_or(0, |_| ORIGIN);
        let mut parts = self.frame.get(FRAME_HEADER + head..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (fragment, rest) = split_part(parts)?;
            parts = rest;
            Some(fragment)
        })
    }

    /// The entry behind [`FRAME_HEADER`] bytes for the journal to fill.
    pub(crate) fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.frame
    }

    /// The length of the frame in bytes.
    pub(crate) fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// The entry's bytes.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.frame.drain(..FRAME_HEADER);
        self.frame
    }
}

/// Splits one part off the front of `parts`: its fragment, and the rest.
fn split_part(parts: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = parts.split_first_chunk()?;
    let length = u16::from_be_bytes(*length);
    fits(length).then(|| rest.split_at_checked(usize::from(length)))?
}

/// Whether a leaf with a fragment of `length` fits in a bundle.
fn fits(length: u16) -> bool {
    PREFIX_BYTES + usize::from(length) <= ENTRY_BYTES
}

/// What one leaf of a record takes.
struct Part<'a> {
    why: &'a [Cow<'static, str>],
    paths: &'a [String],
    rows: &'a [RowMark],
}

impl<'a> Part<'a> {
    /// Divides a record's lists into what one leaf takes; one part at least.
    fn all(record: &'a Record, rows: &'a [RowMark]) -> impl Iterator<Item = Self> + Clone {
        let (mut why, mut paths, mut rows) = (&record.why[..], &record.paths[..], rows);
        let mut is_first = true;
        iter::from_fn(move || {
            let is_left = !(why.is_empty() && paths.is_empty() && rows.is_empty());
            (is_left || is_first).then(|| {
                is_first = false;
                Self {
                    why: take_texts(&mut why, limits::LEAF_DECISIONS, limits::LEAF_DECISIONS_BYTES),
                    paths: take_texts(&mut paths, limits::LEAF_PATHS, limits::LEAF_PATHS_BYTES),
                    rows: take(&mut rows, limits::LEAF_ROWS),
                }
            })
        })
    }
}

/// Takes from the front of `texts` at most `count` texts and `bytes` bytes, but one text at least, if there is one.
fn take_texts<'a, T: AsRef<str>>(texts: &mut &'a [T], count: usize, bytes: usize) -> &'a [T] {
    let sizes = texts.iter().take(count).scan(0, |total, text| {
        *total += text.as_ref().len();
        Some(*total)
    });
    let fitting = sizes.take_while(|total| *total <= bytes).count();
    take(texts, fitting.max(1))
}

/// Takes at most `count` items from the front of `items`.
fn take<'a, T>(items: &mut &'a [T], count: usize) -> &'a [T] {
    let (taken, rest) = items.split_at(count.min(items.len()));
    *items = rest;
    taken
}

/// The fields that anyone may read. None needs escapes; writing to a `Vec` cannot fail.
fn write_clear(out: &mut Vec<u8>, record: &Record, outcome: Outcome, part: usize, parts: usize) {
    for (name, text) in [
        ("\"id\":\"", &*record.id.text()),
        ("\",\"op\":\"", record.op),
        ("\",\"outcome\":\"", outcome.as_str()),
    ] {
        out.extend(name.as_bytes());
        out.extend(text.as_bytes());
    }
    out.push(b'"');
    if let Some(workspace) = record.workspace {
        let _ = write!(out, r#","ws":{}"#, workspace.0);
    }
    if let Some(principal) = record.principal {
        out.extend(br#","principal":""#);
        out.extend(principal.text().as_bytes());
        out.push(b'"');
    }
    if let Some(counted) = record.counted {
        let _ = write!(out, r#","n":{counted}"#);
    }
    let _ = write!(out, r#","part":{part},"parts":{parts}"#);
}

fn write_commitments(out: &mut Vec<u8>, fields: &SealedFields<'_>) {
    let salts = Salts::new(fields.entry_key);
    let commit = |out: &mut Vec<u8>, field: &str, index: u32, value: &str| {
        out.push(b'"');
        write_base64(out, &salts.commit(field, index, value));
        out.push(b'"');
    };
    out.extend(br#","c":{"#);
    for (field, value) in [
        ("slug", fields.slug),
        ("source", fields.source),
        ("reason", fields.reason),
    ] {
        if let Some(value) = value {
            write_name(out, field);
            commit(out, field, 0, value);
            out.push(b',');
        }
    }
    for (field, separator, values) in [("why", "", &fields.why), ("paths", ",", &fields.paths)] {
        out.extend(separator.as_bytes());
        write_name(out, field);
        out.push(b'[');
        for (index, value) in (0..).zip(values) {
            if index > 0 {
                out.push(b',');
            }
            commit(out, field, index, value);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    out.extend(name.as_bytes());
    out.extend(br#"":"#);
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, b'=');
    let place = out.get_mut(start..).unwrap_or_default();
    // INVARIANT: four characters for every three bytes or less are room enough.
    let _ = STANDARD.encode_slice(bytes, place);
}
