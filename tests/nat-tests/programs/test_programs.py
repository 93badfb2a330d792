"""Programs of other projects in labs, as they are: coturn's turnutils_uclient and aiortc, behind two
symmetric NATs, with callbox's server, and with coturn in its place.

Each needs the relay: without it, the same programs fail.
"""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import unittest

CALLBOX = os.environ["CALLBOX_BIN"]
PEER = pathlib.Path(__file__).with_name("aiortc_peer.py")

# Seconds.
TIMEOUT = 90

# Two sides behind symmetric NATs, and one in a public network.
LAB = """
[sides.a]
kind = "symmetric"
[sides.b]
kind = "symmetric"
[sides.echo]
kind = "none"
"""
ECHO = "198.51.100.142"

# coturn takes the place of callbox's server.
COTURN = [
    "--stun=stun:203.0.113.1:3478", "--turn=turn:203.0.113.1:3478?transport=udp",
    "--turn-username=lab", "--turn-password=secret",
]


def wait_for_port(port):
    """Returns a command of the shell that waits until a program of its side has this UDP port."""
    return f"until grep -q ':{port:04X} ' /proc/net/udp; do :; done"


class Programs:
    """Tests that each of the two servers passes."""

    # Options of `callbox natlab run`.
    server = []

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "lab.toml").write_text(LAB)

    def fifo(self, name):
        """Makes a FIFO, and returns its path for the shell.

        `echo >FIFO` waits for the reader, and `read x <>FIFO` for a line.
        """
        path = self.folder / name
        if not path.exists():
            os.mkfifo(path)
        return shlex.quote(str(path))

    def coturn(self, *options):
        """Returns a command that runs coturn, and lets the sides begin when it is ready."""
        command = shlex.join([
            "turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--lt-cred-mech",
            "--realm=lab", "--listening-ip=203.0.113.1", "--relay-ip=203.0.113.1",
            f"--db={self.folder}/turndb", f"--pidfile={self.folder}/pid", "--log-file=stdout",
            *options,
        ])
        begin = "; ".join(f"echo >{self.fifo(f'begin-{side}')}" for side in "ab")
        return (
            f"{command} --user=$NATLAB_TURN_USERNAME:$NATLAB_TURN_PASSWORD >/dev/null & "
            f"{wait_for_port(3478)}; {begin}; wait"
        )

    def run_lab(self, programs, *options):
        """Runs a program on each side, and returns the exit code and the lines of each side."""
        if self.server:
            programs = dict(programs)
            programs["internet"] = self.coturn(*options)
            for side in "ab":
                wait = f"read begin <>{self.fifo(f'begin-{side}')}"
                programs[side] = f"{wait}; {programs[side]}"
        arguments = [word for side, text in programs.items() for word in ("--on", side, text)]
        result = subprocess.run(
            [CALLBOX, "natlab", "run", "--file", self.folder / "lab.toml",
             f"--timeout={TIMEOUT}s", *self.server, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=2 * TIMEOUT,
        )
        lines = {side: [] for side in programs}
        for line in result.stdout.splitlines():
            side, _, text = line.partition(" | ")
            lines.setdefault(side, []).append(text)
        return result.returncode, lines

    # ---- coturn's client -------------------------------------------------------------------------

    def uclient(self, timeout):
        """Returns the command of a client whose packets come back from turnutils_peer.

        Fifty packets go from each of two relayed addresses.
        """
        client = shlex.join([
            "timeout", str(timeout), "turnutils_uclient", "-n", "50", "-m", "2", "-l", "172",
            "-c", "-e", ECHO, "-r", "3480",
        ])
        return f'{client} -u "$NATLAB_TURN_USERNAME" -w "$NATLAB_TURN_PASSWORD" 203.0.113.1 2>&1'

    def run_uclients(self, *server_options, timeout=TIMEOUT):
        """Runs clients on both sides, and an echo of coturn in a public network."""
        done = self.fifo("done")
        ready = {side: self.fifo(f"echo-{side}") for side in "ab"}
        client = self.uclient(timeout)
        programs = {
            side: f"read ready <>{ready[side]}; {client}; code=$?; echo >{done}; exit $code"
            for side in "ab"
        }
        programs["echo"] = (
            f"turnutils_peer -L {ECHO} -p 3480 >/dev/null 2>&1 & "
            f"{wait_for_port(3480)}; echo >{ready['a']}; echo >{ready['b']}; "
            f"exec 3<>{done}; read a <&3; read b <&3"
        )
        return self.run_lab(programs, *server_options)

    def test_packets_of_turnutils_uclient_come_back(self):
        code, lines = self.run_uclients()
        self.assertEqual(code, 0, lines)
        for side in "ab":
            text = "\n".join(lines[side])
            self.assertIn("Total lost packets 0 ", text)
            self.assertRegex(text, r"tot_send_msgs=100, tot_recv_msgs=100")

    # ---- aiortc ----------------------------------------------------------------------------------

    def run_aiortc(self, prepare=""):
        """Runs a peer on each side, and returns the exit code and the outcomes."""
        to_a, to_b = self.fifo("to-a"), self.fifo("to-b")
        command = shlex.join([sys.executable, str(PEER)])
        code, lines = self.run_lab({
            "a": f"{prepare} exec {command} offer {to_a} {to_b}",
            "b": f"{prepare} exec {command} answer {to_b} {to_a}",
        })
        try:
            return code, [json.loads(lines[side][-1]) for side in "ab"]
        except (IndexError, json.JSONDecodeError):
            self.fail(f"no outcome: {lines}")

    def test_peers_of_aiortc_talk_through_the_relay(self):
        code, outcomes = self.run_aiortc()
        self.assertEqual(code, 0, outcomes)
        for outcome, other in zip(outcomes, reversed("ab")):
            self.assertIn("relay", outcome["path"])
            self.assertEqual(outcome["text"], f"hello from {other}")

    def test_peers_of_aiortc_need_the_relay(self):
        code, outcomes = self.run_aiortc("unset NATLAB_TURN;")
        self.assertEqual(code, 1, outcomes)
        for outcome in outcomes:
            self.assertIn("ICE is", outcome["failed"])


class WithCallbox(Programs, unittest.TestCase):
    """callbox's server."""


class WithCoturn(Programs, unittest.TestCase):
    """coturn in its place."""

    server = COTURN

    def test_turnutils_uclient_needs_the_relay(self):
        # The client asks for a relayed address again and again.
        code, lines = self.run_uclients("--stun-only", timeout=10)
        self.assertEqual(code, 124, lines)
        for side in "ab":
            self.assertNotIn("Total lost packets", "\n".join(lines[side]))
            self.assertIn(f"natlab: {side} has ended with exit code 124", lines)


if __name__ == "__main__":
    unittest.main()
