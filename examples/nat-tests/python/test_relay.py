"""The application through a relay that fails, and behind NATs."""

import asyncio
import sys
import tempfile
import unittest

import aiohttp

import app
import callbox_server
from callbox_server import Server

DEADLINE = 60


class RelayTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.session = await self.enterAsyncContext(aiohttp.ClientSession())

    async def connect(self, server):
        """Lets alice call bob."""
        alice, bob = [
            await app.Signaling.connect(
                self.session, server.websocket, await server.token(self.session, user)
            )
            for user in ("alice", "bob")
        ]
        calls = asyncio.gather(app.call(alice, "bob"), app.answer(bob))
        return await asyncio.wait_for(calls, DEADLINE)

    async def talk(self, alice, bob, text):
        """Sends a text each way."""
        alice.send(text)
        self.assertEqual(await asyncio.wait_for(bob.text(), DEADLINE), text)
        bob.send(text)
        self.assertEqual(await asyncio.wait_for(alice.text(), DEADLINE), text)

    def assert_relayed(self, alice, bob):
        """Asserts that both are connected, and that the relay is on both ends of the path."""
        for call in (alice, bob):
            self.assertEqual(call.connection.connectionState, "connected")
            self.assertEqual(call.path(), ("relay", "relay"))

    # ANCHOR: relay
    async def test_a_call_goes_through_the_relay(self):
        async with Server("--force-relay") as server:
            alice, bob = await self.connect(server)
            await self.talk(alice, bob, "hello")
            self.assert_relayed(alice, bob)
            await alice.end()
            await bob.ended()
    # ANCHOR_END: relay

    # ANCHOR: expiry
    async def test_a_call_outlives_its_credentials(self):
        """Packets are lost, and the TURN credentials expire in mid-call. The relay refuses the
        refreshes of both sides' allocations, which therefore end with their lifetime."""
        async with Server("--force-relay", "--allow-faults", "--max-lifetime=4s") as server:
            alice, bob = await self.connect(server)
            await server.faults(self.session, {
                "seed": 42,
                "packets": [{"lossPercent": 5}],
                "actions": [{"action": "expireCredentials"}],
            })
            # The application gets fresh credentials, and a second connection with them.
            for call in (alice, bob):
                await asyncio.wait_for(call.connected(2), DEADLINE)
            for number in range(20):
                await self.talk(alice, bob, f"text {number}")
            self.assert_relayed(alice, bob)
            report = await server.faults(self.session, {})
            self.assertGreater(report["injected"]["packetsLost"], 0)
            await alice.end()
            await bob.ended()
    # ANCHOR_END: expiry

    # ANCHOR: restart
    async def test_a_call_outlives_its_server(self):
        """With a state directory, calls go on after a restart. The allocations of the relay do
        not."""
        state = self.enterContext(tempfile.TemporaryDirectory())
        async with Server("--force-relay", f"--state-dir={state}") as server:
            alice, bob = await self.connect(server)
            await server.restart()
            for call in (alice, bob):
                await asyncio.wait_for(call.connected(2), DEADLINE)
            await self.talk(alice, bob, "still there?")
            self.assert_relayed(alice, bob)
            await alice.end()
            await bob.ended()
    # ANCHOR_END: restart

    # ANCHOR: symmetric
    @unittest.skipUnless(sys.platform == "linux", "callbox natlab needs Linux")
    async def test_a_call_between_symmetric_nats(self):
        """Each side is behind a symmetric NAT of its own. The server does not force the relay:
        there is no other path."""
        lab = await asyncio.create_subprocess_exec(
            callbox_server.binary(), "natlab", "run", "--a=symmetric", "--b=symmetric",
            "--timeout=60s", "--", sys.executable, "peer.py",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = [text.decode() for text in await lab.communicate()]
        self.assertEqual(lab.returncode, 0, stdout + stderr)
        for side in ("a", "b"):
            self.assertRegex(stdout, rf"(?m)^{side} \| .*relay")
            self.assertRegex(stdout, rf"(?m)^{side} \| received hello$")
    # ANCHOR_END: symmetric


if __name__ == "__main__":
    unittest.main()
