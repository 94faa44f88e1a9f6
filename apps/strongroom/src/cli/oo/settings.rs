//! The file that `oo` keeps between calls, `~/.1backend/cliConfig.yaml`: servers ("environments"), who is logged in
//! to them, and their tokens. The form is that of 1Backend's own `oo`, of both generations.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use strongroom_client::DEFAULT_APP;
use strongroom_secret::{SecretBuffer, SecretText};

use crate::cli::failure::Failure;
use crate::cli::yaml::Yaml;

/// The environment of a file that does not exist yet: where `strongroom up` listens unless told otherwise, so that
/// the first `oo login` needs no address.
pub(super) const FIRST_ENVIRONMENT: &str = "local";
/// Where that is, so where `oo` looks first.
pub const FIRST_URL: &str = "http://127.0.0.1:8200";

/// The file's contents.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Settings {
    pub(super) selected_environment: String,
    pub(super) environments: BTreeMap<String, Environment>,
}

/// A server, and its users.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Environment {
    pub(super) url: String,
    short_name: String,
    pub(super) description: String,
    selected_user: String,
    users: BTreeMap<String, User>,
}

/// A user who has logged in. `token` is the 2025 form; today's has a token for each app.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct User {
    slug: String,
    selected_app_host: String,
    tokens_by_app_host: BTreeMap<String, SecretText>,
    token: SecretText,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("there is no $HOME to keep `.1backend/cliConfig.yaml` in")]
    NoHome,
    #[error("cannot read `{}`", .path.display())]
    Read { path: PathBuf, source: io::Error },
    // The reader's own message could quote a token.
    #[error("`{}`, line {line}: not the settings of oo", .path.display())]
    Form { path: PathBuf, line: u64 },
    #[error("cannot write `{}`", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::of(&error)
    }
}

impl Default for Settings {
    fn default() -> Self {
        let first = Environment::new(FIRST_ENVIRONMENT, FIRST_URL, "");
        Self {
            selected_environment: FIRST_ENVIRONMENT.to_owned(),
            environments: BTreeMap::from([(FIRST_ENVIRONMENT.to_owned(), first)]),
        }
    }
}

impl Settings {
    /// Where the file is for a user whose home directory is `home`.
    pub(super) fn path(home: Option<&Path>) -> Result<PathBuf, SettingsError> {
        Ok(home
            .ok_or(SettingsError::NoHome)?
            .join(".1backend/cliConfig.yaml"))
    }

    /// Reads the file; one that does not exist is the default.
    pub(super) fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => zeroize::Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(SettingsError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        serde_saphyr::from_str(&text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            SettingsError::Form {
                path: path.to_owned(),
                line,
            }
        })
    }

    /// Replaces the file, whole or not at all; only its owner can read it.
    pub(super) fn store(&self, path: &Path) -> Result<(), SettingsError> {
        replace(path, &self.to_yaml()).map_err(|source| SettingsError::Write {
            path: path.to_owned(),
            source,
        })
    }

    fn to_yaml(&self) -> SecretBuffer {
        let environments = self
            .environments
            .iter()
            .map(|(name, it)| (name.as_str(), it.to_yaml()));
        Yaml::Fields(vec![
            ("selectedEnvironment", Yaml::Text(&self.selected_environment)),
            ("environments", Yaml::Named(environments.collect())),
        ])
        .to_document()
    }
}

impl Environment {
    pub(super) fn new(name: &str, url: &str, description: &str) -> Self {
        Self {
            url: url.to_owned(),
            short_name: name.to_owned(),
            description: description.to_owned(),
            ..Self::default()
        }
    }

    /// The selected user's token, and the app it is for.
    pub(super) fn login(&self) -> Option<(&SecretText, &str)> {
        let user = self.users.get(&self.selected_user)?;
        let app = if user.selected_app_host.is_empty() {
            DEFAULT_APP
        } else {
            &user.selected_app_host
        };
        let token = user.tokens_by_app_host.get(app).unwrap_or(&user.token);
        (!token.is_empty()).then_some((token, app))
    }

    /// Keeps `slug`'s token for the default app and selects the user. Other users stay.
    pub(super) fn log_in(&mut self, slug: &str, token: &SecretText) {
        let copy = || SecretText::new(token.expose().to_owned());
        let user = self.users.entry(slug.to_owned()).or_default();
        slug.clone_into(&mut user.slug);
        DEFAULT_APP.clone_into(&mut user.selected_app_host);
        user.tokens_by_app_host.insert(DEFAULT_APP.to_owned(), copy());
        user.token = copy();
        slug.clone_into(&mut self.selected_user);
    }

