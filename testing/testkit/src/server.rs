//! The program as a child process.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The program under test: `target/<profile>/strongroom`, where this program or, for a test, its folder `deps` is.
///
/// # Errors
/// When it is not there: build the whole workspace.
pub fn program() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let mut beside = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("strongroom"));
    beside.find(|program| program.is_file()).with_context(|| {
        format!(
            "there is no `strongroom` beside `{}`: run cargo build --workspace with the same profile",
            this.display()
        )
    })
}

/// How its first line begins.
const STATES: [&str; 3] = [
    "Strongroom is ready",
    "Strongroom is sealed",
    "Strongroom is not initialized",
];

/// A running server. Dropping it kills it, as `kill -9` does.
pub struct Server {
    child: Child,
    url: String,
    log: Arc<Mutex<String>>,
    /// Fills `log` until the server ends.
    reader: Option<JoinHandle<()>>,
    greeting: String,
}

impl Server {
    /// Starts `command` and waits until it has said where it is reached.
    ///
    /// # Errors
    /// When it ends instead, with what it said.
    pub fn start(command: Command) -> Result<Self> {
        Self::start_reading(command, Stdio::null())
    }

    /// [`Server::start`] with `stdin` to read.
    ///
    /// # Errors
    /// When it ends instead, with what it said.
    pub fn start_reading(mut command: Command, stdin: Stdio) -> Result<Self> {
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let log = Arc::new(Mutex::new(String::new()));
        let reader = std::thread::spawn({
            let (log, mut stderr) = (log.clone(), BufReader::new(stderr.context("no stderr")?));
            move || {
                let mut line = String::new();
                while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
                    line.clear();
                }
            }
        });
        let mut stdout = BufReader::new(stdout.context("no stdout")?);
        let mut greeting = String::new();
        stdout.read_line(&mut greeting)?;
        let url = STATES
            .iter()
            .find_map(|state| greeting.trim().strip_prefix(state)?.strip_prefix(" at "))
            .map(str::to_owned);
        let Some(url) = url else {
            let status = child.wait()?;
            let _ = reader.join();
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            bail!("the server did not start ({status}): {greeting}{log}");
        };
        // The rest of the greeting comes in one piece, and the pipe must be emptied.
        let mut chunk = [0; 8192];
        let read = stdout.read(&mut chunk)?;
        greeting.push_str(&String::from_utf8_lossy(chunk.get(..read).unwrap_or_default()));
        Ok(Self {
            child,
            url,
            log,
            reader: Some(reader),
            greeting,
        })
    }

    /// Where it is reached, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed at its start.
    #[must_use]
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it as `kill -9` does, wherever it is.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, as `kill -TERM` does.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn terminate(&self) -> Result<()> {
        let asked = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        if !asked.success() {
            bail!("cannot signal the server");
        }
        Ok(())
    }

    /// Waits until it has ended; the log is then complete.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join(); // a panic in it has been printed
        }
        Ok(status)
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.terminate()?;
        self.wait()
    }

    /// Sends one JSON request; gives the status and the body, `Null` when it is no JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(&self, method: &str, path: &str, token: &str, body: &Value) -> Result<(u16, Value)> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut request = client
            .request(method.parse()?, format!("{}{path}", self.url))
            .body(body.to_string());
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((
            status,
            serde_json::from_str(&response.text().await?).unwrap_or_default(),
        ))
    }

    /// Logs `slug` in to the app `unnamed`; gives the token.
    ///
    /// # Errors
    /// When it is refused, with the reply.
    pub async fn login(&self, slug: &str, password: &str) -> Result<String> {
        let body = serde_json::json!({"appHost": "unnamed", "slug": slug, "password": password});
        let (status, reply) = self.call("POST", "/user-svc/login", "", &body).await?;
        let token = reply.pointer("/token/token").and_then(Value::as_str);
        Ok(token
            .with_context(|| format!("login of {slug}: {status} {reply}"))?
            .to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill(); // it may have ended by itself
    }
}
