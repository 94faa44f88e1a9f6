//! What this machine shows: the data directory and what belongs to it. A server may have it open.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::statvfs;
use strongroom_base::{Clock, InstanceId, SystemClock, limits};
use strongroom_seal::{Slot, SlotKind, Slots};
use strongroom_tlog::VerifierKey;

use super::{Check, Finding};
use crate::cli::failure::Failure;
use crate::cli::up::complete;
use crate::config::Settings;
use crate::server::boot::BootError;
use crate::server::environment::{Environment, key_file};

/// A clock may be so far off before it matters.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// Looks at the data directory at `data`, or where it is by default; nothing is found where there is none.
pub(super) fn look(data: Option<PathBuf>) -> Result<Vec<Finding>, Failure> {
    let was_given = data.is_some();
    let settings = Settings {
        data,
        ..Settings::default()
    };
    let config = complete(settings).map_err(|error| Failure::of(&error))?;
    let dir = config.data_dir;
    if !dir.join("ledger.vkey").exists() {
        return if was_given {
            Err(Failure::of(&BootError::NoInstance(dir)))
        } else {
            Ok(Vec::new())
        };
    }
    let environment = Environment::of_process().ok_or_else(|| Failure::of(&BootError::NoHome))?;
    let unread = |error: io::Error| Failure::new(format!("cannot look at `{}`: {error}", dir.display()));
    let mut findings = Vec::new();
    findings.extend(open_to_others(&dir, 0o700).map_err(unread)?);
    match instance(&dir) {
        Some(instance) => findings.extend(keys(&dir, &environment, instance).map_err(unread)?),
        None => findings.push(Finding::new(
            Check::Ledger,
            format!("`{}` holds no key of a ledger", dir.join("ledger.vkey").display()),
            "Put it back from a backup: auditors verify the ledger with it.",
        )),
    }
    findings.extend(disk(&dir).map_err(unread)?);
    findings.extend(clock(&dir).map_err(unread)?);
    Ok(findings)
}

/// The instance whose data is in `dir`: the key of its ledger names it.
fn instance(dir: &Path) -> Option<InstanceId> {
    let line = fs::read_to_string(dir.join("ledger.vkey")).ok()?;
    let key: VerifierKey = line.trim().parse().ok()?;
    key.name().split('/').next()?.parse().ok()
}

/// That nobody else may use `path`, which is to have `mode`.
fn open_to_others(path: &Path, mode: u32) -> io::Result<Option<Finding>> {
    let actual = fs::metadata(path)?.permissions().mode() & 0o777;
    let is_open = actual & 0o077 != 0;
    Ok(is_open.then(|| {
        Finding::new(
            Check::Permissions,
            format!("`{}` is open to others: its mode is {actual:03o}", path.display()),
            format!(
                "chmod {mode:o} {}",
                crate::cli::shell::quote(&path.to_string_lossy())
            ),
        )
    }))
}

/// The seal slots, the key file, and the first administrator's password.
fn keys(dir: &Path, environment: &Environment, instance: InstanceId) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let password = environment.password_file(instance);
    if password.exists() {
        findings.extend(open_to_others(&password, 0o600)?);
        findings.push(Finding::new(
            Check::InitialPassword,
            format!(
                "the first administrator's password lies in `{}`",
                password.display()
            ),
            "Keep it where you keep your own, and remove the file.",
        ));
    }
    let copy = dir.join("slots.bak");
    let slots = fs::read(&copy)
        .ok()
        .and_then(|bytes| Slots::from_bytes(&bytes).ok());
    let Some(slots) = slots else {
        findings.push(Finding::new(
            Check::Slots,
            format!("the copy of the seal slots, `{}`, cannot be read", copy.display()),
            "Start the server, which writes it anew from storage.",
        ));
        return Ok(findings);
    };
    let is_file = |slot: &&Slot| matches!(slot.kind(), SlotKind::KeyFile);
    for slot in slots.iter().filter(is_file) {
        let file = key_file(&environment.key_dir, instance, slot.id());
        if file.exists() {
            findings.extend(open_to_others(&file, 0o600)?);
        } else {
            findings.push(Finding::new(
                Check::Slots,
                format!(
                    "seal slot {} needs the key file `{}`, which is not there",
                    slot.id(),
                    file.display()
                ),
                "Put it back from where you keep a copy; if another slot opens the seal, remove this one.",
            ));
        }
    }
    if slots.iter().filter(is_file).count() == slots.iter().count() {
        findings.push(Finding::new(
            Check::KeyFileOnly,
            "only a key file opens the seal: whoever has it and the data has everything, and lost it is lost data",
            "Keep a copy of it elsewhere, and add a slot of another kind: `strongroom operator slots add --help`.",
        ));
    }
    Ok(findings)
}

fn disk(dir: &Path) -> io::Result<Option<Finding>> {
    let disk = statvfs(dir)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let reserve = fs::metadata(dir.join("reserve")).map_or(0, |file| file.len());
    Ok(judge_disk(free, reserve).map(|found| {
        Finding::new(
            Check::Disk,
            found,
            format!(
                "Make room on the disk of `{}`; the server makes its reserve again by itself.",
                dir.display()
            ),
        )
    }))
}

/// What is wrong with a disk on which `free` bytes are left beside a reserve of `reserve` bytes.
fn judge_disk(free: u64, reserve: u64) -> Option<String> {
    let mib = |bytes: u64| bytes >> 20;
    if reserve < limits::RESERVE_BYTES {
        return Some(format!(
            "the disk has no reserve any more, and {} MiB are free: only removals are stored",
            mib(free)
        ));
    }
    (free < limits::SPACE_PLENTY_BYTES).then(|| format!("only {} MiB are free on the disk", mib(free)))
}

/// The newest file of the ledger says what time it was at least.
fn clock(dir: &Path) -> io::Result<Option<Finding>> {
    let written = fs::metadata(dir.join("ledger").join("checkpoint")).and_then(|file| file.modified());
    let Ok(written) = written else { return Ok(None) };
    let now = Duration::from_millis(SystemClock::new().now().as_millis());
    let written = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let ahead = written.saturating_sub(now);
    Ok((ahead > CLOCK_SLACK).then(|| {
        Finding::new(
            Check::Clock,
            format!(
                "the clock of this machine went back by at least {} s",
                ahead.as_secs()
            ),
            "Set it right (`timedatectl`): sessions and secrets end by it.",
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_judged_by_what_the_server_needs() {
        let (mib, reserve) = (1 << 20, limits::RESERVE_BYTES);
        for (free, reserve, is_well) in [
            (1 << 40, reserve, true),
            (96 * mib, reserve, true),
            (95 * mib, reserve, false),
            (0, reserve, false),
            (1 << 40, 0, false),
        ] {
            assert_eq!(judge_disk(free, reserve).is_none(), is_well, "{free} {reserve}");
        }
    }

    #[test]
    fn what_others_may_read_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        fs::write(&file, "x").unwrap();
        for (mode, is_found) in [
            (0o600, false),
            (0o400, false),
            (0o640, true),
            (0o604, true),
            (0o777, true),
        ] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                open_to_others(&file, 0o600).unwrap().is_some(),
                is_found,
                "{mode:o}"
            );
        }
    }
}
