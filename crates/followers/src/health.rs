//! How a follower is doing: when it is to be tried again, and what operators see of it in log and metrics.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use strongroom_base::{limits, with_causes};
use strongroom_ledger::Ledger;
use tokio::time::Instant;

/// One follower's health.
pub(crate) struct Health {
    counts: Arc<Counts>,
    /// The pause after the next failure.
    pause: Duration,
    /// Not to be tried before.
    until: Instant,
    is_failing: bool,
}

/// What the metrics tell of one follower.
#[derive(Debug)]
struct Counts {
    kind: &'static str,
    name: String,
    /// Leaves of the log that it has followed.
    followed: AtomicU64,
    errors: AtomicU64,
}

impl Health {
    /// Of the `kind` of follower called `name`.
    pub(crate) fn new(kind: &'static str, name: &str) -> Self {
        Self {
            counts: Arc::new(Counts {
                kind,
                name: name.to_owned(),
                followed: AtomicU64::new(0),
                errors: AtomicU64::new(0),
            }),
            pause: limits::FOLLOWER_PAUSE.into(),
            until: Instant::now(),
            is_failing: false,
        }
    }

    /// When it is to be tried again.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// It has followed the first `size` leaves of the log.
    pub(crate) fn followed(&mut self, size: u64) {
        self.counts.followed.store(size, Ordering::Relaxed);
        self.pause = limits::FOLLOWER_PAUSE.into();
        if std::mem::take(&mut self.is_failing) {
            let Counts { kind, name, .. } = &*self.counts;
            tracing::info!(follower = kind, name, "follows the ledger again");
        }
    }

    /// It failed, and is to be left alone for a while. Only the first failure of a row is logged.
    pub(crate) fn failed(&mut self, error: &dyn Error) {
        let Counts {
            kind, name, errors, ..
        } = &*self.counts;
        errors.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut self.is_failing, true) {
            let error = with_causes(error);
            tracing::warn!(
                follower = kind,
                name,
                error,
                "does not follow the ledger; it is tried again, and the metrics count how often"
            );
        }
        self.until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(limits::FOLLOWER_PAUSE_MAX.into());
    }
}

/// The metrics of all followers of a ledger: `strongroom_follower_lag_leaves`, `strongroom_follower_errors_total`.
pub(crate) struct Metrics {
    ledger: Arc<Ledger>,
    followers: Vec<Arc<Counts>>,
}

impl Metrics {
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            followers: Vec::new(),
        }
    }

    /// Tells of the follower whose health this is.
    pub(crate) fn watch(&mut self, health: &Health) {
        self.followers.push(Arc::clone(&health.counts));
    }

    /// Encodes `metric` of each follower.
    fn encode_each<M: EncodeMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, kind): (&str, &str, MetricType),
        metric: impl Fn(&Counts) -> M,
    ) -> fmt::Result {
        if self.followers.is_empty() {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for counts in &self.followers {
            let labels = [("kind", counts.kind), ("name", counts.name.as_str())];
            metric(counts).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// The metrics of the followers that run now, if any do: a ledger closes and opens again, and a registry is made once.
#[derive(Clone, Debug, Default)]
pub struct FollowerMetrics(Arc<Mutex<Option<Metrics>>>);

impl FollowerMetrics {
    /// Tells of `metrics` from now on.
    pub(crate) fn set(&self, metrics: Option<Metrics>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = metrics;
    }
}

impl Collector for FollowerMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(metrics) => metrics.encode(encoder),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let size = self.ledger.position().checkpoint.size;
        let lag = (
            "strongroom_follower_lag_leaves",
            "Leaves of the published ledger that a witness has not cosigned, or a copy has not taken",
            MetricType::Gauge,
        );
        self.encode_each(&mut encoder, lag, |counts| {
            ConstGauge::new(size.saturating_sub(counts.followed.load(Ordering::Relaxed)))
        })?;
        let errors = (
            "strongroom_follower_errors",
            "Failed attempts to have the ledger cosigned or copied",
            MetricType::Counter,
        );
        self.encode_each(&mut encoder, errors, |counts| {
            ConstCounter::new(counts.errors.load(Ordering::Relaxed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_bound_and_shrink_with_a_success() {
        let mut health = Health::new("witness", "w");
        let mut pauses = Vec::new();
        for _ in 0..9 {
            health.failed(&fmt::Error);
            pauses.push((health.until() - Instant::now()).as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        health.followed(7);
        health.failed(&fmt::Error);
        assert_eq!((health.until() - Instant::now()).as_secs(), 5);
        assert_eq!(health.counts.errors.load(Ordering::Relaxed), 10);
        assert_eq!(health.counts.followed.load(Ordering::Relaxed), 7);
    }
}
