//! The REST API, the metrics and the pages, over real sockets.

mod access;
mod back_ends;
mod documents;
mod tokens;
