//! The server: the only place that names concrete backends, engines and dialects.

pub mod boot;
pub mod data_dir;
pub mod environment;
pub mod greeting;
mod keys;
pub mod listen;
pub mod operations;
mod overdue;
mod premises;
mod reserve;
pub mod shutdown;
mod storage;
pub mod telemetry;
mod tokens;
pub mod witness;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use strongroom_base::{Clock, Rng, SystemClock, SystemRng};
use strongroom_core::house::House;
use strongroom_dialect_kit::{HttpMetrics, Instruments};
use strongroom_storage::Backend;
use strongroom_storage_redb::RedbBackend;
use tokio::task::AbortHandle;

use crate::config::Config;
use boot::{BootError, Booted, Manner, boot};
use environment::Environment;
use greeting::{Greeting, State};
use listen::{Listeners, TlsConfig, TlsError};
use operations::Operations;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be bound, or signals cannot be caught.
    #[error(transparent)]
    System(#[from] io::Error),
    /// There is no instance to serve.
    #[error(transparent)]
    Boot(#[from] BootError),
}

/// A server whose addresses are bound. Its instance is open, unless it was started to wait for that.
pub struct Server {
    booted: Booted,
    listeners: Listeners,
    router: Router,
    is_ready: Arc<AtomicBool>,
    url: String,
    data_dir: PathBuf,
    admin_slug: String,
    /// What the house does by itself while it is closed.
    watching: AbortHandle,
}

impl Server {
    /// Binds the addresses of `config` and opens its instance, making it if there is none.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: &Config, environment: &Environment) -> Result<Self, StartError> {
        Self::start_as(Manner::Up, config, environment, |backend| backend).await
    }

    /// [`Server::start`], but no instance is made, and one that does not open by itself waits for its operators.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_sealed(config: &Config, environment: &Environment) -> Result<Self, StartError> {
        Self::start_as(Manner::Server, config, environment, |backend| backend).await
    }

    /// [`Server::start`], with something put between storage and its committer: tests watch or break it there.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_on<B: Backend>(
        config: &Config,
        environment: &Environment,
        wrap: impl FnOnce(RedbBackend) -> B,
    ) -> Result<Self, StartError> {
        Self::start_as(Manner::Up, config, environment, wrap).await
    }

    async fn start_as<B: Backend>(
        manner: Manner,
        config: &Config,
        environment: &Environment,
        wrap: impl FnOnce(RedbBackend) -> B,
    ) -> Result<Self, StartError> {
        let (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>) =
            (Arc::new(SystemClock::new()), Arc::new(SystemRng::default()));
        let tls = config.tls.as_ref().map(TlsConfig::load).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listeners = Listeners::bind(&config.listen, tls)?;
        let url = format!(
            "{scheme}://{}",
            listeners.addresses().first().map_or_else(String::new, reachable)
        );
        let booted = boot(
            config,
            environment,
            manner,
            &url,
            clock.clone(),
            rng.clone(),
            wrap,
        )
        .await?;
        let Booted { house, premises, .. } = &booted;

        let space = premises.foundations.space.clone();
        let mut registry = operations::registry(
            space.clone(),
            premises.health.clone(),
            premises.tally.overdue.subscribe(),
        );
        registry.register_collector(Box::new(operations::Seal(house.clone())));
        registry.register_collector(Box::new(premises.followers.clone()));
        if !config.webhooks.is_empty() {
            registry.register_collector(Box::new(premises.tally.given_up.clone()));
        }
        let metrics = HttpMetrics::register(&mut registry);
        let instruments = Instruments { clock, rng, metrics };
        let dialects = dialects(house, instruments);
        let is_ready = Arc::new(AtomicBool::new(true));
        let (ready, of_requests) = (is_ready.clone(), house.clone());
        let operations = Operations {
            metrics: Arc::new(registry),
            is_ready: Arc::new(move || {
                ready.load(Ordering::Relaxed) && of_requests.is_open() && space.answers().is_ok()
            }),
        };
        let router = operations::router(operations, dialects);
        let watching = tokio::spawn(house.clone().watch()).abort_handle();
        let (data_dir, admin_slug) = (config.data_dir.clone(), config.admin_slug.to_string());
        Ok(Self {
            booted,
            listeners,
            router,
            is_ready,
            url,
            data_dir,
            admin_slug,
            watching,
        })
    }

    /// Where a client on this machine reaches it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The password of the first administrator, while its file exists.
    #[must_use]
    pub fn password_file(&self) -> Option<&Path> {
        self.booted.password_file.as_deref()
    }

    /// What to tell the person who started it; `program` is how they call it.
    #[must_use]
    pub fn greeting<'a>(&'a self, program: &'a str) -> Greeting<'a> {
        let house = &self.booted.house;
        Greeting {
            state: match (house.is_open(), house.is_made()) {
                (true, _) => State::Open,
                (false, true) => State::Sealed,
                (false, false) => State::NotMade,
            },
            first_start: self.booted.is_first_start,
            url: &self.url,
            data_dir: &self.data_dir,
            key_file: self.booted.key_file.as_deref(),
            credentials_file: self.booted.password_file.as_deref(),
            vkey: &self.booted.verifier_key,
            admin_slug: &self.admin_slug,
            program,
        }
    }

    /// Serves until `stop` is done; then answers what is in flight, and closes the ledger and the storage.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let is_ready = self.is_ready;
        let draining = async move {
            stop.await;
            is_ready.store(false, Ordering::Relaxed);
            tracing::info!("stopping: no new connections, requests in flight are answered");
        };
        self.listeners.serve(self.router, draining).await;
        self.watching.abort();
        if let Err(error) = self.booted.house.shutdown().await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "the ledger is not closed; what waits is safe, and enters it at the next start"
            );
        }
    }
}

/// The dialects, each under its own paths: 1Backend's answers what none of the others has.
fn dialects(house: &Arc<House>, instruments: Instruments) -> Router {
    let native = strongroom_dialect_native::router(house.clone(), instruments.clone());
    let onebackend = strongroom_dialect_onebackend::router(house.clone(), instruments);
    onebackend.merge(native)
}

/// An address as a client on this machine reaches it: the unspecified one is every address, so also loopback.
fn reachable(address: &SocketAddr) -> String {
    let mut address = *address;
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into())
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            address.set_ip(std::net::Ipv6Addr::LOCALHOST.into())
        }
        _ => {}
    }
    address.to_string()
}
