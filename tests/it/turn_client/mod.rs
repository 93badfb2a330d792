//! The client of the `turn` crate, for tests with a client of another project.

use std::sync::Arc;

use turn::client::{Client, ClientConfig};

/// Creates a client of the server at `at` (`ip:port`), on a socket of its own.
pub(crate) async fn turn_client(at: &str, realm: &str, username: &str, password: &str) -> Client {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(ClientConfig {
        stun_serv_addr: at.into(),
        turn_serv_addr: at.into(),
        username: username.into(),
        password: password.into(),
        realm: realm.into(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    })
    .await
    .unwrap();
    client.listen().await.unwrap();
    client
}
