//! The target of the lines of call records.

use std::io::{self, Write};

use crate::reports::kept::Position;

/// The target of lines.
pub(super) trait Output: Send {
    /// Writes whole lines: all of them, or none if that is possible.
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Returns the position up to which all is accounted for, if the target has one.
    fn position(&self) -> Option<Position>;
}

impl Output for io::Stdout {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write_all(lines).and_then(|()| self.flush())
    }

    fn position(&self) -> Option<Position> {
        None
    }
}
