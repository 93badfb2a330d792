//! The notes that divide a call into its phases, in the words of the specification.

use super::{
    cast::Cast,
    item::{Item, Mark, Place},
};
use crate::trace::document::{Step, What};

/// The phases that have begun.
#[derive(Debug, Default)]
pub(super) struct Headings {
    gathering: bool,
    exchange: bool,
    established: bool,
}

impl Headings {
    /// Returns the note above a step, if a phase begins with it.
    pub(super) fn above(&mut self, cast: &Cast, step: &Step) -> Option<Item> {
        let everyone = cast.everyone();
        let mark = match &step.what {
            What::Binding { .. } => once(&mut self.gathering, everyone, "ICE Candidate Gathering"),
            What::Turn { method, .. } if method == "Allocate" => {
                once(&mut self.gathering, everyone, "ICE Candidate Gathering")
            }
            What::Request { user, event, error: None, facts } => {
                let place = cast.place(user)?;
                let of_user = |words| Some(Mark::Heading(place, place, words));
                match event.as_str() {
                    "call:initiate" => of_user("User initiates call"),
                    "call:accept" => of_user("User answers"),
                    "call:reject" => of_user("User declines"),
                    "call:cancel" => of_user("User takes the call back"),
                    "call:end" => of_user("End call"),
                    "ice:candidate" => {
                        once(&mut self.gathering, everyone, "ICE Candidate Gathering")
                    }
                    "signal:offer" => {
                        once(&mut self.exchange, everyone, "SDP Exchange (Offer/Answer)")
                    }
                    "call:connected" => {
                        once(&mut self.established, everyone, "Peer Connection Established")
                    }
                    _ if facts.path.is_some() => {
                        once(&mut self.established, everyone, "Peer Connection Established")
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        mark.map(|mark| Item { at_ms: step.at_ms, until_ms: step.at_ms, times: 1, mark })
    }
}

fn once(has_begun: &mut bool, (first, last): (Place, Place), words: &'static str) -> Option<Mark> {
    let is_new = !std::mem::replace(has_begun, true);
    is_new.then_some(Mark::Heading(first, last, words))
}
