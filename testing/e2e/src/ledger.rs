//! What lies in a ledger's files.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use strongroom_tlog::decode_bundle;

use crate::files_below;

/// Every leaf of the ledger in `dir`, in order. The server must not be running.
///
/// # Errors
/// When a file cannot be read, or is no bundle of JSON.
pub fn leaves(dir: &Path) -> Result<Vec<Value>> {
    let entries = dir.join("tile/entries");
    // The log of a node whose requests all became leaves of another has none of its own.
    let mut bundles = if entries.exists() {
        files_below(&entries)?
    } else {
        Vec::new()
    };
    // `000`, `001`, …, and the last, partial one as `002.p/17`: up to 256,000 leaves, names sort as numbers do.
    bundles.sort();
    let mut leaves = Vec::new();
    for bundle in bundles {
        let bytes = fs::read(bundle)?;
        for entry in decode_bundle(&bytes)? {
            leaves.push(serde_json::from_slice(entry)?);
        }
    }
    Ok(leaves)
}

/// The text of a leaf's field, empty when it has none.
#[must_use]
pub fn text<'a>(leaf: &'a Value, field: &str) -> &'a str {
    leaf.get(field).and_then(Value::as_str).unwrap_or_default()
}
