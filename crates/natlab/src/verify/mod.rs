//! Measures the network of a side from inside, and compares it with its kind.

mod asker;
mod check;
mod measured;
mod measuring;

pub(crate) use self::{
    check::{Check, checks},
    measured::Measured,
    measuring::measure,
};
