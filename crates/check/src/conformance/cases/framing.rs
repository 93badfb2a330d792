//! Streams: they carry bytes and no messages, so that each end has to find the bounds (RFC 8489
//! §6.2.2, RFC 8656 §12.5).

use std::time::{Duration, Instant};

use ::stun::attributes::ATTR_XORMAPPED_ADDRESS;

use super::super::{
    answer::Answer,
    case::Case,
    client::{CHANNEL, Client},
    data::Data,
    delivery,
    request::{Request, channel_data},
    target::Target,
    verdict::{Fault, Step, Verdict, ensure},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "framing/torn",
        "RFC 8489 §6.2.2",
        "a request that comes byte by byte is answered",
        torn,
    )
    .over_streams(),
    Case::new(
        "framing/two-in-one",
        "RFC 8489 §6.2.2",
        "two requests in one segment are both answered",
        two_in_one,
    )
    .over_streams(),
    Case::new(
        "framing/one-and-a-half",
        "RFC 8489 §6.2.2",
        "a request and half of the next are answered as their ends come",
        one_and_a_half,
    )
    .over_streams(),
    Case::new(
        "framing/padding-to-server",
        "RFC 8656 §12.5",
        "the padding of ChannelData is not relayed, and what follows it is understood",
        padding_to_server,
    )
    .over_streams(),
    Case::new(
        "framing/padding-from-server",
        "RFC 8656 §12.5",
        "ChannelData from the server is padded to four bytes",
        padding_from_server,
    )
    .over_streams(),
    Case::new(
        "framing/torn-channel-data",
        "RFC 8656 §12.6",
        "ChannelData that comes in two pieces is relayed, wherever it is torn",
        torn_channel_data,
    )
    .over_streams(),
    Case::new(
        "framing/mixed",
        "RFC 8656 §12.6",
        "ChannelData, a Send indication and a request in one segment all have their effect",
        mixed,
    )
    .over_streams(),
];

/// The time for which nothing must come of a part of a message.
const PART: Duration = Duration::from_millis(5);

fn answered(client: &mut Client<'_>, target: &Target, request: &Request) -> Verdict {
    let until = Instant::now() + target.timeout;
    let answer = client.answer(request, until)?;
    let answer = answer.ok_or_else(|| Fault::failed("an answer", "nothing"))?;
    answer.success()?.address(ATTR_XORMAPPED_ADDRESS).map(|_| ())
}

fn torn(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let request = Request::binding();
    for byte in request.bytes() {
        // The pieces are to come one by one, and nothing can come of them before the last.
        ensure(client.next(PART)?.is_none(), "no answer to a part", "one")?;
        client.send(&[byte])?;
    }
    answered(&mut client, target, &request)
}

fn two_in_one(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let (first, second) = (Request::binding(), Request::binding());
    client.send(&[first.bytes(), second.bytes()].concat())?;
    let mut open = vec![first.id(), second.id()];
    while !open.is_empty() {
        let next = client.next(target.timeout)?;
        let bytes = next.ok_or_else(|| Fault::failed("two answers", "fewer"))?;
        Answer::parse(&bytes)?.success()?;
        let before = open.len();
        open.retain(|id| bytes[8..20] != *id);
        ensure(open.len() < before, "an answer to one of the two", "another one")?;
    }
    Ok(())
}

fn one_and_a_half(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let (first, second) = (Request::binding(), Request::binding());
    let (head, tail) = (second.bytes()[..10].to_vec(), second.bytes()[10..].to_vec());
    client.send(&[first.bytes(), head].concat())?;
    answered(&mut client, target, &first).step("the first")?;
    client.send(&tail)?;
    answered(&mut client, target, &second).step("the second")
}

fn padding_to_server(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    for data in [&b"1"[..], b"12", b"123", b"1234"] {
        let request = Request::binding();
        let bytes = [channel_data(CHANNEL, data, true), request.bytes()].concat();
        delivery::to_peer(target, &mut client, &peer, &bytes, data)?;
        answered(&mut client, target, &request).step("a Binding behind it")?;
    }
    Ok(())
}

fn padding_from_server(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    for data in [&b"1"[..], b"12", b"123", b"1234"] {
        let form = Data::Channel(CHANNEL, data.to_vec());
        delivery::from_peer(target, &mut client, &peer, data, &form)?;
        // Without the padding, this would not be found where it should begin.
        client.exchange(&Request::binding()).step("a Binding after it")?;
    }
    Ok(())
}

fn torn_channel_data(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    let message = channel_data(CHANNEL, b"torn apart", true);
    for at in 1..message.len() {
        let (head, tail) = message.split_at(at);
        delivery::to_peer_in_pieces(target, &mut client, &peer, &[head, tail], b"torn apart")
            .step(&format!("torn after {at} bytes"))?;
    }
    Ok(())
}

fn mixed(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    let request = Request::binding();
    let all = [
        channel_data(CHANNEL, b"one", true),
        Request::send(peer.address, b"two").bytes(),
        request.bytes(),
        channel_data(CHANNEL, b"three", true),
    ];
    client.send(&all.concat())?;
    answered(&mut client, target, &request)?;
    let until = Instant::now() + target.timeout;
    let mut open = vec![&b"one"[..], b"two", b"three"];
    while !open.is_empty() {
        let Some((data, _)) = peer.receive(until)? else {
            return Err(Fault::failed(
                "three datagrams at the peer",
                format!("{}", 3 - open.len()),
            ));
        };
        open.retain(|other| *other != data);
    }
    Ok(())
}
