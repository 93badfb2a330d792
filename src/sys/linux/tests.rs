use std::{io, net::UdpSocket};

use super::*;
use crate::sys::SocketError;

fn pair(ip: &str) -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind((ip, 0)).unwrap(), UdpSocket::bind((ip, 0)).unwrap())
}

#[test]
fn what_is_sent_in_a_batch_is_received_in_one() {
    for ip in ["127.0.0.1", "::1"] {
        let (from, to) = pair(ip);
        let mut batch = SendBatch::default();
        let address = Some(to.local_addr().unwrap());
        for at in 0..5 {
            batch.push(address, at..at + 3, 3);
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
fn a_run_is_taken_apart_and_put_together_again() {
    let (from, to) = pair("127.0.0.1");
    let address = Some(to.local_addr().unwrap());
    let send_run = || {
        let mut batch = SendBatch::default();
        let run = batch.push(address, 6..10, 4);
        assert!(!batch.extend(run, None, 0..4), "to another address");
        assert!(batch.extend(run, address, 0..4) && batch.extend(run, address, 4..6));
        assert!(!batch.extend(run, address, 0..1), "after a shorter one");
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

#[test]
fn a_full_socket_tells_what_it_lost() {
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
    let (came, told) = lost(100);
    assert!(came < 100);
    assert_eq!(told, 0, "those that came had lost none before them");
    assert_eq!(lost(1), (1, 100 - came as u32));
    assert_eq!(lost(1), (1, 100 - came as u32), "it counts from the socket's start");
}

#[test]
fn each_run_has_a_socket_of_its_own() {
    let (one, two) = pair("127.0.0.1");
    let to = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut batch = SendBatch::default();
    for at in 0..3 {
        batch.push(Some(to.local_addr().unwrap()), at..at + 1, 1);
    }
    let sent = batch.send_each(b"abc", |run| [Some(&one), Some(&two), None][run]);
    assert_eq!((sent.datagrams, sent.refused), (2, 1));
    let mut byte = [0];
    assert_eq!(to.recv_from(&mut byte).unwrap(), (1, one.local_addr().unwrap()));
    assert_eq!(to.recv_from(&mut byte).unwrap(), (1, two.local_addr().unwrap()));
}

/// What cannot be sent takes nothing else with it, and a run that the link does not take goes
/// datagram by datagram.
#[test]
fn a_refusal_harms_nobody_else() {
    let (from, to) = pair("127.0.0.1");
    let address = Some(to.local_addr().unwrap());
    let mut batch = SendBatch::default();
    batch.push(Some("[::1]:9".parse().unwrap()), 0..1, 1);
    batch.push(address, 0..1, 1);
    // The kernel takes 64 or 128 datagrams in a run, depending on its age.
    batch.push(address, 0..200, 1);
    batch.push(address, 1..2, 1);
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
fn a_sleep_takes_time_but_hardly_any_of_the_cpu_s() {
    let (clock, cpu) = (std::time::Instant::now(), thread_time());
    let time = std::time::Duration::from_millis(50);
    sleep_precisely(time);
    assert!(clock.elapsed() >= time);
    assert!(thread_time() - cpu < time / 2);
}

#[test]
fn a_datagram_that_nobody_takes_comes_up_in_the_error_queue() {
    for ip in ["127.0.0.1", "::1"] {
        let (from, gone) = pair(ip);
        let to = gone.local_addr().unwrap();
        drop(gone);
        from.set_nonblocking(true).unwrap();
        keep_errors(&from, to.is_ipv4()).unwrap();
        let none = next_error(&from).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        from.send_to(b"x", to).unwrap();
        // On loopback the error is there when the call returns.
        let SocketError::Undelivered(error) = next_error(&from).unwrap() else {
            panic!("an error")
        };
        let unreachable = if to.is_ipv4() { (3, 3) } else { (1, 4) };
        assert_eq!((error.to, (error.kind, error.code)), (to, unreachable));
        assert_eq!(next_error(&from).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

/// An error that waits on a socket is told by the next call: it takes nothing away.
#[test]
fn an_old_error_takes_no_datagram_away() {
    let (from, to) = pair("127.0.0.1");
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nowhere = gone.local_addr().unwrap();
    drop(gone);
    keep_errors(&from, true).unwrap();
    from.send_to(b"x", nowhere).unwrap();
    let mut batch = SendBatch::default();
    batch.push(Some(to.local_addr().unwrap()), 0..1, 1);
    let sent = batch.send_each(b"y", |_| Some(&from));
    assert_eq!((sent.datagrams, sent.refused), (1, 0));
    from.send_to(b"x", nowhere).unwrap();
    send_whole(&from, to.local_addr().unwrap(), b"z").unwrap();
    let mut bytes = [0; 2];
    assert_eq!((to.recv(&mut bytes).unwrap(), bytes[0]), (1, b'y'));
    assert_eq!((to.recv(&mut bytes).unwrap(), bytes[0]), (1, b'z'));
}
