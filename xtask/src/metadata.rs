//! What cargo knows of the packages.

use std::collections::{BTreeMap, BTreeSet};

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

/// All packages that are built for some target or test, optional ones only where they are switched on.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(&shell::output(
        "cargo",
        &["metadata", "--format-version", "1", "--locked"],
    )?)?;
    let list = |path: &str| {
        metadata
            .pointer(path)
            .and_then(Value::as_array)
            .context("unknown metadata")
    };
    let used = reachable(list("/workspace_members")?, list("/resolve/nodes")?);
    let used = list("/packages")?
        .iter()
        .filter(|package| used.contains(text(package, "id")));
    Ok(used.map(package).collect())
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

/// The ids of everything that `roots` need.
fn reachable<'m>(roots: &'m [Value], nodes: &'m [Value]) -> BTreeSet<&'m str> {
    let needs: BTreeMap<&str, &Value> = nodes.iter().map(|node| (text(node, "id"), node)).collect();
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = roots.iter().filter_map(Value::as_str).collect();
    while let Some(id) = open.pop() {
        if reached.insert(id) {
            let dependencies = needs
                .get(id)
                .and_then(|node| node.get("dependencies")?.as_array());
            open.extend(dependencies.into_iter().flatten().filter_map(Value::as_str));
        }
    }
    reached
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
