//! How a command fails: a sentence, and where there is one, a line on what to do next.

use std::error::Error;
use std::io;

use strongroom_base::with_causes;
use strongroom_client::ClientError;

use super::exit::Exit;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    text: String,
    advice: Option<String>,
    /// Nobody reads the output any more, as in `… | head`: nothing is wrong.
    is_broken_pipe: bool,
    exit: Exit,
}

impl Failure {
    /// It failed because of `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            advice: None,
            is_broken_pipe: false,
            exit: Exit::Failed,
        }
    }

    /// The command looked for what is wrong, and `text` is.
    pub fn found(text: impl Into<String>) -> Self {
        Self {
            exit: Exit::Found,
            ..Self::new(text)
        }
    }

    /// It failed because of `error` and all that it was caused by.
    pub fn of(error: &dyn Error) -> Self {
        Self::new(with_causes(error))
    }

    /// The same failure, with a line on what to do next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The same failure, of the environment `name`.
    #[must_use]
    pub fn of_environment(mut self, name: &str) -> Self {
        self.text = format!("environment `{name}`: {}", self.text);
        self
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether it failed only because nobody reads the output any more.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        self.is_broken_pipe
    }

    /// Writes `Error: …` and the advice.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        writeln!(to, "Error: {}", self.text)?;
        match &self.advice {
            Some(advice) => writeln!(to, "{advice}"),
            None => Ok(()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            is_broken_pipe: error.kind() == io::ErrorKind::BrokenPipe,
            ..Self::of(&error)
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let advice = match &error {
            ClientError::Refused {
                status: 401 | 422, ..
            } => "Log in with `oo login`.",
            ClientError::Refused { status: 403, .. } => {
                "An administrator, or whoever the secret's lists name, may do it or let you."
            }
            ClientError::Unreachable { .. } => {
                "`strongroom up` starts a server; `oo env list` shows where oo looks for one. If this was a write, \
                 look whether it happened before you repeat it."
            }
            ClientError::BadReply { .. } => "`oo env list` shows where oo looks for a server.",
            ClientError::BadToken => "Check OO_TOKEN, or log in with `oo login`.",
            ClientError::BadUrl
            | ClientError::CaFile { .. }
            | ClientError::Setup(_)
            | ClientError::Refused { .. } => return Self::of(&error),
        };
        Self::of(&error).advise(advice)
    }
}
