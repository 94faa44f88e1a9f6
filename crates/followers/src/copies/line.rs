//! The line of a leaf: `{"log":"…","index":…,"leaf":…}`, where the leaf's exact bytes stand.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use strongroom_ledger::Published;

/// How every line begins.
pub(crate) const BEGINNING: &[u8] = br#"{"log":""#;
/// The longest line: a leaf of 65,535 bytes, an origin and a number.
pub(crate) const LINE_BYTES: usize = (64 << 10) + 1024;

/// Which leaf a line is of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) log: String,
    pub(crate) index: u64,
}

/// Appends the line of `leaf` of the log `origin` to `out`.
pub(crate) fn write_line(out: &mut Vec<u8>, origin: &str, leaf: &Published) {
    // INVARIANT: an origin is ids and numbers, and a leaf is one JSON object without a newline.
    out.extend(BEGINNING);
    out.extend(origin.as_bytes());
    out.extend(format!(r#"","index":{},"leaf":"#, leaf.index).as_bytes());
    out.extend(&leaf.bytes);
    out.extend(b"}\n");
}

/// Which leaf `line`, without its newline, is of; `None` when it is no line of a copy.
pub(crate) fn read_line(line: &[u8]) -> Option<Place> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line<'a> {
        #[serde(borrow)]
        log: Cow<'a, str>,
        index: u64,
        #[serde(borrow, rename = "leaf")]
        _leaf: &'a RawValue,
    }
    let Line { log, index, .. } = serde_json::from_slice(line).ok()?;
    Some(Place {
        log: log.into_owned(),
        index,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `docs/formats/copy.md` shows these bytes.
    #[test]
    fn the_bytes_of_version_1() {
        let mut line = Vec::new();
        let leaf = Published {
            index: 12,
            bytes: br#"{"v":2}"#.to_vec(),
        };
        write_line(&mut line, "instance/1/1", &leaf);
        assert_eq!(
            line.escape_ascii().to_string(),
            r#"{\"log\":\"instance/1/1\",\"index\":12,\"leaf\":{\"v\":2}}\n"#
        );
        let place = Place {
            log: "instance/1/1".into(),
            index: 12,
        };
        assert_eq!(read_line(line.trim_ascii_end()), Some(place));
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_panic(bytes: Vec<u8>, text in r#"\{"log":"[a-z\\"]{0,3}","index":[0-9]{0,22},"leaf":.{0,5}\}?"#) {
            let _ = read_line(&bytes);
            let _ = read_line(text.as_bytes());
        }
    }
}
