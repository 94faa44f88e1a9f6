//! A PostgreSQL cluster of a test's own: in a temporary directory, on a Unix socket and a free loopback port.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Where Debian has the programs of PostgreSQL 15.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// A running PostgreSQL. Dropping it ends it.
pub struct Postgres {
    folder: TempDir,
    /// PostgreSQL refuses to run as root; it then runs as its own user.
    user: Option<u32>,
    port: u16,
    server: Child,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes a cluster and starts it; `options` are lines of its `postgresql.conf`.
    ///
    /// # Errors
    /// When PostgreSQL 15 is not installed, with the package's name, or does not start, with its log.
    pub fn start(options: &str) -> Result<Self> {
        if !Path::new(PROGRAMS).is_dir() {
            bail!("PostgreSQL 15 is needed and not in `{PROGRAMS}` (Debian: apt-get install postgresql-15)");
        }
        let folder = tempfile::Builder::new().prefix("strongroom-pg").tempdir()?;
        let user = server_user()?;
        if let Some(user) = user {
            chown(folder.path(), Some(user), None)?;
        }
        let port = free_port()?;
        let data = folder.path().join("data");
        let made = command("initdb", user)
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=strongroom",
                "--encoding=UTF8",
                "-D",
            ])
            .arg(&data)
            .output()?;
        if !made.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&made.stderr));
        }
        std::fs::write(data.join("postgresql.auto.conf"), options)?;
        let server = spawn(folder.path(), user, port)?;
        let postgres = Self {
            folder,
            user,
            port,
            server,
            databases: AtomicU32::new(0),
        };
        postgres.wait_until_ready()?;
        Ok(postgres)
    }

    /// A new and empty database; its name.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub fn database(&self) -> Result<String> {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(name)
    }

    /// The URL of `database` over the Unix socket.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!(
            "postgres://strongroom@/{database}?host={folder}&port={}",
            self.port
        )
    }

    /// The URL of `database` over TCP, through `port`, in clear.
    #[must_use]
    pub fn url_through(port: u16, database: &str) -> String {
        format!("postgres://strongroom@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// Its TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it asks for passwords over TCP.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub fn ask_for_passwords(&self) -> Result<()> {
        let rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(self.folder.path().join("data/pg_hba.conf"), rules)?;
        self.sql("postgres", "SELECT pg_reload_conf()")?;
        self.wait_until(
            "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256'",
            "1",
        )
    }

    /// From now on it takes TLS connections too, with this certificate and key, both PEM.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub fn speak_tls(&self, certificate: &str, key: &str) -> Result<()> {
        let data = self.folder.path().join("data");
        for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
            let path = data.join(name);
            std::fs::write(&path, pem)?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            chown(&path, self.user, None)?;
        }
        self.sql("postgres", "ALTER SYSTEM SET ssl = on")?;
        self.sql("postgres", "SELECT pg_reload_conf()")?;
        self.wait_until("SHOW ssl", "on")
    }

    /// Runs `sql` in `database`; the output, unaligned and without headings.
    ///
    /// # Errors
    /// When PostgreSQL refuses, with what it says.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let output = Command::new(Path::new(PROGRAMS).join("psql"))
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set=ON_ERROR_STOP=1",
            ])
            .args([
                "--username=strongroom",
                "--dbname",
                database,
                "--command",
                sql,
                "--host",
            ])
            .arg(self.folder.path())
            .args(["--port", &self.port.to_string()])
            .output()?;
        if !output.status.success() {
            bail!("{sql}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Ends it as a crash does, and starts it again on the same data and port.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn crash(&mut self) -> Result<()> {
        signal("QUIT", self.server.id())?; // "immediate shutdown": no checkpoint, no goodbye
        self.server.wait()?;
        self.server = spawn(self.folder.path(), self.user, self.port)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&self) -> Result<()> {
        self.wait_until("SELECT 1", "1")
    }

    fn wait_until(&self, sql: &str, answer: &str) -> Result<()> {
        for _ in 0..600 {
            if self.sql("postgres", sql).is_ok_and(|answered| answered == answer) {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        bail!("PostgreSQL does not answer {sql} with {answer}: {log}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = signal("QUIT", self.server.id()); // it may be gone
        let _ = self.server.wait();
    }
}

/// A port on 127.0.0.1 that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Sends the signal `name` to a process of the test's.
///
/// # Errors
/// When it is gone.
pub fn signal(name: &str, process: u32) -> Result<()> {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status()?;
    if !sent.success() {
        bail!("cannot signal {process}");
    }
    Ok(())
}

fn spawn(folder: &Path, user: Option<u32>, port: u16) -> Result<Child> {
    let log = std::fs::File::create(folder.join("log"))?;
    let server = command("postgres", user)
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    Ok(server)
}

fn command(program: &str, user: Option<u32>) -> Command {
    let mut command = Command::new(Path::new(PROGRAMS).join(program));
    command.current_dir("/").env_clear().env("LC_ALL", "C");
    if let Some(user) = user {
        command.uid(user);
    }
    command
}

/// The user `postgres`, when this is root.
fn server_user() -> Result<Option<u32>> {
    let id = |arguments: &[&str]| -> Result<u32> {
        let output = Command::new("id").arg("-u").args(arguments).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    if id(&[])? != 0 {
        return Ok(None);
    }
    id(&["postgres"])
        .map(Some)
        .context("there is no user `postgres` to run PostgreSQL as")
}