    fn to_yaml(&self) -> Yaml<'_> {
        let users = self
            .users
            .iter()
            .map(|(slug, user)| (slug.as_str(), user.to_yaml()));
        Yaml::Fields(vec![
            ("url", Yaml::Text(&self.url)),
            ("shortName", Yaml::Text(&self.short_name)),
            ("description", Yaml::Text(&self.description)),
            ("selectedUser", Yaml::Text(&self.selected_user)),
            ("users", Yaml::Named(users.collect())),
        ])
    }
}

impl User {
    fn to_yaml(&self) -> Yaml<'_> {
        let tokens = self
            .tokens_by_app_host
            .iter()
            .map(|(app, token)| (app.as_str(), Yaml::Text(token.expose())));
        Yaml::Fields(vec![
            ("slug", Yaml::Text(&self.slug)),
            ("selectedAppHost", Yaml::Text(&self.selected_app_host)),
            ("tokensByAppHost", Yaml::Named(tokens.collect())),
            ("token", Yaml::Text(self.token.expose())),
        ])
    }
}

fn replace(path: &Path, contents: &SecretBuffer) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let written = file.write_all(contents.expose()).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
        let _ = fs::remove_file(&new); // the first error is the one to report
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn stored(text: &str) -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = Settings::path(Some(home.path())).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        (home, path)
    }

    fn login(settings: &Settings) -> Option<(String, String)> {
        let environment = settings.environments.get(&settings.selected_environment)?;
        environment
            .login()
            .map(|(token, app)| (token.expose().to_owned(), app.to_owned()))
    }

    #[test]
    fn without_a_file_oo_looks_where_the_server_listens() {
        let home = tempfile::tempdir().unwrap();
        let settings = Settings::load(&Settings::path(Some(home.path())).unwrap()).unwrap();
        assert_eq!(
            settings.environments["local"].url,
            format!("http://{}", crate::config::DEFAULT_ADDRESS)
        );
        assert_eq!(login(&settings), None);
    }

    #[test]
    fn a_login_survives_the_file_and_only_its_owner_can_read_it() {
        let home = tempfile::tempdir().unwrap();
        let path = Settings::path(Some(home.path())).unwrap();
        let mut settings = Settings::default();
        let local = settings.environments.get_mut("local").unwrap();
        local.log_in("no", &SecretText::new("e.y.j".into()));
        local.log_in("alice", &SecretText::new("t.o.k".into()));
        settings.store(&path).unwrap();
        settings.store(&path).unwrap();
        let read = Settings::load(&path).unwrap();
        assert_eq!(read.to_yaml().expose(), settings.to_yaml().expose());
        assert_eq!(login(&read), Some(("t.o.k".into(), "unnamed".into())));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left behind"
        );
    }

    #[test]
    fn both_generations_of_the_file_are_read() {
        let head = "selectedEnvironment: local\nenvironments:\n  local:\n    url: http://127.0.0.1:11337\n    \
                    shortName: local\n    description: \"\"\n    selectedUser: alice\n    users:\n      alice:\n        slug: alice\n";
        for (rest, expected) in [
            ("        token: old\n", Some(("old", "unnamed"))),
            (
                "        selectedAppHost: shop\n        tokensByAppHost: {unnamed: a, shop: b}\n",
                Some(("b", "shop")),
            ),
            (
                "        selectedAppHost: shop\n        tokensByAppHost: {}\n        token: old\n",
                Some(("old", "shop")),
            ),
            ("", None),
        ] {
            let (_home, path) = stored(&format!("{head}{rest}"));
            let expected = expected.map(|(token, app)| (token.to_owned(), app.to_owned()));
            assert_eq!(login(&Settings::load(&path).unwrap()), expected, "{rest}");
        }
    }

    #[test]
    fn a_broken_file_is_named_and_not_quoted() {
        let (_home, path) = stored("environments:\n  local:\n    users: {alice: {token: [hunter2]}}\n");
        let error = Settings::load(&path).unwrap_err();
        assert!(error.to_string().contains("cliConfig.yaml`, line 3:"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
