//! webrtc-rs's TURN client: sends numbered packets through a relay to a peer that echoes them.
//!
//! Arguments: HOST PORT TRANSPORT SECONDS MILLISECONDS (between packets). Prints one line of JSON.
//! It speaks UDP only.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

/// Echoes packets and reports them.
async fn echo(socket: UdpSocket, seen: mpsc::UnboundedSender<Vec<u8>>) {
    let mut buffer = [0; 1500];
    while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
        let _ = seen.send(buffer[..len].to_vec());
        socket.send_to(&buffer[..len], from).await.expect("the relay is there");
    }
}

/// Reports the packets that come back.
async fn listen(relay: Arc<impl Conn + ?Sized>, seen: mpsc::UnboundedSender<Vec<u8>>) {
    let mut buffer = [0; 1500];
    while let Ok((len, _)) = relay.recv_from(&mut buffer).await {
        let _ = seen.send(buffer[..len].to_vec());
    }
}

/// Returns the number of different packets that came back.
fn count(mut seen: mpsc::UnboundedReceiver<Vec<u8>>) -> usize {
    std::iter::from_fn(|| seen.try_recv().ok()).collect::<HashSet<_>>().len()
}

#[tokio::main]
async fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [host, port, transport, seconds, milliseconds] = &args[..] else {
        panic!("the first lines of this file name its arguments")
    };
    assert_eq!(transport, "udp");
    let seconds = seconds.parse().expect("a number of seconds");
    let pause = Duration::from_millis(milliseconds.parse().expect("a number of milliseconds"));

    let peer = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let to = peer.local_addr().expect("it is bound");
    let (tells, at_peer) = mpsc::unbounded_channel();
    tokio::spawn(echo(peer, tells));

    let server = format!("{host}:{port}");
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.clone(),
        turn_serv_addr: server,
        username: "user".into(),
        password: "pass".into(),
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket")),
        vnet: None,
    });
    let client = client.await.expect("a client");
    client.listen().await.expect("it listens");
    let relay = Arc::new(client.allocate().await.expect("an allocation"));
    let (tells, mut back) = mpsc::unbounded_channel();
    tokio::spawn(listen(relay.clone(), tells));

    let (mut sent, mut came) = (0u32, HashSet::new());
    let ends = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < ends {
        relay.send_to(sent.to_string().as_bytes(), to).await.expect("it is sent");
        sent += 1;
        sleep(pause).await;
    }
    let last = (sent - 1).to_string().into_bytes();
    let patience = Instant::now() + Duration::from_secs(5);
    while !came.contains(&last)
        && let Ok(Some(packet)) = timeout_at(patience, back.recv()).await
    {
        came.insert(packet);
    }
    let to_peer = count(at_peer);
    println!(r#"{{"sent":{sent},"to_peer":{to_peer},"back":{}}}"#, came.len());
    let _ = timeout(Duration::from_secs(1), client.close()).await;
}
