//! Measures the cells, several at once.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use super::{Cell, Peers, Table};
use crate::{error::LabError, kind::Kind};

/// The settings of a measurement.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    /// The programs.
    pub(crate) peers: Peers,
    /// The `callbox` binary of the labs.
    pub(crate) executable: PathBuf,
    /// The seconds in which a path has to be found.
    pub(crate) timeout: u64,
    /// The number of labs that are up at once.
    pub(crate) jobs: usize,
}

impl Runner {
    /// Measures these pairs.
    ///
    /// # Errors
    /// A lab cannot be built.
    pub(crate) fn run(
        &self,
        pairs: Vec<[Kind; 2]>,
        mut on_cell: impl FnMut(&Cell),
    ) -> Result<Table, LabError> {
        let count = pairs.len();
        let waiting: Mutex<VecDeque<_>> = Mutex::new(pairs.into_iter().enumerate().collect());
        let (sender, results) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..self.jobs.clamp(1, count.max(1)) {
                let (sender, waiting) = (sender.clone(), &waiting);
                scope.spawn(move || {
                    let next =
                        || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    while let Some((n, pair)) = next() {
                        let cell = Cell::measure(pair, &self.peers, &self.executable, self.timeout);
                        if sender.send((n, cell)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let mut cells = Vec::with_capacity(count);
            for (n, cell) in results {
                let cell = cell?;
                on_cell(&cell);
                cells.push((n, cell));
            }
            cells.sort_by_key(|(n, _)| *n);
            Ok(Table::new(cells.into_iter().map(|(_, cell)| cell).collect()))
        })
    }
}
