//! What a storage key says, for those who look at storage as a whole: the offline commands of the operator.

use strongroom_base::{MountId, WorkspaceId};

use crate::barrier::{Barrier, BarrierError};
use crate::planes::{self, Clear, Kind};

/// Where a row lies, with its name in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A row of the system plane.
    System(String),
    /// A named row.
    Name {
        /// Its workspace.
        workspace: WorkspaceId,
        /// Its mount.
        mount: MountId,
        /// Its name; `None` when its tokens do not open.
        segments: Option<Vec<String>>,
    },
    /// A row of the ordered plane.
    Ordered {
        /// Its workspace.
        workspace: WorkspaceId,
        /// What it is.
        kind: Kind,
        /// What its key goes on with.
        rest: Vec<u8>,
    },
    /// None that this program writes.
    Unknown,
}

impl Barrier {
    /// Where the row at `key` lies.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub async fn place(&self, key: &[u8]) -> Result<Place, BarrierError> {
        Ok(match planes::read(key) {
            Some(Clear::System(name)) => Place::System(name.to_owned()),
            Some(Clear::Ordered {
                workspace,
                kind,
                rest,
            }) => Place::Ordered {
                workspace,
                kind,
                rest: rest.to_vec(),
            },
            Some(Clear::Name { workspace, mount }) => Place::Name {
                workspace,
                mount,
                segments: match self.segments(workspace, key).await {
                    Err(BarrierError::Unavailable(error)) => return Err(error.into()),
                    segments => segments.ok(),
                },
            },
            None => Place::Unknown,
        })
    }

    /// The segments of the name that `key` hides.
    async fn segments(&self, workspace: WorkspaceId, key: &[u8]) -> Result<Vec<String>, BarrierError> {
        let keys = self.keys(workspace).await?;
        let mut segments = Vec::new();
        for folder in planes::folders_of(key) {
            let token = key.get(folder.len()..).and_then(planes::first_token);
            segments.extend(
                keys.names
                    .reveal(folder, token.into_iter().map(|(token, _)| token))?,
            );
        }
        Ok(segments)
    }
}
