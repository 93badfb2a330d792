//! `callbox natlab matrix`: which path a pair of peers finds, for each pair of kinds.
//!
//! Each [`Cell`] is a pair of programs in a lab of its own ([`Peers`]). Its [`Path`] is judged by
//! the [`prediction`], or by an earlier matrix. A [`Table`] is shown in a [`Format`].

mod cell;
mod path;
mod peers;
mod prediction;
mod report;
mod runner;
mod table;
#[cfg(test)]
mod tests;

pub use self::{cell::Cell, path::Path, prediction::predict, table::Table};
pub(crate) use self::{peers::Peers, report::Format, runner::Runner};
