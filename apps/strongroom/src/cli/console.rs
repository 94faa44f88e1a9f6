//! The streams of a command. Results go to `out`; prompts, warnings and errors to `err`, so that a redirected file
//! holds results only.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use strongroom_secret::{SecretBuffer, SecretText};

use crate::cli::failure::Failure;

/// The longest line or value that is read from stdin.
const INPUT_BYTES: u64 = 8 << 20;

/// Where a command reads and writes.
pub struct Console {
    /// Results.
    pub out: Box<dyn Write>,
    /// Everything else.
    pub err: Box<dyn Write>,
    /// Whether results are read by a person.
    pub out_is_terminal: bool,
}

impl Console {
    /// The streams of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let stdout = io::stdout();
        Self {
            out_is_terminal: stdout.is_terminal(),
            out: Box::new(stdout.lock()),
            err: Box::new(io::stderr().lock()),
        }
    }

    /// Asks for a line; without a terminal it takes stdin's next line and asks nothing.
    pub(crate) fn ask(&mut self, prompt: &str) -> Result<String, Failure> {
        if io::stdin().is_terminal() {
            write!(self.err, "{prompt}")?;
            self.err.flush()?;
        }
        Ok(read_line()?.expose().to_owned())
    }

    /// Asks for a line that is not shown; without a terminal it takes stdin's next line.
    pub(crate) fn ask_hidden(&mut self, prompt: &str) -> Result<SecretText, Failure> {
        if io::stdin().is_terminal() {
            let asked = dialoguer::Password::new()
                .with_prompt(prompt)
                .allow_empty_password(true)
                .interact();
            Ok(SecretText::new(
                asked.map_err(|dialoguer::Error::IO(error)| error)?,
            ))
        } else {
            read_line()
        }
    }
}

/// The next line of stdin, without its end.
fn read_line() -> Result<SecretText, Failure> {
    let mut line = SecretBuffer::default();
    let stdin = io::stdin().lock();
    let read = stdin.take(INPUT_BYTES).split(b'\n').next();
    line.extend(&zeroize::Zeroizing::new(
        read.ok_or_else(|| Failure::new("stdin ended, a line was expected"))??,
    ));
    to_text(line)
}

/// All of stdin, without the end of its last line: `echo` adds one that is not meant.
pub(crate) fn read_value() -> Result<SecretText, Failure> {
    let mut value = SecretBuffer::default();
    let read = io::copy(&mut io::stdin().lock().take(INPUT_BYTES + 1), &mut value)?;
    if read > INPUT_BYTES {
        return Err(Failure::new(format!(
            "the value on stdin is over {INPUT_BYTES} bytes"
        )));
    }
    to_text(value)
}

/// `bytes` as UTF-8, without one `\n` or `\r\n` at the end.
fn to_text(bytes: SecretBuffer) -> Result<SecretText, Failure> {
    let bytes = bytes.expose();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| Failure::new("stdin is not UTF-8 text"))?;
    Ok(SecretText::new(text.to_owned()))
}
