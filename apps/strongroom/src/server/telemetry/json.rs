//! A log line in JSON: what `tracing_subscriber`'s own format gives, without its way through several serializers, which
//! took as long as reading a secret.

use std::error::Error;
use std::fmt::{self, Debug, Write as _};

use strongroom_base::Clock;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::time::rfc3339;

/// The format, with the clock that its lines have their times of. Spans are left out: there are none.
pub(super) struct Json<C>(pub(super) C);

impl<S, N, C> FormatEvent<S, N> for Json<C>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    C: Clock,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let about = event.metadata();
        out.write_str(r#"{"timestamp":""#)?;
        out.write_str(&rfc3339(self.0.now()))?;
        out.write_str(r#"","level":""#)?;
        out.write_str(about.level().as_str())?;
        out.write_str(r#"""#)?;
        let mut fields = Fields {
            out: out.by_ref(),
            written: Ok(()),
        };
        event.record(&mut fields);
        fields.written?;
        out.write_str(r#","target":""#)?;
        Escaped(&mut out).write_str(about.target())?;
        out.write_str("\"}\n")
    }
}

/// Writes fields, each after a comma.
struct Fields<'w> {
    out: Writer<'w>,
    written: fmt::Result,
}

impl Fields<'_> {
    fn text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        self.field(field, |out| {
            out.write_char('"')?;
            match text.as_str() {
                Some(text) => Escaped(out).write_str(text)?,
                None => Escaped(out).write_fmt(text)?,
            }
            out.write_char('"')
        });
    }

    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        let out = &mut self.out;
        let write = || {
            out.write_str(r#",""#)?;
            Escaped(out).write_str(name)?;
            out.write_str(r#"":"#)?;
            value(out)
        };
        if self.written.is_ok() {
            self.written = write();
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, |out| {
            out.write_char('"')?;
            Escaped(out).write_str(value)?;
            out.write_char('"')
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |out| write!(out, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, |out| write!(out, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |out| write!(out, "{value}"));
    }
}

/// Writes text as the inside of a JSON string (RFC 8259 §7).
struct Escaped<'w, 'o>(&'w mut Writer<'o>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let needs_escape = |character| matches!(character, '"' | '\\' | '\0'..='\x1f');
        let mut rest = text;
        while let Some((plain, behind)) = rest.find(needs_escape).and_then(|at| rest.split_at_checked(at)) {
            self.0.write_str(plain)?;
            let mut behind = behind.chars();
            match behind.next() {
                Some(character @ ('"' | '\\')) => write!(self.0, "\\{character}")?,
                Some('\n') => self.0.write_str("\\n")?,
                Some(control) => write!(self.0, "\\u{:04x}", u32::from(control))?,
                None => {}
            }
            rest = behind.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use strongroom_base::{ManualClock, Timestamp};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The text that `event` leaves in the log.
    fn logged(event: impl FnOnce()) -> String {
        let (log, clock) = (
            Log::default(),
            ManualClock::at(Timestamp::from_millis(951_782_400_007)),
        );
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Json(clock))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, event);
        let bytes = log.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_has_the_message_first_and_every_kind_of_field() {
        let error = io::Error::other("on \"fire\"");
        let text = logged(|| {
            tracing::warn!(
                request_id = %"id", method = "GET", r#type = ?Some("x"), status = 200_u16, change = -1, ok = true,
                error = &error as &dyn Error, "request {}", 7
            );
        });
        assert_eq!(
            text,
            concat!(
                r#"{"timestamp":"2000-02-29T00:00:00.007Z","level":"WARN","message":"request 7","request_id":"id","#,
                r#""method":"GET","type":"Some(\"x\")","status":200,"change":-1,"ok":true,"error":"on \"fire\"","#,
                r#""target":"strongroom::server::telemetry::json::tests"}"#,
                "\n"
            )
        );
    }

    proptest! {
        #[test]
        fn any_text_survives_on_one_line(text in "\\PC*|[\\x00-\\x7f]*") {
            let logged = logged(|| tracing::info!(plain = text.as_str(), shown = %text, "{text}"));
            prop_assert_eq!(logged.find('\n'), Some(logged.len() - 1));
            let line: Value = serde_json::from_str(&logged).unwrap();
            prop_assert_eq!(
                (&line["plain"], &line["shown"], &line["message"]),
                (&json!(text), &json!(text), &json!(text))
            );
        }
    }
}
