//! Changes of a side's network while a lab is up.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::quality::{Change, Share};

/// A protocol that a router can block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// UDP, all of it.
    Udp,
    /// TCP, all of it.
    Tcp,
}

impl Protocol {
    /// Returns the name in a rule of nftables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A change of a side's network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// The routers forget every mapping and choose other ports from then on.
    Reboot,
    /// The host gets another address, inside and outside, as from Wi-Fi to a cellular network.
    Move,
    /// The link drops everything for this time.
    Cut(Duration),
    /// The router drops a protocol.
    Block(Protocol),
    /// The router forwards a protocol again, unless its kind forbids it.
    Unblock(Protocol),
    /// The link gets another quality.
    Link(Change),
}

/// The error for a text that is no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown action `{0}`; there are {ALL}")]
pub struct ActionError(String);

const ALL: &str = "reboot, move, `cut 5s`, `block udp|tcp`, `unblock udp|tcp`, `loss 5%`, \
                   `delay 80ms`, `jitter 10ms`, `rate 2mbit`";

impl FromStr for Action {
    type Err = ActionError;

    fn from_str(text: &str) -> Result<Self, ActionError> {
        let error = || ActionError(text.to_owned());
        let words: Vec<_> = text.split_whitespace().collect();
        let time = |text| humantime::parse_duration(text).map_err(|_| error());
        let protocol = |text| match text {
            "udp" => Ok(Protocol::Udp),
            "tcp" => Ok(Protocol::Tcp),
            _ => Err(error()),
        };
        Ok(match words[..] {
            ["reboot"] => Self::Reboot,
            ["move"] => Self::Move,
            ["cut", time_text] => Self::Cut(time(time_text)?),
            ["block", name] => Self::Block(protocol(name)?),
            ["unblock", name] => Self::Unblock(protocol(name)?),
            ["loss", share] => {
                Self::Link(Change::Loss(share.parse::<Share>().map_err(|_| error())?))
            }
            ["delay", time_text] => Self::Link(Change::Delay(time(time_text)?)),
            ["jitter", time_text] => Self::Link(Change::Jitter(time(time_text)?)),
            ["rate", rate] => Self::Link(Change::Rate(rate.parse().map_err(|_| error())?)),
            _ => return Err(error()),
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reboot => f.write_str("reboot"),
            Self::Move => f.write_str("move"),
            Self::Cut(time) => write!(f, "cut {}", humantime::format_duration(*time)),
            Self::Block(protocol) => write!(f, "block {}", protocol.name()),
            Self::Unblock(protocol) => write!(f, "unblock {}", protocol.name()),
            Self::Link(change) => change.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_read_and_written_alike() {
        for text in [
            "reboot",
            "move",
            "cut 5s",
            "block udp",
            "unblock tcp",
            "loss 5%",
            "delay 80ms",
            "jitter 10ms",
            "rate 2mbit",
            "rate 500kbit",
            "loss 0.5%",
        ] {
            assert_eq!(text.parse::<Action>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_unknown_action_is_answered_with_all() {
        for text in ["", "restart", "cut", "cut x", "block icmp", "loss 120%", "delay 5", "rate 3"]
        {
            let error = text.parse::<Action>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("unknown action `{text}`; there are reboot, ")));
        }
    }
}
