//! Every bound in one place. Units are in the names.

use crate::Ttl;

/// A request body, in every dialect.
pub const BODY_BYTES: usize = 8 << 20;
/// A request body up to this size is read at once, whoever sends it.
pub const SMALL_BODY_BYTES: usize = 64 << 10;
/// Larger request bodies that are read at one time; others wait, unread.
pub const LARGE_BODIES: usize = 32;
/// One secret's value, in every dialect.
pub const VALUE_BYTES: usize = 1 << 20;
/// A value up to this size is kept inside its secret's record.
pub const INLINE_VALUE_BYTES: usize = 8 << 10;
/// A whole name, separators included.
pub const NAME_BYTES: usize = 1024;
/// Segments of a name.
pub const NAME_SEGMENTS: usize = 32;
/// Characters of a slug.
pub const SLUG_BYTES: usize = 64;
/// Entries in one of a secret's permission lists.
pub const LIST_ENTRIES: usize = 256;
/// Different principals in the lists of one save.
pub const SAVE_PRINCIPALS: usize = 1000;
/// The values, names and lists of one listing together, and [`LISTED_BYTES`] for each secret.
pub const LISTING_BYTES: usize = 32 << 20;
/// What a secret takes in a listing beside its texts.
pub const LISTED_BYTES: usize = 64;
/// Secrets in one save or one selection.
pub const BATCH_ENTRIES: usize = 1000;
/// Things on one page of an answer.
pub const PAGE: usize = 1000;
/// Leaves of the ledger on one page of an answer.
pub const LEAF_PAGE: usize = 256;
/// Versions of a secret that are kept, the current one included.
pub const VERSIONS_KEPT: usize = 10;
/// How long a removed secret can be had back; then it is purged.
pub const REMOVED_KEPT: Ttl = Ttl::from_hours(30 * 24);
/// Removed secrets that are purged in one commit.
pub const PURGE_BATCH: usize = 200;
/// Groups that a principal is in.
pub const GROUPS: usize = 32;
/// How long an invitation is good for.
pub const INVITATION: Ttl = Ttl::from_hours(7 * 24);
/// Bytes of the reason of a request for access.
pub const REASON_BYTES: usize = 1024;
/// Requests of one principal for access to secrets that wait.
pub const ACCESS_REQUESTS: usize = 100;
/// How long such a request waits.
pub const ACCESS_REQUEST_KEPT: Ttl = Ttl::from_hours(30 * 24);
/// Labels of a secret; each key and value has at most [`LABEL_BYTES`].
pub const LABELS: usize = 32;
/// Overdue secrets that are counted and told of; there may be more.
pub const OVERDUE_COUNTED: usize = 10_000;
/// How often it is looked what is overdue, and what is to be purged.
pub const UPKEEP_EVERY: Ttl = Ttl::from_secs(10);
/// Secrets in one call of a webhook.
pub const WEBHOOK_SECRETS: usize = 100;
/// Attempts at one call of a webhook.
pub const WEBHOOK_ATTEMPTS: u32 = 5;
/// Pause before the second attempt; it doubles with each.
pub const WEBHOOK_PAUSE: Ttl = Ttl::from_secs(2);
/// Children of a folder.
pub const FOLDER_CHILDREN: usize = 1_000_000;
/// The time that a request may take.
pub const REQUEST_SECS: u64 = 60;
/// The time after which an answer that can be continued ends with what was found so far.
pub const PARTIAL_ANSWER_SECS: u64 = 10;
/// Sessions of a principal that are counted; there may be more.
pub const SESSIONS_COUNTED: usize = 1_000;
/// Expired leases that are cleaned up in one commit.
pub const EXPIRY_BATCH: usize = 200;
/// How often the expiry index is looked at.
pub const EXPIRY_EVERY: Ttl = Ttl::from_secs(10);
/// Characters of what a client calls its device, or a person itself.
pub const LABEL_BYTES: usize = 256;
/// Nesting of a JSON document from outside.
pub const JSON_DEPTH: usize = 64;
/// Mounts of a workspace.
pub const MOUNTS: u32 = 10_000;
/// Length of a password in bytes: below it is guessable, above it is a denial of service.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;
/// A token's text; a longer one is refused unhashed.
pub const TOKEN_BYTES: usize = 8 << 10;

