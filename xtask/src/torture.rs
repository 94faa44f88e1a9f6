//! The torture of storage and of nodes that share one, for longer than the tests do it, and from any seed.

use std::hash::{BuildHasher, RandomState};

use anyhow::{Context, Result, bail};

use crate::shell;

/// Losses of power, unless told otherwise.
const POINTS: u64 = 1_000_000;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Torture {
    /// Storage loses power so often.
    Points(u64),
    /// Two nodes are killed, paused and cut off for so many seconds.
    Cluster(u64),
}

/// Runs with `--seed N` (by default a random one) and `--points N`, or `--cluster SECONDS`.
pub(crate) fn run(args: impl IntoIterator<Item = String>) -> Result<()> {
    let (seed, torture) = parse(args)?;
    let points = match torture {
        Torture::Points(points) => points,
        Torture::Cluster(seconds) => return run_cluster(seed, seconds),
    };
    shell::run(
        shell::command("cargo")
            .args(["test", "--package", "strongroom-storage-redb", "--profile", "ci"])
            .args(["--test", "torture", "--", "--nocapture"])
            .env("STRONGROOM_TORTURE_SEED", seed.to_string())
            .env("STRONGROOM_TORTURE_POINTS", points.to_string()),
    )
}

fn run_cluster(seed: u64, seconds: u64) -> Result<()> {
    shell::run(
        shell::command("cargo")
            .args(["test", "--package", "strongroom-cluster", "--profile", "ci"])
            .args(["--test", "linear", "--", "--nocapture", "two_nodes"])
            .env("STRONGROOM_CLUSTER_SEED", seed.to_string())
            .env("STRONGROOM_CLUSTER_SECONDS", seconds.to_string()),
    )
}

fn parse(args: impl IntoIterator<Item = String>) -> Result<(u64, Torture)> {
    let random = RandomState::new().hash_one(()) >> 32;
    let (mut seed, mut torture) = (random, Torture::Points(POINTS));
    let mut args = args.into_iter();
    while let Some(flag) = args.next() {
        let value = args.next().with_context(|| format!("{flag} needs a number"))?;
        let number = value
            .parse()
            .with_context(|| format!("{flag} {value} is not a number"))?;
        match flag.as_str() {
            "--seed" => seed = number,
            "--points" => torture = Torture::Points(number),
            "--cluster" => torture = Torture::Cluster(number),
            _ => bail!("`{flag}` is not known here: --seed N, --points N or --cluster SECONDS"),
        }
    }
    Ok((seed, torture))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read() {
        let parsed = |flags: &str| parse(flags.split_whitespace().map(str::to_owned));
        assert_eq!(parsed("--seed 7 --points 9").unwrap(), (7, Torture::Points(9)));
        assert_eq!(parsed("--seed 7").unwrap(), (7, Torture::Points(POINTS)));
        assert_eq!(
            parsed("--cluster 300 --seed 7").unwrap(),
            (7, Torture::Cluster(300))
        );
        for wrong in ["--seed", "--seed x", "7", "--sede 7"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
