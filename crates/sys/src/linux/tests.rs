use std::{io, net::UdpSocket};

use super::*;
use crate::{SocketError, TrafficClass};

fn pair(ip: &str) -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind((ip, 0)).unwrap(), UdpSocket::bind((ip, 0)).unwrap())
}

#[test]
fn a_batch_that_is_sent_is_received_as_one() {
    for ip in ["127.0.0.1", "::1"] {
        let (from, to) = pair(ip);
        let mut batch = SendBatch::default();
        let address = Some(to.local_addr().unwrap());
        for at in 0..5 {
            batch.push(address, TrafficClass::DEFAULT, at..at + 3, 3);
        }
        assert_eq!(batch.send(&from, b"abcdefg").datagrams, 5);
        assert!(batch.is_empty());
        let mut received = ReceiveBatch::new(8, 100, 4, 10);
        assert_eq!(received.receive(&to, 0..2).unwrap(), 2);
        assert_eq!(received.receive(&to, 2..8).unwrap(), 3);
        for at in 0..5 {
            let got = received.received(at).unwrap();
            assert_eq!((got.source, got.segment), (from.local_addr().unwrap(), 3));
            assert_eq!(&received.buffer()[got.bytes], &b"abcdefg"[at..at + 3]);
        }
        assert_eq!(received.spare().len(), 10);
        let empty = received.receive(&to, 0..8).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn a_run_is_segmented_and_joined_again() {
    let (from, to) = pair("127.0.0.1");
    let address = Some(to.local_addr().unwrap());
    let send_run = || {
        let mut batch = SendBatch::default();
        let run = batch.push(address, TrafficClass::DEFAULT, 6..10, 4);
        assert!(!batch.extend(run, None, TrafficClass::DEFAULT, 0..4), "to another address");
        assert!(
            batch.extend(run, address, TrafficClass::DEFAULT, 0..4)
                && batch.extend(run, address, TrafficClass::DEFAULT, 4..6)
        );
        assert!(!batch.extend(run, address, TrafficClass::DEFAULT, 0..1), "after a shorter one");
        assert_eq!(batch.send(&from, b"abcdefghij").datagrams, 3);
    };
    let mut received = ReceiveBatch::new(8, 100, 0, 0);
    send_run();
    assert_eq!(received.receive(&to, 0..8).unwrap(), 3);
    let bytes = |received: &ReceiveBatch, at| {
        received.buffer()[received.received(at).unwrap().bytes].to_vec()
    };
    assert_eq!([bytes(&received, 0), bytes(&received, 2)], [&b"ghij"[..], b"ef"]);
    enable_gro(&to).unwrap();
    send_run();
    assert_eq!(received.receive(&to, 0..8).unwrap(), 1);
    let got = received.received(0).unwrap();
    assert_eq!((got.segment, got.count()), (4, 3));
    assert_eq!(&received.buffer()[got.bytes.clone()], b"ghijabcdef");
    let lengths: Vec<_> = got.datagrams().map(|datagram| datagram.len()).collect();
    assert_eq!(lengths, [4, 4, 2]);
}

/// Sets a class on a socket by other means than [`SendBatch`].
fn mark(socket: &UdpSocket, class: u8) {
    let v4 = socket.local_addr().unwrap().is_ipv4();
    let socket = socket2::SockRef::from(socket);
    match v4 {
        true => socket.set_tos_v4(class.into()).unwrap(),
        false => socket.set_tclass_v6(class.into()).unwrap(),
    }
}

/// All values of DSCP and ECN are read and set, over either family, on sockets that are connected
/// and on others.
#[test]
fn a_datagram_s_class_is_read_and_set() {
    for ip in ["127.0.0.1", "::1"] {
        let (from, to) = pair(ip);
        let address = to.local_addr().unwrap();
        tell_class(&to, address.is_ipv4()).unwrap();
        let mut received = ReceiveBatch::new(256, 100, 0, 0);
        let mut classes = |received_now: usize| {
            assert_eq!(received.receive(&to, 0..256).unwrap(), received_now);
            let class = |slot| received.received(slot).unwrap().class.0;
            (0..received_now).map(class).collect::<Vec<_>>()
        };
        let all: Vec<u8> = (0..=255).collect();
        for class in &all {
            mark(&from, *class);
            from.send_to(b"x", address).unwrap();
        }
        assert_eq!(classes(256), all, "read");
        mark(&from, 0);
        let mut batch = SendBatch::default();
        for connected in [false, true] {
            if connected {
                from.connect(address).unwrap();
            }
            for class in &all {
                batch.push((!connected).then_some(address), TrafficClass(*class), 0..1, 1);
            }
            assert_eq!(batch.send(&from, b"x").datagrams, 256);
            assert_eq!(classes(256), all, "set, connected: {connected}");
        }
        send_dont_fragment(&from, address, TrafficClass(0xb9), b"x").unwrap();
        from.send(b"x").unwrap();
        assert_eq!(classes(2), [0xb9, 0], "it applies to one datagram alone");
    }
}

/// A run has one class, and so has a run that the kernel has joined.
#[test]
fn runs_keep_their_class() {
    for ip in ["127.0.0.1", "::1"] {
        let (from, to) = pair(ip);
        let address = Some(to.local_addr().unwrap());
        enable_gro(&to).unwrap();
        tell_class(&to, from.local_addr().unwrap().is_ipv4()).unwrap();
        let (ef, ce) = (TrafficClass(0xb8), TrafficClass(0xbb));
        let mut batch = SendBatch::default();
        for class in [ef, ce, TrafficClass::DEFAULT] {
            let run = batch.push(address, class, 0..4, 4);
            for other in [ef, ce, TrafficClass::DEFAULT] {
                assert_eq!(batch.extend(run, address, other, 4..8), other == class);
            }
        }
        assert_eq!(batch.send(&from, b"abcdefgh").datagrams, 6);
        let mut received = ReceiveBatch::new(8, 100, 0, 0);
        assert_eq!(received.receive(&to, 0..8).unwrap(), 3);
        for (slot, class) in [ef, ce, TrafficClass::DEFAULT].into_iter().enumerate() {
            let got = received.received(slot).unwrap();
            assert_eq!((got.count(), got.class), (2, class));
        }
        // Above the kernel's limit for a run, each datagram is sent alone.
        batch.push(address, ef, 0..200, 1);
        assert_eq!(batch.send(&from, &[7; 200]).datagrams, 200);
        for _ in 0..25 {
            assert_eq!(received.receive(&to, 0..8).unwrap(), 8);
            assert!((0..8).all(|slot| received.received(slot).unwrap().class == ef));
        }
    }
}

#[test]
fn a_full_socket_reports_the_number_of_lost_datagrams() {
    let (from, to) = pair("127.0.0.1");
    let mut received = ReceiveBatch::new(8, 100, 0, 0);
    let mut lost = |number: usize| {
        for _ in 0..number {
            from.send_to(b"x", to.local_addr().unwrap()).unwrap();
        }
        let mut got = Vec::new();
        while let Ok(count) = received.receive(&to, 0..8) {
            got.extend((0..count).map(|slot| received.received(slot).unwrap().lost));
        }
        (got.len(), got.last().copied().unwrap_or_default())
    };
    assert_eq!(lost(3), (3, 0));
    enable_gro(&to).unwrap();
    count_lost(&to).unwrap();
    socket2::SockRef::from(&to).set_recv_buffer_size(4096).unwrap();
    let (received, reported) = lost(100);
    assert!(received < 100);
    assert_eq!(reported, 0, "those that came had lost none before them");
    assert_eq!(lost(1), (1, 100 - received as u32));
    assert_eq!(lost(1), (1, 100 - received as u32), "it counts from the socket's start");
}

#[test]
fn each_run_can_have_a_socket_of_its_own() {
    let (one, two) = pair("127.0.0.1");
    let to = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut batch = SendBatch::default();
    for at in 0..3 {
        batch.push(Some(to.local_addr().unwrap()), TrafficClass::DEFAULT, at..at + 1, 1);
    }
    let sent = batch.send_each(b"abc", |run| [Some(&one), Some(&two), None][run]);
    assert_eq!((sent.datagrams, sent.refused), (2, 1));
    let mut byte = [0];
    assert_eq!(to.recv_from(&mut byte).unwrap(), (1, one.local_addr().unwrap()));
    assert_eq!(to.recv_from(&mut byte).unwrap(), (1, two.local_addr().unwrap()));
}

/// A datagram that cannot be sent does not affect others, and a run that the link does not take is
/// sent datagram by datagram.
#[test]
fn a_refused_datagram_does_not_affect_others() {
    let (from, to) = pair("127.0.0.1");
    let address = Some(to.local_addr().unwrap());
    let mut batch = SendBatch::default();
    batch.push(Some("[::1]:9".parse().unwrap()), TrafficClass::DEFAULT, 0..1, 1);
    batch.push(address, TrafficClass::DEFAULT, 0..1, 1);
    // The kernel takes 64 or 128 datagrams in a run, depending on its age.
    batch.push(address, TrafficClass::DEFAULT, 0..200, 1);
    batch.push(address, TrafficClass::DEFAULT, 1..2, 1);
    let sent = batch.send(&from, &[7; 200]);
    assert_eq!((sent.datagrams, sent.refused, sent.full), (202, 1, 0));
    assert!(sent.error.is_some());
    assert_eq!(batch.send(&from, b"").datagrams, 0);
}

#[test]
fn the_limit_of_open_files_goes_up_to_the_hard_one() {
    let raised = raise_open_files().unwrap();
    assert!(raised > 0);
    assert_eq!(raise_open_files().unwrap(), raised);
}

#[test]
fn a_sleep_uses_hardly_any_cpu_time() {
    let (clock, cpu) = (std::time::Instant::now(), thread_time());
    let time = std::time::Duration::from_millis(50);
    sleep_precisely(time);
    assert!(clock.elapsed() >= time);
    assert!(thread_time() - cpu < time / 2);
}

#[test]
fn a_datagram_to_a_closed_port_causes_an_entry_in_the_error_queue() {
    for ip in ["127.0.0.1", "::1"] {
        let (from, gone) = pair(ip);
        let to = gone.local_addr().unwrap();
        drop(gone);
        from.set_nonblocking(true).unwrap();
        keep_errors(&from, to.is_ipv4()).unwrap();
        // The class of the packet with the error is reported before the error.
        tell_class(&from, to.is_ipv4()).unwrap();
        let none = next_error(&from).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        from.send_to(b"x", to).unwrap();
        // On loopback the error is there when the call returns.
        let SocketError::Icmp(error) = next_error(&from).unwrap() else { panic!("an error") };
        let unreachable = if to.is_ipv4() { (3, 3) } else { (1, 4) };
        assert_eq!((error.to, (error.kind, error.code)), (to, unreachable));
        assert_eq!(next_error(&from).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

/// An error that is pending on a socket fails the next call, but no datagram is lost by that.
#[test]
fn a_pending_error_loses_no_datagram() {
    let (from, to) = pair("127.0.0.1");
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nowhere = gone.local_addr().unwrap();
    drop(gone);
    keep_errors(&from, true).unwrap();
    from.send_to(b"x", nowhere).unwrap();
    let mut batch = SendBatch::default();
    batch.push(Some(to.local_addr().unwrap()), TrafficClass::DEFAULT, 0..1, 1);
    let sent = batch.send_each(b"y", |_| Some(&from));
    assert_eq!((sent.datagrams, sent.refused), (1, 0));
    from.send_to(b"x", nowhere).unwrap();
    send_dont_fragment(&from, to.local_addr().unwrap(), TrafficClass::DEFAULT, b"z").unwrap();
    let mut bytes = [0; 2];
    assert_eq!((to.recv(&mut bytes).unwrap(), bytes[0]), (1, b'y'));
    assert_eq!((to.recv(&mut bytes).unwrap(), bytes[0]), (1, b'z'));
}
