//! The heart of a node: a row that it puts again and again, so that others see that it lives.

use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{NodeId, limits};
use strongroom_sdk::{Error, Surroundings};
use strongroom_storage::{Change, CommitError};
use tokio::sync::watch;

use super::{look_at, required};
use crate::nodes::alive_key;

/// What is known of the own row.
enum Last {
    /// It must be looked at before it is put.
    Unknown,
    /// Its revision, if there is one.
    At(Option<strongroom_storage::Revision>),
}

/// Beats until `stopped` says so.
pub(crate) async fn beat(surroundings: Arc<Surroundings>, node: NodeId, mut stopped: watch::Receiver<bool>) {
    let mut last = Last::Unknown;
    loop {
        match beat_once(&surroundings, node, last).await {
            Ok(now) => last = now,
            Err(error) => {
                last = Last::Unknown;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "other nodes cannot be told that this one lives"
                );
            }
        }
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(Duration::from(limits::NODE_BEAT)) => {}
        }
    }
}

async fn beat_once(surroundings: &Surroundings, node: NodeId, last: Last) -> Result<Last, Error> {
    let storage = &surroundings.storage;
    let key = alive_key(node).as_bytes().to_vec();
    let revision = match last {
        Last::At(revision) => revision,
        Last::Unknown => look_at(surroundings, &key).await?.revision,
    };
    let value = minicbor::to_vec([node]).unwrap_or_default();
    let change = Change {
        preconditions: required(&key, revision),
        puts: vec![(key, value)],
        ..Change::default()
    };
    match storage.commit(change).await {
        Ok(revision) => Ok(Last::At(Some(revision))),
        Err(CommitError::Conflict) => {
            tracing::error!(
                node = node.0,
                "another server runs as this node: its data directory was copied. Stop one of them: each node needs a \
                 directory of its own, and a new one joins with an empty one"
            );
            Ok(Last::Unknown)
        }
        Err(error) => Err(error.into()),
    }
}
