//! A table of the paths in Markdown, with a row and a column for each kind.

use super::super::Table;

/// Returns the table. Columns have the numbers of the kinds, whose names are long.
pub(super) fn show(table: &Table) -> String {
    let kinds = table.kinds();
    let numbers: String = (1..=kinds.len()).map(|n| format!(" {n} |")).collect();
    let mut text =
        format!("| | {numbers}\n|---|{}\n", "---|".repeat(kinds.len())).replace("| |  ", "| | ");
    for (n, row) in kinds.iter().enumerate() {
        let cells = kinds.iter().enumerate().map(|(m, column)| {
            // Below the diagonal is the same pair again.
            let cell = if m < n { None } else { table.cell([*row, *column]) };
            cell.map(|cell| format!(" {} |", cell.path())).unwrap_or_else(|| " |".to_owned())
        });
        text.push_str(&format!("| {} `{row}` |{}\n", n + 1, cells.collect::<String>()));
    }
    text
}
