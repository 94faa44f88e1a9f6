//! The mount table: which engine's data lies where. Rows of the system workspace.

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use strongroom_barrier::{Barrier, BarrierError, Kind, Place, Record, StorageKey, View, planes};
use strongroom_base::{MountId, MountUid, Name, PrincipalId, Rng, Timestamp, WorkspaceId, limits};
use strongroom_sdk::{Error, Mount, RowAtRest, RowFlaw, RowKeeper, Surroundings, Ties};
use strongroom_storage::Change;

use crate::internal;

/// Where the system workspace keeps the paths of mounts.
pub(crate) const PATHS: MountId = MountId(1);
/// The folder of 1Backend's apps.
const APPS: &str = "apps";

#[derive(Encode, Decode)]
struct MountRecord {
    #[n(0)]
    id: MountId,
    #[n(1)]
    uid: MountUid,
    /// `apps/<host>`
    #[n(2)]
    path: String,
}

/// The path's row.
#[derive(Encode, Decode)]
struct PathOf(#[n(0)] MountId);

impl Record for MountRecord {}
impl Record for PathOf {}

pub(crate) struct Mounts {
    barrier: Arc<Barrier>,
    surroundings: Arc<Surroundings>,
    view: View,
}

impl Mounts {
    /// `view` is of the system workspace and [`PATHS`].
    pub(crate) fn new(barrier: Arc<Barrier>, surroundings: Arc<Surroundings>, view: View) -> Self {
        Self {
            barrier,
            surroundings,
            view,
        }
    }

    pub(crate) async fn by_id(&self, workspace: WorkspaceId, id: MountId) -> Result<Mount, Error> {
        let found = self.view.cached::<MountRecord>(&mount_key(workspace, id)).await?;
        let found = found.ok_or_else(|| Error::NotFound("the session's app is gone: log in again".into()))?;
        self.mount(workspace, &found.record).await
    }

    pub(crate) async fn all(&self, workspace: WorkspaceId) -> Result<Vec<Mount>, Error> {
        let prefix = workspace.0.to_be_bytes();
        let rows = self
            .view
            .scan::<MountRecord>(Kind::Mount, &prefix, None, limits::MOUNTS as usize)
            .await?;
        let mut mounts = Vec::with_capacity(rows.len());
        for (_, row) in rows {
            mounts.push(self.mount(workspace, &row.record).await?);
        }
        mounts.sort_by(|a, b| a.path().cmp(b.path()));
        Ok(mounts)
    }

    /// Whether `mount` is the one of `host`.
    pub(crate) fn is_at(&self, mount: &Mount, host: &str) -> bool {
        mount.path().split_once('/') == Some((APPS, host))
    }

    /// The mount of `host`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) async fn by_host(&self, workspace: WorkspaceId, host: &str) -> Result<Mount, Error> {
        let path = app_path(host)?;
        let key = path_key(&self.view, workspace, &path)?;
        match self.view.cached::<PathOf>(&key).await? {
            Some(found) => self.by_id(workspace, found.record.0).await,
            None => Err(Error::NotFound(format!("there is no app `{host}`"))),
        }
    }

    /// The mount of `host`, made on behalf of `principal` if there is none.
    pub(crate) async fn ensure(
        &self,
        workspace: WorkspaceId,
        host: &str,
        principal: PrincipalId,
    ) -> Result<Mount, Error> {
        let path = app_path(host)?;
        // A second round finds what another request made at the same time.
        for _ in 0..2 {
            if let Some(found) = self
                .view
                .cached::<PathOf>(&path_key(&self.view, workspace, &path)?)
                .await?
            {
                return self.by_id(workspace, found.record.0).await;
            }
            let id = self.free_id(workspace).await?.ok_or_else(|| {
                let why = format!("would be app {}, one too many", limits::MOUNTS + 1);
                Error::invalid("appHost", why)
            })?;
            let mut change = Change::default();
            let Surroundings { clock, rng, .. } = &*self.surroundings;
            add(&self.view, &mut change, workspace, id, &path, clock.now(), &**rng)?;
            match internal::commit(&self.surroundings, "mount.create", Some(principal), change).await {
                Err(Error::Conflict(_)) => {}
                done => done?,
            }
        }
        Err(Error::Conflict(
            "many apps are being made at the same time: try again".into(),
        ))
    }

    /// The lowest id that no mount has. INVARIANT: mounts are numbered from one without a gap, and none is removed.
    async fn free_id(&self, workspace: WorkspaceId) -> Result<Option<MountId>, Error> {
        let (mut taken, mut free) = (0, limits::MOUNTS + 1);
        while free - taken > 1 {
            let middle = taken + (free - taken) / 2;
            let key = mount_key(workspace, MountId(middle));
            if self.view.get::<MountRecord>(&key).await?.is_some() {
                taken = middle;
            } else {
                free = middle;
            }
        }
        Ok((free <= limits::MOUNTS).then_some(MountId(free)))
    }

    async fn mount(&self, workspace: WorkspaceId, record: &MountRecord) -> Result<Mount, Error> {
        let view = self.barrier.view(workspace, record.id).await?;
        Ok(Mount::new(record.uid, record.path.as_str().into(), view))
    }
}

