//! A forward proxy (RFC 9110 §9.3.6): CONNECT, and nothing else.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::namespace::Namespace;
use crate::error::{LabError, Tried};

/// The longest head of a request, in bytes.
const LONGEST_HEAD: u64 = 16 << 10;

/// The time in which a server has to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a proxy on this port of a namespace. Its connections leave from there.
pub(super) fn start(namespace: &Namespace, port: u16) -> Result<(), LabError> {
    namespace.run(move || {
        let failed = "cannot start the proxy";
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).tried(failed)?;
        // It is in the namespace, as the thread that starts it.
        thread::Builder::new()
            .name("proxy".into())
            .spawn(move || {
                for client in listener.incoming().flatten() {
                    // Without a thread for it the connection is closed.
                    let _ = thread::Builder::new().spawn(move || {
                        // The client has got the error, or is gone.
                        let _ = serve(client);
                    });
                }
            })
            .tried(failed)?;
        Ok(())
    })
}

/// Serves one connection until either end closes it.
fn serve(client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut head = BufReader::new(client.try_clone()?).take(LONGEST_HEAD);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let mut header = String::new();
    while head.read_line(&mut header)? > 0 && !header.trim_end().is_empty() {
        header.clear();
    }
    let words: Vec<_> = line.split_whitespace().collect();
    let target = match words[..] {
        ["CONNECT", target, _] => target,
        _ => return answer(&client, "405 Method Not Allowed"),
    };
    // There are no names in a lab.
    let Ok(target) = target.parse::<SocketAddr>() else {
        return answer(&client, "502 Bad Gateway");
    };
    let Ok(server) = connect(target) else {
        return answer(&client, "504 Gateway Timeout");
    };
    server.set_nodelay(true)?;
    answer(&client, "200 Connection Established")?;
    // A client that does not wait for the answer has sent more already.
    let early = head.into_inner();
    (&server).write_all(early.buffer())?;
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    thread::Builder::new().spawn(move || copy(&from_server, &to_client))?;
    copy(&client, &server);
    Ok(())
}

fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    match target.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => Err(io::ErrorKind::PermissionDenied.into()),
        _ => TcpStream::connect_timeout(&target, CONNECT_TIMEOUT),
    }
}

fn answer(mut client: &TcpStream, status: &str) -> io::Result<()> {
    write!(client, "HTTP/1.1 {status}\r\n\r\n")
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    // The other direction goes on.
    let _ = to.shutdown(Shutdown::Write);
}
