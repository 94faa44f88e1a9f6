//! Arrows between our packages point down.

use crate::metadata::Package;

/// The floors of the house, lowest first. A package may use those of lower floors only.
const FLOORS: [&[&str]; 10] = [
    &["strongroom-base", "strongroom-secret", "strongroom-sys"],
    &[
        "strongroom-tlog",
        "strongroom-policy",
        "strongroom-lease",
        "strongroom-shamir",
        "strongroom-jose",
        "strongroom-storage",
    ],
    &[
        "strongroom-storage-redb",
        "strongroom-storage-postgres",
        "strongroom-barrier",
        "strongroom-ledger",
        "strongroom-client",
    ],
    &["strongroom-seal", "strongroom-identity", "strongroom-followers"],
    &[
        "strongroom-sdk",
        "strongroom-auth-password",
        "strongroom-seal-pkcs11",
    ],
    &["strongroom-engine-static", "strongroom-core"],
    &["strongroom-dialect-kit"],
    &["strongroom-dialect-native", "strongroom-dialect-onebackend"],
    &["strongroom"],
    &[
        "strongroom-testkit",
        "strongroom-e2e",
        "strongroom-crash",
        "strongroom-cluster",
        "strongroom-bench",
        "xtask",
    ],
];

/// What a dialect never touches: decisions and storage are not its business.
const NOT_FOR_DIALECTS: [&str; 8] = [
    "strongroom-storage",
    "strongroom-storage-postgres",
    "strongroom-storage-redb",
    "strongroom-barrier",
    "strongroom-ledger",
    "strongroom-seal",
    "strongroom-seal-pkcs11",
    "strongroom-identity",
];

/// Arrows of `packages` that point up or sideways.
pub(crate) fn check(packages: &[Package]) -> Vec<String> {
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    let mut complaints = Vec::new();
    for Package { name, ours, .. } in packages {
        let Some(ours) = ours else { continue };
        let Some(own) = floor(name) else {
            complaints.push(format!("{name}: has no floor in xtask/src/tidy/arrows.rs"));
            continue;
        };
        // The tests' own packages stand side by side on the top floor.
        let is_top = own + 1 == FLOORS.len();
        for other in ours {
            let is_down = floor(other).is_some_and(|other| other < own || is_top);
            let is_barred =
                name.starts_with("strongroom-dialect-") && NOT_FOR_DIALECTS.contains(&other.as_str());
            if !is_down || is_barred {
                complaints.push(format!("{name}: may not use {other}"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, ours: &[&str]) -> Package {
        let ours = Some(ours.iter().map(|&name| name.to_owned()).collect());
        Package {
            name: name.to_owned(),
            version: String::new(),
            licence: String::new(),
            ours,
        }
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        assert!(check(&[package("strongroom-engine-static", &["strongroom-sdk"])]).is_empty());
        for (name, other) in [
            ("strongroom-engine-static", "strongroom-core"),
            ("strongroom-storage", "strongroom-barrier"),
            ("strongroom-dialect-onebackend", "strongroom-storage"),
            ("strongroom-unknown", "strongroom-base"),
        ] {
            assert_eq!(check(&[package(name, &[other])]).len(), 1, "{name} -> {other}");
        }
    }
}
