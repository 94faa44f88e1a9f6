//! What the server is told: flags over environment over a TOML file over defaults, as one checked [`Config`].
//!
//! Everything here is plain code over values; the command line reads the file and the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use strongroom_base::Slug;
use strongroom_followers::{CopyConfig, WebhookConfig, WitnessConfig};

/// Where `strongroom up` listens unless told otherwise, and so where `oo` looks first.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8200);

const DEFAULT_ADMIN: &str = "admin";

/// How the server runs, complete and consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The addresses to serve; at least one. Port 0 takes a free port.
    pub listen: Vec<SocketAddr>,
    /// Where ledger and journal are, and storage unless `storage` says otherwise.
    pub data_dir: PathBuf,
    /// The database that is storage; without it, storage is in `data_dir`.
    pub storage: Option<Database>,
    /// The PKCS#11 module of seal slots in tokens.
    pub pkcs11: Option<Pkcs11Files>,
    /// The certificate of the listeners; without it they speak plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The slug of the first administrator, used at the first start only.
    pub admin_slug: Slug,
    /// Whether anyone may register an account.
    pub open_registration: bool,
    /// Where the first start also writes its URL and the first administrator's slug and password, as JSON.
    pub credentials_out: Option<PathBuf>,
    /// The form of the log lines.
    pub log_format: LogFormat,
    /// The least severe event that is logged.
    pub log_level: LogLevel,
    /// Who is asked to cosign the ledger.
    pub witnesses: Vec<WitnessConfig>,
    /// Where the ledger's leaves are copied to.
    pub copies: Vec<CopyConfig>,
    /// Who is told which secrets are overdue.
    pub webhooks: Vec<WebhookConfig>,
    /// Which overdue secrets are not served.
    pub refuse_overdue: RefuseOverdue,
    /// Why a restored instance is to go on with a new generation of the ledger.
    pub accept_restored: Option<String>,
}

/// A database that several nodes may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Where it is.
    pub url: DatabaseUrl,
    /// A file with nothing but the password.
    pub password_file: Option<PathBuf>,
}

/// A database's URL as it was given. It has no text in `Debug`: who gives a password in it, which is refused later, does
/// not find it in a log.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for DatabaseUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl")
    }
}

/// How PKCS#11 tokens are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Files {
    /// The module, a shared library.
    pub module: PathBuf,
    /// A file with the tokens' PIN; without it, systemd's credential `pkcs11-pin`.
    pub pin_file: Option<PathBuf>,
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The key, in PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// The form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One line of text per event.
    Human,
    /// One JSON object per event.
    Json,
}

/// The least severe event that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the field's usual names")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Which overdue secrets are not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefuseOverdue {
    /// None: it is only told
    #[default]
    Never,
    /// Those that have expired
    Expired,
    /// Those that should have got a new value, too
    All,
}

