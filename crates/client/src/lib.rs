//! A TURN client (RFC 8656) without I/O: it makes requests, signs them with a long-term credential
//! and reads the answers. Sockets, retransmission and time are the caller's.
//!
//! It is built on the messages of webrtc-rs and not on `callbox-stun`, so that the tools and tests
//! that use it judge the server by other code than the server's own.
//!
//! ```
//! use callbox_client::{Answer, Login, Request, Session};
//!
//! # fn ask_server(request: &[u8]) -> Vec<u8> {
//! #     let mut answer = request[..20].to_vec();
//! #     (answer[0], answer[3]) = (1, 0);
//! #     answer
//! # }
//! # fn main() -> Result<(), callbox_client::Error> {
//! let mut login = Login::new("alice", "secret");
//! let mut session = Session::default();
//! let success = loop {
//!     // The first request is not signed: its answer has the realm and the nonce.
//!     let request = session.encode(&login, &Request::allocate())?;
//!     let answer = ask_server(&request);
//!     match session.read(&mut login, &answer)? {
//!         Answer::Success(success) => break success,
//!         Answer::Challenge { can_retry: true, .. } => {}
//!         Answer::Challenge { refusal, .. } | Answer::Refused(refusal) => panic!("{refusal}"),
//!     }
//! };
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod data;
mod error;
mod framing;
mod login;
mod request;
mod session;

pub use stun::message::Message;

pub use self::{
    data::{Data, channel_data, payload_of, send_indication},
    error::{Error, Refusal},
    framing::{HEADER, length, pad},
    login::Login,
    request::{Request, attribute, requested_family},
    session::{Answer, Session, mapped_address, relayed_address, transaction},
};
