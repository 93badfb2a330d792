//! Traces: the steps of a call, as the server saw them, for somebody who looks for the reason why
//! it has no media.
//!
//! | file | contents |
//! |---|---|
//! | `document` | the document of a trace |
//! | `diagnosis/` | the fault that is found in a trace, in one sentence |
//! | `drawing/` | a trace as arrows and notes |
//! | `ladder`, `mermaid` | the drawing for the terminal, and for Mermaid |
//! | `text` | texts of strangers, as they may be shown |

mod diagnosis;
mod document;
mod drawing;
mod ladder;
mod mermaid;
#[cfg(test)]
mod testing;
mod text;

pub use self::{
    diagnosis::diagnosis,
    document::{
        CallTrace, CandidateAddress, EventFate, Facts, SessionChange, Step, TracedCandidate,
        Transport, TurnFate, Way, What,
    },
    ladder::ladder,
    mermaid::mermaid,
    text::printable,
};
