//! A TURN server without I/O: allocations, permissions, channels and the way of each packet.
//!
//! The crate opens no socket, starts no thread and waits for nothing. A program around it, the
//! *driver*, reads datagrams, hands them to an [`Engine`], and carries out what the engine asks
//! for. So the same code runs on blocking sockets, on an event loop or under an async runtime, and
//! a test moves its clock by hand. `examples/embed_turn.rs` in the repository is a whole server of
//! one file around it; the crate `callbox-relay` is the driver of callbox itself, with a thread for
//! each core.
//!
//! It follows these documents:
//!
//! | document | subject |
//! |---|---|
//! | RFC 8656 | TURN over UDP, with addresses of both families |
//! | RFC 8489 | STUN: Binding, long-term credentials with MD5 and SHA-256, USERHASH, nonces |
//! | RFC 6062 | allocations that relay TCP |
//! | RFC 8016 | allocations that move with their client ([`Config::mobility`]) |
//! | RFC 7635 | access tokens of an authorization server ([`auth::AccessTokenKey`]) |
//! | RFC 5780 | NAT behaviour discovery ([`Common::with_discovery`]) |
//! | draft-uberti-behave-turn-rest | credentials that a secret vouches for ([`TurnSecrets`]) |
//!
//! # A first answer
//!
//! A server has one [`Common`], which is made of its settings, its users and the addresses that it
//! listens on, and one [`Engine`] for each of its threads. A datagram is handed over in a
//! [`Packet`], with [`HEADROOM`] free bytes on each side; [`Engine::poll_output`] says what is to
//! be done.
//!
//! ```
//! use std::sync::Arc;
//!
//! use callbox_turn::{
//!     ClientAddr, Common, Config, Engine, FiveTuple, FromClient, HEADROOM, Metrics, Now, Output,
//!     Packet, Secret, TurnSecrets, Via, auth::TurnAuth,
//! };
//!
//! let users = vec![("alice".to_owned(), Secret::new("password"))];
//! let auth = TurnAuth::new("example.org".to_owned(), TurnSecrets::default(), users);
//! let listeners = vec!["192.0.2.1:3478".parse()?];
//! let common = Common::new(Config::default(), auth, listeners);
//! let seed = [7; 32]; // A server takes it from the system's random source.
//! let mut engine = Engine::new(common, 0, Arc::new(Metrics::default()), seed);
//!
//! // A Binding request has come to the first listener.
//! let datagram = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";
//! let range = HEADROOM..HEADROOM + datagram.len();
//! let mut buffer = vec![0; range.end + HEADROOM];
//! buffer[range.clone()].copy_from_slice(datagram);
//! let tuple = FiveTuple {
//!     via: Via::Listener(0),
//!     client: ClientAddr("198.51.100.1:4000".parse()?),
//! };
//! let verdict = engine.handle_client(Now::read(), tuple, &mut Packet::new(&mut buffer, range));
//!
//! // It was a request, so that there is nothing to forward, but an answer to send.
//! assert_eq!(verdict, FromClient::Handled);
//! let Some(Output::Transmit { to, bytes }) = engine.poll_output() else { panic!() };
//! assert_eq!(to, tuple);
//! assert_eq!(bytes[..2], [0x01, 0x01]); // a success response to Binding
//! assert!(engine.poll_output().is_none());
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! # The run loop
//!
//! A driver repeats four steps for each engine:
//!
//! 1. **Wait** until a socket can be read, or until [`Engine::next_timeout`] is due.
//! 2. **Let time pass**: read both clocks once ([`Now::read`]), call [`Engine::handle_timeout`],
//!    and carry out the outputs.
//! 3. **Hand over an input**, and send the packet on if the verdict says so. The packet then holds
//!    the bytes to send, with the header taken off or put on in place:
//!
//!    | input | verdict |
//!    |---|---|
//!    | [`Engine::handle_client`]: a datagram or a message of a client | [`FromClient`] |
//!    | [`Engine::handle_peer`]: a datagram that an allocation's socket has received | [`FromPeer`] |
//!    | [`Engine::handle_relayed`]: a packet of another allocation of this server, after [`FromClient::HandOver`] | [`FromPeer`] |
//!
//! 4. **Carry out the outputs** in their order, until [`Engine::poll_output`] gives none; then go
//!    on with the next input, or wait.
//!
//! A packet on its way between a client and a peer causes no output, no heap allocation and no
//! lock. Here is the life of an allocation, in a network that consists of a map and a list:
//!
//! ```
//! use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::{Duration, Instant}};
//!
//! use callbox_turn::{
//!     AllocationId, ClientAddr, Common, Config, DropReason, Engine, EndReason, FiveTuple, FromClient,
//!     FromPeer, HEADROOM, Metrics, Now, Output, Packet, Secret, TurnSecrets, Via, auth::TurnAuth,
//! };
//! # use stun::{
//! #     attributes::*, integrity::MessageIntegrity, message::*, textattrs::TextAttribute,
//! # };
//! # use turn::proto::{PROTO_UDP, peeraddr::PeerAddress, reqtrans::RequestedTransport};
//! #
//! # /// A message of a client, signed if there is a nonce.
//! # fn message(typ: MessageType, attributes: &[&dyn Setter], nonce: Option<&str>) -> Vec<u8> {
//! #     let mut message = Message::new();
//! #     message.typ = typ;
//! #     message.write_header();
//! #     attributes.iter().for_each(|attribute| attribute.add_to(&mut message).unwrap());
//! #     if let Some(nonce) = nonce {
//! #         let [user, realm, password] = ["alice", "example.org", "password"].map(String::from);
//! #         for (typ, text) in [(ATTR_USERNAME, &*user), (ATTR_REALM, &realm), (ATTR_NONCE, nonce)] {
//! #             message.add(typ, text.as_bytes());
//! #         }
//! #         MessageIntegrity::new_long_term_integrity(user, realm, password)
//! #             .add_to(&mut message)
//! #             .unwrap();
//! #     }
//! #     message.raw
//! # }
//!
//! /// The driver's side: the sockets that are open, and what was sent from the listener.
//! #[derive(Default)]
//! struct Network {
//!     relays: HashMap<AllocationId, SocketAddr>,
//!     sent: Vec<(FiveTuple, Vec<u8>)>,
//!     ended: Vec<EndReason>,
//! }
//!
//! impl Network {
//!     /// Step 4: carries out every output.
//!     fn carry_out(&mut self, now: Now, engine: &mut Engine) {
//!         while let Some(output) = engine.poll_output() {
//!             match output {
//!                 Output::Transmit { to, bytes } => self.sent.push((to, bytes)),
//!                 Output::OpenRelay { allocation, address, .. } => {
//!                     self.relays.insert(allocation, address); // a server binds a socket
//!                     engine.relay_opened(now, allocation, Ok(()));
//!                 }
//!                 Output::CloseRelay { allocation } => {
//!                     self.relays.remove(&allocation);
//!                 }
//!                 Output::Ended(ended) => self.ended.push(ended.reason),
//!                 _ => {}
//!             }
//!         }
//!     }
//! }
//!
//! /// A buffer with a datagram in its middle.
//! fn buffer(datagram: &[u8]) -> Vec<u8> {
//!     [&[0; HEADROOM], datagram, &[0; HEADROOM]].concat()
//! }
//!
//! let users = vec![("alice".to_owned(), Secret::new("password"))];
//! let auth = TurnAuth::new("example.org".to_owned(), TurnSecrets::default(), users);
//! let common = Common::new(Config::default(), auth, vec!["192.0.2.1:3478".parse()?]);
//! let mut engine = Engine::new(common, 0, Arc::new(Metrics::default()), [7; 32]);
//! let mut network = Network::default();
//! let client = ClientAddr("198.51.100.1:4000".parse()?);
//! let tuple = FiveTuple { via: Via::Listener(0), client };
//! let peer: SocketAddr = "9.9.9.9:7000".parse()?;
//! // The clock, which the example moves by hand.
//! let mut now = Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
//! # let allocate = MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST);
//! # let create_permission = MessageType::new(METHOD_CREATE_PERMISSION, CLASS_REQUEST);
//! # let send = MessageType::new(METHOD_SEND, CLASS_INDICATION);
//! # let udp = RequestedTransport { protocol: PROTO_UDP };
//! # let to_peer = PeerAddress { ip: peer.ip(), port: peer.port() };
//! # let data = RawAttribute { typ: ATTR_DATA, length: 4, value: b"ping".to_vec() };
//! let mut client_sends = |now, engine: &mut Engine, network: &mut Network, datagram: &[u8]| {
//!     let mut buffer = buffer(datagram);
//!     let mut packet = Packet::new(&mut buffer, HEADROOM..HEADROOM + datagram.len());
//!     let verdict = engine.handle_client(now, tuple, &mut packet);
//!     network.carry_out(now, engine);
//!     (verdict, packet.bytes().to_vec())
//! };
//!
//! // Allocate: first without credentials, which is answered with 401 and a nonce, then signed. The
//! // engine has a socket opened, and answers once the driver has said that it is open.
//! client_sends(now, &mut engine, &mut network, &message(allocate, &[&udp], None));
//! # let mut challenge = Message::new();
//! # challenge.unmarshal_binary(&network.sent[0].1)?;
//! let nonce = // from the challenge in `network.sent`
//! #     TextAttribute::get_from_as(&challenge, ATTR_NONCE)?.text;
//! client_sends(now, &mut engine, &mut network, &message(allocate, &[&udp], Some(&nonce)));
//! assert_eq!(network.sent[1].1[..2], [0x01, 0x03]); // a success response to Allocate
//! let (&allocation, &relayed) = network.relays.iter().next().expect("one socket is open");
//!
//! // CreatePermission, and a Send indication: its payload goes to the peer.
//! let permission = message(create_permission, &[&to_peer], Some(&nonce));
//! client_sends(now, &mut engine, &mut network, &permission);
//! let indication = message(send, &[&to_peer, &data], None);
//! let (verdict, payload) = client_sends(now, &mut engine, &mut network, &indication);
//! assert_eq!(verdict, FromClient::Forward { allocation, to: peer, dont_fragment: false });
//! assert_eq!(payload, b"ping");
//!
//! // The peer's answer has come to the allocation's socket: it goes to the client, in a Data indication.
//! let mut received = buffer(b"pong");
//! let mut packet = Packet::new(&mut received, HEADROOM..HEADROOM + 4);
//! let verdict = engine.handle_peer(now, allocation, peer, &mut packet);
//! assert_eq!(verdict, FromPeer::Forward { to: tuple });
//! assert_eq!(packet.bytes()[..2], [0x00, 0x17]);
//!
//! // The permission lives for five minutes and the allocation for ten, since nobody refreshes them.
//! while let Some(due) = engine.next_timeout() {
//!     now = now + due.duration_since(now.instant);
//!     engine.handle_timeout(now);
//!     network.carry_out(now, &mut engine);
//! }
//! assert_eq!(network.ended, [EndReason::Expired]);
//! assert!(network.relays.is_empty());
//! let (verdict, _) = client_sends(now, &mut engine, &mut network, &indication);
//! assert_eq!(verdict, FromClient::Dropped(DropReason::NoAllocation));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules for the driver
//!
//! **Outputs**
//!
//! - After every call that takes `&mut Engine`, ask [`Engine::poll_output`] until it gives none,
//!   before the next input and before waiting. Until then a client has no answer, and a closed
//!   allocation has an open socket.
//! - Carry outputs out in their order. The answer to an Allocate comes after the socket is open,
//!   and an [`Output::CloseRelay`] before the [`Output::OpenRelay`] that uses its id again.
//! - Answer each [`Output::OpenRelay`] and [`Output::ListenRelay`] with exactly one
//!   [`Engine::relay_opened`], at once or later; the client is not answered before. If the port is
//!   in use, the engine asks for another one by itself.
//! - Answer each [`Output::Connect`] with one [`Engine::connected`], unless its
//!   [`Output::CloseConnection`] comes first, which it does after 30 seconds.
//!
//! **Time and randomness**
//!
//! - Call [`Engine::handle_timeout`] when [`Engine::next_timeout`] is due, and before the inputs of
//!   the same turn of the loop: inputs do not look at timers. To call it more often does no harm.
//! - [`Now::instant`] never goes back. [`Now::unix`] is compared with the times in credentials and
//!   nonces; it may be set while the server runs.
//! - The seed of each engine is 32 unguessable bytes, another one for each: relayed ports, the
//!   numbers of connections and mobility tickets come from it. By itself the crate takes from the
//!   system only the keys of nonces, of the reply limit and of hash tables, when a server is made,
//!   and reads the clock once, in [`Common::new`].
//!
//! **Names**
//!
//! - An [`AllocationId`], a [`ConnectionId`] and a [`StreamId`] name something within one engine.
//!   Each is used again: after [`Output::CloseRelay`], after [`Output::CloseConnection`] and after
//!   [`Engine::stream_closed`]. A datagram that was read from a socket which has been closed since
//!   must not be handed in under the old id.
//! - [`Via::Listener`] is an index in the list of addresses that [`Common::new`] was given. All of
//!   a client's datagrams come to the same engine: with several, bind each listener once for each
//!   of them and let the system choose by the 5-tuple (`SO_REUSEPORT`).
//! - A request that concerns another engine's allocation is named by [`Engine::worker_for`], and a
//!   packet for one by [`HandOver::owner`]; hand both over to the engine with that index.
//!
//! **`Common` before `Engine`**
//!
//! [`Common`] is shared by all engines, so that what it refuses is refused everywhere from that
//! moment. Each of these is two steps, and the order matters: after the first one no engine opens
//! anything new, and the second one closes what is open.
//!
//! | first | then on every engine |
//! |---|---|
//! | [`Common::end_call`] gives the sides of the call | [`Engine::end_call`] |
//! | [`Common::revoke_user`] gives the sides of the call | [`Engine::revoke_user`] |
//! | [`Common::kick`] returns true | [`Engine::kick`] |
//! | [`Common::set_machine_addresses`] returns true | [`Engine::addresses_changed`] |
//!
//! With [`Config::signaled_peers`], call [`Common::announce`] before the other side of a call is
//! sent the addresses: it asks for a permission as soon as it has them.
//!
//! **Streams**
//!
//! A client over TCP or TLS has a stream: [`Engine::stream_opened`] gives the five-tuple for its
//! messages, which [`Frame`] finds in the bytes, and [`Engine::stream_closed`] ends what it was
//! given. The driver bounds the number of streams, and the time for which one may be silent;
//! [`Engine::is_in_use`] says which ones serve for something.
//!
//! **TCP allocations** (RFC 6062)
//!
//! - [`Output::ListenRelay`] asks for a listener. Tell each connection that it accepts to
//!   [`Engine::peer_connected`]; close the connection at once if that returns `None`.
//! - [`Output::Connect`] asks for a connection from the listener's address; tell its outcome to
//!   [`Engine::connected`].
//! - Leave the peer's bytes in the socket until [`Output::Splice`] joins the connection with a
//!   stream of the client. From then on bytes pass unchanged in both directions, behind the
//!   messages that the stream was sent before, and are not given to the engine.
//! - Before reading in a direction, ask [`Engine::connection_free_at`], and wait until the time
//!   that it returns. After relaying bytes, count them with [`Engine::relayed_by_connection`].
//! - Call [`Engine::close_connection`] when the peer has closed the connection, and
//!   [`Engine::stream_closed`] when the client has. [`Output::CloseConnection`] closes the
//!   connection, and the stream if it names one.
//!
//! **ICMP errors**
//!
//! If [`Output::OpenRelay`] has `errors` set, its client is told of ICMP errors: have the system
//! report those of the socket, as far as it can, and hand each one to [`Engine::handle_icmp`] with
//! the destination of the datagram that met with it. The engine ignores those of other allocations.
//!
//! **Clients that move** (RFC 8016, [`Config::mobility`])
//!
//! A client that has moved sends a Refresh with its ticket from its new address, which may come to
//! another engine. [`Engine::worker_for`] names the one that has the allocation; hand it the
//! request, and from then on all datagrams of this five-tuple, if [`Engine::has_allocation`]
//! returns true for it there. [`Output::Forget`] ends this: the client is no longer at that
//! address.
//!
//! **Memory**
//!
//! [`Output::ReleaseMemory`] comes when most of many allocations are closed. A driver may shrink
//! its own tables then, and give free memory back to the system; it may as well ignore it.
//!
//! # Threads
//!
//! An [`Engine`] belongs to one thread at a time, and is `Send`. [`Common`] is cheap to clone,
//! `Send` and `Sync`; its one lock is taken when an allocation opens or closes and when a call
//! ends, never for a packet. [`Metrics`] has one writer, the thread of its engine, and any number
//! of readers ([`Snapshot::of`]).
//!
//! ```
//! fn may_be_sent<T: Send>() {}
//! fn may_be_shared<T: Send + Sync>() {}
//! may_be_sent::<callbox_turn::Engine>();
//! may_be_shared::<callbox_turn::Common>();
//! may_be_shared::<callbox_turn::Metrics>();
//! ```
//!
//! # Limits
//!
//! Whatever a client or a stranger can make grow is bounded by [`Config`]: allocations in all and
//! for each user (a reserved port counts as one), permissions, channels and connections of an
//! allocation, lifetimes, bytes and packets a second, and the error answers that an address is sent
//! before it has proved who it is. Nonces and challenges take no memory. The list of outputs is as
//! long as one input makes it, given that the driver takes them out. A message that is malformed,
//! or not allowed, gets the error of its RFC or a [`DropReason`]; nothing that comes from the
//! network makes the crate panic.
//!
//! # The main types
//!
//! | type | purpose |
//! |---|---|
//! | [`Config`], [`PeerPolicy`], [`ExternalIp`] | the settings |
//! | [`auth::TurnAuth`] | users, secrets and keys that requests are checked against |
//! | [`Common`] | the state of a server that its engines share |
//! | [`Engine`] | the core of one thread |
//! | [`Packet`], [`FiveTuple`], [`Via`] | a datagram, and the way that it came |
//! | [`FromClient`], [`FromPeer`], [`HandOver`] | the verdict on a packet |
//! | [`Output`] | something for the driver to do |
//! | [`Event`], [`Ended`] | news of allocations, for records and logs |
//! | [`Metrics`], [`Snapshot`], [`DropReason`] | counters |
//!
//! # Inside the crate
//!
//! | module | contents |
//! |---|---|
//! | `engine/` | the engine: public methods in `mod`, and one file for each method of TURN and for each other subject that needs several parts |
//! | `engine/routes` | the data path |
//! | `allocations`, `connections`, `streams`, `mobility`, `timers`, `output` | the parts of an engine, which own their state |
//! | `allocations::allocation`, `allocations::opening`, `permissions`, `channels` | one allocation, open or being opened |
//! | `ids`, `five_tuple`, `transport`, `verdict` | names, and verdicts on packets |
//! | `auth` | credentials, nonces, access tokens |
//! | `config` | the settings |
//! | `common`, `shared`, `quotas`, `relay_ports`, `ports`, `revocation`, `relayed` | the state that engines share |
//! | `peer_policy`, `own_addresses`, `special_ranges`, `addresses`, `machine` | the peers that may be reached |
//! | `signaled_policy` | the addresses that the sides of calls have announced |
//! | `limits`, `meter`, `rate`, `reply_limit` | bandwidth, packets and answers a second |
//! | `sorted_map` | the map of permissions and channels |
//! | `discovery` | NAT behaviour discovery |
//! | `faults` | requests that fail and credentials that expire, as tests want it |
//! | `metrics`, `drop_reason`, `stream_end`, `ended` | counters, and the ends of allocations |
#![forbid(unsafe_code)]

