//! What cargo knows of the packages.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell;

/// A package of the dependency graph.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: String,
    /// Ours: the names of the packages of ours that it is built with, tests aside. `None` for others' packages.
    pub(crate) ours: Option<Vec<String>>,
}

/// All packages that are built for some platform or test, optional ones only where they are switched on.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(&shell::output(
        "cargo",
        &["metadata", "--format-version", "1", "--locked"],
    )?)?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("no packages")?;
    // The metadata's own graph has what features of a dependency could bring but do not.
    let tree = [
        "tree",
        "--workspace",
        "--locked",
        "--target",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let tree = shell::output("cargo", &tree)?;
    let used: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?.strip_prefix('v')?))
        })
        .collect();
    let is_used = |package: &&Value| used.contains(&(text(package, "name"), text(package, "version")));
    Ok(packages.iter().filter(is_used).map(package).collect())
}

fn package(package: &Value) -> Package {
    let is_ours = package.get("source").is_none_or(Value::is_null);
    let dependencies = package.get("dependencies").and_then(Value::as_array);
    let built_with = dependencies.into_iter().flatten().filter(|dependency| {
        let is = |field: &str| dependency.get(field).is_some_and(|value| !value.is_null());
        is("path") && !is("kind")
    });
    Package {
        name: text(package, "name").to_owned(),
        version: text(package, "version").to_owned(),
        licence: text(package, "license").to_owned(),
        ours: is_ours.then(|| {
            built_with
                .map(|dependency| text(dependency, "name").to_owned())
                .collect()
        }),
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
