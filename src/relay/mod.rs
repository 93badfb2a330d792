//! The data plane: one worker a core, each with its own sockets and its own allocations.
