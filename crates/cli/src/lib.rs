//! The parts that several commands of callbox share: kinds of values, the options for tokens,
//! secrets in files, lines on the terminal.
#![forbid(unsafe_code)]

mod output;
pub mod secrets;
mod tokens;
pub mod values;

pub use self::{
    output::{explain, print_line},
    secrets::SecretError,
    tokens::TokenOptions,
    values::{Period, StaticUser},
};
