//! A small YAML writer for text that must come back exactly, whoever reads it: texts are always double-quoted, and
//! all but plain characters escaped, so that no reader's idea of numbers, dates, `no` or line ends can change them.

use strongroom_secret::SecretBuffer;

/// A piece of a YAML document.
pub(crate) enum Yaml<'a> {
    /// A text.
    Text(&'a str),
    /// Texts on one line: `["a", "b"]`.
    Flow(Vec<&'a str>),
    /// A number, `true`, `false` or `null`.
    Plain(String),
    /// A mapping with keys of ours, which are plain words.
    Fields(Vec<(&'a str, Yaml<'a>)>),
    /// A mapping with keys from outside.
    Named(Vec<(&'a str, Yaml<'a>)>),
    /// A list of mappings with keys of ours.
    List(Vec<Vec<(&'a str, Yaml<'a>)>>),
}

impl Yaml<'_> {
    /// The document, in memory that is wiped.
    pub(crate) fn to_document(&self) -> SecretBuffer {
        let mut out = Writer(SecretBuffer::default());
        if self.is_block() {
            out.block(self, 0);
        } else {
            out.inline(self);
            out.put("\n");
        }
        out.0
    }

    /// Whether it takes lines of its own.
    fn is_block(&self) -> bool {
        match self {
            Self::Text(_) | Self::Plain(_) | Self::Flow(_) => false,
            Self::Fields(fields) => !fields.is_empty(),
            Self::Named(entries) => !entries.is_empty(),
            Self::List(items) => !items.is_empty(),
        }
    }
}

struct Writer(SecretBuffer);

impl Writer {
    fn put(&mut self, text: &str) {
        self.0.extend(text.as_bytes());
    }

    /// What follows a key and its colon.
    fn value(&mut self, yaml: &Yaml<'_>, indent: usize) {
        if yaml.is_block() {
            self.put("\n");
            self.block(yaml, indent);
        } else {
            self.put(" ");
            self.inline(yaml);
            self.put("\n");
        }
    }

    fn inline(&mut self, yaml: &Yaml<'_>) {
        match yaml {
            Yaml::Text(text) => self.quoted(text),
            Yaml::Plain(text) => self.put(text),
            Yaml::Flow(texts) => self.flow(texts),
            Yaml::Fields(_) | Yaml::Named(_) => self.put("{}"),
            Yaml::List(_) => self.put("[]"),
        }
    }

    fn block(&mut self, yaml: &Yaml<'_>, indent: usize) {
        match yaml {
            Yaml::Text(_) | Yaml::Plain(_) | Yaml::Flow(_) => {}
            Yaml::Fields(fields) => self.fields(fields, indent, ""),
            Yaml::Named(entries) => self.named(entries, indent),
            Yaml::List(items) => items
                .iter()
                .for_each(|fields| self.fields(fields, indent + 2, "- ")),
        }
    }

    /// Each field on its line; the first after `mark`, which takes the place of its indentation.
    fn fields(&mut self, fields: &[(&str, Yaml<'_>)], indent: usize, mark: &str) {
        for (index, (key, value)) in fields.iter().enumerate() {
            let lead = if index == 0 { mark } else { "" };
            self.put(&format!("{lead:>indent$}{key}:"));
            self.value(value, indent + 2);
        }
    }

    fn named(&mut self, entries: &[(&str, Yaml<'_>)], indent: usize) {
        for (key, value) in entries {
            self.put(&" ".repeat(indent));
            self.quoted(key);
            self.put(":");
            self.value(value, indent + 2);
        }
    }

    fn flow(&mut self, texts: &[&str]) {
        self.put("[");
        for (index, text) in texts.iter().enumerate() {
            self.put(if index == 0 { "" } else { ", " });
            self.quoted(text);
        }
        self.put("]");
    }

    /// YAML 1.2.2, section 7.3.1.
    fn quoted(&mut self, text: &str) {
        self.put("\"");
        for character in text.chars() {
            match character {
                '"' => self.put("\\\""),
                '\\' => self.put("\\\\"),
                '\n' => self.put("\\n"),
                '\t' => self.put("\\t"),
                ' '..='~' => self.put(character.encode_utf8(&mut [0; 4])),
                _ if character.is_alphanumeric() => self.put(character.encode_utf8(&mut [0; 4])),
                _ if u32::from(character) <= 0xffff => self.put(&format!("\\u{:04X}", u32::from(character))),
                _ => self.put(&format!("\\U{:08X}", u32::from(character))),
            }
        }
        self.put("\"");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    fn document(yaml: &Yaml<'_>) -> String {
        String::from_utf8(yaml.to_document().into_public()).unwrap()
    }

    #[test]
    fn the_shape_of_a_document() {
        let entry = |name| vec![("name", Yaml::Text(name)), ("list", Yaml::Flow(vec!["a", "b"]))];
        let yaml = Yaml::Fields(vec![
            ("text", Yaml::Text("no")),
            ("none", Yaml::Flow(vec![])),
            ("empty", Yaml::Named(vec![])),
            ("list", Yaml::List(vec![entry("x"), entry("y")])),
            (
                "named",
                Yaml::Named(vec![("1", Yaml::Fields(vec![("a", Yaml::Text("b"))]))]),
            ),
        ]);
        let expected = "text: \"no\"\n\
                        none: []\n\
                        empty: {}\n\
                        list:\n  \
                          - name: \"x\"\n    \
                            list: [\"a\", \"b\"]\n  \
                          - name: \"y\"\n    \
                            list: [\"a\", \"b\"]\n\
                        named:\n  \
                          \"1\":\n    \
                            a: \"b\"\n";
        assert_eq!(document(&yaml), expected);
        assert_eq!(document(&Yaml::List(vec![])), "[]\n");
        assert_eq!(
            document(&Yaml::List(vec![entry("x")])),
            "- name: \"x\"\n  list: [\"a\", \"b\"]\n"
        );
    }

    #[test]
    fn what_a_reader_could_change_is_escaped() {
        let text = "\u{0}\u{1b}\r\n\t\u{7f}\u{85}\u{a0}\u{2028}\u{202e}\u{feff}\u{1f600}é漢\"\\";
        let expected = r#""\u0000\u001B\u000D\n\t\u007F\u0085\u00A0\u2028\u202E\uFEFF\U0001F600é漢\"\\""#;
        assert_eq!(document(&Yaml::Text(text)).trim_end(), expected);
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Item {
        text: String,
        list: Vec<String>,
        named: BTreeMap<String, String>,
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[ \t\r\n\u{85}\u{2028}:#'\"\\\\-]{0,8}",
            "(no|Yes|~|null|0x1f|1_000|=|<<)"
        ]
    }

    proptest! {
        #[test]
        fn a_reader_gets_back_what_was_written(
            items in prop::collection::vec(
                (any_text(), prop::collection::vec(any_text(), 0..4), prop::collection::btree_map(any_text(), any_text(), 0..4)),
                0..4,
            )
        ) {
            let items: Vec<Item> =
                items.into_iter().map(|(text, list, named)| Item { text, list, named }).collect();
            let yaml = items.iter().map(|item| {
                let named = item.named.iter().map(|(key, value)| (key.as_str(), Yaml::Text(value)));
                vec![
                    ("text", Yaml::Text(&item.text)),
                    ("list", Yaml::Flow(item.list.iter().map(String::as_str).collect())),
                    ("named", Yaml::Named(named.collect())),
                ]
            });
            let text = document(&Yaml::List(yaml.collect()));
            prop_assert_eq!(serde_saphyr::from_str::<Vec<Item>>(&text).unwrap(), items);
        }
    }
}
