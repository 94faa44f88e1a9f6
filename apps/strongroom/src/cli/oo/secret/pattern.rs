//! Which names a pattern means.

/// Whether `name` is meant by `pattern`: a part of the name, or, with `*` for any text, the whole of it. A pattern
/// that is itself a name always means that name.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return name.contains(pattern);
    };
    name == pattern
        || name
            .strip_prefix(start)
            .is_some_and(|name| matches_rest(rest, name))
}

/// Whether what comes after a `*` fits a tail of `name`. The leftmost place for each part leaves most to the others.
fn matches_rest(mut pattern: &str, mut name: &str) -> bool {
    while let Some((part, rest)) = pattern.split_once('*') {
        let Some((_, after)) = name.split_once(part) else {
            return false;
        };
        (pattern, name) = (rest, after);
    }
    name.ends_with(pattern)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_is_a_part_or_with_a_star_the_whole() {
        for (pattern, meant, others) in [
            ("", &["", "a"][..], &[][..]),
            ("BASE", &["DATABASE_URL", "BASE"], &["BAS", "base"]),
            ("*", &["", "a"], &[]),
            ("dev/*", &["dev/", "dev/a/b"], &["dev", "x/dev/a"]),
            ("*_URL", &["A_URL", "_URL", "A_URL_URL"], &["A_URLS"]),
            ("a*b*c", &["abc", "aXbYc", "abbcc"], &["ab", "acb", "abcd"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("*ab*ab", &["abab", "xabyab"], &["ab", "xab"]),
            ("50*", &["50*", "50x"], &["x50*"]),
        ] {
            for name in meant {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in others {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
    }
}
