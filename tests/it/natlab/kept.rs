//! Labs that stay until they are taken down.

use super::natlab;
use crate::common::run;

/// Returns stdout of a command that succeeds.
fn done(args: &[&str]) -> String {
    let output = run(&mut natlab(args));
    assert_eq!(output.status, 0, "{args:?}: {}", output.stderr);
    output.stdout
}

/// A lab that is taken down if the test fails.
struct Kept<'a>(&'a str);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        run(&mut natlab(&["down", self.0]));
    }
}

#[test]
fn a_lab_stays_until_it_is_taken_down() {
    let name = format!("kept-{}", std::process::id());
    let name = name.as_str();
    let _kept = Kept(name);
    done(&["up", name, "--no-server", "--a", "symmetric", "--b", "none"]);
    let line = format!("{name}  a: symmetric  b: none");
    assert!(done(&["list"]).lines().any(|listed| listed == line));

    let again = run(&mut natlab(&["up", name, "--a", "none"]));
    assert_eq!(again.status, 2);
    assert!(again.stderr.contains(&format!("there is a lab with the name {name}")));

    // A program that leaves another one does not keep the lab, or the pipe, busy.
    let leave = "sleep 1000 & setsid sleep 1000 & echo $NATLAB_NAME";
    assert_eq!(done(&["run", "--lab", name, "--on", "a", leave]), format!("a | {name}\n"));
    let left = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[s]leep 1000' || true";
    let count = done(&["run", "--lab", name, "--on", "a", left]);
    assert_eq!(count, "a | 0\n");

    done(&["down", name]);
    assert!(!done(&["list"]).lines().any(|listed| listed == line));
    let gone = run(&mut natlab(&["run", "--lab", name, "--on", "a", "true"]));
    assert_eq!(gone.status, 2);
    assert!(gone.stderr.contains(&format!("there is no lab with the name {name}")));
    // The name is free at once.
    done(&["up", name, "--no-server", "--a", "none"]);
    done(&["down", name]);
}

#[test]
fn a_shell_runs_on_its_side() {
    use std::process::Stdio;
    let mut command = natlab(&["shell", "b", "--no-server", "--a", "none", "--b", "symmetric"]);
    let mut child = command
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"echo $NATLAB_SIDE $NATLAB_ADDRESS; exit 7\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "b 192.168.2.2\n");
    assert_eq!(output.status.code(), Some(7));
}

/// Two sides behind one NAT, which is behind another one, see each other and the server.
#[test]
fn a_file_describes_a_lab_of_several_networks() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = "[networks.home]\nkind = \"port-restricted\"\nbehind = \"carrier\"\n\
                [networks.carrier]\nkind = \"symmetric\"\n\
                [links.slow]\ndelay = \"30ms\"\nmtu = 1400\n\
                [sides.one]\nbehind = \"home\"\nlink = \"slow\"\n\
                [sides.two]\nbehind = \"home\"\n[sides.far]\nkind = \"none\"\n";
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let listen = "python3 -c \"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
                  s.bind(('', 7000)); print(sorted({s.recvfrom(9)[1][0] for n in range(8)}))\"";
    let send = |to: &str| {
        let text = format!(
            "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
             for n in range(150): s.sendto(b'x', ('{to}', 7000)); time.sleep(0.02)"
        );
        format!("python3 -c \"{text}\"")
    };
    let to_far = send("198.51.100.142");
    let to_one = send("192.168.2.2");
    let args = ["run", "--timeout", "30s", "--file", path, "--on", "far", listen, "--on", "two"];
    let output = run(&mut natlab(&[&args[..], &[&to_far]].concat()));
    assert_eq!(output.status, 0, "{}", output.stderr);
    // The carrier's NAT has the public address.
    assert!(output.stdout.contains("far | ['198.51.100.6']"), "{}", output.stdout);
    let args = ["run", "--timeout", "30s", "--file", path, "--on", "one", listen, "--on", "two"];
    let output = run(&mut natlab(&[&args[..], &[&to_one]].concat()));
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(output.stdout.contains("one | ['192.168.2.3']"), "{}", output.stdout);
    assert!(output.stderr.contains("link of one: delay 30ms"), "{}", output.stderr);
}
