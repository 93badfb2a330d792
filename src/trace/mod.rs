//! Traces: the steps of a call, as the server saw them, for somebody who looks for the reason why
//! it has no media.
//!
//! | file | contents |
//! |---|---|
//! | `document` | the document of a trace |

mod document;

pub use self::document::{
    CallTrace, CandidateAddress, EventFate, Facts, SessionChange, Step, TracedCandidate, Transport,
    TurnFate, Way, What,
};
