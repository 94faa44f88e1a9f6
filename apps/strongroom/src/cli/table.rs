//! Tables as `oo` prints them: a header in capitals, left-aligned columns, three spaces between them.

use std::io::{self, Write};

use strongroom_secret::SecretBuffer;
use zeroize::Zeroizing;

use crate::cli::console::Console;

/// SGR (ECMA-48, 8.3.117): bold, and back.
const BOLD: &[u8] = b"\x1b[1m";
const NORMAL: &[u8] = b"\x1b[0m";
const GAP: usize = 3;

/// A table of `N` columns. Cells may hold secrets: they are wiped.
pub(crate) struct Table<const N: usize> {
    rows: Vec<[Zeroizing<String>; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(header: [&str; N]) -> Self {
        Self {
            rows: vec![header.map(escaped)],
        }
    }

    pub(crate) fn row(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(escaped));
    }

    /// Writes the table for whoever reads `console`'s results.
    pub(crate) fn print(&self, console: &mut Console) -> io::Result<()> {
        if !console.colour {
            return self.write(&mut *console.out);
        }
        let mut plain = SecretBuffer::default();
        self.write(&mut plain)?;
        let end = plain.expose().iter().position(|byte| *byte == b'\n');
        let (header, rows) = plain.expose().split_at(end.unwrap_or_default());
        console.out.write_all(BOLD)?;
        console.out.write_all(header)?;
        console.out.write_all(NORMAL)?;
        console.out.write_all(rows)
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = columns(cell).max(*width);
            }
        }
        for row in &self.rows {
            for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
                let padding = if index + 1 == N {
                    0
                } else {
                    width - columns(cell) + GAP
                };
                write!(out, "{}{:padding$}", cell.as_str(), "")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

fn columns(cell: &str) -> usize {
    cell.chars().count()
}

/// Control and other invisible characters spelled out, so that no cell can move the cursor, hide text or end a row.
fn escaped(cell: &str) -> Zeroizing<String> {
    // The longest escape is six bytes for each byte, so the text never outgrows its memory.
    let mut text = Zeroizing::new(String::with_capacity(cell.len() * 6));
    for character in cell.chars() {
        match character {
            '"' | '\'' | '\\' => text.push(character),
            _ => text.extend(character.escape_debug()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print<const N: usize>(header: [&str; N], rows: &[[&str; N]]) -> String {
        let mut table = Table::new(header);
        rows.iter().for_each(|row| table.row(*row));
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_three_spaces_apart() {
        let table = print(["KEY", "VALUE"], &[["é漢x-long", "1"], ["", "22"]]);
        assert_eq!(table, "KEY        VALUE\né漢x-long   1\n           22\n");
    }

    #[test]
    fn no_rows_leave_the_header() {
        assert_eq!(print(["A", "B"], &[]), "A   B\n");
    }

    #[test]
    fn a_cell_stays_on_its_line_and_cannot_steer_the_terminal() {
        let table = print(["V"], &[["a\nb\t\u{1b}[2J\u{202e}\u{7f}\u{85}\0 \"q\\"]]);
        assert_eq!(table, "V\na\\nb\\t\\u{1b}[2J\\u{202e}\\u{7f}\\u{85}\\0 \"q\\\n");
    }
}
