//! The seeds of fuzzing: the test vectors of the RFCs, and short conversations.

const REQUEST: &[u8] = include_bytes!("../fixtures/stun/rfc5769-request.bin");
const LONG_TERM: &[u8] = include_bytes!("../fixtures/stun/rfc5769-long-term.bin");
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";
const CHANNEL: &[u8] = b"\x40\x01\x00\x05hello\0\0\0";

/// Returns the seeds of a target.
pub(super) fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "stun_message" => vec![REQUEST.to_vec(), LONG_TERM.to_vec(), BINDING.to_vec()],
        "stream_framing" => vec![
            [&[3], REQUEST, CHANNEL, LONG_TERM].concat(),
            [&[1], CHANNEL, CHANNEL, BINDING].concat(),
            [&[200], LONG_TERM, &BINDING[..9]].concat(),
        ],
        "channel_data" => vec![CHANNEL.to_vec(), b"\x7f\xff\x00\x00".to_vec()],
        "turn_server" => vec![
            conversation(0),
            conversation(1),
            [vec![0, 0, BINDING.len() as u8], BINDING.to_vec(), conversation(3)].concat(),
        ],
        "signaling_frames" => vec![
            br#"A{"event":"call:initiate","data":{"targetUserId":"bob","callType":"video"}}
B{"event":"call:accept","data":{"callId":"$"}}
A{"event":"signal:offer","data":{"callId":"$","sdp":"v=0"}}
B{"event":"signal:answer","data":{"callId":"$","sdp":"v=0"}}
A{"event":"ice:candidate","data":{"callId":"$","candidate":"candidate:1"}}
B{"event":"call:end","data":{"callId":"$"}}"#
                .to_vec(),
            br#"A{"event":"call:initiate","data":{"targetUserId":"carol","callType":"audio"}}
C{"event":"call:reject","data":{"callId":"$"}}"#
                .to_vec(),
        ],
        "socketio_packets" => vec![
            b"42[\"call:end\",{\"callId\":\"x\"}]\x1e427[\"call:initiate\",{}]\x1e3".to_vec(),
            b"40{\"token\":\"t\"}\x1e40/admin,\x1e451-[\"a\",{\"_placeholder\":true}]\x1ebAQID"
                .to_vec(),
            b"16:42[\"call:accept\"]1:22:41".to_vec(),
        ],
        other => panic!("there is no target {other}"),
    }
}

/// Returns a client's requests for a nonce, an allocation, a permission and a channel, and data.
fn conversation(client: u8) -> Vec<u8> {
    let ask = |method: u8, attributes: &[u8]| [&[4, client, method], attributes].concat();
    [
        ask(1, &[1, 0, 1]),
        ask(1, &[1, 0, 1]),
        ask(5, &[1, 3, 0]),
        ask(6, &[2, 2, 1, 3, 0]),
        vec![0, client, 12],
        CHANNEL.to_vec(),
        vec![2, 0, 0, 40],
        vec![1, 0, 61],
        ask(4, &[1, 5, 0, 0]),
    ]
    .concat()
}
