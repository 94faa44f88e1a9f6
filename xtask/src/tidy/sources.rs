//! Rules about the text of files.

/// The files that read secret material, one a line.
pub(crate) const EXPOSURES: &str = "xtask/golden/expose.txt";

/// The longest function, in lines.
const FUNCTION_LINES: usize = 90;

/// What is wrong with the file `path`.
pub(crate) fn check(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if path.ends_with(".rs") {
        if !text.starts_with("//!") && !text.starts_with("#!") {
            complaints.push(format!("{path}: does not open with `//!` and its job"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            for word in unfinished().iter().filter(|word| line.contains(word.as_str())) {
                complaints.push(format!("{path}:{number}: `{word}`"));
            }
        }
        // A test may be a long list of cases.
        if !path.contains("/tests/") {
            complaints.extend(long_functions(path, text));
        }
    }
    for (number, line) in (1..).zip(text.lines()) {
        for word in not_for_here().iter().filter(|word| line.contains(word.as_str())) {
            complaints.push(format!(
                "{path}:{number}: names `{word}`, which is of one machine or of how the work was done"
            ));
        }
    }
    complaints
}

/// Marks of unfinished work. They are put together here so that this file does not have them itself.
fn unfinished() -> [String; 6] {
    [
        "to|do!(",
        "unimpl|emented!(",
        "d|bg!(",
        "#[ig|nore",
        "TO|DO",
        "FIX|ME",
    ]
    .map(|word| word.replace('|', ""))
}

/// Registries' hosts and places outside the repository.
fn not_for_here() -> [String; 8] {
    [
        "registry.n|pmjs.org",
        "index.cr|ates.io",
        "static.cr|ates.io",
        "pro|xy.golang.org",
        "py|pi.org",
        "deb.deb|ian.org",
        "/wo|rk/main",
        "../sha|red/",
    ]
    .map(|word| word.replace('|', ""))
}

/// Functions over the limit, by the indentation of their first and last lines.
fn long_functions(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut open: Option<(usize, usize, &str)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let indent = line.len() - line.trim_start().len();
        let is_function = line.trim_start().split("fn ").next().is_some_and(|head| {
            line.contains("fn ")
                && head
                    .split_whitespace()
                    .all(|word| word.starts_with("pub") || ["async", "const"].contains(&word))
        });
        if is_function {
            open = Some((number, indent, line.trim()));
        } else if let Some((start, at, name)) = open
            && indent == at
            && line.trim_start().starts_with('}')
        {
            if number - start > FUNCTION_LINES {
                complaints.push(format!("{path}:{start}: `{name}` has {} lines", number - start));
            }
            open = None;
        }
    }
    complaints
}

/// The golden list of `files`: those outside tests that read secret material.
pub(crate) fn exposures(files: &[(String, String)]) -> String {
    let reads = |text: &str| {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        code.contains(".expose()") || code.contains(".expose_mut()")
    };
    let is_test =
        |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs") || path.starts_with("testing/");
    let is_code = |path: &str| path.ends_with(".rs") && !is_test(path);
    let mut paths: Vec<_> = files
        .iter()
        .filter(|(path, text)| is_code(path) && reads(text))
        .map(|(path, _)| path.as_str())
        .collect();
    paths.sort_unstable();
    paths.iter().map(|path| format!("{path}\n")).collect()
}

/// Files that read secret material and are not in the `golden` list, or are in it and do not.
pub(crate) fn unlisted_exposures(files: &[(String, String)], golden: &str) -> Vec<String> {
    let now = exposures(files);
    let differs = |a: &str, b: &str, why: &str| {
        a.lines()
            .filter(|path| !b.lines().any(|other| other == *path))
            .map(|path| format!("{path}: {why}"))
            .collect()
    };
    let mut complaints: Vec<String> = differs(
        &now,
        golden,
        "reads secret material and is not in xtask/golden/expose.txt (cargo xtask golden)",
    );
    complaints.extend::<Vec<String>>(differs(
        golden,
        &now,
        "is in xtask/golden/expose.txt and reads no secrets",
    ));
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_bites() {
        assert!(check("a.rs", "//! Its job.\nfn f() {}\n").is_empty());
        assert_eq!(check("a.rs", "fn f() {}\n").len(), 1);
        for word in unfinished() {
            assert_eq!(
                check("a.rs", &format!("//! Its job.\n// {word}\n")).len(),
                1,
                "{word}"
            );
        }
        for word in not_for_here() {
            assert_eq!(check("a.md", &format!("see {word}\n")).len(), 1, "{word}");
        }
    }

    #[test]
    fn a_long_function_is_found_and_a_long_file_is_not() {
        let body = "    let x = 1;\n".repeat(FUNCTION_LINES + 1);
        assert_eq!(
            check("a.rs", &format!("//! Its job.\npub async fn f() {{\n{body}}}\n")).len(),
            1
        );
        let short = "fn f() {\n    let x = 1;\n}\n".repeat(FUNCTION_LINES);
        assert!(check("a.rs", &format!("//! Its job.\n{short}")).is_empty());
    }

    #[test]
    fn a_new_reader_of_secrets_shows() {
        let files = [
            ("a.rs".to_owned(), "x.expose()".to_owned()),
            ("b.rs".to_owned(), String::new()),
        ];
        assert!(unlisted_exposures(&files, "a.rs\n").is_empty());
        assert_eq!(unlisted_exposures(&files, "").len(), 1);
        assert_eq!(unlisted_exposures(&files, "a.rs\nb.rs\n").len(), 1);
    }
}