pub mod auth;
pub mod faults;

mod addresses;
mod allocations;
mod channels;
mod common;
mod config;
mod connections;
mod discovery;
mod drop_reason;
mod ended;
mod engine;
mod five_tuple;
mod ids;
mod limits;
mod machine;
mod meter;
mod metrics;
mod mobility;
mod output;
mod own_addresses;
mod peer_policy;
mod permissions;
mod ports;
mod quotas;
mod rate;
mod relay_ports;
mod relayed;
mod reply_limit;
mod revocation;
mod shared;
mod signaled_policy;
mod sorted_map;
mod special_ranges;
mod stream_end;
mod streams;
mod timers;
mod trace;
mod transport;
mod verdict;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

// The types of other crates that stand in this one's API.
pub use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    ids::{CallId, ClientAddr, PeerAddr, RelayedAddr, UserId},
    usage::Usage,
};
pub use callbox_stun::{
    ErrorCode, Family, Frame, HEADROOM, Icmp, MAX_FRAME, Packet, ParseError, Request, Response,
};
pub use ipnet::IpNet;

pub use addresses::{RelayAddresses, RelayIp};
pub use common::Common;
pub use config::{Config, ExternalIp, ExternalIpError};
pub use connections::MAX_WORKERS;
pub use discovery::Quartet;
pub use drop_reason::DropReason;
pub use ended::{EndReason, Ended};
pub use engine::Engine;
pub use five_tuple::{FiveTuple, Via};
pub use ids::{AllocationId, ConnectionId, StreamId};
pub use metrics::{Metrics, Snapshot};
pub use output::{Event, MAX_LOGGED_NAME, OpenError, Output};
pub use peer_policy::PeerPolicy;
pub use rate::Direction;
pub use relayed::Owner;
use shared::Shared;
pub use stream_end::StreamEnd;
pub use trace::{TraceOwner, TraceStep, Traced, TracedRequest};
pub use verdict::{FromClient, FromPeer, HandOver};
