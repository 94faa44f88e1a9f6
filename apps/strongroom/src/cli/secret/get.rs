//! `strongroom secret get`.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use serde::Serialize;
use strongroom_client::secrets::Value;
use strongroom_secret::SecretBuffer;

use super::{Place, named};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, variable};
use crate::cli::shell::quote_into;
use crate::cli::yaml::Yaml;

/// Print the value of a secret, and nothing else
///
/// The value is printed as it is, and on a terminal a line end behind it. `--output json` and `yaml` tell the version,
/// too; `--output env` prints `NAME=value` for a shell, NAME being the last part of the secret's name in capitals, as in
/// `eval "$(strongroom secret get --output env app/db-url app/api-key)"`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    #[command(flatten)]
    place: Place,
    /// The version to print [default: the current one]
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
    /// Name of the secret; several with an --output for programs
    #[arg(required = true)]
    name: Vec<String>,
}

impl Get {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let form = self.place.remote.output;
        if form == Output::Table && self.name.len() > 1 {
            let text = "the values of several secrets cannot be told apart when printed as they are";
            return Err(Failure::new(text).advise("Give --output env, json or yaml."));
        }
        let (mut asked, app) = self.place.open(console).await?;
        let mut values = Vec::new();
        for name in &self.name {
            values.push(asked.client.read_secret(named(name, &app), self.version).await?);
        }
        let text = match form {
            Output::Table => plain(&values, asked.console.out_is_terminal),
            Output::Json => json(&values)?,
            Output::Yaml => yaml(&values),
            Output::Env => env(&values)?,
        };
        Ok(asked.console.out.write_all(text.expose())?)
    }
}

fn plain(values: &[Value], is_terminal: bool) -> SecretBuffer {
    let mut text = SecretBuffer::default();
    for value in values {
        text.extend(value.value.expose().as_bytes());
    }
    if is_terminal {
        text.extend(b"\n");
    }
    text
}

fn json(values: &[Value]) -> Result<SecretBuffer, Failure> {
    #[derive(Serialize)]
    struct Line<'a> {
        name: &'a str,
        version: u32,
        saved: u64,
        value: &'a str,
    }
    let mut text = SecretBuffer::default();
    for value in values {
        let line = Line {
            name: &value.name,
            version: value.version,
            saved: value.saved,
            value: value.value.expose(),
        };
        serde_json::to_writer(&mut text, &line).map_err(|error| Failure::of(&error))?;
        text.extend(b"\n");
    }
    Ok(text)
}

fn yaml(values: &[Value]) -> SecretBuffer {
    let fields = |value: &'_ Value| {
        vec![
            ("name", value.name.clone(), false),
            ("version", value.version.to_string(), true),
            ("saved", value.saved.to_string(), true),
        ]
    };
    let facts: Vec<_> = values.iter().map(fields).collect();
    let items = facts.iter().zip(values).map(|(facts, value)| {
        let mut item: Vec<_> = facts
            .iter()
            .map(|(key, text, is_plain)| {
                let text = if *is_plain {
                    Yaml::Plain(text.clone())
                } else {
                    Yaml::Text(text)
                };
                (*key, text)
            })
            .collect();
        item.push(("value", Yaml::Text(value.value.expose())));
        item
    });
    Yaml::List(items.collect()).to_document()
}

fn env(values: &[Value]) -> Result<SecretBuffer, Failure> {
    let mut text = SecretBuffer::default();
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for value in values {
        let variable = variable(&value.name);
        if value.value.expose().contains('\0') {
            return Err(Failure::new(format!(
                "the value of `{}` has a NUL character, which no variable can hold",
                value.name
            )));
        }
        text.extend(variable.as_bytes());
        text.extend(b"=");
        quote_into(&mut text, value.value.expose());
        text.extend(b"\n");
        if let Some(other) = taken.insert(variable.clone(), &value.name) {
            return Err(
                Failure::new(format!("`{other}` and `{}` would both be {variable}", value.name))
                    .advise("Ask for them one by one."),
            );
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use strongroom_secret::SecretText;

    use super::*;

    fn value(name: &str, text: &str) -> Value {
        Value {
            name: name.into(),
            version: 2,
            saved: 7,
            value: SecretText::new(text.into()),
        }
    }

    fn text(buffer: SecretBuffer) -> String {
        String::from_utf8(buffer.into_public()).unwrap()
    }

    #[test]
    fn a_value_in_each_form() {
        let values = [value("a/db-url", "it's\nhere"), value("a/key", "k")];
        assert_eq!(text(plain(&values[1..], false)), "k");
        assert_eq!(text(plain(&values[1..], true)), "k\n");
        assert_eq!(text(env(&values).unwrap()), "DB_URL='it'\\''s\nhere'\nKEY=k\n");
        assert_eq!(
            text(json(&values[1..]).unwrap()),
            "{\"name\":\"a/key\",\"version\":2,\"saved\":7,\"value\":\"k\"}\n"
        );
        assert_eq!(
            text(yaml(&values[1..])),
            "- name: \"a/key\"\n  version: 2\n  saved: 7\n  value: \"k\"\n"
        );
    }

    #[test]
    fn two_values_for_one_variable_are_refused() {
        assert!(env(&[value("a/key", "1"), value("b/KEY", "2")]).is_err());
        assert!(env(&[value("a/key", "1\0")]).is_err());
    }
}
