//! Data of any size and content, which must arrive unchanged.

use super::super::{
    case::Case,
    client::{CHANNEL, Client},
    data::Data,
    delivery,
    request::{Request, channel_data},
    target::Target,
    verdict::Verdict,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "data/channel-to-peer",
        "RFC 8656 §12.6",
        "ChannelData of 0 to 1400 bytes arrives at the peer as it was",
        |target| channel(target, true, sizes()),
    ),
    Case::new(
        "data/channel-from-peer",
        "RFC 8656 §12.7",
        "datagrams of 0 to 1400 bytes arrive as ChannelData as they were",
        |target| channel(target, false, sizes()),
    ),
    Case::new(
        "data/send-to-peer",
        "RFC 8656 §11.2",
        "Send indications with 0 to 1400 bytes arrive at the peer as they were",
        |target| indication(target, true, sizes()),
    ),
    Case::new(
        "data/data-from-peer",
        "RFC 8656 §11.3",
        "datagrams of 0 to 1400 bytes arrive as Data indications as they were",
        |target| indication(target, false, sizes()),
    ),
    Case::new(
        "data/like-a-message",
        "RFC 8656 §12.6",
        "data to a peer that looks like a message of STUN or TURN is data",
        |target| {
            channel(target, true, lookalikes())?;
            indication(target, true, lookalikes())
        },
    ),
    Case::new(
        "data/like-a-message-from-peer",
        "RFC 8656 §12.7",
        "data from a peer that looks like a message of STUN or TURN is data, and not answered",
        |target| {
            channel(target, false, lookalikes())?;
            indication(target, false, lookalikes())
        },
    ),
];

/// Creates data of every small size, of sizes on both sides of powers of two, and of some between.
/// Each byte depends on its offset and on the size.
fn sizes() -> Vec<Vec<u8>> {
    let around = |size: usize| [size - 1, size, size + 1];
    let mut sizes: Vec<usize> =
        (0..=20).chain([32, 64, 128, 256, 512, 1024].map(around).concat()).collect();
    sizes.extend((100..1400).step_by(77));
    sizes.extend(1396..=1400);
    let data = |size: usize| (0..size).map(|at| (at * 31 + size * 7) as u8).collect();
    sizes.into_iter().map(data).collect()
}

/// Creates a Binding request, a signed Refresh that would close the allocation, and ChannelData.
fn lookalikes() -> Vec<Vec<u8>> {
    vec![
        Request::binding().bytes(),
        Request::binding().fingerprint().bytes(),
        Request::refresh().lifetime(0).bytes(),
        channel_data(CHANNEL, b"inside", false),
    ]
}

fn channel(target: &Target, to_peer: bool, all: Vec<Vec<u8>>) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    for data in all {
        if to_peer {
            let message = channel_data(CHANNEL, &data, !target.transport.is_lossy());
            delivery::to_peer(target, &mut client, &peer, &message, &data)?;
        } else {
            let form = Data::Channel(CHANNEL, data.clone());
            delivery::from_peer(target, &mut client, &peer, &data, &form)?;
        }
    }
    Ok(())
}

fn indication(target: &Target, to_peer: bool, all: Vec<Vec<u8>>) -> Verdict {
    let (mut client, peer) = Client::permitted(target)?;
    for data in all {
        if to_peer {
            let send = Request::send(peer.address, &data).bytes();
            delivery::to_peer(target, &mut client, &peer, &send, &data)?;
        } else {
            let form = Data::Indication(peer.address, data.clone());
            delivery::from_peer(target, &mut client, &peer, &data, &form)?;
        }
    }
    Ok(())
}
