//! Traces: the steps of a call, as the server saw them, for somebody who looks for the reason why
//! it has no media.
//!
//! | file | contents |
//! |---|---|
//! | `document`, `details` | the document of a trace, and the details of its steps |
//! | `facts` | what is taken of the payloads of events |
//! | `recording` | the trace of one call in memory |
//! | `bindings` | Binding requests whose user is not known yet |
//! | `store` | the traces of all calls, which are bounded |
//! | `files` | the files of `--trace-dir` |
//! | `relay`, `signaling` | the steps of the relay and of the hub's task |
//! | `diagnosis/` | the fault that is found in a trace, in one sentence |
//! | `drawing/` | a trace as arrows and notes |
//! | `ladder`, `mermaid` | the drawing for the terminal, and for Mermaid |
//! | `text` | texts of strangers, as they may be shown |

mod bindings;
mod details;
mod diagnosis;
mod document;
mod drawing;
mod facts;
mod files;
mod ladder;
mod mermaid;
mod recording;
mod relay;
mod signaling;
mod store;
#[cfg(test)]
mod testing;
mod text;

pub use self::{
    details::{
        CandidateAddress, EventFate, Facts, SessionChange, TracedCandidate, Transport, TurnFate,
        Way,
    },
    diagnosis::diagnosis,
    document::{CallTrace, Step, What},
    ladder::ladder,
    mermaid::mermaid,
    relay::relay_step,
    signaling::SignalingTrace,
    store::{Config, Traces},
    text::printable,
};
