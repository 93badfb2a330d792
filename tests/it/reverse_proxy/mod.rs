//! Reverse proxies from Debian with the settings in `docs/behind-a-proxy.md`, unchanged except for
//! ports, names and certificates.

pub(crate) mod clients;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Instant,
};

use crate::common::DEADLINE;

const PAGE: &str = include_str!("../../../docs/behind-a-proxy.md");

/// Returns the settings with this name on the page.
pub(crate) fn sample(name: &str) -> String {
    let mark = format!("<!-- sample: {name} -->\n```");
    let (_, rest) = PAGE.split_once(&mark).unwrap_or_else(|| panic!("no sample {name}"));
    let (_, rest) = rest.split_once('\n').expect("the fence ends its line");
    let (text, _) = rest.split_once("\n```\n").expect("the sample ends");
    format!("{text}\n")
}

/// Replaces values of the page by those of a test; each of them must occur.
pub(crate) fn adapted(name: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(sample(name), |text, (from, to)| {
        assert!(text.contains(from), "the sample {name} has no {from:?}");
        text.replace(from, to)
    })
}

/// Returns a free port of loopback. It is outside of the range from which the system assigns ports,
/// so that no other program gets it in between; and tests that run at the same time, each in a
/// process of its own, begin at different ports.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 23_000;
    const COUNT: u32 = 1000;
    static ASKED: AtomicU32 = AtomicU32::new(0);
    (0..COUNT)
        .map(|_| {
            let asked = ASKED.fetch_add(1, Ordering::Relaxed);
            (FIRST + (std::process::id() * 7 + asked) % COUNT) as u16
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port is free")
}

/// A proxy that ends with its test.
pub(crate) struct Proxy {
    child: Child,
    dir: tempfile::TempDir,
    at: SocketAddr,
}

impl Proxy {
    /// Starts nginx as a single process of the user who runs the test.
    pub(crate) fn nginx(sample: &str, port: u16) -> Self {
        let dir = tempfile::tempdir().expect("there is room");
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};\n", dir.path().join(name).display()))
            .concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {pid};\nerror_log stderr;\nevents {{}}\nhttp \
             {{\naccess_log off;\n{paths}{sample}}}\n",
            pid = dir.path().join("pid").display(),
        );
        let file = Self::written(&dir, "nginx.conf", &text);
        let prefix = dir.path().display().to_string();
        Self::start("nginx", &["-p", &prefix, "-e", "stderr", "-c", &file], dir, port)
    }

    /// Starts Caddy without its API and without certificates.
    pub(crate) fn caddy(sample: &str, port: u16) -> Self {
        let dir = tempfile::tempdir().expect("there is room");
        let options = "{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n}\n";
        let file = Self::written(&dir, "Caddyfile", &format!("{options}{sample}"));
        Self::start("caddy", &["run", "--adapter", "caddyfile", "--config", &file], dir, port)
    }

    /// Starts haproxy with a socket that reports its health checks.
    pub(crate) fn haproxy(sample: &str, port: u16) -> Self {
        let dir = tempfile::tempdir().expect("there is room");
        let socket = dir.path().join("stats").display().to_string();
        let text = format!("global\n    stats socket {socket}\n\n{sample}");
        let file = Self::written(&dir, "haproxy.cfg", &text);
        Self::start("haproxy", &["-db", "-f", &file], dir, port)
    }

    fn written(dir: &tempfile::TempDir, name: &str, text: &str) -> String {
        let file = dir.path().join(name);
        fs::write(&file, text).expect("it can be written");
        file.display().to_string()
    }

    fn start(program: &str, args: &[&str], dir: tempfile::TempDir, port: u16) -> Self {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let log = fs::File::create(dir.path().join("log")).expect("it can be written");
        // The proxy ends with this thread, also if the test is killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", program])
            .args(args)
            .env("PATH", path)
            .env("HOME", dir.path())
            .env("XDG_DATA_HOME", dir.path())
            .env("XDG_CONFIG_HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("it can be shared"))
            .stderr(log)
            .spawn()
            .expect("setpriv is there");
        let mut proxy = Self { child, dir, at: ([127, 0, 0, 1], port).into() };
        let until = Instant::now() + DEADLINE;
        while TcpStream::connect(proxy.at).is_err() {
            let over = proxy.child.try_wait().expect("it can be waited for");
            assert!(
                over.is_none() && Instant::now() < until,
                "{program} does not listen (bash tests/run installs it): {}",
                proxy.log()
            );
            thread::yield_now();
        }
        proxy
    }

    /// Returns `host:port` for clients.
    pub(crate) fn authority(&self) -> String {
        self.at.to_string()
    }

    /// Returns the log of the proxy so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until haproxy's health check of a server has succeeded.
    pub(crate) fn wait_until_healthy(&self, backend: &str) {
        let socket: PathBuf = self.dir.path().join("stats");
        let until = Instant::now() + DEADLINE;
        loop {
            // This socket listens a moment after those for clients.
            let mut table = String::new();
            if let Ok(mut stream) = UnixStream::connect(&socket) {
                stream.write_all(b"show stat\n").expect("it reads");
                stream.read_to_string(&mut table).expect("it answers");
            }
            let mut rows =
                table.lines().filter(|row| row.starts_with(&format!("{backend},callbox1,")));
            if rows.any(|row| row.contains(",L7OK,")) {
                return;
            }
            assert!(Instant::now() < until, "{backend} is not healthy:\n{table}");
            thread::yield_now();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the proxy has said:\n{}", self.log());
        }
    }
}
