//! The hash table for what every request looks up.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// A table in which every request looks something up. Its order is random, so what is shown in an
/// order is sorted first.
pub(super) type Lookup<K, V> = HashMap<K, V, RandomState>;
