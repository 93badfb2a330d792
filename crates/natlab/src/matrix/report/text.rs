//! A line for each pair, for people.

use super::super::{Cell, Table};

/// The space between two columns.
const GAP: &str = "  ";

/// Returns the lines, in columns.
pub(super) fn show(table: &Table) -> String {
    let head = ["a", "b", "path", "candidates", "connected", "lost"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(table.cells().iter().map(row)).collect();
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let columns = row.iter().zip(widths).map(|(text, width)| format!("{text:width$}"));
        columns.collect::<Vec<_>>().join(GAP).trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn row(cell: &Cell) -> [String; 6] {
    let [a, b] = cell.kinds();
    let candidates = cell.candidates().map(|[a, b]| format!("{a} – {b}"));
    let time = cell.connect_time().map(|time| format!("{} ms", time.as_millis()));
    let lost = cell.packets().map(|(sent, lost)| format!("{lost} of {sent}"));
    let reason = || cell.reason().unwrap_or_default().to_owned();
    [
        a.to_string(),
        b.to_string(),
        cell.path().to_string(),
        candidates.unwrap_or_else(reason),
        time.unwrap_or_default(),
        lost.unwrap_or_default(),
    ]
}
