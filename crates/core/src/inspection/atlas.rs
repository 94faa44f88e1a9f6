//! Names for rows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use strongroom_barrier::{Barrier, BarrierError, Kind, Place, RowAtRest};
use strongroom_base::{MountId, Name, WorkspaceId};

use crate::mounts::{PATHS, paths};

/// A row, as a person is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowName {
    /// A row of the system plane.
    System(String),
    /// A row with a name.
    Named {
        /// Its workspace.
        workspace: WorkspaceId,
        /// The path of its mount, or the mount's number.
        mount: String,
        /// Its name; `None` when that does not open.
        name: Option<String>,
    },
    /// A row with a number or a random id.
    Ordered {
        /// Its workspace.
        workspace: WorkspaceId,
        /// What it is.
        kind: Kind,
        /// The rest of its key, in hexadecimal digits.
        rest: String,
    },
    /// A row with a key that this program does not write, in hexadecimal digits.
    Foreign(String),
    /// A row of which only a digest of the key is known.
    Unknown,
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(name) => write!(f, "system row `{name}`"),
            Self::Named {
                workspace,
                mount,
                name,
            } => match name {
                Some(name) => write!(f, "`{mount}/{name}` of workspace {}", workspace.0),
                None => write!(
                    f,
                    "a name that does not open in `{mount}` of workspace {}",
                    workspace.0
                ),
            },
            Self::Ordered {
                workspace,
                kind,
                rest,
            } => write!(f, "{} row {rest} of workspace {}", kind.as_str(), workspace.0),
            Self::Foreign(key) => write!(f, "foreign row {key}"),
            Self::Unknown => write!(f, "a row that cannot be named"),
        }
    }
}

/// Where things are in an instance.
pub(super) struct Atlas {
    barrier: Arc<Barrier>,
    mounts: BTreeMap<(WorkspaceId, MountId), String>,
}

impl Atlas {
    /// The atlas of the instance that `barrier` opens. A mount whose row does not open is called by its number.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub(super) async fn of(barrier: Arc<Barrier>) -> Result<Self, BarrierError> {
        let view = barrier.view(WorkspaceId::SYSTEM, PATHS).await?;
        let mounts = paths(&view).await?;
        Ok(Self { barrier, mounts })
    }

    /// The workspaces that have mounts.
    pub(super) fn workspaces(&self) -> impl Iterator<Item = WorkspaceId> {
        self.mounts.keys().map(|(workspace, _)| *workspace)
    }

    /// The row at `key` with `value`, for whoever stores its kind.
    ///
    /// # Errors
    /// When the keys of its workspace cannot be had.
    pub(super) async fn at_rest(&self, key: Vec<u8>, value: Vec<u8>) -> Result<RowAtRest, BarrierError> {
        self.barrier.at_rest(key, value).await
    }

    /// The name of the row at `key`.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub(super) async fn name(&self, key: &[u8]) -> Result<RowName, BarrierError> {
        Ok(match self.barrier.place(key).await? {
            Place::System(name) => RowName::System(name),
            Place::Name {
                workspace,
                mount,
                segments,
            } => RowName::Named {
                workspace,
                mount: self.mount(workspace, mount),
                name: segments.map(|segments| segments.join("/")),
            },
            Place::Ordered {
                workspace,
                kind,
                rest,
            } => RowName::Ordered {
                workspace,
                kind,
                rest: hex(&rest),
            },
            Place::Unknown => RowName::Foreign(hex(key)),
        })
    }

    /// The keys that a row at `path`, as the ledger spells it, can have: that of its name in each workspace.
    pub(super) async fn keys_at(&self, path: &str) -> Result<Vec<Vec<u8>>, BarrierError> {
        let mut keys = Vec::new();
        for ((workspace, id), mount) in &self.mounts {
            let name = path.strip_prefix(mount).and_then(|rest| rest.strip_prefix('/'));
            if let Some(Ok(name)) = name.map(Name::from_path) {
                let view = self.barrier.view(*workspace, *id).await?;
                for view in [view.aside(), view] {
                    keys.push(view.named(&name)?.as_bytes().to_vec());
                }
            }
        }
        Ok(keys)
    }

    fn mount(&self, workspace: WorkspaceId, mount: MountId) -> String {
        match (workspace, mount, self.mounts.get(&(workspace, mount))) {
            (.., Some(path)) => path.clone(),
            (WorkspaceId::SYSTEM, strongroom_identity::SLUGS, _) => "slugs".to_owned(),
            (WorkspaceId::SYSTEM, PATHS, _) => "mounts".to_owned(),
            (_, mount, _) if mount.is_aside() => {
                format!("removed from {}", self.mount(workspace, mount.home()))
            }
            (_, mount, _) => format!("mount {}", mount.0),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
