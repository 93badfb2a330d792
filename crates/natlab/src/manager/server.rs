//! The server of a lab: callbox, as another process of this program.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    ids::UserId,
};
use callbox_signaling::jwt::{Grants, TokenMinter, Wanted};
use rustix::fs::{MemfdFlags, memfd_create};

use super::namespace::{Namespace, has_ipv6};
use crate::{
    addresses::{PUBLIC, SERVER, SERVER_V6},
    error::{LabError, Tried},
};

/// The port of HTTP and of signaling without TLS.
const HTTP_PORT: u16 = 80;

/// The port of STUN and TURN. The next one is for NAT behavior discovery.
const TURN_PORT: u16 = 3478;

/// The port of everything under TLS.
const TLS_PORT: u16 = 443;

/// The time for which tokens and credentials of a lab are valid: those of a test suite that runs
/// over night.
const TTL: Duration = Duration::from_secs(24 * 3600);

/// A server that runs.
pub(super) struct Server {
    /// It ends with the PID namespace.
    _process: Child,
    turn: TurnSecrets,
    tokens: TokenMinter,
    ca: OwnedFd,
    is_v6: bool,
}

impl Server {
    /// Starts the server in the public network, and waits until it is ready. Its NAT behavior
    /// discovery is for IPv6 if `is_v6`, else for IPv4.
    pub(super) fn start(
        internet: &Namespace,
        executable: &Path,
        is_v6: bool,
    ) -> Result<Self, LabError> {
        let ttl = humantime::format_duration(TTL).to_string();
        let (turn, signaling) = (Secret::generate(), Secret::generate());
        let (certificate, key) = certificate()?;
        let (certificate, key) = (file("certificate", &certificate)?, file("key", &key)?);
        let mut command = Command::new(executable);
        command
            .arg("serve")
            .args(["--ready-json", "--log-level", "warn", "--credential-ttl", &ttl])
            .args(["--http", &format!("{}:{HTTP_PORT}", SERVER[0])])
            .args(["--tls-cert", &path(&certificate), "--tls-key", &path(&key)])
            .args(["--max-unauthenticated-replies", "10000"]);
        let mut families = vec![IpAddr::V4(SERVER[0])];
        families.extend(has_ipv6().then_some(IpAddr::V6(SERVER_V6[0])));
        for ip in &families {
            command.arg("--listen").arg(at(*ip, TURN_PORT));
            command.arg("--tls-listen").arg(at(*ip, TLS_PORT));
        }
        let alternate: IpAddr = if is_v6 { SERVER_V6[1].into() } else { SERVER[1].into() };
        command.arg("--alternate-ip").arg(alternate.to_string());
        for network in PUBLIC {
            command.args(["--allow-peer", network]);
        }
        command
            // The settings of another server are not those of the lab's.
            .env_clear()
            .env("CALLBOX_AUTH_SECRET", turn.expose_text().unwrap_or_default())
            .env("CALLBOX_JWT_SECRET", signaling.expose_text().unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process =
            internet.run(move || command.spawn().tried("cannot start the lab's server"))?;
        let log = process.stderr.take().map(Log::keep).unwrap_or_default();
        let mut line = String::new();
        let read = process.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        if !matches!(read, Some(Ok(length)) if length > 0) {
            return Err(LabError::new(format!("the lab's server has ended: {}", log.text())));
        }
        Ok(Self {
            _process: process,
            turn: TurnSecrets::new(&[turn]),
            tokens: TokenMinter::new(&signaling, None, None),
            ca: certificate,
            is_v6,
        })
    }

    /// Returns the environment of the programs on a side.
    pub(super) fn environment(
        &self,
        side: &str,
        is_v6: bool,
    ) -> Result<BTreeMap<&'static str, String>, LabError> {
        let user: UserId =
            side.parse().map_err(|error| LabError::system(format_args!("side `{side}`"), error))?;
        let minted = self
            .turn
            .mint(Now::read(), TTL, &user, None, &[])
            .ok_or_else(|| LabError::new("the lab's server has no secret"))?;
        let wanted = Wanted {
            user,
            name: None,
            ttl: TTL,
            grants: Grants { relay: true, ..Grants::default() },
        };
        let token = self
            .tokens
            .mint(&wanted, Now::read())
            .map_err(|error| LabError::system("no token can be made", error))?;
        let addresses: [IpAddr; 2] = match is_v6 {
            true => SERVER_V6.map(IpAddr::V6),
            false => SERVER.map(IpAddr::V4),
        };
        let [main, second] = addresses;
        let (turn, tls) = (at(main, TURN_PORT), at(main, TLS_PORT));
        let uris = [
            format!("turn:{turn}?transport=udp"),
            format!("turn:{turn}?transport=tcp"),
            format!("turns:{tls}?transport=tcp"),
        ];
        let mut environment = BTreeMap::from([
            ("NATLAB_STUN", format!("stun:{turn}")),
            ("NATLAB_TURN", uris.join(",")),
            ("NATLAB_TURN_USERNAME", minted.username),
            ("NATLAB_TURN_PASSWORD", minted.password),
            ("NATLAB_TOKEN", token.token),
            ("NATLAB_CA", format!("/proc/{}/fd/{}", std::process::id(), self.ca.as_raw_fd())),
            ("NATLAB_TLS_URL", format!("https://{tls}")),
            ("NATLAB_TLS_WS", format!("wss://{tls}/ws")),
        ]);
        if is_v6 == self.is_v6 {
            let others =
                [at(main, TURN_PORT + 1), at(second, TURN_PORT), at(second, TURN_PORT + 1)];
            environment.insert("NATLAB_STUN_OTHER", others.join(","));
        }
        if !is_v6 {
            let http = at(main, HTTP_PORT);
            environment.insert("NATLAB_URL", format!("http://{http}"));
            environment.insert("NATLAB_WS", format!("ws://{http}/ws"));
        }
        Ok(environment)
    }
}

fn at(ip: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(ip, port).to_string()
}

/// Makes a certificate for the server's addresses, and its key.
fn certificate() -> Result<(String, String), LabError> {
    let names: Vec<_> = SERVER
        .iter()
        .map(ToString::to_string)
        .chain(SERVER_V6.iter().map(ToString::to_string))
        .collect();
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| LabError::system("no certificate can be made", error))?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// Returns a file that is in no file system.
fn file(name: &str, text: &str) -> Result<OwnedFd, LabError> {
    let failed = "no file can be made in memory";
    let file = memfd_create(name, MemfdFlags::CLOEXEC).map_err(Into::into).tried(failed)?;
    let mut file = std::fs::File::from(file);
    file.write_all(text.as_bytes()).tried(failed)?;
    Ok(file.into())
}

/// Returns a path by which other processes of the lab open the file.
fn path(file: &OwnedFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// The last lines that a process has written to stderr.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

/// The length of the log that is kept, in bytes.
const KEPT: usize = 4096;

impl Log {
    /// Reads it on a thread, so that the process never waits.
    fn keep(mut stream: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let kept = log.clone();
        let read = move || {
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                let mut kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..length]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
        };
        // Without the thread the log is empty.
        let _ = thread::Builder::new().name("server log".into()).spawn(read);
        log
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).trim().to_owned()
    }
}
