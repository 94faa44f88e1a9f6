//! Changes and events that no request asks for: they have records of their own.

use strongroom_base::{PrincipalId, RequestId};
use strongroom_ledger::{Outcome, Record};
use strongroom_sdk::{Error, Surroundings};
use strongroom_storage::Change;

/// Commits `change` with a record of `op`, on behalf of `principal` if there is one.
///
/// # Errors
/// [`Error::Conflict`], [`Error::Full`], [`Error::Unavailable`], [`Error::AuditUnavailable`].
pub(crate) async fn commit(
    surroundings: &Surroundings,
    op: &'static str,
    principal: Option<PrincipalId>,
    change: Change,
) -> Result<(), Error> {
    let id = RequestId::generate(&*surroundings.clock, &*surroundings.rng);
    let mut record = Record::open(id, op, surroundings.clock.now(), "");
    if let Some(principal) = principal
        && let Some(known) = surroundings.directory.by_id(principal).await?
    {
        record.set_principal(principal, known.record.slug.as_str());
    }
    let note = |change: &Change| {
        let note = surroundings.ledger.note(&record, Outcome::Ok, change);
        note.map_err(|error| Error::AuditUnavailable(error.into()))
    };
    Ok(surroundings.commit(change, note).await??)
}

/// Leaves a record of `op`, which changed nothing, with its `reason`.
///
/// # Errors
/// [`Error::AuditUnavailable`].
pub(crate) async fn leave(surroundings: &Surroundings, op: &'static str, reason: &str) -> Result<(), Error> {
    let id = RequestId::generate(&*surroundings.clock, &*surroundings.rng);
    let mut record = Record::open(id, op, surroundings.clock.now(), "");
    record.set_reason(reason);
    let left = surroundings.ledger.close(record, Outcome::Ok).await;
    left.map_err(|error| Error::AuditUnavailable(error.into()))
}
