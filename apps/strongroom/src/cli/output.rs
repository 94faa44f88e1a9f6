//! The forms in which results are printed: the one place for all commands that ask a server.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::shell::quote;
use crate::cli::table::Table;
use crate::cli::yaml::Yaml;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Table,
    /// For programs: one document a line
    Json,
    /// For programs and people
    Yaml,
    /// For a POSIX shell: assignments, one line for each thing
    Env,
}

/// A list that is printed thing by thing, as it comes; a table at the end, when the widths are known.
pub(super) struct Printer<const N: usize> {
    form: Output,
    table: Table<N>,
    is_empty: bool,
}

impl<const N: usize> Printer<N> {
    pub(super) fn new(form: Output, header: [&str; N]) -> Self {
        Self {
            form,
            table: Table::new(header),
            is_empty: true,
        }
    }

    /// Prints `item`, which is a row of `cells` in a table.
    pub(super) fn item(
        &mut self,
        console: &mut Console,
        item: &impl Serialize,
        cells: [&str; N],
    ) -> Result<(), Failure> {
        self.is_empty = false;
        match self.form {
            Output::Table => self.table.row(cells),
            Output::Yaml => {
                let value = to_value(item)?;
                let list = Yaml::List(vec![fields(&value)]);
                console.out.write_all(list.to_document().expose())?;
            }
            form => document(console, form, item)?,
        }
        Ok(())
    }

    /// The end of the list.
    pub(super) fn end(self, console: &mut Console) -> Result<(), Failure> {
        match self.form {
            Output::Table => self.table.print(console)?,
            Output::Yaml if self.is_empty => writeln!(console.out, "[]")?,
            _ => {}
        }
        Ok(())
    }
}

/// Prints one thing, which holds no secret, in a form that is not a table's.
pub(super) fn document(console: &mut Console, form: Output, item: &impl Serialize) -> Result<(), Failure> {
    write_document(&mut *console.out, form, item)
}

/// [`document`], where there is no console.
pub(super) fn write_document(
    out: &mut dyn Write,
    form: Output,
    item: &impl Serialize,
) -> Result<(), Failure> {
    match form {
        Output::Table | Output::Json => {
            let text = serde_json::to_string(item).map_err(|error| Failure::of(&error))?;
            writeln!(out, "{text}")?;
        }
        Output::Yaml => {
            // One of several documents, perhaps (YAML 1.2.2, section 9.2).
            out.write_all(b"---\n")?;
            out.write_all(yaml(&to_value(item)?).to_document().expose())?;
        }
        Output::Env => writeln!(out, "{}", assignments(&to_value(item)?))?,
    }
    Ok(())
}

fn to_value(item: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(item).map_err(|error| Failure::of(&error))
}

fn yaml(value: &Value) -> Yaml<'_> {
    match value {
        Value::String(text) => Yaml::Text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => Yaml::Plain(value.to_string()),
        Value::Object(_) => Yaml::Fields(fields(value)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            Yaml::List(items.iter().map(fields).collect())
        }
        Value::Array(items) => Yaml::Flow(items.iter().filter_map(Value::as_str).collect()),
    }
}

fn fields(value: &Value) -> Vec<(&str, Yaml<'_>)> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(key, value)| (key.as_str(), yaml(value))).collect()
}

/// `value` as assignments on one line: lists as their texts with spaces between them, what is nested as JSON.
fn assignments(value: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let texts: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            texts.join(" ")
        }
        other => other.to_string(),
    };
    let Some(fields) = value.as_object() else {
        return format!("value={}", quote(&text(value)));
    };
    let assignments: Vec<_> = fields
        .iter()
        .map(|(key, value)| format!("{key}={}", quote(&text(value))))
        .collect();
    assignments.join(" ")
}

/// The name of the variable for a secret's value: the last part of its name, in capitals, with `_` for what no variable
/// may have (POSIX.1-2017, Base Definitions, 8.1).
pub(super) fn variable(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let mut variable: String = last
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() {
                character.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    if variable.is_empty() || variable.starts_with(|first: char| first.is_ascii_digit()) {
        variable.insert(0, '_');
    }
    variable
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn printed(colour: bool, print: impl FnOnce(&mut Console)) -> String {
        let out = Shared::default();
        let mut console = Console {
            out: Box::new(out.clone()),
            err: Box::new(Vec::new()),
            out_is_terminal: colour,
            colour,
        };
        print(&mut console);
        let bytes = out.0.borrow().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn list(form: Output, colour: bool, items: &[Value]) -> String {
        printed(colour, |console| {
            let mut printer = Printer::new(form, ["NAME", "VERSION"]);
            for item in items {
                let cells = [item["name"].as_str().unwrap(), &item["version"].to_string()];
                printer.item(console, item, cells).unwrap();
            }
            printer.end(console).unwrap();
        })
    }

    #[test]
    fn a_list_in_each_form() {
        let items = [
            json!({"name": "a", "version": 1, "labels": ["x", "y z"]}),
            json!({"name": "b'", "version": 2, "labels": [], "by": null, "is": {"k": true}}),
        ];
        for (form, expected) in [
            (Output::Table, "NAME   VERSION\na      1\nb'     2\n"),
            (
                Output::Json,
                "{\"labels\":[\"x\",\"y z\"],\"name\":\"a\",\"version\":1}\n{\"by\":null,\"is\":{\"k\":true},\"labels\":[],\"name\":\"b'\",\"version\":2}\n",
            ),
            (
                Output::Yaml,
                "- labels: [\"x\", \"y z\"]\n  name: \"a\"\n  version: 1\n- by: null\n  is:\n    k: true\n  labels: []\n  name: \"b'\"\n  version: 2\n",
            ),
            (
                Output::Env,
                "labels='x y z' name=a version=1\nby='' is='{\"k\":true}' labels='' name='b'\\''' version=2\n",
            ),
        ] {
            assert_eq!(list(form, false, &items), expected);
        }
        assert_eq!(list(Output::Yaml, false, &[]), "[]\n");
        assert_eq!(list(Output::Json, false, &[]), "");
    }

    #[test]
    fn documents_follow_each_other() {
        let two = |form| {
            printed(false, |console| {
                for item in [json!("a b"), json!({"k": ["v"]})] {
                    document(console, form, &item).unwrap();
                }
            })
        };
        assert_eq!(two(Output::Json), "\"a b\"\n{\"k\":[\"v\"]}\n");
        assert_eq!(two(Output::Yaml), "---\n\"a b\"\n---\nk: [\"v\"]\n");
        assert_eq!(two(Output::Env), "value='a b'\nk=v\n");
    }

    #[test]
    fn only_a_table_for_a_person_has_colour() {
        let items = [json!({"name": "a", "version": 1})];
        let table = list(Output::Table, true, &items);
        assert_eq!(table, "\u{1b}[1mNAME   VERSION\u{1b}[0m\na      1\n");
        for form in [Output::Json, Output::Yaml, Output::Env] {
            assert!(!list(form, true, &items).contains('\u{1b}'));
        }
    }

    #[test]
    fn the_variable_of_a_name() {
        for (name, expected) in [
            ("alice/db-url", "DB_URL"),
            ("KEY", "KEY"),
            ("a/2fa", "_2FA"),
            ("a/é", "_"),
        ] {
            assert_eq!(variable(name), expected);
        }
    }

    proptest! {
        #[test]
        fn a_variable_is_one_that_a_shell_takes(name in any::<String>()) {
            let variable = variable(&name);
            prop_assert!(!variable.is_empty() && !variable.starts_with(|c: char| c.is_ascii_digit()));
            prop_assert!(variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        }
    }
}
