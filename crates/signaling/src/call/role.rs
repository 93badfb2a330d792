//! The two sides of a call.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::wire_enums::wire_enum;

wire_enum! {
    /// A side of a call.
    pub enum Role {
        /// The one who called.
        Caller = "caller",
        /// The one who is called.
        Callee = "callee",
    }
}

impl Role {
    /// Returns the other side.
    pub fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// A pair with a value for each side.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PerRole<T> {
    pub caller: T,
    pub callee: T,
}

impl<T> Index<Role> for PerRole<T> {
    type Output = T;
    fn index(&self, role: Role) -> &T {
        match role {
            Role::Caller => &self.caller,
            Role::Callee => &self.callee,
        }
    }
}

impl<T> IndexMut<Role> for PerRole<T> {
    fn index_mut(&mut self, role: Role) -> &mut T {
        match role {
            Role::Caller => &mut self.caller,
            Role::Callee => &mut self.callee,
        }
    }
}
