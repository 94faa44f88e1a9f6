//! What others' packages may be in the graph: licences, bans, one version of what must not be there twice.

use anyhow::Result;
use spdx::{Expression, LicenseReq, ParseMode};

use crate::metadata::Package;

const LICENCES: [&str; 12] = [
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "0BSD",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CDLA-Permissive-2.0",
];
/// A second cryptography provider, C libraries, and what is unmaintained or unsafe to parse with. Forks that only append
/// to the name are meant, too.
const BANNED: [&str; 9] = [
    "ring",
    "openssl-sys",
    "native-tls",
    "rsa",
    "serde_yaml",
    "serde_yml",
    "bincode",
    "atomic-polyfill",
    "rustls-pemfile",
];
/// Two of these would be two stacks.
const SINGLE: [&str; 6] = ["axum", "hyper", "rustls", "tokio", "h2", "aws-lc-rs"];

/// What is wrong with the graph.
pub(crate) fn check(packages: &[Package]) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for Package {
        name,
        version,
        licence,
        ..
    } in packages
    {
        let is_fork_of = |banned: &str| {
            name.strip_prefix(banned)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        if BANNED.into_iter().any(is_fork_of) {
            complaints.push(format!("{name} {version}: is banned"));
        }
        let expression = Expression::parse_mode(licence, ParseMode::LAX)?;
        if !expression.evaluate(is_allowed) {
            complaints.push(format!("{name} {version}: has the licence {licence}"));
        }
    }
    for name in SINGLE {
        let versions = packages.iter().filter(|package| package.name == name).count();
        if versions > 1 {
            complaints.push(format!("{name}: is there in {versions} versions"));
        }
    }
    Ok(complaints)
}

fn is_allowed(required: &LicenseReq) -> bool {
    required
        .license
        .id()
        .is_some_and(|licence| LICENCES.contains(&licence.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(packages: &[(&str, &str)]) -> usize {
        let packages: Vec<_> = packages
            .iter()
            .map(|(name, licence)| Package {
                name: (*name).to_owned(),
                version: "1.0.0".to_owned(),
                licence: (*licence).to_owned(),
                ours: None,
            })
            .collect();
        check(&packages).unwrap().len()
    }

    #[test]
    fn each_rule_bites() {
        assert_eq!(
            complaints(&[("a", "MIT OR GPL-3.0-only"), ("b", "Apache-2.0/MIT")]),
            0
        );
        assert_eq!(complaints(&[("a", "GPL-3.0-only")]), 1);
        assert_eq!(complaints(&[("a", "MIT AND GPL-3.0-only")]), 1);
        assert_eq!(complaints(&[("ring", "ISC")]), 1);
        assert_eq!(complaints(&[("serde_yaml_ng", "MIT")]), 1);
        assert_eq!(complaints(&[("ringbuf", "MIT")]), 0);
        assert_eq!(complaints(&[("hyper", "MIT"), ("hyper", "MIT")]), 1);
    }
}
