//! Servers as child processes on a core of their own, and what the kernel counts about them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// The core that servers run on.
const SERVER_CORE: &str = "0";
/// The core of this process.
const GENERATOR_CORE: &str = "1";

/// Moves this process to its core. Call it before there are other threads.
pub(crate) fn pin_self() -> Result<()> {
    let pinned = Command::new("taskset")
        .args([
            "--cpu-list",
            "--pid",
            GENERATOR_CORE,
            &std::process::id().to_string(),
        ])
        .stdout(Stdio::null())
        .status()
        .context("`taskset` (util-linux) is needed to pin processes to cores")?;
    ensure!(
        pinned.success(),
        "the generator cannot be pinned: two cores are needed"
    );
    Ok(())
}

/// A running server. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    /// What it prints after its first line stays in the pipe.
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `command` on the servers' core, behind `wrapper` (a program that ends by becoming it, and its arguments),
    /// with its log in the file `log`, and waits until it has said where it is reached.
    pub(crate) fn start(command: &Command, wrapper: &[&str], log: &Path) -> Result<Self> {
        let mut pinned = Command::new("taskset");
        pinned.args(["--cpu-list", SERVER_CORE]).args(wrapper);
        pinned.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            pinned.env(name, value.unwrap_or_default());
        }
        let mut child = pinned
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(log)?)
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let address = line
            .trim()
            .rsplit_once("http://")
            .and_then(|(_, address)| address.parse().ok());
        let failure = || {
            format!(
                "the server did not start: {}",
                fs::read_to_string(log).unwrap_or_default()
            )
        };
        let address = address.with_context(failure)?;
        Ok(Self {
            child,
            address,
            _stdout: stdout,
        })
    }

    /// Where it is reached.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Processor time that it has used so far, in steps of 10 ms: proc_pid_stat(5), fields 14 and 15.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        // The second field is the program's name in parentheses, which may hold anything.
        let (_, from_third) = stat.rsplit_once(") ").context("no name in /proc/PID/stat")?;
        let times = from_third.split(' ').skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = times.sum::<Result<_, _>>()?;
        Ok(Duration::from_millis(
            ticks * 1000 / rustix::param::clock_ticks_per_second(),
        ))
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let status = self.proc("status")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        ensure!(self.child.wait()?.success(), "the server did not stop in order");
        Ok(())
    }

    fn proc(&self, file: &str) -> Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
