//! The runs of an allocation's datagrams that further ones may join.

use callbox_sys::RunId;

/// The runs of an allocation that further datagrams of the same loop iteration may join.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OpenRuns {
    turn: u32,
    pub to_peer: Option<RunId>,
    pub to_client: Option<RunId>,
}

impl OpenRuns {
    /// Returns the runs of this iteration; those of an earlier one are discarded.
    #[inline]
    pub(crate) fn of(&mut self, turn: u32) -> &mut Self {
        if self.turn != turn {
            *self = Self { turn, ..Self::default() };
        }
        self
    }
}
