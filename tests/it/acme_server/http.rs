//! A minimal HTTPS server with one request per connection.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Instant,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring};

use super::Shared;
use crate::common::DEADLINE;

pub(super) struct Request {
    pub method: String,
    pub path: String,
    /// The headers, with names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// Serves each connection in a thread of its own.
pub(super) fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let (chain, key) = shared.ca.own();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, shared) = (config.clone(), shared.clone());
            // A client may close its connection at any time.
            thread::spawn(move || answer(stream, config, &shared).ok());
        }
    });
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(tls, stream));
    let Ok(request) = read(&mut stream) else {
        // The client closed the connection before its request, for example because it does not
        // trust the certificate.
        shared.state.lock().unwrap().requests.push(("nothing", Instant::now()));
        shared.changed.notify_all();
        return Ok(());
    };
    let is_head = request.method == "HEAD";
    let response = shared.handle(&request);
    let mut stream = stream.into_inner();
    write!(stream, "HTTP/1.1 {} X\r\nconnection: close\r\n", response.status)?;
    for (name, value) in &response.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    let body = if is_head { "" } else { response.body.as_str() };
    write!(stream, "content-length: {}\r\n\r\n{body}", response.body.len())?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn read(stream: &mut impl BufRead) -> io::Result<Request> {
    let mut line = || -> io::Result<String> {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let start = line()?;
    let mut words = start.split(' ').map(ToOwned::to_owned);
    let mut word = || words.next().ok_or(io::ErrorKind::InvalidData);
    let (method, path) = (word()?, word()?);
    let mut headers = HashMap::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let len = headers.get("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok(Request { method, path, headers, body })
}