/// Operations in one group commit.
pub const GROUP_OPS: usize = 256;
/// Times that the committer lets callers of its own core run, as long as that makes a group larger.
pub const GROUP_YIELDS: usize = 16;
/// Bytes in one group commit.
pub const GROUP_BYTES: usize = 4 << 20;
/// Operations that wait for the committer; a caller beyond them waits to be let in.
pub const COMMIT_QUEUE_OPS: usize = 2 * GROUP_OPS;
/// Changed keys that embedded storage remembers for followers.
pub const CHANGED_KEYS_KEPT: usize = 16 << 10;
/// Sorted listings that are kept in memory: one of the longest folder there may be, with names of ten characters.
pub const LISTINGS_BYTES: usize = 64 << 20;
/// As many of them.
pub const LISTINGS: usize = 1_000;
/// Pages of the embedded database that are kept in memory.
pub const STORAGE_CACHE_BYTES: usize = 32 << 20;
/// Connections to a shared database that read.
pub const DATABASE_READERS: usize = 4;
/// The longest wait for a shared database: to connect, to answer a read, to let a commit begin or end.
pub const DATABASE_TIMEOUT: Ttl = Ttl::from_secs(10);
/// How long a node may hold up the commits of the others while it says nothing; then its commit is undone.
pub const DATABASE_HOLD: Ttl = Ttl::from_secs(5);
/// How often a shared database is asked for changes of other nodes when it does not tell of any.
pub const CHANGES_POLL: Ttl = Ttl::from_millis(250);
/// A cache answers only while its node has asked for changes within this time.
pub const CHANGES_FRESH: Ttl = Ttl::from_secs(1);
/// How long a shared database remembers that a key was deleted, for nodes that were away.
pub const TOMBSTONES_KEPT: Ttl = Ttl::from_secs(600);
/// How often older ones are removed.
pub const TOMBSTONES_EVERY: Ttl = Ttl::from_secs(60);
/// Tombstones removed at once.
pub const TOMBSTONES_BATCH: usize = 10_000;
/// Nodes that ever joined an instance.
pub const NODES: u32 = 1_000;
/// How often a node says that it lives.
pub const NODE_BEAT: Ttl = Ttl::from_secs(2);
/// A node that was not heard of for this long is taken for dead: others take over the records that it left.
pub const NODE_TTL: Ttl = Ttl::from_secs(6);
/// How often the lock of what must be done once is renewed or looked at.
pub const LOCK_RENEW: Ttl = Ttl::from_secs(2);
/// That lock is taken over once it was not renewed for this long.
pub const LOCK_TTL: Ttl = Ttl::from_secs(6);
/// The file that takes room on the disk, to give it back when the disk is nearly full.
pub const RESERVE_BYTES: u64 = 64 << 20;
/// With less than this free on the disk, the reserve is freed, and only what removes is stored.
pub const SPACE_SCARCE_BYTES: u64 = 16 << 20;
/// With less than this, the reserve freed, nothing is answered.
pub const SPACE_NONE_BYTES: u64 = 8 << 20;
/// With this much free, the reserve is made again: it leaves twice what is scarce.
pub const SPACE_PLENTY_BYTES: u64 = RESERVE_BYTES + 2 * SPACE_SCARCE_BYTES;
/// How often the room on the disk is looked at.
pub const SPACE_EVERY: Ttl = Ttl::from_millis(250);
/// Pause before failed storage is opened a second time; it doubles with each attempt.
pub const REOPEN_PAUSE: Ttl = Ttl::from_millis(100);
/// The longest such pause.
pub const REOPEN_PAUSE_MAX: Ttl = Ttl::from_secs(5);
/// Paths named in one ledger leaf; a request that touched more leaves several.
pub const LEAF_PATHS: usize = 200;
/// Bytes of the paths in one ledger leaf, so that what is sealed stays below a leaf's 65,535 bytes.
pub const LEAF_PATHS_BYTES: usize = 16 << 10;
/// Decision reasons in one ledger leaf.
pub const LEAF_DECISIONS: usize = 50;
/// Bytes of the decision reasons in one ledger leaf.
pub const LEAF_DECISIONS_BYTES: usize = 4 << 10;
/// Rows of storage whose digests are in one ledger leaf, 32 bytes each.
pub const LEAF_ROWS: usize = 200;
/// One text in a ledger leaf; a longer one is cut.
pub const LEAF_TEXT_BYTES: usize = 2 << 10;
/// Audit entries that wait for the sequencer, in bytes; beyond them a request waits with its answer.
pub const JOURNAL_QUEUE_BYTES: usize = 64 << 20;
/// A journal segment of this size is followed by a new one.
pub const JOURNAL_SEGMENT_BYTES: u64 = 8 << 20;
/// Outbox rows that are read at once.
pub const OUTBOX_PAGE: usize = 256;
/// Bytes of outbox rows that one checkpoint takes in.
pub const OUTBOX_BATCH_BYTES: usize = 32 << 20;
/// Pause from the first waiting audit entry to the checkpoint that covers it.
pub const PUBLISH_PAUSE: Ttl = Ttl::from_millis(250);
/// How often the outbox is looked at when nothing says that it has something.
pub const OUTBOX_POLL: Ttl = Ttl::from_millis(500);
/// Pause from a new checkpoint until witnesses are asked to cosign the newest.
pub const WITNESS_PAUSE: Ttl = Ttl::from_secs(2);
/// Pause before a witness or a copy that failed is tried again; it doubles with each attempt.
pub const FOLLOWER_PAUSE: Ttl = Ttl::from_secs(5);
/// The longest such pause.
pub const FOLLOWER_PAUSE_MAX: Ttl = Ttl::from_secs(5 * 60);

