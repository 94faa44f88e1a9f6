//! What the core finds overdue, on its way to the metrics and to webhooks.

use std::sync::Arc;

use strongroom_core::{Core, Lapse, OverdueList, OverdueSecret};
use strongroom_followers::{GivenUp, Notice, Notices, StartError, WebhookConfig, Webhooks};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the metrics tell of it. It stays when the seal closes.
#[derive(Default)]
pub(super) struct Tally {
    /// What is overdue, while the instance is open.
    pub(super) overdue: watch::Sender<OverdueList>,
    /// Calls of webhooks that were given up.
    pub(super) given_up: GivenUp,
}

/// Those who are told; they end when this is dropped.
pub(super) struct Telling {
    _tasks: JoinSet<()>,
    _webhooks: Webhooks,
    overdue: watch::Sender<OverdueList>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.overdue.send_replace(Arc::default());
    }
}

/// Starts telling the metrics and `webhooks`.
///
/// # Errors
/// [`StartError`].
pub(super) fn start(core: &Core, webhooks: &[WebhookConfig], tally: &Tally) -> Result<Telling, StartError> {
    let mut tasks = JoinSet::new();
    let (counted, overdue) = (tally.overdue.clone(), core.overdue());
    tasks.spawn(pass_on(overdue, move |all| {
        drop(counted.send_replace(all.clone()))
    }));
    let (told, notices) = watch::channel(Notices::default());
    let tell = move |all: &OverdueList| drop(told.send_replace(Arc::new(all.iter().map(notice).collect())));
    tasks.spawn(pass_on(core.overdue_to_tell(), tell));
    Ok(Telling {
        _tasks: tasks,
        _webhooks: Webhooks::start(webhooks, &notices, &tally.given_up)?,
        overdue: tally.overdue.clone(),
    })
}

/// Gives what `overdue` has, now and whenever it changes, to `to`.
async fn pass_on(mut overdue: watch::Receiver<OverdueList>, to: impl Fn(&OverdueList)) {
    loop {
        let all = overdue.borrow_and_update().clone();
        to(&all);
        if overdue.changed().await.is_err() {
            return;
        }
    }
}

fn notice(secret: &OverdueSecret) -> Notice {
    Notice {
        id: secret.id.clone(),
        path: secret.path.clone(),
        due: secret.due.as_millis(),
        why: match secret.lapse {
            Lapse::Expired => "expired",
            Lapse::RotationDue => "rotation_due",
        },
        owner: secret.owner.as_ref().map(ToString::to_string),
    }
}
