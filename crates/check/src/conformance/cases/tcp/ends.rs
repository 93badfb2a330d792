//! The end of a connection: with either side, and with its allocation.

use super::{
    super::super::{
        answer::Answer,
        case::Case,
        request::Request,
        target::Target,
        verdict::{Step, Verdict},
    },
    Connection, ends,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "tcp/client-closes",
        "RFC 6062 §5.5",
        "when the client closes a bound stream, the peer's connection is closed",
        client_closes,
    )
    .over_streams(),
    Case::new(
        "tcp/peer-closes",
        "RFC 6062 §5.5",
        "when the peer closes its connection, the bound stream is closed",
        peer_closes,
    )
    .over_streams(),
    Case::new(
        "tcp/deleted",
        "RFC 6062 §5.5",
        "when the allocation ends, the peer's connection and the bound stream are closed",
        deleted,
    )
    .over_streams(),
];

fn client_closes(target: &Target) -> Verdict {
    let mut connection = Connection::make(target)?;
    drop(connection.stream);
    ends("the peer's connection", || connection.peer_connection.bytes(target.timeout))
}

fn peer_closes(target: &Target) -> Verdict {
    let mut connection = Connection::make(target)?;
    drop(connection.peer_connection);
    ends("the client's stream", || connection.stream.bytes(target.timeout))
}

fn deleted(target: &Target) -> Verdict {
    let mut connection = Connection::make(target)?;
    let refresh = Request::refresh().lifetime(0);
    connection.client.ask(&refresh).and_then(Answer::success).step("Refresh")?;
    ends("the peer's connection", || connection.peer_connection.bytes(target.timeout))?;
    ends("the client's stream", || connection.stream.bytes(target.timeout))
}
