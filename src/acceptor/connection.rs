//! One connection, from its first byte until its protocol is known.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use callbox_base::addresses::canonical;
use callbox_relay::NewStream;
use callbox_stun::Kind;
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{Certificates, Role, Wiring, limited_stream::LimitedStream, proxy_protocol};
use crate::http::{self, Arrival, Entrance, Lease, Purpose};

/// The longest time that a connection may send nothing at all. Browsers open some in advance.
const FIRST_BYTE: Duration = http::HEADER_TIMEOUT;

/// The longest time that a TLS handshake may take, and a PROXY protocol header.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The largest number of bytes that a client may send for its handshake: many times what any does.
const LONGEST_HANDSHAKE: usize = 16 * 1024;

/// The largest number of bytes of an answer that wait in a TLS session, before and after
/// encryption.
const TLS_BUFFER: usize = 16 * 1024;

/// The content type of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;

/// The ALPN name of HTTP/2 (RFC 9113 §3.2).
const HTTP2: &[u8] = b"h2";

/// Serves a new connection. Slots are assigned here, in the order in which connections arrive.
pub(super) fn arrived(
    stream: TcpStream,
    remote: SocketAddr,
    role: Role,
    wiring: Wiring,
) -> impl Future<Output = ()> + Send {
    let by_proxy = wiring.proxies.include(remote.ip(), role);
    let purpose = match role {
        Role::Turn => Purpose::Relay,
        Role::Http | Role::Tls => Purpose::Http,
    };
    let admitted = wiring.http.admit_unnamed(purpose);
    let admitted = match by_proxy {
        true => admitted,
        false => admitted.and_then(|lease| wiring.http.name(lease, remote.ip())),
    };
    async move {
        // Errors are the client's, which sees its connection closed.
        let _ = match admitted {
            Ok(lease) if by_proxy => serve_proxied(stream, remote, role, wiring, lease).await,
            admitted => serve(stream, remote, false, role, wiring, admitted).await,
        };
    }
}

async fn serve_proxied(
    mut stream: TcpStream,
    proxy: SocketAddr,
    role: Role,
    wiring: Wiring,
    lease: Lease,
) -> io::Result<()> {
    let header = proxy_protocol::read(&mut stream);
    // A proxy that connects for itself, as a health check, names no client.
    let client = tokio::time::timeout(HANDSHAKE, header).await??;
    let remote = client.unwrap_or(proxy);
    let admitted = wiring.http.name(lease, remote.ip());
    serve(stream, remote, client.is_some(), role, wiring, admitted).await
}

async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    by_proxy: bool,
    role: Role,
    wiring: Wiring,
    admitted: Result<Lease, String>,
) -> io::Result<()> {
    let lease = match admitted {
        Ok(lease) => lease,
        Err(answer) if role == Role::Http => return turn_away(stream, &answer).await,
        Err(_) => return Ok(()),
    };
    let connection = Connection { remote, by_proxy, role, lease, wiring };
    let mut first = [0];
    if tokio::time::timeout(FIRST_BYTE, stream.peek(&mut first)).await?? == 0 {
        return Ok(());
    }
    match first[0] {
        TLS_HANDSHAKE => connection.serve_tls(stream).await,
        _ if Kind::of(&first) == Kind::Stun => connection.hand_over(stream, None),
        _ if role == Role::Http => {
            connection.serve_http(stream, false, false).await;
            Ok(())
        }
        _ => turn_away(stream, &wrong_protocol(role)).await,
    }
}

struct Connection {
    remote: SocketAddr,
    /// True if a proxy has forwarded the connection.
    by_proxy: bool,
    role: Role,
    lease: Lease,
    wiring: Wiring,
}

impl Connection {
    async fn serve_tls(self, stream: TcpStream) -> io::Result<()> {
        let Some(certificates) = &self.wiring.certificates else { return Ok(()) };
        let handshake = shake_hands(certificates, stream);
        let Some(mut stream) = tokio::time::timeout(HANDSHAKE, handshake).await?? else {
            return Ok(());
        };
        stream.get_mut().0.lift();
        // The decrypted bytes are inspected without being consumed.
        let first = tokio::time::timeout(FIRST_BYTE, stream.fill_buf()).await??;
        match Kind::of(first) {
            _ if first.is_empty() => Ok(()),
            Kind::Stun => {
                stream.flush().await?;
                let (stream, tls) = stream.into_inner();
                self.hand_over(stream.into_inner(), Some(Box::new(tls)))
            }
            _ => {
                stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
                self.serve_http(stream, true, is_http2).await;
                Ok(())
            }
        }
    }

    /// Hands the connection over to the relay.
    fn hand_over(
        mut self,
        stream: TcpStream,
        tls: Option<Box<rustls::ServerConnection>>,
    ) -> io::Result<()> {
        if !self.wiring.http.take_for(&mut self.lease, Purpose::Relay) {
            return Ok(());
        }
        let local = canonical(stream.local_addr()?);
        let (socket, client) = (stream.into_std()?, self.remote);
        (self.wiring.on_stream)(NewStream {
            socket,
            received: Vec::new(),
            tls,
            client,
            local,
            used: Instant::now(),
            lease: Box::new(self.lease),
        });
        Ok(())
    }

    async fn serve_http<S>(self, stream: S, is_tls: bool, is_http2: bool)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let Self { remote, by_proxy, role, lease, wiring } = self;
        let entrance = match role {
            Role::Http => Entrance::Inner,
            Role::Turn | Role::Tls => Entrance::Public,
        };
        let arrival = Arrival { remote, by_proxy, entrance, is_tls, is_http2 };
        wiring.http.serve(stream, lease, arrival).await;
    }
}

/// Performs the TLS handshake. Returns `None` for a connection that asked for the answer to an ACME
/// challenge: it is closed as soon as it has received that (RFC 8737 §3).
async fn shake_hands(
    certificates: &Certificates,
    stream: TcpStream,
) -> io::Result<Option<TlsStream<LimitedStream>>> {
    let stream = LimitedStream::new(stream, LONGEST_HANDSHAKE);
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    match certificates.challenge(&start.client_hello()) {
        None => Ok(Some(start.into_stream(certificates.config()).await?)),
        Some(config) => {
            let mut stream = start.into_stream(config).await?;
            stream.shutdown().await?;
            Ok(None)
        }
    }
}

/// Returns the answer to a client that sends plain HTTP on a listener without it.
fn wrong_protocol(role: Role) -> String {
    let message = match role {
        Role::Tls => "This port is for https, wss and turns: begin with TLS.\n",
        Role::Http | Role::Turn => "This port is for STUN and TURN. HTTP has a port of its own.\n",
    };
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: \
         close\r\n\r\n{message}",
        message.len()
    )
}

/// Sends an answer to a client that is not served. It fits the socket's empty buffer.
async fn turn_away(mut stream: TcpStream, answer: &str) -> io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
