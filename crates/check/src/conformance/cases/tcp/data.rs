//! Data on a bound stream, which is relayed unchanged both ways.

use super::{
    super::super::{
        case::Case,
        client::CHANNEL,
        request::{Request, channel_data},
        target::Target,
        verdict::Verdict,
    },
    Connection, Pending, arrives, from_peer, to_peer,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "tcp/data",
        "RFC 6062 §5.4",
        "what is sent on a bound stream arrives at the peer, and what that sends on the stream",
        |target| Connection::make(target)?.both_ways(),
    )
    .over_streams(),
    Case::new(
        "tcp/early-data",
        "RFC 6062 §5.4",
        "what the peer sends before ConnectionBind arrives after it",
        early_data,
    )
    .over_streams(),
    Case::new(
        "tcp/like-messages",
        "RFC 6062 §5.4",
        "data that looks like messages of STUN and TURN is data, both ways",
        like_messages,
    )
    .over_streams(),
    Case::new(
        "tcp/much-data",
        "RFC 6062 §5.4",
        "half a megabyte each way arrives as it was",
        much_data,
    )
    .over_streams(),
];

fn early_data(target: &Target) -> Verdict {
    let mut pending = Pending::make(target)?;
    pending.peer_connection.send(b"early")?;
    let mut connection = pending.bind()?;
    arrives(b"early", || connection.stream.bytes(target.timeout))?;
    connection.both_ways()
}

fn like_messages(target: &Target) -> Verdict {
    let mut connection = Connection::make(target)?;
    let messages = [
        Request::binding().bytes(),
        Request::refresh().lifetime(0).signed(&connection.client.login()?).bytes(),
        channel_data(CHANNEL, b"to nobody", true),
    ];
    for message in messages {
        let (stream, peer_connection) = (&mut connection.stream, &mut connection.peer_connection);
        to_peer(target, stream, peer_connection, &message)?;
        from_peer(target, stream, peer_connection, &message)?;
    }
    // An answer to one of them would have come before this.
    connection.both_ways()
}

fn much_data(target: &Target) -> Verdict {
    let mut connection = Connection::make(target)?;
    let chunk: Vec<u8> = (0..8192).map(|at: u32| (at % 251) as u8).collect();
    for _ in 0..64 {
        let (stream, peer_connection) = (&mut connection.stream, &mut connection.peer_connection);
        to_peer(target, stream, peer_connection, &chunk)?;
        from_peer(target, stream, peer_connection, &chunk)?;
    }
    Ok(())
}
