//! A small application: two users call each other, and send texts over a data channel.
//!
//! It stands for yours. `tests/` shows how to test it.

mod call;
mod media;
mod signaling;

pub use call::{Call, answer, call};
