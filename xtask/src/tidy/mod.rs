//! Rules that no compiler knows. Each is a function from text to complaints, so that its test can show that it bites.

mod arrows;
mod dependencies;
mod sources;

use std::fs;

use anyhow::{Result, bail};

use crate::{metadata, shell};

/// Files that a newcomer walks through with one request in hand; `ARCHITECTURE.md` tells them so.
const ONE_REQUEST: [&str; 11] = [
    "crates/dialects/onebackend/src/routes.rs",
    "crates/dialects/onebackend/src/handlers/secrets.rs",
    "crates/dialects/kit/src/call.rs",
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
const FORMATS: [&str; 13] = [
    "record",
    "superblock",
    "node",
    "outbox",
    "slots",
    "leaf",
    "journal",
    "redb",
    "postgres",
    "disclosure",
    "cosigned",
    "copy",
    "witness",
];

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
    complaints.extend(walk(&files));
    complaints.extend(formats(&files));
    let packages = metadata::packages()?;
    complaints.extend(arrows::check(&packages));
    complaints.extend(dependencies::check(&packages)?);
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("not tidy:\n{}", complaints.join("\n"))
}

/// The files of the walk that are not there, or that the map does not name.
fn walk(files: &[(String, String)]) -> Vec<String> {
    let map = text_of(files, "ARCHITECTURE.md").unwrap_or_default();
    let is_walked = |path: &&str| text_of(files, path).is_some() && map.contains(path);
    let lost = ONE_REQUEST.into_iter().filter(|path| !is_walked(path));
    lost.map(|path| format!("ARCHITECTURE.md: `{path}` is not there, or not on the walk of one request"))
        .collect()
}

/// The formats without a page, or whose page the index does not have.
fn formats(files: &[(String, String)]) -> Vec<String> {
    let index = text_of(files, "docs/formats/README.md").unwrap_or_default();
    let pages = FORMATS.map(|format| format!("{format}.md"));
    let has_page = |page: &&String| {
        text_of(files, &format!("docs/formats/{page}")).is_some() && index.contains(&format!("({page})"))
    };
    let lost = pages.iter().filter(|page| !has_page(page));
    lost.map(|page| format!("docs/formats/{page}: is not there, or not in the index"))
        .collect()
}

fn text_of<'f>(files: &'f [(String, String)], path: &str) -> Option<&'f str> {
    let found = files.iter().find(|(name, _)| name == path);
    found.map(|(_, text)| text.as_str())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&[(String, String)]) -> Vec<String>, guide: &str, paths: &[String]) {
        let file = |path: &String| (path.clone(), String::new());
        let mut files: Vec<_> = paths.iter().map(file).collect();
        let guide_text = || {
            paths
                .iter()
                .map(|path| format!("`{path}` ({})", path.replace("docs/formats/", "")))
        };
        files.push((guide.to_owned(), guide_text().collect()));
        assert_eq!(rule(&files), [""; 0]);
        files[0].0.clear();
        assert_eq!(rule(&files).len(), 1, "a file is gone");
        files.pop();
        assert_eq!(rule(&files).len(), paths.len(), "the guide is gone");
    }

    #[test]
    fn what_the_guides_promise_is_there() {
        check(walk, "ARCHITECTURE.md", &ONE_REQUEST.map(str::to_owned));
        let pages = FORMATS.map(|format| format!("docs/formats/{format}.md"));
        check(formats, "docs/formats/README.md", &pages);
    }
}
