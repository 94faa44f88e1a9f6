//! The real client: `@1backend/client`, as npm installs it, walks a server by `testing/onebackend-client/walk.mjs`.
//! Without Node, npm or the package this fails and says which is missing: nothing is skipped.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use strongroom_e2e::{World, run};

/// What the walk prints, a line a step.
const STEPS: usize = 12;

#[test]
fn the_published_javascript_client_works() -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onebackend-client");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("onebackend-client");
    fs::create_dir_all(&folder)?;
    for file in ["package.json", "walk.mjs"] {
        fs::copy(source.join(file), folder.join(file))?;
    }
    // It finds out by itself, and without a network, that everything is there already. There is no lock file: it
    // would name a registry.
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefer-offline",
    ]);
    let installed = run_in(&folder, npm, "").context("npm is missing: install Node.js with npm")?;
    ensure!(
        installed.code == 0,
        "@1backend/client 0.9.18 is missing, npm cannot install it: {}",
        installed.err
    );

    let world = World::new(&[])?;
    let admin = json!({"slug": "admin", "password": world.home.password()?});
    let input = json!({"url": world.server.url(), "admin": admin}).to_string();
    let mut node = Command::new("node");
    node.arg("walk.mjs");
    let walked = run_in(&folder, node, &input).context("node is missing: install Node.js")?;
    let done = walked.out.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(
        walked.code == 0 && done == STEPS,
        "the walk ends after {done} steps:\n{}{}",
        walked.out,
        walked.err
    );
    Ok(())
}

fn run_in(folder: &Path, mut command: Command, stdin: &str) -> Result<strongroom_e2e::Ended> {
    command.current_dir(folder);
    run(command, stdin)
}