/// Adds the mount `id` at `path` to `change`, which then requires that neither is taken. `view` is of [`PATHS`].
pub(crate) fn add(
    view: &View,
    change: &mut Change,
    workspace: WorkspaceId,
    id: MountId,
    path: &Name,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<(), BarrierError> {
    let record = MountRecord {
        id,
        uid: MountUid::at(now, rng),
        path: path.to_string(),
    };
    let (by_path, by_id) = (path_key(view, workspace, path)?, mount_key(workspace, id));
    view.expect(change, &by_path, None);
    view.expect(change, &by_id, None);
    view.put(change, &by_path, &PathOf(id))?;
    view.put(change, &by_id, &record)
}

/// The paths of all mounts of all workspaces, but for those whose rows do not open. `view` is of [`PATHS`].
pub(crate) async fn paths(view: &View) -> Result<BTreeMap<(WorkspaceId, MountId), String>, BarrierError> {
    let mut paths = BTreeMap::new();
    for key in view.keys(Kind::Mount).await? {
        let ids = key.ordered_parts().and_then(|ids| ids.split_first_chunk());
        let Some((workspace, _)) = ids else { continue };
        match view.get::<MountRecord>(&key).await {
            Ok(Some(row)) => {
                let workspace = WorkspaceId(u32::from_be_bytes(*workspace));
                paths.insert((workspace, row.record.id), row.record.path);
            }
            Ok(None) | Err(BarrierError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(paths)
}

/// The rows of the mount table. Its view is of [`PATHS`].
pub(crate) struct MountRows(pub(crate) View);

impl RowKeeper for MountRows {
    fn read(&self, row: &RowAtRest) -> Result<Option<Ties>, RowFlaw> {
        Ok(Some(match row.place() {
            Place::Ordered {
                workspace: WorkspaceId::SYSTEM,
                kind: Kind::Mount,
                rest,
            } => {
                let mount: MountRecord = row.open()?;
                let ids = rest.split_first_chunk();
                let (workspace, _) = ids.ok_or(RowFlaw::Contradiction("its key holds no workspace"))?;
                let workspace = WorkspaceId(u32::from_be_bytes(*workspace));
                row.lies_at(&mount_key(workspace, mount.id))?;
                let path = Name::from_path(&mount.path);
                let path = path.map_err(|_| RowFlaw::Contradiction("its path is none"))?;
                Ties::default().owning(path_key(&self.0, workspace, &path)?, mount.id.0.to_be_bytes())
            }
            Place::Name {
                workspace: WorkspaceId::SYSTEM,
                mount: PATHS,
                ..
            } => Ties::of_owned(row.open::<PathOf>()?.0.0.to_be_bytes()),
            _ => return Ok(None),
        }))
    }
}

/// The path of the mount of `host`: one segment under `apps`.
pub(crate) fn app_path(host: &str) -> Result<Name, Error> {
    let name = Name::from_path(host).map_err(|error| Error::invalid("appHost", error))?;
    if name.segments().len() != 1 {
        return Err(Error::invalid("appHost", "must be a host name, without `/`"));
    }
    Ok(Name::from_stored(vec![APPS.to_owned(), host.to_owned()]))
}

/// The key of the mount `id` of `workspace`.
pub(crate) fn mount_key(workspace: WorkspaceId, id: MountId) -> StorageKey {
    planes::ordered(
        WorkspaceId::SYSTEM,
        Kind::Mount,
        &[&workspace.0.to_be_bytes(), &id.0.to_be_bytes()],
    )
}

fn path_key(view: &View, workspace: WorkspaceId, path: &Name) -> Result<StorageKey, BarrierError> {
    let mut segments = vec![workspace.0.to_string()];
    segments.extend_from_slice(path.segments());
    view.named(&Name::from_stored(segments))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/formats/record.md`: a field's number and form are on disk and never change.
    #[test]
    fn the_bytes_of_records() {
        let record = MountRecord {
            id: MountId(1),
            uid: MountUid::from_bytes([2; 16]),
            path: "apps/h".into(),
        };
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let two = "02".repeat(16);
        assert_eq!(
            hex(minicbor::to_vec(&record).unwrap()),
            format!("830150{two}66617070732f68")
        );
        assert_eq!(hex(minicbor::to_vec(PathOf(MountId(1))).unwrap()), "8101");
    }

    #[test]
    fn a_host_is_one_segment() {
        for host in ["unnamed", "example.com", "localhost:8080"] {
            assert_eq!(app_path(host).unwrap().to_string(), format!("apps/{host}"));
        }
        for host in ["", "a/b", "..", "a\0b"] {
            assert!(app_path(host).is_err(), "{host:?}");
        }
    }
}
