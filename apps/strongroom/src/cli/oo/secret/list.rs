//! `oo secret list`.

use std::io::Write;

use clap::Args;
use strongroom_client::SavedSecret;
use strongroom_secret::SecretBuffer;

use super::pattern::matches;
use crate::cli::failure::Failure;
use crate::cli::oo::context::Context;
use crate::cli::table::Table;
use crate::cli::yaml::Yaml;

/// Stars of a hidden value; a longer one ends in `…`.
const MASK_CHARS: usize = 32;

/// List the secrets that you may read
///
/// Prints a table. With --show into a file or pipe it prints YAML, with all that a backup needs.
#[derive(Debug, Args)]
#[command(visible_alias = "ls")]
pub(crate) struct List {
    /// Part of the name, or the whole name with `*` for any text
    pattern: Option<String>,
    /// Print the values
    #[arg(long)]
    show: bool,
    /// Only secrets of this app, or whose name begins with N/
    #[arg(short, long, value_name = "N")]
    namespace: Option<String>,
}

/// A listed secret with the app's name, or its id where the name is not known.
struct Row {
    app: String,
    secret: SavedSecret,
}

impl List {
    pub(crate) async fn run(self, mut cx: Context) -> Result<(), Failure> {
        let session = cx.session()?;
        // The dialect lists the app of the token only.
        let app = |id: &str| session.app_host.as_deref().unwrap_or(id).to_owned();
        let secrets = session.client.list().await?;
        let rows = secrets.into_iter().map(|secret| Row {
            app: app(&secret.app_id),
            secret,
        });
        let mut rows: Vec<Row> = rows.filter(|row| self.is_meant(row)).collect();
        rows.sort_by(|a, b| a.secret.id.cmp(&b.secret.id));
        if self.show && !cx.console.out_is_terminal {
            Ok(cx.console.out.write_all(yaml(&rows).expose())?)
        } else {
            Ok(self.table(&rows).write(&mut cx.console.out)?)
        }
    }

    fn is_meant(&self, Row { app, secret }: &Row) -> bool {
        let in_namespace = |namespace: &String| {
            app == namespace
                || secret
                    .id
                    .strip_prefix(namespace)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        self.namespace.as_ref().is_none_or(in_namespace)
            && self
                .pattern
                .as_ref()
                .is_none_or(|pattern| matches(pattern, &secret.id))
    }

    /// Today's dialect has one name for a secret, which is both its id and its key.
    fn table(&self, rows: &[Row]) -> Table<5> {
        let mut table = Table::new(["SECRET ID", "APP", "KEY", "LENGTH", "VALUE"]);
        for Row { app, secret } in rows {
            let length = secret.value.len();
            let mask = mask(length);
            let value = if self.show { secret.value.expose() } else { &mask };
            table.row([&secret.id, app, &secret.id, &length.to_string(), value]);
        }
        table
    }
}

fn mask(length: usize) -> String {
    let more = if length > MASK_CHARS { "…" } else { "" };
    "*".repeat(length.min(MASK_CHARS)) + more
}

/// A document that `oo secret save` takes back: the values are plaintext, and each list is one line.
fn yaml(rows: &[Row]) -> SecretBuffer {
    let items = rows.iter().map(|Row { secret, .. }| {
        let lists = &secret.lists;
        vec![
            ("id", Yaml::Text(&secret.id)),
            ("key", Yaml::Text(&secret.id)),
            ("value", Yaml::Text(secret.value.expose())),
            ("readers", list(&lists.readers)),
            ("writers", list(&lists.writers)),
            ("deleters", list(&lists.deleters)),
            ("canChangeReaders", list(&lists.can_change_readers)),
            ("canChangeWriters", list(&lists.can_change_writers)),
            ("canChangeDeleters", list(&lists.can_change_deleters)),
        ]
    });
    Yaml::List(items.collect()).to_document()
}

fn list(slugs: &Option<Vec<String>>) -> Yaml<'_> {
    Yaml::Flow(slugs.iter().flatten().map(String::as_str).collect())
}

#[cfg(test)]
mod tests {
    use strongroom_client::Lists;
    use strongroom_secret::SecretText;

    use super::*;

    fn row(app: &str, id: &str, value: &str, lists: Lists) -> Row {
        let value = SecretText::new(value.into());
        let secret = SavedSecret {
            app_id: "app-1".into(),
            id: id.into(),
            value,
            lists,
        };
        Row {
            app: app.into(),
            secret,
        }
    }

    fn command(pattern: Option<&str>, show: bool, namespace: Option<&str>) -> List {
        List {
            pattern: pattern.map(str::to_owned),
            show,
            namespace: namespace.map(str::to_owned),
        }
    }

    fn printed(show: bool, rows: &[Row]) -> String {
        let mut out = Vec::new();
        command(None, show, None).table(rows).write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_key_is_in_the_third_column_and_values_are_hidden_unless_asked_for() {
        let rows = [
            row("unnamed", "A", "hunter2", Lists::default()),
            row("unnamed", "B/C", &"x".repeat(33), Lists::default()),
        ];
        let hidden = printed(false, &rows);
        assert_eq!(
            hidden,
            format!(
                "SECRET ID   APP       KEY   LENGTH   VALUE\n\
                 A           unnamed   A     7        *******\n\
                 B/C         unnamed   B/C   33       {}…\n",
                "*".repeat(32)
            )
        );
        assert!(printed(true, &rows).contains("hunter2"));
    }

    #[test]
    fn a_namespace_is_an_app_or_the_start_of_a_name() {
        let meant = |namespace, app, id| {
            command(None, false, Some(namespace)).is_meant(&row(app, id, "", Lists::default()))
        };
        assert!(meant("dev", "unnamed", "dev/URL"));
        assert!(meant("shop", "shop", "URL"));
        assert!(!meant("dev", "unnamed", "development/URL"));
        assert!(!meant("dev", "unnamed", "dev"));
        assert!(!meant("dev", "unnamed", "a/dev/URL"));
    }

    #[test]
    fn pattern_and_namespace_must_both_fit() {
        let meant =
            |id| command(Some("URL"), false, Some("dev")).is_meant(&row("unnamed", id, "", Lists::default()));
        assert!(meant("dev/URL"));
        assert!(!meant("dev/KEY"));
        assert!(!meant("prod/URL"));
    }

    #[test]
    fn a_shown_list_is_yaml_with_each_list_on_one_line() {
        let lists = Lists {
            readers: Some(vec!["a".into(), "b".into(), "no".into()]),
            writers: Some(Vec::new()),
            ..Lists::default()
        };
        let text = String::from_utf8(yaml(&[row("unnamed", "dev/K", "v\n", lists)]).into_public()).unwrap();
        assert_eq!(
            text,
            "- id: \"dev/K\"\n  key: \"dev/K\"\n  value: \"v\\n\"\n  readers: [\"a\", \"b\", \"no\"]\n  writers: []\n  \
             deleters: []\n  canChangeReaders: []\n  canChangeWriters: []\n  canChangeDeleters: []\n"
        );
    }
}
