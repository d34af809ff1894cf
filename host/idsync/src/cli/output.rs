//! All that is written to standard output and standard error: documents for scripts, text and tables for people.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use idsync_capability::is_harmless;
use serde::Serialize;

use crate::error::CommandError;

/// How this command answers.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// With `json` one JSON document on standard output, else text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether scripts are reading.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints `document` for scripts, or what `text` makes for people.
    pub fn answer<D: Serialize>(
        self,
        document: &D,
        text: impl FnOnce() -> String,
    ) -> Result<(), CommandError> {
        if self.json {
            let line = serde_json::to_string(document).map_err(|error| {
                CommandError::host(&error, "This is a fault of idsync: please report it.")
            })?;
            line_out(&line)
        } else {
            line_out(text().trim_end())
        }
    }

    /// Prints a failure: as a document on standard output for scripts, else on standard error.
    pub fn failure(self, error: &CommandError) {
        if self.json {
            // Nothing is left to tell the failure to when standard output is closed.
            let _ = line_out(&error.to_json().to_string());
            return;
        }
        let mut text = format!("error: {}", printable(&error.summary));
        if !error.hint.is_empty() {
            text.push_str("\n  ");
            text.push_str(&printable(&error.hint).replace('\n', "\n  "));
        }
        note(text);
    }
}

/// Writes one line to standard output. A reader that went away (`… | head`) is no failure.
pub fn line_out(line: &str) -> Result<(), CommandError> {
    bytes_out(format!("{line}\n").as_bytes())
}

/// Writes one line to standard error.
pub fn note(text: impl Display) {
    // Where standard error is closed nobody is listening.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a person is watching standard error.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Columns of ids: one that is broken over lines can't be copied.
const UNBROKEN: [&str; 5] = ["run", "id", "kid", "group", "user"];

/// A table with these headings, as wide as the terminal. A column that is empty in every row is left out: it says
/// nothing, and takes the room of those that do.
pub fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let is_shown: [bool; N] = std::array::from_fn(|column| rows.iter().any(|row| !row[column].is_empty()));
    let shown = |column: &usize| is_shown[*column];
    let headings: Vec<&str> = (0..N).filter(shown).map(|column| headings[column]).collect();
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings.iter().copied());
    for row in &rows {
        table.add_row(
            (0..N)
                .filter(shown)
                .map(|column| printable(&row[column].replace('\n', " "))),
        );
    }
    for (column, heading) in table.column_iter_mut().zip(headings) {
        if UNBROKEN.contains(&heading) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.to_string()
}

/// Text from elsewhere with what a terminal acts on made visible: it may not move the cursor, ring the bell, or turn
/// the direction of writing.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\n' || is_harmless(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}

/// Writes bytes that are text already, such as a completion script.
pub fn bytes_out(bytes: &[u8]) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::host(
            &error,
            "Standard output could not be written.",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{printable, table};

    #[test]
    fn a_column_that_is_empty_in_every_row_is_left_out() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let text = table(
            ["id", "name", "why"],
            [row(["1", "", "gone"]), row(["2", "", ""])],
        );
        assert!(text.contains("id") && text.contains("why"), "{text}");
        assert!(!text.contains("name"), "{text}");
        assert!(text.contains("gone"), "{text}");
    }

    #[test]
    fn text_from_elsewhere_can_not_act_on_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[2J\u{7}b\u{202e}c"),
            "a\u{fffd}[2J\u{fffd}b\u{fffd}c"
        );
        assert_eq!(printable("Zoë\nnext"), "Zoë\nnext");
    }
}
