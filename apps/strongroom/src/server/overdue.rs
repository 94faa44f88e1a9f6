//! Tells webhooks what the core finds overdue.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use strongroom_core::{Core, Lapse, OverdueSecret};
use strongroom_followers::{Notice, Notices, StartError, WebhookConfig, Webhooks};
use tokio::sync::watch;

/// Starts telling `webhooks`, if there are any.
pub(super) fn start(
    core: &Arc<Core>,
    webhooks: &[WebhookConfig],
    registry: &mut Registry,
) -> Result<Option<Webhooks>, StartError> {
    if webhooks.is_empty() {
        return Ok(None);
    }
    let (told, notices) = watch::channel(Notices::default());
    let mut overdue = core.overdue();
    tokio::spawn(async move {
        loop {
            let all: Vec<Notice> = overdue.borrow_and_update().iter().map(notice).collect();
            told.send_replace(Arc::new(all));
            if overdue.changed().await.is_err() {
                return;
            }
        }
    });
    Webhooks::start(webhooks, &notices, registry).map(Some)
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
