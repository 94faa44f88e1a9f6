//! The machine, as far as the figures depend on it.

use std::fs;
use std::io::Write;

use anyhow::Result;
use strongroom_base::{Clock, SystemClock};

use crate::report::Report;
use crate::stats::{median, percentile};

const SYNCS: usize = 200;
/// A page of the storage file.
const BLOCK: [u8; 4096] = [0x55; 4096];

/// Processor, load, and the time that the disk under the temporary directory takes for a sync.
pub(crate) fn describe(report: &mut Report) -> Result<()> {
    report.heading("Machine")?;
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    report.figure(
        "processor",
        &format!("{cores} x {}", model.map_or("unknown", |(_, model)| model)),
    )?;
    report.figure("load average before", fs::read_to_string("/proc/loadavg")?.trim())?;
    let mut syncs_us = syncs_us()?;
    let (p50, p99) = (median(&mut syncs_us), percentile(&mut syncs_us, 0.99));
    report.figure(
        "write of 4 KiB and fdatasync",
        &format!("p50 {p50:.0} us, p99 {p99:.0} us"),
    )
}

fn syncs_us() -> Result<Vec<f64>> {
    let (mut file, clock) = (tempfile::tempfile()?, SystemClock::new());
    let timed = |_| {
        let before = clock.monotonic();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        Ok(clock.monotonic().since(before).as_secs_f64() * 1e6)
    };
    (0..SYNCS).map(timed).collect()
}
