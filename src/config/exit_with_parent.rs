//! The value of `--exit-with-parent`.

use std::str::FromStr;

/// The process with which the server ends: `true`, `false` or a process id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExitWithParent {
    /// None.
    #[default]
    Never,
    /// The parent.
    Parent,
    /// The process with this id.
    Process(u32),
}

impl FromStr for ExitWithParent {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // The same words as for other options that are on or off.
        match &*text.to_ascii_lowercase() {
            "true" | "t" | "yes" | "y" | "on" | "1" => return Ok(Self::Parent),
            "false" | "f" | "no" | "n" | "off" | "0" => return Ok(Self::Never),
            _ => {}
        }
        // The system's process ids are positive numbers of 31 bits.
        let id = text.parse::<i32>().ok().and_then(|id| u32::try_from(id).ok());
        id.map(Self::Process).ok_or_else(|| "expected true, false or a process id".into())
    }
}
