//! The torture of storage, for longer than the tests do it, and from any seed.

use std::hash::{BuildHasher, RandomState};

use anyhow::{Context, Result, bail};

use crate::shell;

/// Losses of power, unless told otherwise.
const POINTS: u64 = 1_000_000;

/// Runs with `--seed N` (by default a random one) and `--points N`.
pub(crate) fn run(args: impl IntoIterator<Item = String>) -> Result<()> {
    let (seed, points) = parse(args)?;
    shell::run(
        shell::command("cargo")
            .args(["test", "--package", "strongroom-storage-redb", "--profile", "ci"])
            .args(["--test", "torture", "--", "--nocapture"])
            .env("STRONGROOM_TORTURE_SEED", seed.to_string())
            .env("STRONGROOM_TORTURE_POINTS", points.to_string()),
    )
}

fn parse(args: impl IntoIterator<Item = String>) -> Result<(u64, u64)> {
    let random = RandomState::new().hash_one(()) >> 32;
    let (mut seed, mut points) = (random, POINTS);
    let mut args = args.into_iter();
    while let Some(flag) = args.next() {
        let value = args.next().with_context(|| format!("{flag} needs a number"))?;
        let number = value
            .parse()
            .with_context(|| format!("{flag} {value} is not a number"))?;
        match flag.as_str() {
            "--seed" => seed = number,
            "--points" => points = number,
            _ => bail!("`{flag}` is not known here: --seed N, --points N"),
        }
    }
    Ok((seed, points))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read() {
        let parsed = |flags: &str| parse(flags.split_whitespace().map(str::to_owned));
        assert_eq!(parsed("--seed 7 --points 9").unwrap(), (7, 9));
        assert_eq!(parsed("--seed 7").unwrap(), (7, POINTS));
        for wrong in ["--seed", "--seed x", "7", "--sede 7"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
