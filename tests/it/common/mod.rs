//! Helpers for tests over real sockets: the real binary on free ports, and small clients.

pub(crate) mod asyncapi;
pub(crate) mod http;
pub(crate) mod identity;
pub(crate) mod json_schema;
pub(crate) mod network;
pub(crate) mod openapi;
pub(crate) mod pem;
pub(crate) mod socketio;
pub(crate) mod websocket;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use regex::Regex;
use serde_json::{Value, json};

/// The time after which a wait fails the test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Returns the `callbox` binary with these arguments and without settings from the environment.
pub(crate) fn callbox(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callbox"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CALLBOX_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Returns the filter for fail2ban from `docs/logs.md`, in which the group for an address is named
/// `host`.
pub(crate) fn fail2ban_filter() -> Regex {
    let docs = std::fs::read_to_string("docs/logs.md").unwrap();
    let line = docs.lines().find_map(|line| line.strip_prefix("failregex = ")).unwrap();
    assert_eq!(line.matches("<HOST>").count(), 1);
    Regex::new(&line.replace("<HOST>", r"(?P<host>[0-9.]+|[0-9a-fA-F:]+)")).unwrap()
}

/// Writes a file that only its owner can read, as files with secrets should be.
pub(crate) fn write_private(path: &std::path::Path, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).expect("it can be written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, mode).expect("it is ours");
    }
}

/// The output and the status of a finished process.
pub(crate) struct Output {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the binary is there");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Output {
        status: output.status.code().expect("it was not killed"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A server for one test. It ends with the test, also on a panic.
pub(crate) struct Server {
    child: Child,
    stderr: Option<mpsc::Receiver<String>>,
    /// The ready line.
    pub ready: Value,
}

impl Server {
    /// Starts `callbox serve --dev` on free ports.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts it with additional options.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self::try_with(options).unwrap_or_else(|error| panic!("no ready line: {error}"))
    }

    /// Starts it with additional options; the error is its output if it does not start.
    pub(crate) fn try_with(options: &[&str]) -> Result<Self, String> {
        let mut args = vec!["serve", "--dev", "--ready-json"];
        args.extend(["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
        if !options.contains(&"--lifetime") {
            // If the test process is killed, the server ends soon after.
            args.extend(["--lifetime", "5m"]);
        }
        args.extend(options);
        Self::try_spawn(&mut callbox(&args))
    }

    /// Starts any command that prints a ready line.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::try_spawn(command).unwrap_or_else(|error| panic!("no ready line: {error}"))
    }

    fn try_spawn(command: &mut Command) -> Result<Self, String> {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, stderr) = mpsc::channel();
        let mut pipe = child.stderr.take().expect("it is piped");
        thread::spawn(move || {
            let mut text = String::new();
            let _ = pipe.read_to_string(&mut text);
            let _ = sender.send(text);
        });
        let mut line = String::new();
        stdout.read_line(&mut line).expect("stdout is text");
        if line.is_empty() {
            let _ = child.wait();
            return Err(stderr.recv_timeout(DEADLINE).unwrap_or_default());
        }
        let ready = serde_json::from_str(&line).expect("the ready line is JSON");
        Ok(Self { child, stderr: Some(stderr), ready })
    }

    /// Returns a string in the ready line.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.ready.pointer(pointer).and_then(Value::as_str).expect("the ready line has it")
    }

    /// Returns `host:port` of HTTP.
    pub(crate) fn authority(&self) -> &str {
        self.text("/http").strip_prefix("http://").expect("it is an http address")
    }

    /// Returns `host:port` of the first TURN listener.
    pub(crate) fn turn(&self) -> &str {
        let uri = self.text("/turn/0").strip_prefix("turn:").expect("it is a turn URI");
        uri.split('?').next().expect("splitting gives one part at least")
    }

    /// Returns the id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns its resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        resident(self.pid())
    }

    /// Waits until its memory is at most `most`: the allocator returns freed pages with a delay.
    pub(crate) fn wait_for_memory(&self, most: u64, patience: Duration) {
        let until = Instant::now() + patience;
        while self.resident() > most {
            assert!(
                Instant::now() < until,
                "{} KiB are left after {patience:?}, and not {}",
                self.resident() >> 10,
                most >> 10
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sends a GET request, with a bearer token if there is one.
    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> http::Response {
        http::request(self.authority(), "GET", path, &bearer(token), None)
    }

    /// Gets a token from the server itself.
    pub(crate) fn token(&self, user: &str) -> String {
        let body = json!({ "userId": user });
        let response = http::request(self.authority(), "POST", "/dev/token", &[], Some(&body));
        response.json()["token"].as_str().expect("there is a token").to_owned()
    }

    /// Mints a token with the server's secret, with these options of `callbox token`.
    pub(crate) fn minted(&self, user: &str, options: &[&str]) -> String {
        let mut command = callbox(&["token", "--user", user]);
        // As an argument, a secret that begins with a dash would be parsed as an option.
        command.env("CALLBOX_JWT_SECRET", self.text("/dev/jwtSecret"));
        let output = run(command.args(options));
        assert_eq!(output.status, 0, "{}", output.stderr);
        output.stdout.trim().to_owned()
    }

    /// Returns a value of the metrics page; 0 if it is not listed.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let page = self.get("/metrics", None).body;
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("it is a number"))
    }

    /// Waits until a value of the metrics page satisfies a condition.
    pub(crate) fn wait_for_metric(&self, sample: &str, fits: impl Fn(f64) -> bool) {
        let until = Instant::now() + DEADLINE;
        while !fits(self.metric(sample)) {
            assert!(Instant::now() < until, "{sample} stays {}", self.metric(sample));
            thread::yield_now();
        }
    }

    /// Sends SIGTERM, as a supervisor does.
    pub(crate) fn terminate(&self) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there");
        assert!(status.success());
    }

    /// Waits for the process to end; returns its status and its log.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let until = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(Instant::now() < until, "the server does not end");
            thread::yield_now();
        };
        let stderr = self.stderr.take().expect("it is taken once");
        (status, stderr.recv_timeout(DEADLINE).expect("its stderr has ended"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the header for a token.
pub(crate) fn bearer(token: Option<&str>) -> Vec<(&'static str, String)> {
    token.map(|token| ("authorization", format!("Bearer {token}"))).into_iter().collect()
}

/// Waits for a future until the deadline.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {DEADLINE:?}"),
    }
}

/// Returns the resident memory of a process in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// Returns the user name and the password for the relay from a payload that a client got.
pub(crate) fn turn_credentials(data: &Value) -> (String, String) {
    let text = |name: &str| data["turnCredentials"][name].as_str().unwrap().to_owned();
    (text("username"), text("password"))
}
