//! Connections to a server, by name or address, over TCP or TLS.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use anyhow::{Context, anyhow, ensure};
use callbox_tls::Term;
use rustls::{CertificateError, pki_types::UnixTime};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::tls::Tls;

/// The byte stream of a connection, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Returns the addresses of `host:port`. An error names the host, which may be mistyped or missing
/// in the DNS.
pub(super) async fn resolve(authority: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let unknown = || format!("the name {host} does not resolve: is it in the DNS?");
    let found: Vec<_> = tokio::net::lookup_host(authority).await.with_context(unknown)?.collect();
    ensure!(!found.is_empty(), unknown());
    Ok(found)
}

/// Connects to `host:port`.
pub(super) async fn connect(authority: &str) -> anyhow::Result<TcpStream> {
    let found = resolve(authority).await?;
    let tcp = TcpStream::connect(&found[..]).await;
    let tcp = tcp.with_context(|| format!("cannot connect to {authority}"))?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Makes the handshake of TLS.
pub(super) async fn secure(tcp: TcpStream, tls: &Tls) -> anyhow::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(tls.config.clone());
    connector.connect(tls.name.clone(), tcp).await.map_err(explain)
}

/// Returns the time for which the certificate is valid that the server has shown.
pub(super) fn term(stream: &TlsStream<TcpStream>) -> Option<Term> {
    Term::of(stream.get_ref().1.peer_certificates()?.first()?)
}

/// Explains the error of a handshake. For a certificate that has expired or is not valid yet it
/// gives the date, where the library's error counts seconds.
fn explain(error: io::Error) -> anyhow::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) => anyhow!("the server's certificate has expired at {}", date(*not_after)),
        Some(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before,
            ..
        })) => anyhow!("the server's certificate is valid from {} only", date(*not_before)),
        _ => error.into(),
    }
}

fn date(at: UnixTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(at.as_secs()))
}
