//! All that an engine may act with. Without a permit it has no data, no clock, no way to act.

use std::sync::Arc;
use std::time::Duration;

use strongroom_barrier::envelope::EnvelopeError;
use strongroom_barrier::{Barrier, BarrierError, Child, Folder, Kind, Record, StorageKey, Stored, View};
use strongroom_base::{Clock, Monotonic, Name, Rng, Timestamp, limits};
use strongroom_identity::{Directory, Session};
use strongroom_ledger::{Ledger, Outcome};
use strongroom_policy::{Allowed, Capability, Denied, Lapse, Resource, Strictness, Subject, decide};
use strongroom_storage::{Change, CommitError, Note, Storage, Unavailable};

use crate::{Error, Guarded, IndexRow, Mount, Opened, Protected, RequestRecord, Space};

/// What all permits of an instance share.
pub struct Surroundings {
    /// Where changes go.
    pub storage: Arc<dyn Storage>,
    /// What seals them.
    pub barrier: Arc<Barrier>,
    /// Where records go.
    pub ledger: Arc<Ledger>,
    /// Who there is.
    pub directory: Directory,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// How much room there is.
    pub space: Arc<Space>,
    /// Which overdue secrets are not served.
    pub strictness: Strictness,
}

impl Surroundings {
    /// Commits `change` with the record that `note` makes of it: every change comes this way, but for those of the
    /// ledger itself. Gives what storage says of it.
    ///
    /// Keys may rotate while a change is on its way. It is then sealed anew, with another note, and goes on.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::AuditUnavailable`], and when keys cannot be had; then it did not come to storage.
    pub async fn commit(
        &self,
        change: Change,
        note: impl Fn(&Change) -> Result<Note, Error>,
    ) -> Result<Result<(), CommitError>, Error> {
        self.space.takes(&change)?;
        let mut tries = 0..limits::KEY_CHANGES_MET;
        loop {
            let mut fenced = change.clone();
            let fence = match self.barrier.fence(&mut fenced).await {
                // It was on its way during a whole rewrap.
                Err(BarrierError::Damaged(EnvelopeError::Epoch(_))) => return Ok(Err(CommitError::Conflict)),
                fence => fence?,
            };
            let note = note(&fenced)?;
            fenced.notes.push(note);
            match self.storage.commit(fenced).await {
                Err(CommitError::Conflict)
                    if tries.next().is_some() && self.barrier.has_moved(&fence).await.unwrap_or(false) => {}
                Ok(_) => {
                    self.barrier.settle(&fence).await;
                    return Ok(Ok(()));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

/// A caller that has proved itself.
#[derive(Clone)]
pub struct Caller {
    /// Who it is.
    pub subject: Subject,
    /// The session that its token opened.
    pub session: Arc<Stored<Session>>,
}

/// A request that was allowed, and what it may act with.
pub struct Permit {
    caller: Option<Caller>,
    source: Arc<str>,
    mounts: Vec<Mount>,
    record: RequestRecord,
    surroundings: Arc<Surroundings>,
    deadline: Monotonic,
}

impl Permit {
    /// The permit of a request that `allowed` lets act on `mounts` until `deadline`.
    #[must_use]
    pub fn new(
        allowed: Allowed,
        caller: Option<Caller>,
        source: Arc<str>,
        mounts: Vec<Mount>,
        record: RequestRecord,
        surroundings: Arc<Surroundings>,
        deadline: Monotonic,
    ) -> Self {
        record.add(|record| record.because(allowed.reason().as_str()));
        Self {
            caller,
            source,
            mounts,
            record,
            surroundings,
            deadline,
        }
    }

    /// Who asks; `None` before login.
    #[must_use]
    pub fn caller(&self) -> Option<&Subject> {
        self.caller.as_ref().map(|caller| &caller.subject)
    }

    /// The session of the caller.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.caller.as_ref().map(|caller| &caller.session.record)
    }

    /// The address that the request came from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The mounts, in the order in which the op named them.
    #[must_use]
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.surroundings.clock.now()
    }

    /// Random bytes.
    #[must_use]
    pub fn rng(&self) -> &dyn Rng {
        &*self.surroundings.rng
    }

    /// Who there is.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.surroundings.directory
    }

    /// The request's record, for what only the engine learns: who logged in, which account it was about.
    #[must_use]
    pub fn record(&self) -> &RequestRecord {
        &self.record
    }

    /// For loops over many rows: whether there is time for more.
    ///
    /// # Errors
    /// [`Error::Unavailable`] behind the deadline.
    pub fn in_time(&self) -> Result<(), Error> {
        if self.surroundings.clock.monotonic() < self.deadline {
            Ok(())
        } else {
            Err(Error::Unavailable("the request took longer than it may".into()))
        }
    }

    /// For loops whose answer may be a part: whether the caller has waited long enough for this one.
    #[must_use]
    pub fn is_time_to_answer(&self) -> bool {
        let rest = Duration::from_secs(limits::REQUEST_SECS - limits::PARTIAL_ANSWER_SECS);
        self.surroundings.clock.monotonic().plus(rest) >= self.deadline
    }

    /// Loads the row called `name` in `mount`, undecided. The record notes that it was asked for.
    ///
    /// # Errors
    /// When storage cannot answer or the row is damaged.
    pub async fn load<T: Protected>(&self, mount: &Mount, name: &Name) -> Result<Option<Guarded<T>>, Error> {
        self.note(mount, name);
        self.load_unseen(mount, name).await
    }

    /// [`Permit::load`] for a question about a row of which nothing is shown: the record does not note it.
    ///
    /// # Errors
    /// As [`Permit::load`].
    pub async fn load_unseen<T: Protected>(
        &self,
        mount: &Mount,
        name: &Name,
    ) -> Result<Option<Guarded<T>>, Error> {
        let key = mount.view.named(name)?;
        let stored = mount.view.get(&key).await?;
        Ok(stored.map(|stored| Guarded { key, stored }))
    }

    /// Notes in the record that the request was about `name`.
    pub fn note(&self, mount: &Mount, name: &Name) {
        self.record
            .add(|record| record.touch([mount.path(), "/", &name.path()].concat()));
    }

    /// Decides about a row and, if `capability` is allowed, opens it. The record notes why.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn open<T: Protected>(&self, row: Guarded<T>, capability: Capability) -> Result<Opened<T>, Denied> {
        let Guarded { key, stored } = row;
        self.decide(capability, self.secret(&stored.record))?;
        Ok(Opened { key, stored })
    }

    /// Decides about one more capability on a row that is open.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn also<T: Protected>(&self, row: &Opened<T>, capability: Capability) -> Result<(), Denied> {
        self.decide(capability, self.secret(&**row))
    }

