//! What the server shows to whoever asks.

use std::time::Duration;

use strongroom_base::{Clock, SystemClock, Timestamp};
use strongroom_client::ClientError;
use strongroom_client::native::{LeavesRequest, Page};

use super::{Check, Finding};
use crate::cli::failure::Failure;
use crate::cli::remote::Asked;
use crate::cli::time::rfc3339;

/// How long a request may take into the ledger: a checkpoint is at most a second old.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
/// The server's clock and ours may differ by so much.
const CLOCK_SLACK_MS: u64 = 60_000;

/// Asks the server, as the caller that `asked` is.
pub(super) async fn look(asked: &mut Asked) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    findings.extend(ledger_and_clock(asked).await?);
    if !asked.client.is_secure().await? {
        findings.push(Finding::new(
            Check::WeakSealKey,
            "a seal key of the server is one that somebody can guess",
            "Seal it with a key file, or with 32 random bytes in its variable.",
        ));
    }
    findings.extend(overdue(asked).await?);
    findings.extend(reserved(asked).await?);
    Ok(findings)
}

/// Every request, so also the one that asks, is in the ledger soon, with the server's time.
async fn ledger_and_clock(asked: &Asked) -> Result<Option<Finding>, Failure> {
    let newest = |last| LeavesRequest {
        last: Some(last),
        ..LeavesRequest::default()
    };
    let before = asked.client.leaves(newest(1)).await?.size;
    let mut waited = Duration::ZERO;
    let page = loop {
        let page = asked.client.leaves(newest(1)).await?;
        if page.size > before {
            break page;
        }
        if waited >= PATIENCE {
            return Ok(Some(Finding::new(
                Check::Ledger,
                format!(
                    "the ledger has not grown beyond {before} leaves in {} s",
                    PATIENCE.as_secs()
                ),
                "Look at the server's log: its disk may be full, or the ledger cannot be written.",
            )));
        }
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    };
    let here = SystemClock::new().now().as_millis();
    let leaf = page.leaves.last().and_then(|leaf| {
        let leaf: serde_json::Value = serde_json::from_str(&leaf.leaf).ok()?;
        leaf.get("t")?.as_u64()
    });
    Ok(leaf
        .filter(|there| there.abs_diff(here) > CLOCK_SLACK_MS)
        .map(|there| {
            Finding::new(
                Check::Clock,
                format!(
                    "the server's clock says {}, and this machine's {}",
                    rfc3339(Timestamp::from_millis(there)),
                    rfc3339(Timestamp::from_millis(here))
                ),
                "Set the wrong one right (`timedatectl`): sessions and secrets end by the server's.",
            )
        }))
}

async fn overdue(asked: &Asked) -> Result<Option<Finding>, Failure> {
    let page = Page::default();
    let found = asked.client.stale_secrets(&page).await?;
    let Some(first) = found.secrets.first() else {
        return Ok(None);
    };
    let count = found.secrets.len();
    let more = if found.next.is_some() { " and more" } else { "" };
    Ok(Some(Finding::new(
        Check::Overdue,
        format!(
            "secrets are overdue: {count}{more}, the longest is `{}`",
            first.path
        ),
        "`strongroom secret stale` lists them: give each a new value or another date.",
    )))
}

/// Only admins may see who there is.
async fn reserved(asked: &Asked) -> Result<Option<Finding>, Failure> {
    let mut after = None;
    let mut reserved = Vec::new();
    loop {
        let page = match asked.client.principals("user", after.as_deref()).await {
            Ok(page) => page,
            Err(ClientError::Refused { status: 403, .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let names = page.principals.into_iter();
        reserved.extend(names.filter(|one| one.standing == "reserved").map(|one| one.slug));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let Some(first) = reserved.first() else {
        return Ok(None);
    };
    Ok(Some(Finding::new(
        Check::Reserved,
        format!(
            "permission lists name {} that nobody is yet, `{first}` first",
            if reserved.len() == 1 {
                "a principal".to_owned()
            } else {
                format!("{} principals", reserved.len())
            }
        ),
        "`strongroom user add` makes the account; if the name is a mistake, take it out of the lists.",
    )))
}
