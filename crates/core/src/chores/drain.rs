//! Dead nodes: who is one, and what becomes of the records that it left in its outbox. They become leaves of the ledger of
//! the node that has the lock, unless the dead one had claimed them for its own ledger: it may have published them, so
//! they wait for it. Nothing is lost or taken twice if a node is taken for dead that is only slow: both put the row of
//! the slow node's ledger by compare-and-set, it when it claims records and the other when it takes them.

use std::collections::BTreeMap;

use strongroom_base::{NodeId, limits};
use strongroom_ledger::take_over;
use strongroom_sdk::{Error, Surroundings};
use strongroom_storage::{Change, CommitError, OutboxKey, Precondition, Revision, Row};

use super::{look_at, required};
use crate::lock::{Fence, Watch};
use crate::nodes::{NodeRecord, alive_key, node_key};
use crate::superblock::{Superblock, superblock_key};

/// Records that are taken over in one commit, in bytes: far below what a group takes, as each becomes a little longer.
const BATCH_BYTES: usize = limits::GROUP_BYTES / 2;

/// The other nodes, as this one sees them.
#[derive(Default)]
pub(super) struct Graves(BTreeMap<NodeId, Watch>);

/// A node that shows no life, and what says so.
pub(super) struct Dead {
    node: NodeId,
    proof: Vec<Precondition>,
}

impl Graves {
    /// The nodes but `own` that were surely not alive for [`limits::NODE_TTL`].
    pub(super) async fn look(
        &mut self,
        surroundings: &Surroundings,
        own: NodeId,
    ) -> Result<Vec<Dead>, Error> {
        let row = surroundings.storage.get(superblock_key().as_bytes()).await?;
        let superblock = row.and_then(|row| Superblock::from_bytes(&row.value).ok());
        let nodes = superblock.map_or(0, |superblock| superblock.nodes);
        let mut dead = Vec::new();
        for node in (1..=nodes).map(NodeId).filter(|node| *node != own) {
            let key = alive_key(node);
            let sight = look_at(surroundings, key.as_bytes()).await?;
            let watch = self.0.entry(node).or_default();
            if watch.is_still(sight, limits::NODE_TTL.into()) {
                let proof = required(key.as_bytes(), sight.revision);
                dead.push(Dead { node, proof });
            }
        }
        Ok(dead)
    }
}

/// Takes over what the `dead` left, into the outbox of `own`.
pub(super) async fn drain(
    surroundings: &Surroundings,
    own: NodeId,
    dead: &[Dead],
    fence: &Fence,
) -> Result<(), Error> {
    for grave in dead {
        while drain_some(surroundings, own, grave, fence).await? {}
    }
    Ok(())
}

/// Takes over some of what `dead` left; whether there was anything.
async fn drain_some(
    surroundings: &Surroundings,
    own: NodeId,
    dead: &Dead,
    fence: &Fence,
) -> Result<bool, Error> {
    let storage = &surroundings.storage;
    let key = node_key(dead.node);
    let Some(row) = storage.get(key.as_bytes()).await? else {
        return Ok(false);
    };
    let Some(record) = NodeRecord::from_bytes(&row.value) else {
        return Err(Error::internal("the record of a node is malformed"));
    };
    let left = unclaimed(surroundings, dead.node, Revision(record.claimed)).await?;
    if left.is_empty() {
        return Ok(false);
    }
    let mut change = Change {
        preconditions: required(key.as_bytes(), Some(row.revision)),
        // As it is, but of another revision: what the node would claim now, it has to look at again.
        puts: vec![(key.as_bytes().to_vec(), row.value)],
        ..Change::default()
    };
    change.preconditions.extend(dead.proof.iter().cloned());
    fence.guard(&mut change);
    for (raw, key, row) in left {
        let notes = take_over(own, key, &row.value);
        change
            .notes
            .extend(notes.ok_or_else(|| Error::internal("an outbox row is malformed"))?);
        change.deletes.push(raw);
    }
    surroundings.space.takes(&change)?;
    let (node, records) = (dead.node.0, change.notes.len());
    match storage.commit(change).await {
        Ok(_) => {
            tracing::info!(node, records, "took over the records that a node left");
            surroundings.ledger.wake();
            Ok(true)
        }
        // It lives, or another has the lock.
        Err(CommitError::Conflict) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Some of the rows in the outbox of `node` behind `claimed`, the first ones.
async fn unclaimed(
    surroundings: &Surroundings,
    node: NodeId,
    claimed: Revision,
) -> Result<Vec<(Vec<u8>, OutboxKey, Row)>, Error> {
    let (mut left, mut bytes, mut after) = (Vec::new(), 0, None);
    loop {
        let range = OutboxKey::all_of(node);
        let page = surroundings
            .storage
            .scan(range, after, limits::OUTBOX_PAGE)
            .await?;
        let is_last = page.len() < limits::OUTBOX_PAGE;
        after = page.last().map(|(key, _)| key.clone());
        for (raw, row) in page.into_iter().filter(|(_, row)| row.revision > claimed) {
            let key = OutboxKey::read(&raw).ok_or_else(|| Error::internal("an outbox row is malformed"))?;
            bytes += row.value.len();
            if !left.is_empty() && bytes > BATCH_BYTES {
                return Ok(left);
            }
            left.push((raw, key, row));
        }
        if is_last {
            return Ok(left);
        }
    }
}
