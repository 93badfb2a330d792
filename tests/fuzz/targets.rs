//! The fuzz targets: each takes any bytes, and panics if an invariant is violated. Shared by the
//! test that runs everywhere (`tests/it/fuzzing.rs`) and by the programs for libFuzzer (`fuzz/`).

use callbox::http::socketio::{
    engine::{self, Revision},
    packet,
};
use callbox_stun::{ChannelData, Frame, HEADROOM, Kind, MAX_FRAME, Packet, Request};

pub(super) use self::{signaling_frames::signaling_frames, turn_server::turn_server};

mod signaling_frames;
mod turn_server;

/// A target: its name and its function.
pub(super) type Target = (&'static str, fn(&[u8]));

/// Every target.
pub(super) const ALL: [Target; 6] = [
    ("stun_message", stun_message),
    ("stream_framing", stream_framing),
    ("channel_data", channel_data),
    ("turn_server", turn_server),
    ("signaling_frames", signaling_frames),
    ("socketio_packets", socketio_packets),
];

/// A message is parsed or refused, and everything parsed lies within its bytes.
pub(super) fn stun_message(bytes: &[u8]) {
    let Ok(request) = Request::parse(bytes) else { return };
    assert_eq!(Kind::of(bytes), Kind::Stun);
    if let Some(data) = &request.attributes.data {
        assert!(bytes.get(data.clone()).is_some());
    }
    // Each iterator is run to its end.
    request.peers().for_each(drop);
    assert_eq!(
        Frame::first(bytes, MAX_FRAME),
        Frame::Whole { message: bytes.len(), ends: bytes.len() }
    );
}

/// The boundaries of messages do not depend on how a stream was split.
pub(super) fn stream_framing(bytes: &[u8]) {
    let Some((&step, bytes)) = bytes.split_first() else { return };
    let limit = 4096;
    let frames = |step: usize| {
        let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
        loop {
            match Frame::first(&bytes[start..end], limit) {
                Frame::Whole { message, ends } => {
                    assert!(message <= ends && ends <= end - start && message <= limit);
                    found.push((start, message));
                    start += ends;
                }
                Frame::Part if end < bytes.len() => end = (end + step).min(bytes.len()),
                // The stream is closed in either case; the split decides which is noticed first.
                last => return (found, start, last == Frame::Part),
            }
        }
    };
    let whole = frames(bytes.len().max(1));
    assert_eq!(frames(usize::from(step).max(1)), whole);
}

/// A ChannelData message is parsed within its bounds, and encodes to the same bytes.
pub(super) fn channel_data(bytes: &[u8]) {
    let Some(read) = ChannelData::parse(bytes) else { return };
    let payload = bytes[read.payload.clone()].to_vec();
    let mut buffer = vec![0; HEADROOM + payload.len() + HEADROOM];
    let range = HEADROOM..HEADROOM + payload.len();
    buffer[range.clone()].copy_from_slice(&payload);
    let mut packet = Packet::new(&mut buffer, range);
    ChannelData::wrap(&mut packet, read.number);
    assert_eq!(packet.bytes(), &bytes[..read.payload.end]);
}

/// A Socket.IO payload is split into the same packets after it was encoded again, and each of its
/// packets is parsed or refused; everything parsed lies within it.
pub(super) fn socketio_packets(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for revision in [Revision::Three, Revision::Four] {
        let split = |payload| {
            let packets = engine::packets(revision, payload).flatten();
            packets.filter(|packet| !packet.is_empty()).collect::<Vec<&str>>()
        };
        let read = split(text);
        let mut written = String::new();
        read.iter().for_each(|packet| engine::append(revision, &mut written, packet));
        assert_eq!(split(&written), read);
        for packet in read {
            let Ok(engine::Packet::Message(content)) = engine::Packet::parse(packet) else {
                continue;
            };
            let Ok(packet::Packet::Event { arguments, .. }) = packet::Packet::parse(content) else {
                continue;
            };
            assert!(content.ends_with(arguments));
            let name = packet::event_name(arguments);
            if let Ok((read, _)) = packet::arguments(arguments) {
                assert!(name.is_none_or(|name| name == read));
            }
        }
    }
}
