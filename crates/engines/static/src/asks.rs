//! Requests for access: somebody asks for what is not theirs, and the owner sees it. Whether there is such a secret is not
//! told to who asks: a request is kept for any name.

use strongroom_barrier::{Kind, StorageKey, planes};
use strongroom_base::{Name, PrincipalId, SecretId, Timestamp, WorkspaceId, limits};
use strongroom_policy::{Capability, Resource, decide};
use strongroom_sdk::{Error, Mount, Permit, Protected};
use strongroom_storage::Change;

use crate::StaticEngine;
use crate::engine::{PAGE, no_mount, parse};
use crate::ops::{AccessRequest, AskAccess, Asked, ListAccessRequests};
use crate::records::{Request, SecretRecord};

impl StaticEngine {
    /// Asks for access to a secret.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is none, a reason out of form, and what the caller may do already;
    /// [`Error::Conflict`] with too many requests that wait.
    pub async fn ask_access(&self, permit: &Permit, op: AskAccess) -> Result<Asked, Error> {
        let mount = permit.mounts().first().ok_or_else(no_mount)?;
        let name = parse("name", &op.secret.name)?;
        let is_bad = |c: char| c.is_control();
        if op.reason.len() > limits::REASON_BYTES || op.reason.chars().any(is_bad) {
            let why = format!(
                "is over {} bytes, or has control characters",
                limits::REASON_BYTES
            );
            return Err(Error::invalid("reason", why));
        }
        permit.record().add(|record| record.set_reason(&op.reason));
        let row = permit.load::<SecretRecord>(mount, &name).await?;
        if row.is_some_and(|row| permit.open(row, op.wanted).is_ok()) {
            return Err(Error::invalid("name", "is a secret that you may use so already"));
        }
        let caller = permit.caller().ok_or_else(no_mount)?.id;
        let mut change = Change::default();
        let waiting = self.waiting_of(permit, mount, caller, &name, &mut change).await?;
        if waiting >= limits::ACCESS_REQUESTS {
            let text = format!("{waiting} requests of yours wait already: ask their owners first");
            return Err(Error::Conflict(text));
        }
        let request = Request {
            mount: mount.id(),
            segments: name.segments().to_vec(),
            wants_write: op.wanted == Capability::Write,
            reason: op.reason,
            at: permit.now(),
        };
        let id = SecretId::at(permit.now(), permit.rng());
        mount.put(&mut change, &request_key(mount.workspace(), caller, id), &request)?;
        permit.commit(change).await?;
        Ok(Asked)
    }

    /// The requests that wait for the caller, as the owner of what they are about or an admin. Of very many the first ones.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub async fn access_requests(
        &self,
        permit: &Permit,
        _: ListAccessRequests,
    ) -> Result<Vec<AccessRequest>, Error> {
        let mut waiting = Vec::new();
        let Some(any) = permit.mounts().first() else {
            return Ok(waiting);
        };
        let mut after = None;
        loop {
            let rows = permit
                .index::<Request>(any, Kind::AccessRequest, &[], after.as_ref(), PAGE)
                .await?;
            let is_last = rows.len() < PAGE;
            for (key, row) in rows {
                let request = row.record;
                let mount = permit.mounts().iter().find(|mount| mount.id() == request.mount);
                if let (Some(who), Some(mount)) = (requester(&key), mount)
                    && let Some(shown) = look(permit, mount, who, request).await?
                {
                    waiting.push(shown);
                }
                after = Some(key);
                if waiting.len() == limits::PAGE || permit.is_time_to_answer() {
                    return Ok(waiting);
                }
            }
            if is_last {
                return Ok(waiting);
            }
        }
    }

    /// How many requests of `caller` wait for other secrets than `name`; those for it, and old ones, go in `change`.
    async fn waiting_of(
        &self,
        permit: &Permit,
        mount: &Mount,
        caller: PrincipalId,
        name: &Name,
        change: &mut Change,
    ) -> Result<usize, Error> {
        let rows = permit
            .index::<Request>(mount, Kind::AccessRequest, caller.as_bytes(), None, PAGE)
            .await?;
        let mut waiting = 0;
        for (key, row) in rows {
            let request = row.record;
            let is_same = request.mount == mount.id() && request.segments == name.segments();
            if is_same || is_old(request.at, permit.now()) {
                mount.delete(change, &key);
            } else {
                waiting += 1;
            }
        }
        Ok(waiting)
    }
}

/// `request` of `who` as the caller sees it, if it is for the caller and still to be answered.
async fn look(
    permit: &Permit,
    mount: &Mount,
    who: PrincipalId,
    request: Request,
) -> Result<Option<AccessRequest>, Error> {
    if is_old(request.at, permit.now()) {
        return Ok(None);
    }
    let name = Name::from_stored(request.segments);
    let row = permit.load_unseen::<SecretRecord>(mount, &name).await?;
    let secret = row.and_then(|row| permit.open(row, Capability::Review).ok());
    let (Some(secret), Some(principal)) = (secret, permit.directory().by_id(who).await?) else {
        return Ok(None);
    };
    let wanted = if request.wants_write {
        Capability::Write
    } else {
        Capability::Read
    };
    let subject = permit.directory().subject(&principal.record).await?;
    let resource = Resource::Secret {
        lists: secret.lists(),
        owner: secret.owner(),
        lapse: None,
    };
    // Somebody has answered it.
    if decide(Some(&subject), wanted, resource).is_ok() {
        return Ok(None);
    }
    permit.note(mount, &name);
    Ok(Some(AccessRequest {
        path: format!("{}/{name}", mount.path()),
        name: name.to_string(),
        who: principal.record.slug.to_string(),
        wanted,
        reason: request.reason,
        at: request.at,
    }))
}

fn is_old(at: Timestamp, now: Timestamp) -> bool {
    at.after(limits::ACCESS_REQUEST_KEPT) <= now
}

fn request_key(workspace: WorkspaceId, who: PrincipalId, id: SecretId) -> StorageKey {
    planes::ordered(workspace, Kind::AccessRequest, &[who.as_bytes(), id.as_bytes()])
}

fn requester(key: &StorageKey) -> Option<PrincipalId> {
    let (who, _) = key.ordered_parts()?.split_first_chunk()?;
    Some(PrincipalId::from_bytes(*who))
}
