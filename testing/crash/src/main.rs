//! `strongroom-crashable [BUG]`: the server on `$HOME/data`, on a free port, with its commits announced.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use strongroom::config::{Config, LogFormat, LogLevel, RefuseOverdue};
use strongroom::server::environment::Environment;
use strongroom::server::shutdown::StopSignals;
use strongroom::server::{Server, telemetry};
use strongroom_base::Slug;
use strongroom_crash::{Announcement, Bug, Watched};

fn main() -> Result<()> {
    let home = PathBuf::from(std::env::var_os("HOME").context("there is no home")?);
    let bug = std::env::args()
        .nth(1)
        .map(|name| Bug::from_name(&name).context("no such bug"))
        .transpose()?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(home, bug))
}

async fn serve(home: PathBuf, bug: Option<Bug>) -> Result<()> {
    let stop = StopSignals::catch()?;
    let config = Config {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        data_dir: home.join("data"),
        storage: None,
        pkcs11: None,
        tls: None,
        admin_slug: Slug::new("admin")?,
        open_registration: true,
        credentials_out: Some(home.join("credentials.json")),
        log_format: LogFormat::Human,
        log_level: LogLevel::Warn,
        witnesses: Vec::new(),
        copies: Vec::new(),
        webhooks: Vec::new(),
        refuse_overdue: RefuseOverdue::default(),
        accept_restored: None,
    };
    let _log = telemetry::start(config.log_format, config.log_level);
    let environment = Environment::of_process().context("there is no home")?;
    let announcement = Announcement::start(&Announcement::path_in(&home))?;
    let watched = |backend| Watched::new(backend, announcement, bug);
    let server = Box::pin(Server::start_on(&config, &environment, watched)).await?;
    let greeting = server.greeting("strongroom").to_string();
    std::io::stdout().write_all(greeting.as_bytes())?;
    server.serve(stop.received()).await;
    Ok(())
}
