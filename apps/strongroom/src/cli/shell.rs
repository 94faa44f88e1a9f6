//! Text that people paste into a POSIX shell.

use std::ffi::OsStr;
use std::path::Path;

/// `word` as one word of a shell command.
#[must_use]
pub fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How `program` is called in a shell with `search_path` as its `$PATH`: by its bare name if that finds it.
#[must_use]
pub fn spell_program(program: &Path, search_path: &OsStr) -> String {
    let found = program.file_name().filter(|name| {
        let first = std::env::split_paths(search_path)
            .map(|dir| dir.join(name))
            .find(|path| path.is_file());
        first.and_then(|path| path.canonicalize().ok()) == program.canonicalize().ok()
    });
    match found {
        Some(name) => quote(&name.to_string_lossy()),
        None => quote(&program.to_string_lossy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_one_word() {
        for (word, quoted) in [
            ("", "''"),
            ("a/b-c.d", "a/b-c.d"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
        for special in ["$HOME", "`id`", "a;b", "~/x", "a\nb", "*"] {
            assert!(quote(special).starts_with('\''), "{special}");
        }
    }

    #[test]
    fn a_program_on_the_search_path_is_called_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("strongroom");
        std::fs::write(&program, "").unwrap();
        assert_eq!(spell_program(&program, dir.path().as_os_str()), "strongroom");
        assert_eq!(
            spell_program(&program, OsStr::new("/nowhere")),
            program.to_string_lossy()
        );
    }
}