    /// Decides about `name`, which no row has.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn claim(&self, name: &Name, capability: Capability) -> Result<(), Denied> {
        self.decide(capability, Resource::FreeName(name))
    }

    /// Decides whether the caller may see everything of the instance.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub fn everything(&self) -> Result<(), Error> {
        self.decide(Capability::Review, Resource::Everything)
            .map_err(|_| Error::Denied("only an admin may see everything of the instance".to_owned()))
    }

    /// A record that belongs to `row`, which a decision opened.
    ///
    /// # Errors
    /// When storage cannot answer or the row is damaged.
    pub async fn part<P: Record, T>(
        &self,
        mount: &Mount,
        _row: &Opened<T>,
        key: &StorageKey,
    ) -> Result<Option<P>, Error> {
        Ok(mount.view.get(key).await?.map(|stored| stored.record))
    }

    /// Index rows of `mount`.
    ///
    /// # Errors
    /// When storage cannot answer or a row is damaged.
    pub async fn index<T: IndexRow>(
        &self,
        mount: &Mount,
        kind: Kind,
        prefix: &[u8],
        after: Option<&StorageKey>,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Stored<T>)>, Error> {
        Ok(mount.view.scan(kind, prefix, after, limit).await?)
    }

    /// The names in the index rows of `mount` whose keys are `prefix` and an id, behind `after`, in the order of their
    /// segments' bytes, at most `limit`.
    ///
    /// # Errors
    /// As [`Permit::index`].
    pub async fn index_names<T: IndexRow>(
        &self,
        mount: &Mount,
        kind: Kind,
        prefix: &[u8],
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Name>, Error> {
        Ok(mount.view.names::<T>(kind, prefix, after, limit).await?)
    }

    /// The names of `mount` behind `after`, in the order of their segments' bytes, at most `limit`. Names only: nothing
    /// is decided or opened.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub async fn names(&self, mount: &Mount, after: Option<&Name>, limit: usize) -> Result<Vec<Name>, Error> {
        let view = &mount.view;
        let mut open = vec![OpenFolder::new(view.root(), Vec::new())];
        for segment in after.into_iter().flat_map(Name::segments) {
            if let Some(folder) = open.last_mut() {
                folder.after = Some(segment.clone());
                let inner = folder.enter(view, segment)?;
                open.push(inner);
            }
        }
        let mut names = Vec::new();
        while let Some(folder) = open.last_mut().filter(|_| names.len() < limit) {
            let Some(child) = folder.next(view, limit).await? else {
                open.pop();
                continue;
            };
            if child.is_record {
                names.push(folder.name_of(&child.segment));
            }
            if child.is_folder {
                // What lies in a folder comes before what lies behind it.
                let inner = folder.enter(view, &child.segment)?;
                open.push(inner);
            }
        }
        Ok(names)
    }

    /// Commits `change` together with the request's record. The only way to storage.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a precondition does not hold, [`Error::TooLarge`], [`Error::Full`]; then nothing was
    /// written. [`Error::Unavailable`] when it may have been: then its record is there exactly if the change is, unless
    /// storage says that nothing was tried.
    pub async fn commit(&self, change: Change) -> Result<(), Error> {
        self.commit_as(change, Outcome::Ok).await
    }

    /// Commits `change` with the record of a request that ends as `outcome`: a refusal that leaves something behind.
    ///
    /// # Errors
    /// As [`Permit::commit`].
    pub async fn commit_as(&self, change: Change, outcome: Outcome) -> Result<(), Error> {
        let note = |change: &Change| self.record.note(&self.surroundings.ledger, outcome, change);
        let committed = self.surroundings.commit(change, note).await;
        if !matches!(committed, Ok(Ok(()) | Err(CommitError::Unknown(_)))) {
            self.record.take_back();
        }
        committed?.map_err(Error::from)
    }

    /// Why a row is not served any more, if it is not.
    #[must_use]
    pub fn refused_lapse<T: Protected>(&self, record: &T) -> Option<Lapse> {
        self.surroundings.strictness.refuses(record.lapse(self.now()))
    }

    /// A row as the rules see it.
    fn secret<'r, T: Protected>(&self, record: &'r T) -> Resource<'r> {
        Resource::Secret {
            lists: record.lists(),
            owner: record.owner(),
            lapse: self.refused_lapse(record),
        }
    }

    fn decide(&self, capability: Capability, resource: Resource<'_>) -> Result<(), Denied> {
        let decision = decide(self.caller(), capability, resource);
        let reason = match &decision {
            Ok(allowed) => allowed.reason(),
            Err(denied) => denied.reason(),
        };
        self.record.add(|record| record.because(reason.as_str()));
        decision.map(|_| ())
    }
}

