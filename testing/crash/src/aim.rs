//! When the server is killed.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};
use strongroom_base::{Clock, SystemClock};
use strongroom_testkit::Server;

use crate::Announcement;
use crate::dice::Dice;

/// Commits that are let pass at random before the one that the kill falls into, fewer than this.
const COMMITS_LET_PASS: u64 = 6;
/// Until a server that makes no progress fails the test.
const PATIENCE: Duration = Duration::from_secs(20);
/// The wait between two looks at a number, where it need not be met exactly.
const LOOK_EVERY: Duration = Duration::from_micros(20);

/// Aims at commits, and learns how long they last.
pub(crate) struct Aim {
    dice: Dice,
    /// The latest moment after the beginning of a commit to kill at. Commits are shorter or longer on other disks: it
    /// grows while kills fall inside, and is halved when one comes too late.
    latest: Duration,
}

/// A kill to come.
pub(crate) struct Shot {
    /// Commits that are let pass.
    commits: u64,
    /// The moment in the next one.
    moment: Duration,
}

impl Aim {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            latest: Duration::from_millis(1),
        }
    }

    /// The next kill.
    pub(crate) fn next(&mut self) -> Shot {
        let nanos = u64::try_from(self.latest.as_nanos()).unwrap_or(u64::MAX);
        let moment = Duration::from_nanos(self.dice.below(nanos));
        Shot {
            commits: self.dice.below(COMMITS_LET_PASS),
            moment,
        }
    }

    /// The last one fell inside a commit, or did not.
    pub(crate) fn learn(&mut self, was_inside: bool) {
        self.latest = if was_inside {
            self.latest * 6 / 5
        } else {
            self.latest / 2
        };
    }
}

impl Shot {
    /// Kills `server` once `enough` writes are `acknowledged`; tells whether it was inside a commit.
    pub(crate) fn kill(
        self,
        mut server: Server,
        announcement: &Path,
        acknowledged: &AtomicUsize,
        enough: usize,
    ) -> Result<bool> {
        let count = Announcement::watch(announcement)?;
        wait_until(|| Ok(acknowledged.load(Ordering::Relaxed) >= enough))?;
        let from = count()? + 2 * self.commits;
        wait_until(|| Ok(count().map(|count| is_inside(count) && count >= from)?))?;
        let clock = SystemClock::new();
        let began = clock.monotonic();
        while clock.monotonic().since(began) < self.moment {
            std::hint::spin_loop();
        }
        server.kill()?;
        Ok(is_inside(count()?))
    }
}

fn is_inside(count: u64) -> bool {
    count % 2 == 1
}

fn wait_until(is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let clock = SystemClock::new();
    let began = clock.monotonic();
    while !is_so()? {
        if clock.monotonic().since(began) > PATIENCE {
            bail!("the server makes no progress");
        }
        sleep(LOOK_EVERY);
    }
    Ok(())
}