/// One layer of settings: all of it optional. The comments are the help texts; the keys of the TOML file are the
/// names of the flags.
#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Address to listen on, may be repeated [default: 127.0.0.1:8200]
    #[arg(long, value_name = "ADDR", env = "STRONGROOM_LISTEN", value_delimiter = ',')]
    pub listen: Vec<SocketAddr>,
    /// Folder of storage and ledger [default: $XDG_DATA_HOME/strongroom or ~/.local/share/strongroom]
    #[arg(long, value_name = "DIR", env = "STRONGROOM_DATA")]
    pub data: Option<PathBuf>,
    /// PostgreSQL database to keep secrets in, which other nodes may share [default: a file in the --data folder]
    #[arg(long, value_name = "URL", env = "STRONGROOM_STORAGE")]
    pub storage: Option<DatabaseUrl>,
    /// File with the password of the database
    #[arg(long, value_name = "FILE", env = "STRONGROOM_STORAGE_PASSWORD_FILE")]
    pub storage_password_file: Option<PathBuf>,
    /// PKCS#11 module of the tokens that seal slots are in, a shared library
    #[arg(long, value_name = "FILE", env = "STRONGROOM_PKCS11_MODULE")]
    pub pkcs11_module: Option<PathBuf>,
    /// File with the PIN of these tokens [default: the systemd credential `pkcs11-pin`]
    #[arg(long, value_name = "FILE", env = "STRONGROOM_PKCS11_PIN_FILE")]
    pub pkcs11_pin_file: Option<PathBuf>,
    /// Certificate chain (PEM); with --tls-key, the listeners speak TLS
    #[arg(long, value_name = "FILE", env = "STRONGROOM_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", env = "STRONGROOM_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Serve addresses other than loopback without TLS; passwords and secrets then cross the network readable
    #[arg(long, value_name = "BOOL", env = "STRONGROOM_INSECURE_PLAINTEXT", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub insecure_plaintext: Option<bool>,
    /// Slug of the administrator that the first start creates [default: admin]
    #[arg(long, value_name = "SLUG", env = "STRONGROOM_ADMIN_SLUG")]
    pub admin_slug: Option<String>,
    /// Let anyone who reaches the server register an account [default: false]
    #[arg(long, value_name = "BOOL", env = "STRONGROOM_OPEN_REGISTRATION", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub open_registration: Option<bool>,
    /// Let the first start also write its URL and the administrator's slug and password here, as JSON, for scripts
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CREDENTIALS_OUT")]
    pub credentials_out: Option<PathBuf>,
    /// Form of the log on stderr [default: human on a terminal, otherwise json]
    #[arg(long, value_name = "FORMAT", env = "STRONGROOM_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Least severe event to log [default: info]
    #[arg(long, value_name = "LEVEL", env = "STRONGROOM_LOG_LEVEL")]
    pub log_level: Option<LogLevel>,
    /// Do not serve the values of secrets that are overdue, to anyone, until they are renewed [default: never]
    #[arg(long, value_name = "WHICH", env = "STRONGROOM_REFUSE_OVERDUE")]
    pub refuse_overdue: Option<RefuseOverdue>,
    /// Who is told which secrets are overdue: only in the file.
    #[arg(skip)]
    pub webhook: Vec<WebhookConfig>,
    /// Witnesses of the ledger: only in the file.
    #[arg(skip)]
    pub witness: Vec<WitnessConfig>,
    /// What becomes of the ledger besides: only in the file.
    #[arg(skip)]
    pub audit: Audit,
    /// Environments, each an instance of its own: only in the file, and only for `strongroom server`.
    #[arg(skip)]
    pub environment: BTreeMap<String, Settings>,
}

/// An instance of a server, which may have several.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// What it is called; `None` for the only one of a server without environments.
    pub name: Option<Slug>,
    /// Its settings.
    pub settings: Settings,
}

/// The table `audit` of the file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Audit {
    /// Copies of the ledger's leaves.
    pub copy: Vec<CopyConfig>,
}

/// What the defaults depend on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// `$XDG_DATA_HOME`.
    pub xdg_data_home: Option<&'a Path>,
    /// `$HOME`.
    pub home: Option<&'a Path>,
    /// Whether stderr is a terminal.
    pub stderr_is_terminal: bool,
}

/// Why there is no [`Config`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not TOML, or not one of ours.
    #[error("{}:{line}:{column}: {field}{why}", .file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// Character in the line, from 1.
        column: usize,
        /// The setting with `: ` after it, or nothing when there is none.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// Others on the network could read along.
    #[error(
        "`{0}` is not a loopback address, and there is no TLS: give --tls-cert and --tls-key, or accept that \
         passwords and secrets cross the network readable with --insecure-plaintext"
    )]
    Plaintext(SocketAddr),
    /// Half of a TLS set-up.
    #[error("--tls-cert and --tls-key belong together: give both or none")]
    HalfTls,
    /// A password for nothing.
    #[error("--storage-password-file is of no use without --storage")]
    NoDatabase,
    /// A PIN for nothing.
    #[error("--pkcs11-pin-file is of no use without --pkcs11-module")]
    NoModule,
    /// An environment is not one.
    #[error("the environment `{0}` {1}")]
    Environment(String, &'static str),
    /// Settings of nobody.
    #[error(
        "with environments, every setting but --log-format and --log-level belongs into one of them: `[environment.NAME]` in \
         the file"
    )]
    BesideEnvironments,
    /// Two instances in one place.
    #[error("the environments `{0}` and `{1}` have the same `data`: give each its own")]
    SharedData(String, String),
    /// Only one is possible.
    #[error("the file has environments: start them with `strongroom server`")]
    Environments,
    /// Not a slug.
    #[error("--admin-slug: {0}")]
    AdminSlug(#[from] strongroom_base::SlugError),
    /// No place for the data.
    #[error("there is no home directory to keep the data in: give --data")]
    NoDataDir,
}