/// A folder that is being walked through.
struct OpenFolder {
    folder: Folder,
    segments: Vec<String>,
    /// The next children.
    page: std::vec::IntoIter<Child>,
    /// The last of them, behind which to go on.
    after: Option<String>,
    /// Whether there are none behind that.
    is_last_page: bool,
}

impl OpenFolder {
    fn new(folder: Folder, segments: Vec<String>) -> Self {
        Self {
            folder,
            segments,
            page: Vec::new().into_iter(),
            after: None,
            is_last_page: false,
        }
    }

    /// The next child; `limit` of them are fetched at once.
    async fn next(&mut self, view: &View, limit: usize) -> Result<Option<Child>, Error> {
        if self.page.as_slice().is_empty() && !self.is_last_page {
            let page = view.list(&self.folder, self.after.as_deref(), limit).await?;
            self.is_last_page = page.len() < limit;
            self.after = page
                .last()
                .map(|child| child.segment.clone())
                .or(self.after.take());
            self.page = page.into_iter();
        }
        Ok(self.page.next())
    }

    /// The folder that its child `segment` is.
    fn enter(&self, view: &View, segment: &str) -> Result<Self, Error> {
        let folder = view.folder(self.folder.clone(), segment)?;
        let segments = self.segments.iter().cloned().chain([segment.to_owned()]);
        Ok(Self::new(folder, segments.collect()))
    }

    fn name_of(&self, child: &str) -> Name {
        Name::from_stored(self.segments.iter().cloned().chain([child.to_owned()]).collect())
    }
}

impl From<BarrierError> for Error {
    fn from(error: BarrierError) -> Self {
        match error {
            BarrierError::Unavailable(cause) => Self::Unavailable(cause.into()),
            BarrierError::FolderTooLarge => Self::invalid("folder", error),
            BarrierError::TooManyEpochs => Self::Conflict(error.to_string()),
            BarrierError::Damaged(_)
            | BarrierError::Missing(_)
            | BarrierError::WrongRootKey
            | BarrierError::DamagedKeys(..)
            | BarrierError::UnknownKek(..) => Self::internal(error),
        }
    }
}

impl From<Unavailable> for Error {
    fn from(cause: Unavailable) -> Self {
        Self::Unavailable(cause.into())
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Conflict("it was changed at the same time: read it again".into()),
            CommitError::TooLarge => Self::TooLarge {
                what: "what this request changes together".into(),
                limit_bytes: limits::GROUP_BYTES,
            },
            CommitError::Malformed => Self::internal(error),
            CommitError::NotTried(cause) | CommitError::Unknown(cause) => Self::Unavailable(cause.into()),
        }
    }
}
