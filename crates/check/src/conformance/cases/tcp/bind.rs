//! ConnectionBind: a stream of the client for a connection.

use super::{
    super::super::{
        case::Case, client::Client, request::Request, target::Target, verdict::Verdict,
    },
    Pending, relays_tcp, stream,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "tcp/bind-unknown",
        "RFC 6062 §5.4",
        "ConnectionBind with a CONNECTION-ID that was never given is a 400",
        bind_unknown,
    )
    .over_streams(),
    Case::new(
        "tcp/bind-no-id",
        "RFC 6062 §5.4",
        "ConnectionBind without CONNECTION-ID is a 400",
        bind_no_id,
    )
    .over_streams(),
    Case::new(
        "tcp/bind-twice",
        "RFC 6062 §5.4",
        "ConnectionBind with a CONNECTION-ID that is bound is a 400",
        bind_twice,
    )
    .over_streams(),
    Case::new(
        "tcp/bind-over-udp",
        "RFC 6062 §5.4",
        "ConnectionBind over UDP is a 400",
        bind_over_udp,
    )
    .over_datagrams(),
    Case::new(
        "tcp/bind-other-user",
        "RFC 6062 §4.3",
        "ConnectionBind by another user is refused, and the connection stays its user's",
        bind_other_user,
    )
    .over_streams(),
    Case::new(
        "tcp/bind-control-connection",
        "RFC 6062 §4.3",
        "ConnectionBind on the stream of the allocation is refused, and a new one can be bound",
        bind_control_connection,
    )
    .over_streams(),
];

fn bind_unknown(target: &Target) -> Verdict {
    let pending = Pending::make(target)?;
    let request = Request::connection_bind(!pending.number);
    stream(target, &pending.client)?.ask(&request)?.refused(400).map(|_| ())
}

fn bind_no_id(target: &Target) -> Verdict {
    let pending = Pending::make(target)?;
    let request = Request::bare_connection_bind();
    stream(target, &pending.client)?.ask(&request)?.refused(400).map(|_| ())
}

fn bind_twice(target: &Target) -> Verdict {
    let pending = Pending::make(target)?;
    let number = pending.number;
    let mut connection = pending.bind()?;
    let again = Request::connection_bind(number);
    stream(target, &connection.client)?.ask(&again)?.refused(400)?;
    connection.both_ways()
}

fn bind_over_udp(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    // The answer to that is for another case.
    relays_tcp(client.ask(&target.allocate_tcp())?)?;
    client.ask(&Request::connection_bind(7))?.refused(400).map(|_| ())
}

fn bind_other_user(target: &Target) -> Verdict {
    let other = target.other_user()?;
    let pending = Pending::make(target)?;
    let mut stream = Client::connect(target)?;
    stream.log_in(pending.client.login()?.as_user(&other.name, &other.password));
    // The RFC does not say how it is refused; the server may close the stream.
    if let Ok(answer) = stream.ask(&Request::connection_bind(pending.number)) {
        answer.refused_somehow()?;
    }
    pending.bind()?.both_ways()
}

fn bind_control_connection(target: &Target) -> Verdict {
    let mut pending = Pending::make(target)?;
    pending.client.ask(&Request::connection_bind(pending.number))?.refused_somehow()?;
    pending.bind()?.both_ways()
}