impl Settings {
    /// Reads the text of a TOML file; `file` is its name in errors.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`], with the place and the setting.
    pub fn from_toml(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let syntax = |field: String, error: &toml::de::Error| {
            let (line, column) = place(text, error.span().map_or(0, |span| span.start));
            ConfigError::Syntax {
                file: file.to_owned(),
                line,
                column,
                field,
                why: error.message().to_owned(),
            }
        };
        let document = toml::Deserializer::parse(text).map_err(|error| syntax(String::new(), &error))?;
        serde_path_to_error::deserialize(document).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." {
                String::new()
            } else {
                format!("`{path}`: ")
            };
            syntax(field, error.inner())
        })
    }

    /// These settings, and those of `lower` where these say nothing.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            listen: if self.listen.is_empty() {
                lower.listen
            } else {
                self.listen
            },
            data: self.data.or(lower.data),
            storage: self.storage.or(lower.storage),
            storage_password_file: self.storage_password_file.or(lower.storage_password_file),
            pkcs11_module: self.pkcs11_module.or(lower.pkcs11_module),
            pkcs11_pin_file: self.pkcs11_pin_file.or(lower.pkcs11_pin_file),
            tls_cert: self.tls_cert.or(lower.tls_cert),
            tls_key: self.tls_key.or(lower.tls_key),
            insecure_plaintext: self.insecure_plaintext.or(lower.insecure_plaintext),
            admin_slug: self.admin_slug.or(lower.admin_slug),
            open_registration: self.open_registration.or(lower.open_registration),
            credentials_out: self.credentials_out.or(lower.credentials_out),
            log_format: self.log_format.or(lower.log_format),
            log_level: self.log_level.or(lower.log_level),
            refuse_overdue: self.refuse_overdue.or(lower.refuse_overdue),
            webhook: [self.webhook, lower.webhook].concat(),
            witness: [self.witness, lower.witness].concat(),
            audit: Audit {
                copy: [self.audit.copy, lower.audit.copy].concat(),
            },
            environment: if self.environment.is_empty() {
                lower.environment
            } else {
                self.environment
            },
        }
    }

    /// The environments that these settings describe, or the one that they are. What an environment does not say itself
    /// has its default: none of it comes from another, or from beside them. Only the log is everyone's.
    ///
    /// # Errors
    /// [`ConfigError::Environment`], [`ConfigError::BesideEnvironments`], [`ConfigError::SharedData`].
    pub fn environments(self) -> Result<Vec<Environment>, ConfigError> {
        if self.environment.is_empty() {
            return Ok(vec![Environment {
                name: None,
                settings: self,
            }]);
        }
        let log = Self {
            log_format: self.log_format,
            log_level: self.log_level,
            ..Self::default()
        };
        let (environments, beside) = (
            self.environment.clone(),
            Self {
                environment: BTreeMap::new(),
                ..self
            },
        );
        if beside != log {
            return Err(ConfigError::BesideEnvironments);
        }
        let mut all: Vec<Environment> = Vec::new();
        for (name, settings) in environments {
            let wrong = |why| ConfigError::Environment(name.clone(), why);
            let slug = Slug::new(&name)
                .map_err(|_| wrong("is no name: small letters, digits and hyphens make one"))?;
            if !settings.environment.is_empty() {
                return Err(wrong("has environments of its own: put them beside it"));
            }
            if settings.log_format.is_some() || settings.log_level.is_some() {
                return Err(wrong(
                    "has a log of its own: one process has one, so say it above the environments",
                ));
            }
            if settings.listen.is_empty() {
                return Err(wrong("does not say where to `listen`"));
            }
            let data = settings
                .data
                .as_ref()
                .ok_or_else(|| wrong("does not say where its `data` is"))?;
            if let Some(other) = all
                .iter()
                .find(|other| other.settings.data.as_ref() == Some(data))
            {
                let other = other.name.as_ref().map_or_else(String::new, ToString::to_string);
                return Err(ConfigError::SharedData(other, name));
            }
            all.push(Environment {
                name: Some(slug),
                settings: settings.over(log.clone()),
            });
        }
        Ok(all)
    }

    /// Fills in the defaults and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`], all variants but `Syntax`.
    pub fn complete(self, surroundings: Surroundings<'_>) -> Result<Config, ConfigError> {
        if !self.environment.is_empty() {
            return Err(ConfigError::Environments);
        }
        let listen = if self.listen.is_empty() {
            vec![DEFAULT_ADDRESS]
        } else {
            self.listen
        };
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            _ => return Err(ConfigError::HalfTls),
        };
        if tls.is_none() && !self.insecure_plaintext.unwrap_or(false) {
            refuse_exposed(&listen)?;
        }
        let storage = match (self.storage, self.storage_password_file) {
            (Some(url), password_file) => Some(Database { url, password_file }),
            (None, None) => None,
            (None, Some(_)) => return Err(ConfigError::NoDatabase),
        };
        let pkcs11 = match (self.pkcs11_module, self.pkcs11_pin_file) {
            (Some(module), pin_file) => Some(Pkcs11Files { module, pin_file }),
            (None, None) => None,
            (None, Some(_)) => return Err(ConfigError::NoModule),
        };
        let by_place = if surroundings.stderr_is_terminal {
            LogFormat::Human
        } else {
            LogFormat::Json
        };
        Ok(Config {
            listen,
            data_dir: self
                .data
                .or_else(|| surroundings.data_dir())
                .ok_or(ConfigError::NoDataDir)?,
            storage,
            pkcs11,
            tls,
            admin_slug: Slug::new(self.admin_slug.as_deref().unwrap_or(DEFAULT_ADMIN))?,
            open_registration: self.open_registration.unwrap_or(false),
            credentials_out: self.credentials_out,
            log_format: self.log_format.unwrap_or(by_place),
            log_level: self.log_level.unwrap_or(LogLevel::Info),
            witnesses: self.witness,
            copies: self.audit.copy,
            webhooks: self.webhook,
            refuse_overdue: self.refuse_overdue.unwrap_or_default(),
            accept_restored: None,
        })
    }
}

