//! Changes of a side's network while a lab is up.

use super::natlab;
use crate::common::run;

/// A client of the lab's STUN server: `ask` returns the mapped address of a new socket, or of `s`,
/// and None without an answer.
const CLIENT: &str = r#"
import os, socket, struct, subprocess, time
server = ('203.0.113.1', 3478)
def ask(s=None, wait=0.4):
    s = s or socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(wait)
    s.sendto(struct.pack('!HHI12s', 1, 0, 0x2112a442, os.urandom(12)), server)
    try: data = s.recv(999)
    except TimeoutError: return None
    at = 20
    while at < len(data):
        kind, length = struct.unpack_from('!HH', data, at)
        if kind == 0x20:
            port, ip = struct.unpack_from('!xxHI', data, at + 4)
            return socket.inet_ntoa(struct.pack('!I', ip ^ 0x2112a442)), port ^ 0x2112
        at += 4 + (length + 3) // 4 * 4
def do(*action):
    return subprocess.run([os.environ['CALLBOX'], 'natlab', 'do', 'a', *action], check=True,
                          capture_output=True, text=True).stdout.strip()
def timed(s=None):
    start = time.monotonic()
    assert ask(s, 3)
    return time.monotonic() - start
"#;

/// Runs a Python program on side a of a lab.
fn on(kind: &str, program: &str) -> String {
    let script = format!("{CLIENT}{program}");
    let mut command =
        natlab(&["run", "--timeout", "30s", "--a", kind, "--", "python3", "-c", &script]);
    let output = run(command.env("CALLBOX", env!("CARGO_BIN_EXE_callbox")));
    assert_eq!(output.status, 0, "{}", output.stderr);
    output.stdout
}

#[test]
fn a_router_that_reboots_loses_its_mappings() {
    let program = "
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
before = ask(s)
assert ask(s) == before
print(do('reboot'))
after = ask(s)
assert after[0] == before[0] and after[1] != before[1], (before, after)
";
    let text = on("full-cone,ports=random", program);
    assert_eq!(text, "a | the router of a has forgotten its mappings\n");
}

#[test]
fn a_host_that_moves_has_other_addresses() {
    let program = "
def own():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(server)
    return s.getsockname()[0]
assert (own(), ask()[0]) == ('192.168.1.2', '198.51.100.6')
print(do('move'))
assert (own(), ask()[0]) == ('10.0.1.2', '192.0.2.6')
do('move')
assert (own(), ask()[0]) == ('192.168.1.2', '198.51.100.6')
";
    assert_eq!(on("symmetric", program), "a | a is at 10.0.1.2 now\n");
    let program = "
print(do('move'))
assert ask()[0] == '192.0.2.6'
";
    assert_eq!(on("carrier-grade", program), "a | a is at 10.0.1.2 now\n");
}

#[test]
fn a_protocol_can_be_blocked_and_unblocked() {
    let program = "
assert ask()
print(do('block', 'udp'))
assert ask() is None
socket.create_connection(server, 3).close()
do('unblock', 'udp')
assert ask()
do('block', 'tcp')
try: socket.create_connection(server, 0.5); raise SystemExit('TCP passes')
except TimeoutError: pass
assert ask()
";
    assert_eq!(on("port-restricted", program), "a | the router of a drops udp (nftables)\n");
}

#[test]
fn a_link_delays_drops_and_is_cut() {
    let program = "
assert timed() < 0.08
print(do('delay', '100ms'))
assert 0.2 <= timed() < 0.4
do('delay', '0s')
print(do('loss', '100%'))
assert ask() is None
do('loss', '50%')
answers = sum(ask(wait=0.05) is not None for _ in range(60))
# Each way loses half of the packets: 15 of 60 return.
assert 2 < answers < 34, answers
do('loss', '0%')
assert ask()
print(do('cut', '600ms'))
start = time.monotonic()
while not ask(wait=0.05): pass
assert 0.3 < time.monotonic() - start < 2
";
    let text = on("none", program);
    let by = "(by callbox's forwarder)";
    let lines = [
        format!("a | the link of a: delay 100ms {by}"),
        format!("a | the link of a: loss 100% {by}"),
        "a | the link of a is cut for 600ms".to_owned(),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_link_with_a_rate_takes_the_time_that_bytes_take() {
    // A megabit in a second, over TCP, by a server in the public network.
    let program = "
do('rate', '4mbit')
s = socket.create_connection(('203.0.113.1', 7000), 5)
start, received = time.monotonic(), 0
while data := s.recv(65536): received += len(data)
assert received == 1000000
took = time.monotonic() - start
assert 1.9 < took < 4, took
";
    let server = "python3 -c \"import socket; s = socket.create_server(('203.0.113.1', 7000)); \
                  c, _ = s.accept(); c.sendall(bytes(1000000))\"";
    let script = format!(
        "{CLIENT}
while True:
    try: socket.create_connection(('203.0.113.1', 7001), 1); break
    except OSError: pass
{program}"
    );
    let server = server.replace(
        "c, _ = s.accept()",
        "r = socket.create_server(('203.0.113.1', 7001)); r.accept(); c, _ = s.accept()",
    );
    let mut command = natlab(&[
        "run",
        "--timeout",
        "30s",
        "--a",
        "symmetric",
        "--on",
        "internet",
        &server,
        "--",
        "python3",
        "-c",
        &script,
    ]);
    let output = run(command.env("CALLBOX", env!("CARGO_BIN_EXE_callbox")));
    assert_eq!(output.status, 0, "{}", output.stderr);
}
