//! The way from a peer to a server over TCP: direct, or through a forward proxy.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context;
use callbox_tls::Roots;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The way to servers, and the certificates that are trusted.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    proxy: Option<SocketAddr>,
    tls: Arc<ClientConfig>,
}

impl Way {
    /// Creates the way through a proxy `http://IP:PORT`, if there is one. Without a file of
    /// certificates, those are trusted that browsers trust.
    ///
    /// # Errors
    /// The URL is none of a proxy, or no certificate is in the file.
    pub(crate) fn new(proxy: Option<&str>, ca: Option<&Path>) -> anyhow::Result<Self> {
        let address = |url: &str| {
            let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
            let expected = || format!("`{url}` is no proxy; expected http://IP:PORT");
            authority.parse().with_context(expected)
        };
        let roots = match ca {
            Some(path) => Roots::read(path).with_context(|| path.display().to_string())?,
            None => Roots::public(),
        };
        Ok(Self { proxy: proxy.map(address).transpose()?, tls: Arc::new(roots.into_config()) })
    }

    /// Connects over TCP.
    pub(crate) async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let tcp = TcpStream::connect(self.proxy.unwrap_or(to)).await?;
        tcp.set_nodelay(true)?;
        match self.proxy {
            Some(_) => tunnel(tcp, to).await,
            None => Ok(tcp),
        }
    }

    /// Connects over TLS.
    pub(crate) async fn connect_securely(
        &self,
        to: SocketAddr,
    ) -> io::Result<TlsStream<TcpStream>> {
        let tcp = self.connect(to).await?;
        let name = ServerName::IpAddress(to.ip().into());
        TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await
    }
}

/// Asks a proxy for a tunnel (RFC 9110 §9.3.6).
async fn tunnel(tcp: TcpStream, to: SocketAddr) -> io::Result<TcpStream> {
    // The server sends nothing before the client does, so nothing but the head is in the buffer.
    let mut tcp = BufReader::new(tcp);
    tcp.write_all(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await?;
    let mut status = String::new();
    tcp.read_line(&mut status).await?;
    let mut header = String::new();
    while tcp.read_line(&mut header).await? > 0 && !header.trim_end().is_empty() {
        header.clear();
    }
    match status.split(' ').nth(1) {
        Some("200") => Ok(tcp.into_inner()),
        _ => Err(io::Error::other(format!("the proxy has answered `{}`", status.trim_end()))),
    }
}