impl Surroundings<'_> {
    /// The XDG base directory specification says: a relative `$XDG_DATA_HOME` is ignored.
    fn data_dir(self) -> Option<PathBuf> {
        let base = match self.xdg_data_home.filter(|path| path.is_absolute()) {
            Some(path) => path.to_owned(),
            None => self.home?.join(".local/share"),
        };
        Some(base.join("strongroom"))
    }
}

fn refuse_exposed(listen: &[SocketAddr]) -> Result<(), ConfigError> {
    match listen
        .iter()
        .find(|address| !address.ip().to_canonical().is_loopback())
    {
        Some(&exposed) => Err(ConfigError::Plaintext(exposed)),
        None => Ok(()),
    }
}

/// Line and column, from 1, of the byte at `offset`.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Surroundings<'static> = Surroundings {
        xdg_data_home: None,
        home: None,
        stderr_is_terminal: false,
    };

    fn at_home() -> Surroundings<'static> {
        Surroundings {
            home: Some(Path::new("/home/a")),
            ..HOME
        }
    }

    fn toml(text: &str) -> Settings {
        Settings::from_toml(text, Path::new("s.toml")).unwrap()
    }

    fn refusal(text: &str) -> String {
        toml(text).complete(at_home()).unwrap_err().to_string()
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        assert_eq!(
            Settings::default().complete(at_home()).unwrap(),
            Config {
                listen: vec![DEFAULT_ADDRESS],
                data_dir: "/home/a/.local/share/strongroom".into(),
                storage: None,
                pkcs11: None,
                tls: None,
                admin_slug: Slug::new("admin").unwrap(),
                open_registration: false,
                credentials_out: None,
                log_format: LogFormat::Json,
                log_level: LogLevel::Info,
                witnesses: Vec::new(),
                copies: Vec::new(),
                webhooks: Vec::new(),
                refuse_overdue: RefuseOverdue::Never,
                accept_restored: None,
            }
        );
    }

    #[test]
    fn everything_can_be_said_in_a_file() {
        let text = r#"
            listen = ["127.0.0.1:1", "[::1]:2"]
            data = "/d"
            storage = "postgres://u@h/db"
            storage-password-file = "/p"
            pkcs11-module = "/m"
            pkcs11-pin-file = "/pin"
            tls-cert = "/c"
            tls-key = "/k"
            insecure-plaintext = true
            admin-slug = "root-of-all"
            open-registration = true
            credentials-out = "/o"
            log-format = "human"
            log-level = "trace"
            refuse-overdue = "expired"
            [[webhook]]
            url = "https://alerts.example.org/hook?key=k"
            [[witness]]
            url = "https://w.example.org"
            vkey = "witness+2bb0c7ee+BAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
            [[audit.copy]]
            name = "siem"
            to = "tls://siem.example.org:6514"
            ca = "/ca"
            acknowledge = false
        "#;
        assert_eq!(
            toml(text).complete(HOME).unwrap(),
            Config {
                listen: vec!["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()],
                data_dir: "/d".into(),
                storage: Some(Database {
                    url: DatabaseUrl("postgres://u@h/db".to_owned()),
                    password_file: Some("/p".into()),
                }),
                pkcs11: Some(Pkcs11Files {
                    module: "/m".into(),
                    pin_file: Some("/pin".into()),
                }),
                tls: Some(TlsFiles {
                    cert: "/c".into(),
                    key: "/k".into()
                }),
                admin_slug: Slug::new("root-of-all").unwrap(),
                open_registration: true,
                credentials_out: Some("/o".into()),
                log_format: LogFormat::Human,
                log_level: LogLevel::Trace,
                witnesses: toml(text).witness,
                copies: toml(text).audit.copy,
                webhooks: toml(text).webhook,
                refuse_overdue: RefuseOverdue::Expired,
                accept_restored: None,
            }
        );
    }

    #[test]
    fn a_higher_layer_wins_setting_by_setting() {
        let high = "listen = ['127.0.0.1:1']\ndata = '/high'\ninsecure-plaintext = false\nadmin-slug = 'high'\n\
                    open-registration = false\ntls-cert = '/high'\ntls-key = '/high'\ncredentials-out = '/high'\n\
                    log-format = 'human'\nlog-level = 'error'\nstorage = 'high'\nstorage-password-file = 'high'";
        let low = "listen = ['127.0.0.1:2']\ndata = '/low'\ninsecure-plaintext = true\nadmin-slug = 'low'\n\
                   open-registration = true\ntls-cert = '/low'\ntls-key = '/low'\ncredentials-out = '/low'\n\
                   log-format = 'json'\nlog-level = 'trace'\nstorage = 'low'\nstorage-password-file = 'low'";
        let config = |settings: Settings| settings.complete(HOME).unwrap();
        assert_ne!(config(toml(high)), config(toml(low)));
        assert_eq!(config(toml(high).over(toml(low))), config(toml(high)));
        assert_eq!(config(toml("").over(toml(low))), config(toml(low)));
        assert_eq!(config(toml(high).over(toml(""))), config(toml(high)));
        let split = config(toml("tls-cert = '/high'").over(toml(low)));
        assert_eq!(
            split.tls,
            Some(TlsFiles {
                cert: "/high".into(),
                key: "/low".into()
            })
        );
    }

    #[test]
    fn a_url_with_a_password_is_not_in_debug_output() {
        let settings = toml("storage = 'postgres://u:hunter2@h/db'");
        let said = format!("{settings:?} {:?}", settings.clone().complete(at_home()));
        assert!(
            said.contains("DatabaseUrl") && !said.contains("hunter2"),
            "{said}"
        );
    }

    #[test]
    fn the_data_lives_where_xdg_says() {
        let data = |xdg: Option<&str>, home: Option<&str>| {
            let surroundings = Surroundings {
                xdg_data_home: xdg.map(Path::new),
                home: home.map(Path::new),
                ..HOME
            };
            Settings::default()
                .complete(surroundings)
                .map(|config| config.data_dir)
        };
        assert_eq!(data(Some("/x"), Some("/h")).unwrap(), Path::new("/x/strongroom"));
        assert_eq!(
            data(Some("x"), Some("/h")).unwrap(),
            Path::new("/h/.local/share/strongroom")
        );
        assert!(matches!(data(None, None), Err(ConfigError::NoDataDir)));
    }

    #[test]
    fn the_log_is_for_people_on_a_terminal() {
        let terminal = Surroundings {
            stderr_is_terminal: true,
            ..at_home()
        };
        assert_eq!(
            Settings::default().complete(terminal).unwrap().log_format,
            LogFormat::Human
        );
        assert_eq!(
            toml("log-format = 'json'").complete(terminal).unwrap().log_format,
            LogFormat::Json
        );
    }

    #[test]
    fn plaintext_stays_on_the_machine_unless_accepted() {
        for exposed in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
            let listen = format!("listen = ['127.0.0.1:1', '{exposed}']");
            assert!(
                refusal(&listen).starts_with(&format!("`{exposed}` is not a loopback")),
                "{exposed}"
            );
            assert!(
                toml(&format!("{listen}\ninsecure-plaintext = true"))
                    .complete(at_home())
                    .is_ok()
            );
            assert!(
                toml(&format!("{listen}\ntls-cert = 'c'\ntls-key = 'k'"))
                    .complete(at_home())
                    .is_ok()
            );
        }
        assert!(
            toml("listen = ['127.9.9.9:1', '[::1]:1', '[::ffff:127.0.0.1]:1']")
                .complete(at_home())
                .is_ok()
        );
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(refusal("tls-cert = 'c'").contains("belong together"));
        assert!(refusal("tls-key = 'k'").contains("belong together"));
        assert!(refusal("storage-password-file = 'f'").contains("without --storage"));
        assert!(refusal("admin-slug = 'Not A Slug'").starts_with("--admin-slug: "));
    }

    #[test]
    fn environments_share_nothing_but_the_log() {
        let text = "log-level = 'warn'\n[environment.dev]\nlisten = ['127.0.0.1:1']\ndata = '/dev-data'\n\
                    open-registration = true\n[environment.prod]\nlisten = ['127.0.0.1:2']\ndata = '/prod-data'\n\
                    tls-cert = '/c'\ntls-key = '/k'";
        let all = toml(text).environments().unwrap();
        let configs: Vec<_> = all
            .into_iter()
            .map(|environment| {
                (
                    environment.name.unwrap().to_string(),
                    environment.settings.complete(HOME).unwrap(),
                )
            })
            .collect();
        assert_eq!(
            configs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["dev", "prod"]
        );
        let (dev, prod) = (&configs[0].1, &configs[1].1);
        assert_eq!((dev.log_level, prod.log_level), (LogLevel::Warn, LogLevel::Warn));
        assert!(dev.open_registration && !prod.open_registration && dev.tls.is_none() && prod.tls.is_some());
        assert_ne!(dev.data_dir, prod.data_dir);
        let one = toml("data = '/d'").environments().unwrap();
        assert!(matches!(&one[..], [Environment { name: None, .. }]));
    }

    #[test]
    fn environments_that_are_none_are_refused() {
        let whole = "listen = ['127.0.0.1:1']\ndata = '/d'";
        for (text, says) in [
            (
                format!("[environment.a]\n{whole}\n[environment.b]\n{whole}"),
                "`a` and `b` have the same `data`",
            ),
            (
                "[environment.a]\ndata = '/d'".to_owned(),
                "`a` does not say where to `listen`",
            ),
            (
                "[environment.a]\nlisten = ['127.0.0.1:1']".to_owned(),
                "where its `data` is",
            ),
            (format!("[environment.'A b']\n{whole}"), "`A b` is no name"),
            (
                format!("data = '/d'\n[environment.a]\n{whole}"),
                "belongs into one of them",
            ),
            (
                format!("[environment.a]\n{whole}\nlog-level = 'warn'"),
                "a log of its own",
            ),
            (
                format!("[environment.a]\n{whole}\n[environment.a.environment.b]\n{whole}"),
                "of its own",
            ),
        ] {
            let error = toml(&text).environments().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let up = refusal(&format!("[environment.a]\n{whole}"));
        assert!(up.contains("`strongroom server`"), "{up}");
    }

    #[test]
    fn a_mistake_in_the_file_is_pointed_at() {
        let check = |text: &str, expected: &str| {
            let error = Settings::from_toml(text, Path::new("s.toml"))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check(
            "data = 'd'\nlisten = ['127.0.0.1:1',\n  'localhost:1']",
            "s.toml:3:3: `listen[1]`: ",
        );
        check(
            "\nlisen = []",
            "s.toml:2:1: `lisen`: unknown field `lisen`, expected one of `listen`",
        );
        check("data = ", "s.toml:1:8: ");
        check(
            "[environment.dev]\ndata = 'd'\n  dtaa = 'e'",
            "s.toml:3:3: `environment.dev.dtaa`: unknown field `dtaa`",
        );
        check(
            "log-level = 'loud'",
            "s.toml:1:13: `log-level`: unknown variant `loud`",
        );
        check("data = 'a'\ndata = 'b'", "s.toml:2:1: ");
    }
}
