//! String literals (RFC 8259 §7) in memory that is wiped.

use std::str::Chars;

use zeroize::Zeroizing;

/// What `literal`, a valid JSON string without its quotes, stands for; `None` if half of a surrogate pair is missing.
pub(super) fn resolve(literal: &str) -> Option<Zeroizing<String>> {
    // No escape is shorter than what it stands for, so the text never grows.
    let mut text = Zeroizing::new(String::with_capacity(literal.len()));
    let mut rest = literal;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut chars = escaped.chars();
        text.push(escape(&mut chars)?);
        rest = chars.as_str();
    }
    text.push_str(rest);
    Some(text)
}

/// The character of an escape whose backslash is read.
fn escape(chars: &mut Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => unicode(chars)?,
        itself => itself,
    })
}

/// The character of one `uXXXX`, or of a surrogate pair of them (RFC 8259 §7), after the first `u`.
fn unicode(chars: &mut Chars<'_>) -> Option<char> {
    let first = code_unit(chars)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some(character);
    }
    let second = (chars.next()? == '\\' && chars.next()? == 'u').then(|| code_unit(chars))??;
    char::decode_utf16([first, second]).next()?.ok()
}

fn code_unit(chars: &mut Chars<'_>) -> Option<u16> {
    let (digits, rest) = chars.as_str().split_at_checked(4)?;
    *chars = rest.chars();
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(literal: &str, expected: Option<&str>) {
        assert_eq!(
            resolve(literal).as_ref().map(|text| text.as_str()),
            expected,
            "{literal}"
        );
    }

    #[test]
    fn escapes() {
        check(r#"a\"\\\/\b\f\n\r\tz"#, Some("a\"\\/\u{8}\u{c}\n\r\tz"));
        check(r"\u0041\u00e4\uD83D\uDE00", Some("Aä😀"));
        for half in [
            r"\uD83D",
            r"\uD83Dx",
            r"\uD83D\n",
            r"\uD83D\u0041",
            r"\uDE00",
            r"\uDE00\uD83D",
        ] {
            check(half, None);
        }
    }

    proptest! {
        #[test]
        fn literals_mean_what_the_reference_says(literal in r#"([ -!#-\[\]-~]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|\\u[dD][89abAB]00\\u[dD][cdefCDEF]00|ä|😀)*"#) {
            let reference: Option<String> = serde_json::from_str(&format!("\"{literal}\"")).ok();
            check(&literal, reference.as_deref());
        }
    }
}
