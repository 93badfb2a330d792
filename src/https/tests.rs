use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;

const LIMITS: Limits = Limits { time: Duration::from_secs(20), answer: 10 };

/// Starts a server that sends this text to every client, and returns its URL.
async fn server(says: &'static str, tls: Option<TlsAcceptor>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}/hook?secret=1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &tls {
                // A client that does not trust the certificate is gone.
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => answer(stream, says).await,
                    Err(_) => continue,
                },
                None => answer(stream, says).await,
            }
        }
    });
    url
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, says: &str) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /hook?secret=1 http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nuser-agent: callbox/"), "{request}");
    stream.write_all(says.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

async fn get(client: &Client, url: &str, limits: Limits) -> Result<Answer, Failure> {
    client.exchange(Request::get(url).body(Full::default()).unwrap(), limits).await
}

#[tokio::test]
async fn an_answer_is_taken_up_to_a_limit() {
    let client = Client::new(Roots::public());
    let url = server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nA: b\r\n\r\n0123456789", None).await;
    let answer = get(&client, &url, LIMITS).await.unwrap();
    assert_eq!(
        (answer.status, &answer.headers["a"]),
        (StatusCode::OK, &HeaderValue::from_static("b"))
    );
    assert_eq!(answer.body.unwrap(), "0123456789");

    // The status counts in any case.
    let url = server("HTTP/1.1 202 OK\r\nContent-Length: 11\r\n\r\n0123456789a", None).await;
    let answer = get(&client, &url, LIMITS).await.unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert!(matches!(answer.body, Err(Failure::Long(10))));
    let url = server("HTTP/1.1 202 OK\r\nContent-Length: 9\r\n\r\n0", None).await;
    let answer = get(&client, &url, LIMITS).await.unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert!(matches!(answer.body, Err(Failure::Exchange(_))));
}

#[tokio::test]
async fn redirections_are_not_followed() {
    let client = Client::new(Roots::public());
    let url =
        server("HTTP/1.1 307 No\r\nLocation: http://[::1]:1/\r\nContent-Length: 0\r\n\r\n", None);
    assert_eq!(get(&client, &url.await, LIMITS).await.unwrap().status, 307);
}

/// The text of a failure contains no address: it may contain a secret.
#[tokio::test]
async fn a_missing_answer_is_reported_with_the_reason() {
    let client = Client::new(Roots::public());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = closed.local_addr().unwrap();
    let silent = format!("http://{at}/hook?secret=1");
    let limits = Limits { time: Duration::from_millis(50), ..LIMITS };
    let slow = get(&client, &silent, limits).await.unwrap_err();
    assert_eq!(slow.to_string(), "no answer within 50ms");
    drop(closed);
    let refused = get(&client, &silent, LIMITS).await.unwrap_err();
    assert!(matches!(refused, Failure::Connect(_)), "{refused:?}");
    assert!(refused.to_string().starts_with("Connection refused"), "{refused}");
    let noise = server("SSH-2.0-nothing\r\n\r\n", None).await;
    let noise = get(&client, &noise, LIMITS).await.unwrap_err();
    assert!(matches!(noise, Failure::Exchange(_)), "{noise:?}");
    assert!(!noise.to_string().contains("secret"), "{noise}");
}

#[tokio::test]
async fn only_a_trusted_server_gets_a_request() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let says = "HTTP/1.1 204 OK\r\n\r\n";
    let url = server(says, Some(TlsAcceptor::from(Arc::new(config)))).await;

    let stranger = get(&Client::new(Roots::public()), &url, LIMITS).await.unwrap_err();
    assert!(matches!(&stranger, Failure::Connect(words) if words.contains("UnknownIssuer")));
    let file = NamedTempFile::new().unwrap();
    let text = BASE64_STANDARD.encode(made.cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    fs::write(&file, pem).unwrap();
    let mut roots = Roots::public();
    roots.add(file.path()).unwrap();
    assert_eq!(get(&Client::new(roots), &url, LIMITS).await.unwrap().status, 204);
}
