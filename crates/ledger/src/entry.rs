//! Entries: what a record becomes the moment its request ends. An entry is a leaf for each of its parts, complete but
//! for the three numbers that only the sequencer knows; all that is sensitive is committed to and sealed already,
//! so that no journal and no storage ever holds a clear name.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minicbor::encode::write::Writer;
use minicbor::{Decode, Encode};
use strongroom_base::{NodeId, RequestId, Rng, Timestamp, WorkspaceId, limits};
use strongroom_secret::{Key, SecretBuffer, SecretBytes};
use strongroom_storage::{OutboxKey, Revision};
use strongroom_tlog::ENTRY_BYTES;

use crate::journal::FRAME_HEADER;
use crate::leaf::PREFIX_BYTES;
use crate::record::{Outcome, Record};
use crate::rows::RowMark;

/// The first byte of an entry.
const VERSION: u8 = 1;
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
pub struct Salts(hmac::Key);

impl Salts {
    /// The salts that come from `entry_key`.
    #[must_use]
    pub fn new(entry_key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, entry_key))
    }

    /// The commitment to `value` as number `index` of `field`: `HMAC-SHA256(salt, value)`, where salt is
    /// `HMAC-SHA256(entry key, "strongroom/leaf/v1" ‖ 0x00 ‖ field ‖ 0x00 ‖ u32 index, big-endian)`.
    #[must_use]
    pub fn commit(&self, field: &str, index: u32, value: &str) -> [u8; 32] {
        commitment(&self.salt(field, index), value)
    }

    /// The salt of number `index` of `field`.
    pub(crate) fn salt(&self, field: &str, index: u32) -> [u8; 32] {
        let mut salt = hmac::Context::with_key(&self.0);
        salt.update(b"strongroom/leaf/v1\0");
        salt.update(field.as_bytes());
        salt.update(&[0]);
        salt.update(&index.to_be_bytes());
        bytes_of(salt.sign())
    }
}

/// The commitment to `value` under `salt`.
pub(crate) fn commitment(salt: &[u8], value: &str) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
    bytes_of(hmac::sign(&key, value.as_bytes()))
}

fn bytes_of(tag: hmac::Tag) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
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
        let mut frame = Vec::with_capacity(1024);
        frame.resize(FRAME_HEADER, 0);
        frame.push(VERSION);
        frame.extend(record.time.as_millis().to_be_bytes());
        let parts = parts(record, rows);
        for (part, Part { why, paths, rows }) in (1..).zip(&parts) {
            let entry_key = Key::<32>::fill(|key| rng.fill(key));
            let rows: Vec<u8> = rows.iter().flat_map(|row| row.to_bytes()).flatten().collect();
            let fields = SealedFields {
                entry_key: entry_key.expose(),
                slug: record.slug.as_deref(),
                source: Some(record.source.as_str()).filter(|source| !source.is_empty()),
                reason: record.reason.as_deref(),
                why: why.iter().map(AsRef::as_ref).collect(),
                paths: paths.iter().map(String::as_str).collect(),
                rows: Some(rows.as_slice()).filter(|rows| !rows.is_empty()),
            };
            let mut fragment = String::with_capacity(1024);
            write_clear(&mut fragment, record, outcome, part, parts.len());
            if !fields.is_empty() {
                write_commitments(&mut fragment, &fields);
                let plaintext = fields.encode()?;
                let workspace = record.workspace.unwrap_or(WorkspaceId::SYSTEM);
                let sealed = cipher.seal(workspace, record.id, plaintext.expose())?;
                write_sealed(&mut fragment, &sealed);
            }
            fragment.push('}');
            // INVARIANT: the limits of a part keep a leaf below its bound, unless the cipher adds tens of kilobytes.
            let length = u16::try_from(fragment.len())
                .ok()
                .filter(|length| fits(*length))
                .ok_or(SealError)?;
            frame.extend(length.to_be_bytes());
            frame.extend(fragment.as_bytes());
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

/// Divides a record's lists into what one leaf takes; one part at least.
fn parts<'a>(record: &'a Record, rows: &'a [RowMark]) -> Vec<Part<'a>> {
    let why = chunks(&record.why, limits::LEAF_DECISIONS, limits::LEAF_DECISIONS_BYTES);
    let paths = chunks(&record.paths, limits::LEAF_PATHS, limits::LEAF_PATHS_BYTES);
    let rows: Vec<_> = rows.chunks(limits::LEAF_ROWS).collect();
    let part = |index: usize| Part {
        why: why.get(index).copied().unwrap_or_default(),
        paths: paths.get(index).copied().unwrap_or_default(),
        rows: rows.get(index).copied().unwrap_or_default(),
    };
    (0..why.len().max(paths.len()).max(rows.len()).max(1))
        .map(part)
        .collect()
}

/// Divides `texts` into runs of at most `count` texts and `bytes` bytes, but of one text at least.
fn chunks<T: AsRef<str>>(mut texts: &[T], count: usize, bytes: usize) -> Vec<&[T]> {
    let mut chunks = Vec::new();
    while !texts.is_empty() {
        let sizes = texts.iter().take(count).scan(0, |total, text| {
            *total += text.as_ref().len();
            Some(*total)
        });
        let fitting = sizes.take_while(|total| *total <= bytes).count();
        let (chunk, rest) = texts.split_at(fitting.max(1));
        chunks.push(chunk);
        texts = rest;
    }
    chunks
}

/// The fields that anyone may read. None needs escapes; writing to a `String` cannot fail.
fn write_clear(out: &mut String, record: &Record, outcome: Outcome, part: usize, parts: usize) {
    let _ = write!(
        out,
        r#""id":"{}","op":"{}","outcome":"{}""#,
        record.id,
        record.op,
        outcome.as_str()
    );
    if let Some(workspace) = record.workspace {
        let _ = write!(out, r#","ws":{}"#, workspace.0);
    }
    if let Some(principal) = record.principal {
        let _ = write!(out, r#","principal":"{principal}""#);
    }
    if let Some(counted) = record.counted {
        let _ = write!(out, r#","n":{counted}"#);
    }
    let _ = write!(out, r#","part":{part},"parts":{parts}"#);
}

fn write_commitments(out: &mut String, fields: &SealedFields<'_>) {
    let salts = Salts::new(fields.entry_key);
    let commit = |out: &mut String, field: &str, index: u32, value: &str| {
        out.push('"');
        STANDARD.encode_string(salts.commit(field, index, value), out);
        out.push('"');
    };
    out.push_str(r#","c":{"#);
    for (field, value) in [
        ("slug", fields.slug),
        ("source", fields.source),
        ("reason", fields.reason),
    ] {
        if let Some(value) = value {
            let _ = write!(out, r#""{field}":"#);
            commit(out, field, 0, value);
            out.push(',');
        }
    }
    for (field, separator, values) in [("why", "", &fields.why), ("paths", ",", &fields.paths)] {
        let _ = write!(out, r#"{separator}"{field}":["#);
        for (index, value) in (0..).zip(values) {
            if index > 0 {
                out.push(',');
            }
            commit(out, field, index, value);
        }
        out.push(']');
    }
    out.push('}');
}

fn write_sealed(out: &mut String, sealed: &[u8]) {
    out.push_str(r#","sealed":""#);
    STANDARD.encode_string(sealed, out);
    out.push('"');
}
