//! The streams of a command. Results go to `out`; prompts, warnings and errors to `err`, so that a redirected file
//! holds results only.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

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
    /// Whether results may be coloured: for a person, unless `NO_COLOR` (no-color.org) is set.
    pub colour: bool,
}

impl Console {
    /// The streams of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let stdout = io::stdout();
        let out_is_terminal = stdout.is_terminal();
        let is_set = |name| std::env::var_os(name).is_some_and(|text| !text.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            out_is_terminal,
            colour: out_is_terminal && !is_set("NO_COLOR") && !is_dumb,
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

/// The value that a command saves: what `file` holds, to the last byte; else what is asked for hidden at a terminal; else
/// all of stdin, without the end of its last line.
pub(crate) fn value_from(
    console: &mut Console,
    file: Option<&Path>,
    prompt: &str,
) -> Result<SecretText, Failure> {
    let Some(file) = file else {
        return if io::stdin().is_terminal() {
            console.ask_hidden(prompt)
        } else {
            read_value()
        };
    };
    let failed =
        |why: &dyn std::fmt::Display| Failure::new(format!("cannot read `{}`: {why}", file.display()));
    let mut value = SecretBuffer::default();
    let opened = std::fs::File::open(file).map_err(|error| failed(&error))?;
    let read = io::copy(&mut opened.take(INPUT_BYTES + 1), &mut value).map_err(|error| failed(&error))?;
    if read > INPUT_BYTES {
        return Err(failed(&format_args!("it is over {INPUT_BYTES} bytes")));
    }
    match std::str::from_utf8(value.expose()) {
        Ok(text) => Ok(SecretText::new(text.to_owned())),
        Err(_) => Err(failed(&"it is not UTF-8 text: save it in base64, say")),
    }
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
