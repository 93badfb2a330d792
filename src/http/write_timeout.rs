//! A connection that holds its slot among the others, also once it is a WebSocket, and frees it
//! when its client has stopped reading.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_io_timeout::TimeoutWriter;

use super::{lease::Lease, unauthenticated_input::InputCounter};

/// The longest time in which a client may read nothing of the data that it is sent. A client with
/// nothing to read may be idle for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A stream, and the slot that it takes.
pub(super) struct TimeoutStream<S> {
    stream: Pin<Box<TimeoutWriter<S>>>,
    /// The counter of bytes that are read, while they are counted.
    counter: Option<Arc<InputCounter>>,
    _lease: Lease,
}

impl<S: AsyncWrite> TimeoutStream<S> {
    /// Combines the two, and counts the bytes that are read in `counter`.
    pub(super) fn new(stream: S, lease: Lease, counter: Arc<InputCounter>) -> Self {
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(WRITE_TIMEOUT));
        Self { stream: Box::pin(stream), counter: Some(counter), _lease: lease }
    }

    /// Stops the counting: the client has authenticated.
    pub(super) fn trust(&mut self) {
        self.counter = None;
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.stream.as_mut().poll_read(cx, buf);
        if let (Poll::Ready(Ok(())), Some(counter)) = (&read, &self.counter) {
            counter.add(buf.filled().len() - before)?;
        }
        read
    }
}

impl<S: AsyncWrite> AsyncWrite for TimeoutStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use callbox_base::addresses::Networks;
    use callbox_signaling::{
        self as signaling, Hub,
        jwt::{TokenKeys, TokenVerifier},
    };
    use http_body_util::Empty;
    use hyper::{body::Bytes, client::conn::http2};
    use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        task::JoinHandle,
        time::{Instant, sleep, timeout},
    };

    use super::*;
    use crate::{
        http::{ApiKeys, Arrival, Config, Entrance, Server, TellRelay, Wiring, relay_events},
        reports,
    };

    const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

    /// A time beyond every deadline.
    const LONG: Duration = Duration::from_secs(3600);

    fn server() -> Server {
        server_that_trusts(Networks::default())
    }

    fn server_that_trusts(trusted_proxies: Networks) -> Server {
        let config = Config {
            tokens: TokenVerifier::new(TokenKeys::default(), None, None),
            key_source: None,
            api_keys: ApiKeys::new(Vec::new()),
            allow_origins: Vec::new(),
            server_names: Vec::new(),
            max_message: 1000,
            max_connections: 1,
            max_connections_per_address: 1,
            open_files: usize::MAX,
            max_request_memory: crate::http::MAX_REQUEST_MEMORY,
            trusted_proxies,
            minter: None,
            dev: false,
        };
        let wiring = Wiring {
            hub: Hub::new(signaling::Config::default(), [7; 32]),
            relay_inbox: relay_events().1,
            tell_relay: TellRelay {
                call_ended: Box::new(|_| {}),
                readmit_user: Box::new(|_, _| {}),
                revoke_user: Box::new(|_, _| {}),
                lift_kick: Box::new(|_| {}),
                peers_announced: Box::new(|_, _, _, _| {}),
            },
            relay_metrics: Box::new(Default::default),
            relay_is_whole: Box::new(|| true),
            kick_from_relay: std::sync::Arc::new(|_, _, _| Box::pin(async { 0 })),
            inject_into_relay: None,
            traces: None,
            reports: reports::Reports::start(reports::Config::default(), None)
                .expect("there are none")
                .1,
            log: None,
            report_metrics: Box::new(Default::default),
            certificate_expiry: None,
            named_by_certificate: None,
        };
        Server::start(config, wiring)
    }

    fn lease(server: &Server) -> Lease {
        server.service().admit(CLIENT.ip()).unwrap()
    }

    /// Returns the client's end of a connection that is served, and the task that serves it.
    fn serve(server: &Server, is_http2: bool) -> (DuplexStream, JoinHandle<()>) {
        let (client, stream) = duplex(1000);
        let arrival = Arrival {
            remote: CLIENT,
            by_proxy: false,
            entrance: Entrance::Public,
            is_tls: false,
            is_http2,
        };
        let serving = server.service().serve(stream, lease(server), arrival);
        (client, tokio::spawn(serving))
    }

    async fn is_over(server: &Server, serving: JoinHandle<()>) {
        timeout(LONG, serving).await.expect("it is closed").unwrap();
        assert!(server.service().admit(CLIENT.ip()).is_ok(), "its slot is free");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_answers_is_closed() {
        let (server, start) = (server(), Instant::now());
        let (mut client, serving) = serve(&server, false);
        // More answers than the buffer between them holds.
        let requests = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
        let _ = timeout(Duration::from_secs(1), client.write_all(requests.as_bytes())).await;
        is_over(&server, serving).await;
        assert!(start.elapsed() >= WRITE_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_no_answers_over_http2_is_closed() {
        let server = server();
        let (client, serving) = serve(&server, true);
        let (mut requests, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(0)
            .handshake(TokioIo::new(client))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::get("http://x/healthz").body(Empty::<Bytes>::new()).unwrap();
        let answer = requests.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        // Its body is never read.
        is_over(&server, serving).await;
        drop(answer);
    }

    /// A proxy keeps its connections for the next request, and would lose it on one that is closed.
    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_only_for_a_trusted_proxy() {
        for (trusted, is_kept) in [(Vec::new(), false), (vec![CLIENT.ip().into()], true)] {
            let server = server_that_trusts(Networks::new(trusted));
            let (mut client, _serving) = serve(&server, false);
            let mut ask = async || {
                let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
                let (mut text, mut buffer) = (Vec::new(), [0; 100]);
                client.write_all(request).await.ok()?;
                while !text.ends_with(b"{\"ok\":true}") {
                    match client.read(&mut buffer).await {
                        Ok(len) if len > 0 => text.extend(&buffer[..len]),
                        _ => return None,
                    }
                }
                Some(())
            };
            assert!(ask().await.is_some());
            sleep(Duration::from_secs(300)).await;
            assert_eq!(ask().await.is_some(), is_kept);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_or_has_nothing_to_read_is_not_closed() {
        let server = server();
        let (mut client, stream) = duplex(1);
        let mut stream = TimeoutStream::new(stream, lease(&server), Arc::default());
        for _ in 0..3 {
            sleep(LONG).await;
            let reading = async {
                for _ in 0..5 {
                    sleep(WRITE_TIMEOUT - Duration::from_secs(1)).await;
                    client.read_u8().await.unwrap();
                }
            };
            let (written, ()) = tokio::join!(stream.write_all(b"hello"), reading);
            written.unwrap();
        }
    }
}
