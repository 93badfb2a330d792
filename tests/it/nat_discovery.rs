//! NAT behaviour discovery (RFC 5780) over real sockets, with coturn's tools and a bare client.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use callbox_client::{Request, attribute, mapped_address};
use stun::{addr::MappedAddress, attributes::*, message::*};

use crate::{
    coturn_tools::run,
    support::{plain_client::parse, *},
};

const OTHER: &str = "127.0.0.2";

/// Starts a relay with 127.0.0.2 as its second address, on a port whose successor is free as well.
fn server(workers: usize, replies: u32) -> Server {
    let alternate: IpAddr = OTHER.parse().unwrap();
    let start = || {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        start_on(listen, Some(alternate), workers, |turn| {
            turn.max_unauthenticated_replies = replies
        })
    };
    (0..20).find_map(|_| start().ok()).expect("somewhere two ports in a row are free")
}

#[test]
fn coturn_s_tools_find_no_nat_on_loopback() {
    for workers in [1, 2] {
        let server = server(workers, 1000);
        let at = server.address(false);
        let text = run("turnutils_stunclient", at, &["-f"]);
        assert!(text.contains(&format!("Other addr: : {OTHER}:{}", at.port() + 1)), "{text}");
        assert!(text.contains("UDP reflexive addr: 127.0.0.1:"), "{text}");
        for padding in [&[][..], &["-P"]] {
            let text = run(
                "turnutils_natdiscovery",
                at,
                &[&["-m", "-f", "-L", "127.0.0.1"], padding].concat(),
            );
            assert!(text.contains("No NAT! (Endpoint Independent Mapping)"), "{text}");
            assert!(text.contains("NAT with Endpoint Independent Filtering!"), "{text}");
        }
    }
}

struct Requester(UdpSocket);

impl Requester {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    fn ask(&self, at: SocketAddr, attributes: &[(AttrType, &[u8])]) -> usize {
        let attributes = attributes.iter().map(|(typ, value)| attribute(*typ, value));
        let message = attributes.fold(Request::binding(), Request::with).to_message().unwrap();
        self.0.send_to(&message.raw, at).unwrap();
        message.raw.len()
    }

    fn receive(&self) -> (Message, SocketAddr) {
        let mut buffer = [0; 4000];
        let (len, from) = self.0.recv_from(&mut buffer).expect("an answer before the deadline");
        (parse(&buffer[..len]), from)
    }
}

fn address(message: &Message, typ: AttrType) -> SocketAddr {
    let mut address = MappedAddress::default();
    address.get_from_as(message, typ).unwrap();
    SocketAddr::new(address.ip, address.port)
}

/// With many workers as well, each response leaves from the right address, whichever worker got the
/// request.
#[test]
fn a_response_leaves_from_the_requested_address() {
    let server = server(4, 1000);
    let port = server.address(false).port();
    let at = |n: usize| -> SocketAddr {
        let ip: IpAddr = [127, 0, 0, 1 + (n >> 1) as u8].into();
        (ip, port + (n & 1) as u16).into()
    };
    for _ in 0..8 {
        let requester = Requester::new();
        for asked in 0..4 {
            for change in 0..4 {
                requester.ask(at(asked), &[(ATTR_CHANGE_REQUEST, &[0, 0, 0, (change as u8) << 1])]);
                let (answer, from) = requester.receive();
                assert_eq!(answer.typ, BINDING_SUCCESS);
                assert_eq!(from, at(asked ^ change), "{asked} {change}");
                assert_eq!(address(&answer, ATTR_RESPONSE_ORIGIN), from);
                assert_eq!(address(&answer, ATTR_OTHER_ADDRESS), at(asked ^ 3));
                let port = requester.0.local_addr().unwrap().port();
                assert_eq!(mapped_address(&answer).unwrap().port(), port);
            }
        }
    }
}

#[test]
fn response_port_and_padding_are_honoured() {
    let server = server(2, 1000);
    let at = server.address(false);
    let (requester, other) = (Requester::new(), Requester::new());
    let port = other.0.local_addr().unwrap().port().to_be_bytes();
    requester.ask(at, &[(ATTR_RESPONSE_PORT, &port)]);
    assert_eq!(other.receive().0.typ, BINDING_SUCCESS);
    // The response never exceeds the size of the request by padding.
    for len in [0, 1, 1000, 1500, 3000] {
        let padding = vec![7; len];
        requester.ask(at, &[(ATTR_PADDING, &padding)]);
        assert_eq!(requester.receive().0.get(ATTR_PADDING).unwrap().len(), len.min(1500));
    }
    requester.ask(at, &[(ATTR_RESPONSE_PORT, &port), (ATTR_PADDING, &[0; 8])]);
    assert_eq!(requester.receive().0.typ.class, CLASS_ERROR_RESPONSE);
}

/// Responses that can be directed at a third party are limited.
#[test]
fn redirected_and_padded_responses_are_limited() {
    let server = server(1, 100);
    let at = server.address(false);
    let requester = Requester::new();
    for _ in 0..1000 {
        requester.ask(at, &[(ATTR_CHANGE_REQUEST, &[0; 4])]);
    }
    wait_until("most are dropped", || {
        server.relay.metrics().drops.iter().any(|(why, n)| *why == "reply_limit" && *n > 500)
    });
    // A plain response is not limited.
    assert!(answers_plainly(at));
}

fn answers_plainly(at: SocketAddr) -> bool {
    let requester = Requester::new();
    requester.ask(at, &[]);
    requester.receive().0.typ == BINDING_SUCCESS
}

#[test]
fn without_a_second_address_discovery_is_refused() {
    let server = start(1, |_| {});
    for (typ, value) in [
        (ATTR_CHANGE_REQUEST, &[0, 0, 0, 6][..]),
        (ATTR_RESPONSE_PORT, &[1, 1]),
        (ATTR_PADDING, &[0; 4]),
    ] {
        let requester = Requester::new();
        requester.ask(server.address(false), &[(typ, value)]);
        let (answer, _) = requester.receive();
        let mut code = stun::error_code::ErrorCodeAttribute::default();
        code.get_from(&answer).unwrap();
        assert_eq!(code.code.0, 420, "{typ}");
        requester.ask(server.address(false), &[]);
        assert!(requester.receive().0.get(ATTR_OTHER_ADDRESS).is_err());
    }
}
