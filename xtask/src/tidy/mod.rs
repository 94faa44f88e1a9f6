//! Rules that no compiler knows. Each is a function from text to complaints, so that its test can show that it bites.

mod arrows;
mod dependencies;
mod sources;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{metadata, shell};

/// Files that a newcomer walks through with one request in hand; `ARCHITECTURE.md` tells them so.
const ONE_REQUEST: [&str; 11] = [
    "crates/dialects/onebackend/src/routes.rs",
    "crates/dialects/onebackend/src/handlers/secrets.rs",
    "crates/dialects/onebackend/src/call.rs",
    "crates/core/src/gate.rs",
    "crates/policy/src/decide.rs",
    "crates/engines/static/src/engine.rs",
    "crates/sdk/src/permit.rs",
    "crates/barrier/src/view.rs",
    "crates/storage/src/embedded.rs",
    "crates/storage-redb/src/lib.rs",
    "crates/ledger/src/record.rs",
];
/// Every format on disk has a page.
const FORMATS: [&str; 6] = ["record", "superblock", "slots", "leaf", "journal", "redb"];

/// Complains about everything that is not tidy.
pub(crate) fn run() -> Result<()> {
    let files = files()?;
    let mut complaints = Vec::new();
    for (path, text) in &files {
        complaints.extend(sources::check(path, text));
    }
    complaints.extend(sources::unlisted_exposures(
        &files,
        &fs::read_to_string(sources::EXPOSURES)?,
    ));
    let guide = fs::read_to_string("ARCHITECTURE.md").context("ARCHITECTURE.md")?;
    for path in ONE_REQUEST {
        if !fs::exists(path)? || !guide.contains(path) {
            complaints.push(format!(
                "ARCHITECTURE.md: `{path}` is not there, or not on the walk of one request"
            ));
        }
    }
    for format in FORMATS {
        if !fs::exists(format!("docs/formats/{format}.md"))? {
            complaints.push(format!("docs/formats/{format}.md: missing"));
        }
    }
    let packages = metadata::packages()?;
    complaints.extend(arrows::check(&packages));
    complaints.extend(dependencies::check(&packages)?);
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("not tidy:\n{}", complaints.join("\n"))
}

/// Writes the list of places that read secrets anew, for a person to review.
pub(crate) fn update_golden() -> Result<()> {
    Ok(fs::write(sources::EXPOSURES, sources::exposures(&files()?))?)
}

/// The text files under version control, and those that are about to be.
fn files() -> Result<Vec<(String, String)>> {
    let listed = shell::output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    // A file that was removed and not yet committed is still listed; bytes that are no text are no source.
    Ok(listed
        .lines()
        .filter_map(|path| Some((path.to_owned(), fs::read_to_string(path).ok()?)))
        .collect())
}
