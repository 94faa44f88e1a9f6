//! The test command.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Programs that the tests run, and the Debian packages that bring them.
const NEEDED: [(&str, &str); 7] = [
    ("node", "nodejs"),
    ("npm", "npm"),
    ("git", "git"),
    ("cc", "gcc"),
    ("go", "golang-go"),
    ("/usr/lib/postgresql/15/bin/postgres", "postgresql-15"),
    ("softhsm2-util", "softhsm2"),
];

/// Installs what is missing, checks, and runs every test. The last line is `N passed, N failed`.
pub(crate) fn run() -> Result<()> {
    install_needed()?;
    crate::check()?;
    let (passed, failed, succeeded) = test()?;
    println!("{passed} passed, {failed} failed");
    if !succeeded {
        bail!("the tests failed");
    }
    Ok(())
}

fn install_needed() -> Result<()> {
    let missing = || {
        NEEDED
            .into_iter()
            .filter(|(program, _)| !shell::is_installed(program))
    };
    if missing().next().is_none() {
        return Ok(());
    }
    if shell::is_installed("apt-get") {
        shell::run(shell::command("apt-get").args(["update", "--quiet"]))?;
        let packages = missing().map(|(_, package)| package);
        shell::run(
            shell::command("apt-get")
                .args(["install", "--yes", "--quiet"])
                .args(packages),
        )?;
    }
    if let Some((program, package)) = missing().next() {
        bail!(
            "`{program}` is needed by the tests and is not installed: install it (Debian: apt-get install {package})"
        );
    }
    Ok(())
}

/// Runs all tests, shows what they print, and adds their results up.
fn test() -> Result<(u64, u64, bool)> {
    let mut command = shell::command("cargo");
    command
        .args(["test", "--workspace", "--profile", "ci", "--no-fail-fast"])
        .stdout(Stdio::piped());
    println!("$ {command:?}");
    let mut child = command.spawn()?;
    let (mut passed, mut failed) = (0, 0);
    for line in BufReader::new(child.stdout.take().context("no stdout")?).lines() {
        let line = line?;
        println!("{line}");
        if let Some((ok, bad)) = result_of(&line) {
            passed += ok;
            failed += bad;
        }
    }
    Ok((passed, failed, child.wait()?.success()))
}

/// The numbers of a line like `test result: ok. 3 passed; 1 failed; …`.
fn result_of(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| {
        let count = counts.split("; ").find_map(|count| count.strip_suffix(word))?;
        count.trim().parse().ok()
    };
    Some((number("passed")?, number("failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_is_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.05s";
        assert_eq!(result_of(line), Some((12, 3)));
        assert_eq!(result_of("test result: ok."), None);
        assert_eq!(result_of("running 3 tests"), None);
    }
}