/// Epochs of KEKs that are kept. More rotations are refused until a rewrap has dropped those that nothing uses.
pub const KEY_EPOCHS: usize = 1_000;
/// Rows that one commit of a rewrap seals anew: with the row that says how far it is, they fill five leaves.
pub const REWRAP_ROWS: usize = 5 * LEAF_ROWS - 1;
/// Rows that a rewrap reads at once.
pub const REWRAP_PAGE: usize = 500;
/// As many of those that hold long values.
pub const REWRAP_PAYLOADS: usize = 8;
/// Bytes of rows that one commit of a rewrap seals anew; it may be one row that is longer.
pub const REWRAP_BYTES: usize = 1 << 20;
/// A commit of a rewrap begins no sooner than this after the one before. It takes about 13 ms of processor time.
pub const REWRAP_EVERY: Ttl = Ttl::from_millis(72);
/// How often a node looks whether there is a rewrap to go on with: one that failed, or that another node was asked for.
pub const REWRAP_LOOK: Ttl = Ttl::from_secs(5);
/// Times that a change is sealed anew because its workspace's keys changed while it was on its way.
pub const KEY_CHANGES_MET: usize = 8;

/// A session unused for this long ends.
pub const SESSION_IDLE: Ttl = Ttl::from_hours(12);
/// A session ends after this long, used or not.
pub const SESSION_ABSOLUTE: Ttl = Ttl::from_hours(30 * 24);
/// What the text of a token claims as its life, for readers that verify it offline; the session decides here.
pub const TOKEN_TEXT: Ttl = Ttl::from_secs(5 * 60);
/// A session's idle deadline is moved at most this often.
pub const SESSION_EXTEND_EVERY: Ttl = Ttl::from_hours(1);

/// Wrong passwords in a row before a principal is locked.
pub const LOGIN_FAILURES_PER_PRINCIPAL: u32 = 10;
/// How long such a lock lasts.
pub const LOGIN_LOCK: Ttl = Ttl::from_secs(15 * 60);
/// Wrong passwords from one source within [`LOGIN_SOURCE_WINDOW`].
pub const LOGIN_FAILURES_PER_SOURCE: u32 = 30;
/// The window in which a source's failures count.
pub const LOGIN_SOURCE_WINDOW: Ttl = Ttl::from_secs(60);
/// Principals and sources whose failures are remembered.
pub const LOGIN_COUNTERS: usize = 100_000;
/// Passwords waiting for a core to be hashed on.
pub const PASSWORD_QUEUE: usize = 32;
/// Anonymous refusals of one source that get leaves of their own in a second; more are counted into one.
pub const ANONYMOUS_REFUSALS_PER_SECOND: u32 = 5;
/// Sources that get such leaves in a second; those of more sources are only counted.
pub const REFUSAL_SOURCES: usize = 256;

/// Slots of an instance.
pub const SEAL_SLOTS: usize = 32;
/// What an operator calls a slot.
pub const SLOT_LABEL_BYTES: usize = 128;
/// Length of the passphrase of a seal slot: whoever has the disk may guess at it for years.
pub const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 12..=1024;
/// What an operator gives to open the seal: a passphrase and shares, one a line.
pub const UNSEAL_BYTES: u64 = 64 << 10;
/// Wrong shares and passphrases from one source within [`UNSEAL_WINDOW`].
pub const UNSEAL_FAILURES_PER_SOURCE: u32 = 30;
/// The window in which a source's failures count.
pub const UNSEAL_WINDOW: Ttl = Ttl::from_secs(60);
/// Sources whose failures are remembered.
pub const UNSEAL_SOURCES: usize = 10_000;
/// How often each slot that opens unattended is tried.
pub const SLOT_CHECK_EVERY: Ttl = Ttl::from_hours(24);
/// The longest wait for a PKCS#11 token.
pub const TOKEN_TIMEOUT: Ttl = Ttl::from_secs(20);
/// System rows of an instance that are copied for a drill: keys and what an instance says of itself.
pub const SYSTEM_ROWS: usize = 10_000;
/// Records that are kept of requests while an instance is sealed or not made yet; further ones are counted.
pub const STANDBY_RECORDS: usize = 10_000;
/// How often such records are made durable.
pub const STANDBY_SYNC: Ttl = Ttl::from_secs(1);
/// What requests in flight get to end when an instance is sealed.
pub const SEAL_DRAIN: Ttl = Ttl::from_secs(5);
/// Pause before the slots that open unattended are tried again; it doubles with each attempt.
pub const UNSEAL_PAUSE: Ttl = Ttl::from_millis(500);
/// The longest such pause.
pub const UNSEAL_PAUSE_MAX: Ttl = Ttl::from_secs(30);
/// When to come back while another passphrase is being tried.
pub const PASSPHRASE_BUSY: Ttl = Ttl::from_secs(2);
