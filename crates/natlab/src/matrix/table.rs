//! The cells of a matrix, and what has become worse in them.

use serde::{Deserialize, Serialize};

use super::{Cell, Path};
use crate::{error::LabError, kind::Kind};

/// The cells of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    cells: Vec<Cell>,
}

/// A cell with the path that it is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(super) cell: &'a Cell,
    pub(super) expected: Path,
    /// The source of the expectation, in words.
    pub(super) source: &'static str,
}

impl Judged<'_> {
    /// Returns true if the path is worse than the expected one. A relay whose transport the peers
    /// have not named is as good as any.
    pub(super) fn is_worse(&self) -> bool {
        match (self.cell.path(), self.expected) {
            (Path::Relayed(None), Path::Relayed(_)) | (Path::Relayed(_), Path::Relayed(None)) => {
                false
            }
            (found, expected) => found > expected,
        }
    }

    /// Returns a sentence on a cell that is worse.
    pub(super) fn complaint(&self) -> String {
        let Self { cell, expected, source } = self;
        let (name, path) = (cell.name(), cell.path());
        let reason = cell.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{name}: {path}{reason}, and {source} has {expected}")
    }
}

impl Table {
    pub(crate) fn new(cells: Vec<Cell>) -> Self {
        Self { cells }
    }

    /// Reads a table that was printed as JSON.
    ///
    /// # Errors
    /// The file cannot be read, or is no table.
    pub(crate) fn read(path: &std::path::Path) -> Result<Self, LabError> {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| LabError::system(&name, error))?;
        serde_json::from_str(&text).map_err(|error| {
            let advice = "is no table; make one with `callbox natlab matrix --format json`";
            LabError::new(format!("{name} {advice}: {error}"))
        })
    }

    /// Returns the cells.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Returns the kinds, in the order in which they first come.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for kind in self.cells.iter().flat_map(Cell::kinds) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// Returns the cell of two kinds, in either order.
    pub(super) fn cell(&self, pair: [Kind; 2]) -> Option<&Cell> {
        let [a, b] = pair;
        self.cells.iter().find(|cell| cell.kinds() == pair || cell.kinds() == [b, a])
    }

    /// Judges each cell by that of an earlier table, and by the prediction if it is in none.
    pub(super) fn judge<'a>(&'a self, earlier: Option<&Self>) -> Vec<Judged<'a>> {
        let judge = |cell: &'a Cell| match earlier.and_then(|table| table.cell(cell.kinds())) {
            Some(before) => Judged { cell, expected: before.path(), source: "the expected table" },
            None => Judged { cell, expected: cell.predicted(), source: "the prediction" },
        };
        self.cells.iter().map(judge).collect()
    }

    /// Returns a sentence on each cell that is worse than in an earlier table, or than predicted.
    pub(crate) fn complaints(&self, earlier: Option<&Self>) -> Vec<String> {
        let judged = self.judge(earlier).into_iter();
        judged.filter(Judged::is_worse).map(|judged| judged.complaint()).collect()
    }
}
