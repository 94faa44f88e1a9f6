//! Text that people paste into a POSIX shell.

use std::ffi::OsStr;
use std::path::Path;

use strongroom_secret::SecretBuffer;

/// `word` as one word of a shell command.
#[must_use]
pub fn quote(word: &str) -> String {
    if is_plain(word) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Writes `word` as one word of a shell command, in memory that is wiped.
pub(crate) fn quote_into(out: &mut SecretBuffer, word: &str) {
    if is_plain(word) {
        return out.extend(word.as_bytes());
    }
    out.extend(b"'");
    for (index, part) in word.split('\'').enumerate() {
        out.extend(if index == 0 { b"" } else { br"'\''" });
        out.extend(part.as_bytes());
    }
    out.extend(b"'");
}

fn is_plain(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    !word.is_empty() && word.chars().all(is_plain)
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
            let mut buffer = SecretBuffer::default();
            quote_into(&mut buffer, word);
            assert_eq!(buffer.into_public(), quoted.as_bytes());
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
