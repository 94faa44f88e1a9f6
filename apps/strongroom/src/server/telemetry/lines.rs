//! Log lines on their way out. A busy server has one for each request: they are written some at a time.
//!
//! A line waits for at most [`PAUSE`]. One that tells of trouble does not wait at all, and takes with it what does. No line
//! is dropped: who adds one when many wait writes them, and so waits for a slow reader as if there were no buffer.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait for others.
const PAUSE: Duration = Duration::from_millis(50);
/// As many bytes of lines do not wait any more.
const BYTES: usize = 16 << 10;

/// Lines for `W`. Clones share them.
pub(super) struct Lines<W>(Arc<Shared<W>>);

struct Shared<W> {
    state: Mutex<State<W>>,
    /// Lines wait.
    waiting: Condvar,
}

struct State<W> {
    out: W,
    lines: Vec<u8>,
}

impl<W> Clone for Lines<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: Write + Send + 'static> Lines<W> {
    /// Lines that go to `out`.
    pub(super) fn new(out: W) -> Self {
        let state = State {
            out,
            lines: Vec::with_capacity(BYTES),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            waiting: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let writer = move || loop {
            of_thread.wait();
            thread::sleep(PAUSE);
            of_thread.lock().write();
        };
        // Without it, lines wait until there are many, or until trouble or the end comes.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(writer);
        Self(shared)
    }

    /// Writes all that waits.
    pub(super) fn flush(&self) {
        self.0.lock().write();
    }

    fn add(&self, line: &[u8], is_urgent: bool) {
        let mut state = self.0.lock();
        let is_first = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        if is_urgent || state.lines.len() >= BYTES {
            state.write();
        } else if is_first {
            self.0.waiting.notify_one();
        }
    }
}

impl<W> Shared<W> {
    /// Until there are lines.
    fn wait(&self) {
        let none = |state: &mut State<W>| state.lines.is_empty();
        drop(self.waiting.wait_while(self.lock(), none));
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write> State<W> {
    /// A log that nobody can write has nowhere to tell of it.
    fn write(&mut self) {
        let _ = self.out.write_all(&self.lines);
        let _ = self.out.flush();
        self.lines.clear();
    }
}

/// Takes one event's line.
pub(super) struct Line<'l, W> {
    lines: &'l Lines<W>,
    is_urgent: bool,
}

impl<W: Write + Send + 'static> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.add(line, self.is_urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l, W: Write + Send + 'static> MakeWriter<'l> for Lines<W> {
    type Writer = Line<'l, W>;

    fn make_writer(&'l self) -> Line<'l, W> {
        Line {
            lines: self,
            is_urgent: true,
        }
    }

    fn make_writer_for(&'l self, event: &Metadata<'_>) -> Line<'l, W> {
        Line {
            lines: self,
            is_urgent: *event.level() <= Level::WARN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, and in how many pieces.
    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<(String, usize)>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (text, pieces) = &mut *self.0.lock().unwrap();
            text.push_str(std::str::from_utf8(bytes).unwrap());
            *pieces += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Out {
        fn text(&self) -> String {
            self.0.lock().unwrap().0.clone()
        }
    }

    #[test]
    fn a_line_is_written_though_no_other_comes() {
        let out = Out::default();
        let lines = Lines::new(out.clone());
        for line in ["one\n", "two\n"] {
            lines.add(line.as_bytes(), false);
            while !out.text().ends_with(line) {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn trouble_is_written_at_once_behind_what_came_before() {
        let out = Out::default();
        let lines = Lines::new(out.clone());
        lines.add(b"one\n", false);
        lines.add(b"trouble\n", true);
        assert_eq!(out.text(), "one\ntrouble\n");
        lines.add(b"last\n", false);
        lines.flush();
        assert_eq!(out.text(), "one\ntrouble\nlast\n");
    }

    #[test]
    fn many_lines_are_written_whole_in_few_pieces() {
        let out = Out::default();
        let lines = Lines::new(out.clone());
        let line = format!("{}\n", "x".repeat(99));
        for _ in 0..10_000 {
            lines.add(line.as_bytes(), false);
        }
        lines.flush();
        let (text, pieces) = out.0.lock().unwrap().clone();
        assert!(text == line.repeat(10_000));
        assert!(pieces < 1_000, "{pieces}");
    }
}
