//! The lines that a command writes for the person at the terminal.

use std::{
    fmt,
    io::{self, Write},
};

/// Prints a line to stdout, as `println!` does, but ends the program where nobody reads it any
/// more, as behind `head`.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::print_line(format_args!($($text)*)) };
}

/// Prints a line to stdout, and ends the program with status 1 if that cannot be done: the macro
/// [`say!`](crate::say) calls it.
pub fn print_line(text: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout(), "{text}") {
        if error.kind() != io::ErrorKind::BrokenPipe {
            eprintln!("callbox: cannot write to stdout: {error}");
        }
        std::process::exit(1);
    }
}

/// Returns the text of an error with its causes. Most errors name their cause in their own words; a
/// cause whose text is there already is left out.
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretError;

    #[test]
    fn an_error_says_each_fact_once() {
        let taken = || io::Error::new(io::ErrorKind::AddrInUse, "in use");
        let error = SecretError::Read { option: "a-file", path: "a".into(), source: taken() };
        assert_eq!(explain(&error.into()), "--a-file: a: cannot be read: in use");
        let silent = anyhow::Error::from(taken()).context("cannot start");
        assert_eq!(explain(&silent), "cannot start: in use");
    }
}
