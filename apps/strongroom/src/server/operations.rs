//! What operators and their tools ask the process: is it alive, is it ready, how is it doing.
//!
//! None of it needs a token, none of it tells about secrets, and none of it passes the gate. The metrics answer
//! only to this machine. Behind a proxy on the same machine every caller is local: let it not forward `/metrics`.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use strongroom_core::house::House;
use strongroom_core::slots::SlotHealth;
use strongroom_core::{OverdueList, Space};
use strongroom_dialect_kit::{Caller, Peer, Route};
use tokio::sync::watch;
use tower::ServiceExt;

/// The media type of OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the answers are made from.
#[derive(Clone)]
pub struct Operations {
    /// Every metric of this server.
    pub metrics: Arc<Registry>,
    /// Whether requests can be served now.
    pub is_ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// A registry that has the metrics of the process, of the disk and of overdue secrets, for others to add theirs.
#[must_use]
pub fn registry(
    space: Arc<Space>,
    slots: Arc<SlotHealth>,
    overdue: watch::Receiver<OverdueList>,
) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry.register_collector(Box::new(Disk(space)));
    registry.register_collector(Box::new(Slots(slots)));
    registry.register_collector(Box::new(OverdueSecrets(overdue)));
    registry
}

/// The operational routes.
#[must_use]
pub fn routes() -> Vec<Route<Operations>> {
    vec![
        Route::get("/healthz", Caller::Anyone, health),
        Route::get("/readyz", Caller::Anyone, readiness),
        Route::get("/metrics", Caller::Anyone, metrics),
    ]
}

/// A router of these routes; `rest` answers everything else, also other methods of theirs.
pub fn router(operations: Operations, rest: Router) -> Router {
    let other_methods = rest.clone();
    let operations = strongroom_dialect_kit::router(routes())
        .method_not_allowed_fallback(move |request: Request| other_methods.clone().oneshot(request))
        .with_state(operations);
    rest.merge(operations)
}

async fn health() -> &'static str {
    "ok\n"
}

async fn readiness(State(operations): State<Operations>) -> Response {
    if (operations.is_ready)() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    }
}

async fn metrics(State(operations): State<Operations>, peer: ConnectInfo<Peer>) -> Response {
    if !peer.0.address().ip().to_canonical().is_loopback() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut text = String::new();
    match encode(&mut text, &operations.metrics) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Memory and processor time of this process, read when asked.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(bytes) = resident_bytes() {
            let gauge = ConstGauge::new(bytes);
            let help = "Resident memory in bytes";
            gauge.encode(encoder.encode_descriptor(
                "process_resident_memory_bytes",
                help,
                None,
                gauge.metric_type(),
            )?)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "User and system processor time in seconds";
            counter.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

/// The seal slots that were tried since the start.
#[derive(Debug)]
struct Slots(Arc<SlotHealth>);

impl Collector for Slots {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let trials = self.0.all();
        if trials.is_empty() {
            return Ok(());
        }
        let help = "Whether the seal slot opened when it was last tried: 1 yes, 0 no";
        let mut family =
            encoder.encode_descriptor("strongroom_seal_slot_ok", help, None, MetricType::Gauge)?;
        for (slot, is_ok) in trials {
            let gauge = ConstGauge::new(u64::from(is_ok));
            gauge.encode(family.encode_family(&[("slot", slot.to_string())])?)?;
        }
        Ok(())
    }
}

/// Whether a house is open.
pub struct Seal(pub Arc<House>);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Collector for Seal {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauge = ConstGauge::new(u64::from(!self.0.is_open()));
        let help = "Whether the instance is sealed, or not made yet: 1 yes, 0 no";
        gauge.encode(encoder.encode_descriptor("strongroom_sealed", help, None, gauge.metric_type())?)
    }
}

/// The room on the disk, as it was last looked at.
#[derive(Debug)]
struct Disk(Arc<Space>);

impl Collector for Disk {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauges = [
            (
                "strongroom_disk_free_bytes",
                "Bytes free on the disk of the data directory",
                self.0.free(),
            ),
            (
                "strongroom_disk_room",
                "What is stored: 0 everything, 1 only removals, as the disk is nearly full, 2 nothing",
                self.0.room() as u64,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// How many secrets are overdue, as of the last look.
#[derive(Debug)]
struct OverdueSecrets(watch::Receiver<OverdueList>);

impl Collector for OverdueSecrets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let count = u64::try_from(self.0.borrow().len()).unwrap_or(u64::MAX);
        let gauge = ConstGauge::new(count);
        let help = "Secrets that have expired or should have got a new value; 10,000 at most are counted";
        let name = "strongroom_secrets_overdue";
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    }
}

/// proc_pid_statm(5): the second field is the resident set, in pages.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

fn cpu_seconds() -> Option<f64> {
    parse_cpu_ticks(&std::fs::read_to_string("/proc/self/stat").ok()?)
        .map(|ticks| ticks / clock_ticks_per_second())
}

/// proc_pid_stat(5): fields 14 and 15 are user and system time. The second field is the program's name in
/// parentheses and may itself hold anything, so counting starts after the last of them.
fn parse_cpu_ticks(stat: &str) -> Option<f64> {
    let (_, from_third) = stat.rsplit_once(") ")?;
    let mut times = from_third.split(' ').skip(11).map(str::parse::<f64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

#[expect(clippy::cast_precision_loss, reason = "it is 100 on every Linux")]
fn clock_ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http;
    use std::net::SocketAddr;

    async fn ask(path: &str, peer: &str, is_ready: bool) -> (StatusCode, String) {
        let operations = Operations {
            metrics: Arc::new(registry(
                Arc::default(),
                Arc::default(),
                watch::channel(OverdueList::default()).1,
            )),
            is_ready: Arc::new(move || is_ready),
        };
        let peer: SocketAddr = peer.parse().unwrap();
        let request = http::Request::get(path)
            .extension(ConnectInfo(Peer::new(peer)))
            .body(Body::empty())
            .unwrap();
        let response = router(operations, Router::new()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health_is_not_readiness() {
        assert_eq!(ask("/healthz", "192.0.2.1:1", false).await.0, StatusCode::OK);
        assert_eq!(
            ask("/readyz", "192.0.2.1:1", false).await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(ask("/readyz", "192.0.2.1:1", true).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_for_this_machine_only() {
        for local in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(ask("/metrics", local, true).await.0, StatusCode::OK, "{local}");
        }
        for remote in ["192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"] {
            assert_eq!(
                ask("/metrics", remote, true).await,
                (StatusCode::NOT_FOUND, String::new()),
                "{remote}"
            );
        }
    }

    #[tokio::test]
    async fn metrics_tell_memory_and_time() {
        let (_, text) = ask("/metrics", "127.0.0.1:1", true).await;
        let value = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")))
                .unwrap();
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6, "{text}");
        assert!(value("process_cpu_seconds_total") >= 0.0, "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_programs_name_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(parse_cpu_ticks(stat), Some(300.0));
        assert_eq!(parse_cpu_ticks("7 (a) S 1"), None);
    }
}
