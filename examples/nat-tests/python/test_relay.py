"""The application through the relay alone, as behind two NATs that let nothing else through."""

import asyncio
import unittest

import aiohttp

import app
from callbox_server import Server

DEADLINE = 30


def path(call):
    """Returns the types of the two candidates of the selected pair."""
    ice = call.connection.sctp.transport.transport
    pair = ice._connection._nominated[1]
    return pair.local_candidate.type, pair.remote_candidate.type


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

    # ANCHOR: relay
    async def test_a_call_goes_through_the_relay(self):
        async with Server("--force-relay") as server:
            alice, bob = await self.connect(server)
            await self.talk(alice, bob, "hello")
            for call in (alice, bob):
                self.assertEqual(path(call), ("relay", "relay"))
            await alice.end()
            await bob.close()
    # ANCHOR_END: relay

    # ANCHOR: expiry
    async def test_a_call_outlives_its_credentials(self):
        async with Server("--force-relay", "--credential-ttl=2s") as server:
            alice, bob = await self.connect(server)
            # Fresh credentials come after half of the lifetime: after four times, the first ones
            # and the second ones have expired.
            async with asyncio.timeout(DEADLINE):
                while alice.signaling.renewals < 4:
                    await self.talk(alice, bob, f"renewal {alice.signaling.renewals}")
            self.assertEqual(alice.connection.connectionState, "connected")
            await alice.end()
            await bob.close()
    # ANCHOR_END: expiry


if __name__ == "__main__":
    unittest.main()
