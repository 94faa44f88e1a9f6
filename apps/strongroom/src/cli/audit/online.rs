//! The commands of `strongroom audit` that ask a server.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use strongroom_base::Timestamp;
use strongroom_client::native::{Leaf, LeavesRequest};

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::remote::{Asked, Remote};
use crate::cli::time::rfc3339;

/// Show the last leaves of the server's ledger
#[derive(Debug, Args)]
pub(in crate::cli) struct Tail {
    #[command(flatten)]
    remote: Remote,
    /// How many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    lines: u64,
    /// Go on with what comes; requests for leaves do not count as such
    #[arg(short, long)]
    follow: bool,
}

impl Tail {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let mut request = LeavesRequest {
            last: Some(self.lines),
            ..LeavesRequest::default()
        };
        let mut end = None;
        loop {
            let page = asked.client.leaves(request).await?;
            for leaf in &page.leaves {
                print(&mut asked, leaf)?;
            }
            asked.console.out.flush()?;
            // A page may end before the log did when the last leaves were asked for.
            let end = *end.get_or_insert(page.size);
            let is_at_end = page.leaves.is_empty() || page.next >= end;
            if is_at_end && !self.follow {
                return Ok(());
            }
            request = LeavesRequest {
                from: Some(page.next),
                wait: is_at_end,
                ..LeavesRequest::default()
            };
        }
    }
}

/// Show the leaves of one request
#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    remote: Remote,
    /// The request's id, as in `X-Request-Id`
    id: String,
    /// Print one value of a field with its salt instead, for someone who shall see no more of the leaf
    #[arg(long, value_name = "FIELD", value_parser = ["slug", "source", "reason", "why", "paths"])]
    disclose: Option<String>,
    /// The number of that value in its list
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "disclose")]
    index: u32,
}

impl Show {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let disclose = self.disclose.as_deref().map(|field| (field, self.index));
        let found = asked.client.leaves_of(&self.id, disclose).await?;
        if let Some(disclosure) = found.disclosure {
            return asked.print_json(&disclosure);
        }
        found.leaves.iter().try_for_each(|leaf| match asked.output {
            Output::Table => show(&mut asked, leaf),
            form => output::document(&mut asked.console, form, leaf),
        })
    }
}

/// Write the proof that a request is in the server's ledger, which `audit verify-proof` checks anywhere
#[derive(Debug, Args)]
pub(in crate::cli) struct Prove {
    #[command(flatten)]
    remote: Remote,
    /// The request's id, as in `X-Request-Id`
    id: String,
    /// Which of the request's leaves
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    part: usize,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Prove {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let found = asked.client.leaves_of(&self.id, None).await?;
        let leaf = self.part.checked_sub(1).and_then(|part| found.leaves.get(part));
        let leaf = leaf.ok_or_else(|| {
            Failure::new(format!(
                "the request has {} leaves, and no leaf {}",
                found.leaves.len(),
                self.part
            ))
        })?;
        let proof = asked.client.prove(leaf.index).await?;
        match &self.out {
            Some(file) => fs::write(file, proof)
                .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", file.display()))),
            None => Ok(asked.console.out.write_all(proof.as_bytes())?),
        }
    }
}

/// Write the server's ledger as JSON lines: each leaf, and what of it you may see
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    remote: Remote,
    /// From the leaf with this number on
    #[arg(long, value_name = "NUMBER", default_value_t = 0, conflicts_with = "since")]
    from: u64,
    /// From this time on, in milliseconds since 1970
    #[arg(long, value_name = "MILLISECONDS")]
    since: Option<u64>,
    /// Up to this time
    #[arg(long, value_name = "MILLISECONDS")]
    until: Option<u64>,
}

impl Export {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let mut request = LeavesRequest {
            from: Some(self.from).filter(|_| self.since.is_none()),
            since: self.since,
            ..LeavesRequest::default()
        };
        // Requests for pages leave leaves themselves: the end is where the log ended at the first.
        let mut end = None;
        loop {
            let page = asked.client.leaves(request).await?;
            let end = *end.get_or_insert(page.size);
            for leaf in &page.leaves {
                let is_late = self
                    .until
                    .is_some_and(|until| fact(leaf, "t").as_u64() > Some(until));
                if leaf.index >= end || is_late {
                    return Ok(());
                }
                asked.print_json(leaf)?;
            }
            if page.leaves.is_empty() || page.next >= end {
                return Ok(());
            }
            request = LeavesRequest {
                from: Some(page.next),
                ..LeavesRequest::default()
            };
        }
    }
}

/// One line: number, time, outcome, op, and what of who and what may be seen.
fn print(asked: &mut Asked, leaf: &Leaf) -> Result<(), Failure> {
    if asked.output != Output::Table {
        return output::document(&mut asked.console, asked.output, leaf);
    }
    let text = |name| fact(leaf, name).as_str().unwrap_or("-").to_owned();
    let who = leaf.fields.as_ref().and_then(|fields| fields.slug.clone());
    let what = leaf
        .fields
        .as_ref()
        .map(|fields| fields.paths.join(" "))
        .unwrap_or_default();
    let line = format!(
        "{}  {}  {}  {}  {}  {}  {what}",
        leaf.index,
        time(leaf),
        text("id"),
        text("outcome"),
        text("op"),
        who.unwrap_or_else(|| text("principal")),
    );
    Ok(writeln!(asked.console.out, "{}", line.trim_end().escape_debug())?)
}

/// A field a line.
fn show(asked: &mut Asked, leaf: &Leaf) -> Result<(), Failure> {
    let out = &mut asked.console.out;
    writeln!(out, "leaf       {}", leaf.index)?;
    writeln!(out, "time       {}", time(leaf))?;
    for name in ["id", "op", "outcome", "principal"] {
        if let Some(text) = fact(leaf, name).as_str() {
            writeln!(out, "{name:<10} {text}")?;
        }
    }
    let Some(fields) = &leaf.fields else {
        return Ok(writeln!(out, "sealed     not yours to see")?);
    };
    let single = [
        ("slug", &fields.slug),
        ("source", &fields.source),
        ("reason", &fields.reason),
    ];
    let single = single
        .into_iter()
        .filter_map(|(name, text)| Some((name, text.as_ref()?)));
    let lists = [("why", &fields.why), ("path", &fields.paths)];
    let lists = lists
        .into_iter()
        .flat_map(|(name, texts)| texts.iter().map(move |text| (name, text)));
    for (name, text) in single.chain(lists) {
        writeln!(out, "{name:<10} {}", text.escape_debug())?;
    }
    Ok(())
}

fn time(leaf: &Leaf) -> String {
    fact(leaf, "t")
        .as_u64()
        .map_or_else(|| "-".to_owned(), |t| rfc3339(Timestamp::from_millis(t)))
}

/// A field that the leaf has in clear.
fn fact(leaf: &Leaf, name: &str) -> Value {
    let parsed: Value = serde_json::from_str(&leaf.leaf).unwrap_or_default();
    parsed.get(name).cloned().unwrap_or_default()
}
