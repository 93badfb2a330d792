//! The handle by which other parts of the process inject faults.

use std::sync::Arc;

use super::faults::Faults;
use crate::faults::{FaultDocument, FaultReport};

/// The control of faults, on a server that allows them.
#[derive(Clone)]
pub struct FaultControl(Arc<Faults>);

impl FaultControl {
    pub(super) fn new(faults: Arc<Faults>) -> Self {
        Self(faults)
    }

    /// Returns the faults that are in force.
    pub fn report(&self) -> FaultReport {
        self.0.report()
    }

    /// Replaces all faults by those of a document, and executes its actions. Returns `None` once
    /// the server has stopped.
    pub async fn replace(&self, document: FaultDocument) -> Option<FaultReport> {
        self.0.replace(document).await
    }
}
