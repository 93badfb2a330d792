use proptest::prelude::*;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio_tungstenite::tungstenite::protocol::{
    WebSocket,
    frame::{
        Frame,
        coding::{CloseCode, Control, Data, OpCode},
    },
};

use super::*;

const LONGEST: usize = 40_000;

/// A client's message.
#[derive(Debug, Clone)]
enum Sent {
    Text(usize),
    Fragments(Vec<usize>),
    Binary(usize),
    Ping,
}

fn text(length: usize) -> String {
    "aö".chars().cycle().take(length).collect()
}

/// Returns the bytes of a frame as a client sends it.
fn masked(mut frame: Frame) -> Vec<u8> {
    frame.header_mut().mask = Some([1, 200, 3, 78]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).unwrap();
    bytes
}

fn data(payload: impl Into<Bytes>, opcode: Data, is_final: bool) -> Vec<u8> {
    masked(Frame::message(payload, OpCode::Data(opcode), is_final))
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(length) => data(text(*length), Data::Text, true),
            Self::Binary(length) => data(vec![7; *length], Data::Binary, true),
            Self::Ping => masked(Frame::ping("are you there")),
            Self::Fragments(lengths) => {
                let mut bytes = Vec::new();
                for (at, length) in lengths.iter().enumerate() {
                    let opcode = if at == 0 { Data::Text } else { Data::Continue };
                    bytes.extend(data(text(*length), opcode, false));
                    bytes.extend(masked(Frame::ping("between")));
                }
                bytes.extend(data("", Data::Continue, true));
                bytes
            }
        }
    }

    fn heard(&self) -> Vec<Heard<String>> {
        match self {
            Self::Text(length) => vec![Heard::Text(text(*length))],
            Self::Binary(_) => vec![Heard::Binary],
            Self::Ping => vec![Heard::Control],
            Self::Fragments(lengths) => {
                let whole = Heard::Text(lengths.iter().map(|length| text(*length)).collect());
                let pings = lengths.iter().map(|_| Heard::Control);
                pings.chain([whole]).collect()
            }
        }
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        4 => (0usize..300).prop_map(Sent::Text),
        2 => (300usize..LONGEST / 2).prop_map(Sent::Text),
        1 => prop::collection::vec(0usize..1000, 1..4).prop_map(Sent::Fragments),
        1 => (0usize..1000).prop_map(Sent::Binary),
        1 => Just(Sent::Ping),
    ]
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn socket(read: &[u8]) -> (Socket<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(64 * 1024);
    (Socket::new(ours, read.to_vec().into(), LONGEST), theirs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Everything that a client sends arrives once and in order, in whatever pieces it is sent; its
    /// pings are answered between the messages that it is sent.
    #[test]
    fn all_messages_arrive_once_and_in_order(
        sent in prop::collection::vec(sent(), 1..12),
        pieces in prop::collection::vec(1usize..20_000, 1..6),
        early in 0usize..50,
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(Sent::bytes).collect();
        let expected: Vec<_> = sent.iter().flat_map(Sent::heard).collect();
        let (early, later) = bytes.split_at(early.min(bytes.len()));
        block_on(async {
            let (mut socket, theirs) = socket(early);
            let (mut reading, mut writing) = tokio::io::split(theirs);
            let write = async {
                let mut rest = later;
                for piece in pieces.iter().cycle() {
                    let (now, later) = rest.split_at(rest.len().min(*piece));
                    writing.write_all(now).await.unwrap();
                    tokio::task::yield_now().await;
                    rest = later;
                    if rest.is_empty() {
                        return;
                    }
                }
            };
            let read = async {
                let mut heard = Vec::new();
                while heard.len() < expected.len() {
                    heard.push(socket.next(str::to_owned).await.unwrap().unwrap());
                    socket.feed(|frame| frame.extend_from_slice(b"heard")).unwrap();
                    socket.flush().await.unwrap();
                }
                assert!(socket.wire.incoming.is_empty(), "nothing is kept");
                drop(socket);
                heard
            };
            let mut answers = Vec::new();
            let ((), heard, answered) = tokio::join!(write, read, reading.read_to_end(&mut answers));
            answered.unwrap();
            assert_eq!(heard, expected);
            let mut client = WebSocket::from_raw_socket(io::Cursor::new(answers), Role::Client, None);
            let (mut texts, mut pongs) = (0, 0);
            while let Ok(message) = client.read() {
                match message {
                    Message::Text(text) if text == "heard" => texts += 1,
                    Message::Pong(_) => pongs += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(texts, expected.len());
            let pings = expected.iter().filter(|heard| **heard == Heard::Control).count();
            // Of pings that come at once only the last one is answered (RFC 6455 §5.5.3).
            assert!(pongs <= pings && (pongs > 0) == (pings > 0));
        });
    }
}

/// Returns the error of reading after a client has sent these bytes.
async fn error_after(bytes: &[u8]) -> Error {
    let (mut socket, mut client) = socket(&[]);
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    loop {
        match socket.next(str::to_owned).await {
            Some(Ok(heard)) => assert!(!matches!(heard, Heard::Text(_)), "{heard:?}"),
            Some(Err(error)) => {
                assert!(socket.next(str::to_owned).await.is_none(), "it is over");
                return error;
            }
            None => return Error::ConnectionClosed,
        }
    }
}

#[tokio::test]
async fn a_violation_of_the_protocol_is_an_error() {
    let mut unmasked = Vec::new();
    let frame = Frame::message("x", OpCode::Data(Data::Text), true);
    frame.format(&mut unmasked).unwrap();
    let mut reserved = data("x", Data::Text, true);
    reserved[0] |= 0x40;
    let inside = [data("x", Data::Text, false), data("y", Data::Text, true)].concat();
    for bytes in [unmasked, reserved, inside, data("x", Data::Continue, true)] {
        assert!(matches!(error_after(&bytes).await, Error::Protocol(_)), "{bytes:?}");
    }
    let bytes = data(vec![0xff, 0xfe], Data::Text, true);
    assert!(matches!(error_after(&bytes).await, Error::Utf8(_)));
    let bytes = data(vec![b'x'; LONGEST + 1], Data::Text, true);
    assert!(matches!(error_after(&bytes).await, Error::Capacity(_)));
    // The length does not fit into any memory.
    let bytes = [&[0x81, 0xff][..], &[0xff; 8], &[0; 4]].concat();
    assert!(matches!(error_after(&bytes).await, Error::Capacity(_)));
    // The stream ends in the middle of a head, and of a message.
    let whole = data(text(200), Data::Text, true);
    for length in [0, 1, 3, 7, 100] {
        assert!(matches!(error_after(&whole[..length]).await, Error::Protocol(_)), "{length}");
    }
}

#[tokio::test]
async fn a_close_is_answered_and_is_the_last() {
    let (mut socket, mut client) = socket(&[]);
    let close = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    let mut bytes = masked(Frame::close(Some(close.clone())));
    bytes.extend(data("too late", Data::Text, true));
    client.write_all(&bytes).await.unwrap();
    assert_eq!(socket.next(str::to_owned).await.unwrap().unwrap(), Heard::Close(Some(close)));
    assert!(socket.feed(|_| ()).is_err());
    let _ = socket.close(None).await;
    assert!(socket.next(str::to_owned).await.is_none());
    drop(socket);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer[0], 0x80 | u8::from(OpCode::Control(Control::Close)));
}

/// A message that is partly sent is not interrupted by the answer to a ping.
#[tokio::test]
async fn a_slow_client_gets_whole_frames() {
    let (ours, mut client) = duplex(100);
    let mut socket = Socket::new(ours, Bytes::new(), LONGEST);
    client.write_all(&masked(Frame::ping("x"))).await.unwrap();
    let long = text(1000);
    socket.feed(|frame| frame.extend_from_slice(long.as_bytes())).unwrap();
    let is_blocked = poll_fn(|cx| Poll::Ready(socket.poll_flush(cx).is_pending())).await;
    assert!(is_blocked && socket.wire.outgoing.has_begun());
    assert_eq!(socket.next(str::to_owned).await.unwrap().unwrap(), Heard::Control);
    let write = async {
        socket.send(Message::Close(None)).await.unwrap();
        drop(socket);
    };
    let mut bytes = Vec::new();
    let ((), read) = tokio::join!(write, client.read_to_end(&mut bytes));
    read.unwrap();
    let mut client = WebSocket::from_raw_socket(io::Cursor::new(bytes), Role::Client, None);
    assert_eq!(client.read().unwrap(), Message::text(long));
    assert!(matches!(client.read().unwrap(), Message::Pong(_)));
}
