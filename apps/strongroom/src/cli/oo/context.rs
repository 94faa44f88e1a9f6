//! What every `oo` command starts from: the streams, the settings file, and which server is meant.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use strongroom_client::Client;
use strongroom_secret::SecretText;

use super::settings::{Environment, Settings};
use crate::cli::console::Console;
use crate::cli::failure::Failure;

/// What is said outside the settings file.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// `--env`.
    pub(crate) environment: Option<String>,
    /// `OO_URL`.
    pub(crate) url: Option<String>,
    /// `OO_TOKEN`.
    pub(crate) token: Option<SecretText>,
    /// `--ca-file` or `OO_CA_FILE`.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Overrides {
    /// Those of the environment of this process, which empty variables are not part of.
    pub(crate) fn of_process(environment: Option<String>, ca_file: Option<PathBuf>) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        Self {
            environment,
            url: variable("OO_URL"),
            token: variable("OO_TOKEN").map(SecretText::new),
            ca_file,
        }
    }
}

/// What a command works with.
pub(crate) struct Context {
    pub(crate) console: Console,
    overrides: Overrides,
    home: Option<OsString>,
}

/// A server as the caller of this command.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// The app of the caller's token, where it is known.
    pub(crate) app_host: Option<String>,
}

impl Context {
    pub(crate) fn new(console: Console, overrides: Overrides, home: Option<OsString>) -> Self {
        Self {
            console,
            overrides,
            home,
        }
    }

    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings::load(&self.settings_path()?)?)
    }

    pub(super) fn store(&self, settings: &Settings) -> Result<(), Failure> {
        Ok(settings.store(&self.settings_path()?)?)
    }

    fn settings_path(&self) -> Result<PathBuf, Failure> {
        Ok(Settings::path(self.home.as_deref().map(Path::new))?)
    }

    /// The name of the environment that is meant; `OO_URL` names that with its URL, which is made if need be. So a
    /// token is only ever sent to the server it is from.
    pub(super) fn environment_name(&self, settings: &mut Settings) -> String {
        if let Some(name) = &self.overrides.environment {
            return name.clone();
        }
        let Some(url) = &self.overrides.url else {
            return settings.selected_environment.clone();
        };
        let is_same = |it: &Environment| it.url.trim_end_matches('/') == url.trim_end_matches('/');
        if let Some((name, _)) = settings
            .environments
            .iter()
            .find(|(_, environment)| is_same(environment))
        {
            return name.clone();
        }
        settings
            .environments
            .insert(url.clone(), Environment::new(url, url, "from OO_URL"));
        url.clone()
    }

    /// The server at `url`, nobody logged in.
    pub(crate) fn client(&self, url: &str) -> Result<Client, Failure> {
        Ok(Client::new(url, self.overrides.ca_file.as_deref())?)
    }

    /// The text of the token that commands use.
    pub(crate) fn token(&self) -> Result<SecretText, Failure> {
        let mut settings = self.settings()?;
        let name = self.environment_name(&mut settings);
        let (token, _) = self.login(environment(&mut settings, &name)?, &name)?;
        Ok(SecretText::new(token.expose().to_owned()))
    }

    /// The URL of the server that is meant.
    pub(crate) fn url(&self) -> Result<String, Failure> {
        let mut settings = self.settings()?;
        let name = self.environment_name(&mut settings);
        Ok(environment(&mut settings, &name)?.url.clone())
    }

    /// The server that is meant, logged in.
    pub(crate) fn session(&self) -> Result<Session, Failure> {
        let mut settings = self.settings()?;
        let name = self.environment_name(&mut settings);
        let environment = environment(&mut settings, &name)?;
        let (token, app_host) = self.login(environment, &name)?;
        let client = self.client(&environment.url)?.with_token(token)?;
        Ok(Session {
            client,
            app_host: app_host.map(str::to_owned),
        })
    }

    /// The token for `environment`, and its app where that is known.
    fn login<'a>(
        &'a self,
        environment: &'a Environment,
        name: &str,
    ) -> Result<(&'a SecretText, Option<&'a str>), Failure> {
        if let Some(token) = &self.overrides.token {
            return Ok((token, None));
        }
        let (token, app) = environment.login().ok_or_else(|| {
            Failure::new(format!("nobody is logged in to `{name}`")).advise("Log in with `oo login`.")
        })?;
        Ok((token, Some(app)))
    }
}

/// The environment called `name`.
pub(crate) fn environment<'a>(
    settings: &'a mut Settings,
    name: &str,
) -> Result<&'a mut Environment, Failure> {
    settings.environments.get_mut(name).ok_or_else(|| {
        Failure::new(format!("there is no environment `{name}`"))
            .advise("`oo env list` shows those there are.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(home: &Path, overrides: Overrides) -> Context {
        let console = Console {
            out: Box::new(Vec::new()),
            err: Box::new(Vec::new()),
            out_is_terminal: false,
            colour: false,
        };
        Context::new(console, overrides, Some(home.into()))
    }

    /// A home with `alice` logged in to `local`.
    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings
            .environments
            .get_mut("local")
            .unwrap()
            .log_in("alice", &SecretText::new("local-token".into()));
        settings
            .environments
            .insert("other".into(), Environment::new("other", "http://192.0.2.1", ""));
        context(home.path(), Overrides::default())
            .store(&settings)
            .unwrap();
        home
    }

    #[test]
    fn a_token_from_outside_wins_over_the_file() {
        let home = home();
        let overrides = Overrides {
            token: Some(SecretText::new("outside".into())),
            ..Overrides::default()
        };
        assert_eq!(
            context(home.path(), overrides).token().unwrap().expose(),
            "outside"
        );
        assert_eq!(
            context(home.path(), Overrides::default())
                .token()
                .unwrap()
                .expose(),
            "local-token"
        );
    }

    #[test]
    fn a_token_goes_only_to_the_server_it_is_from() {
        let home = home();
        let token = |overrides| {
            context(home.path(), overrides)
                .token()
                .map(|token| token.expose().to_owned())
        };
        let at = |url: &str| Overrides {
            url: Some(url.into()),
            ..Overrides::default()
        };
        let on = |name: &str| Overrides {
            environment: Some(name.into()),
            ..Overrides::default()
        };
        assert_eq!(token(at("http://127.0.0.1:8200/")).unwrap(), "local-token");
        assert_eq!(token(on("local")).unwrap(), "local-token");
        assert!(token(at("http://127.0.0.1:8201")).is_err());
        assert!(token(on("other")).is_err());
        assert!(token(on("unknown")).is_err());
    }
}
