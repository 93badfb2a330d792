//! The relay's mind: allocations, permissions, channels and routes, with no I/O in it.
