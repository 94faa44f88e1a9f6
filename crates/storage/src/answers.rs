//! What the callers of one group are told.

use std::error::Error;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{CommitError, Failure, Revision, Unavailable};

/// Where the outcome of a change goes. Its caller may be gone.
pub type Answer = oneshot::Sender<Result<Revision, CommitError>>;

/// Answers the changes of a group that was written, or failed to be: by `revisions`, `None` for a conflict.
pub fn settle(answers: Vec<Answer>, revisions: Vec<Option<Revision>>, written: Result<(), Failure>) {
    let failure = written.err().map(Arc::from);
    for (answer, revision) in answers.into_iter().zip(revisions) {
        let outcome = match (revision, &failure) {
            (Some(revision), None) => Ok(revision),
            (None, None) => Err(CommitError::Conflict),
            (Some(_), Some(failure)) => Err(CommitError::Unknown(unavailable(failure))),
            // It is not in the group. What it lost to may be no more there than the group is.
            (None, Some(failure)) => Err(CommitError::NotTried(unavailable(failure))),
        };
        let _ = answer.send(outcome);
    }
}

/// Answers changes that were not tried.
pub fn refuse(answers: impl IntoIterator<Item = Answer>, failure: Failure) {
    let failure = Arc::from(failure);
    for answer in answers {
        let _ = answer.send(Err(CommitError::NotTried(unavailable(&failure))));
    }
}

/// One failure, told to many.
fn unavailable(failure: &Arc<dyn Error + Send + Sync>) -> Unavailable {
    Unavailable(Box::new(Arc::clone(failure)))
}
