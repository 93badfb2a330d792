"""aioice's TURN client: sends numbered packets through a relay to a peer that echoes them.

Arguments: HOST PORT TRANSPORT SECONDS MILLISECONDS (between packets). Prints one line of JSON.
"""

import asyncio
import json
import sys
import time

from aioice import turn


class Counter(asyncio.DatagramProtocol):
    """Counts the different packets that arrive; the peer also echoes them."""

    def __init__(self, echoes):
        self.echoes = echoes
        self.seen = set()
        self.waited_for = None

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.seen.add(data)
        if self.echoes:
            self.transport.sendto(data, address)
        elif data == self.waited_for:
            self.came.set_result(None)

    async def wait_for(self, data):
        """Waits a few seconds for a packet that has not arrived yet."""
        if data in self.seen:
            return
        self.came = asyncio.get_running_loop().create_future()
        self.waited_for = data
        await asyncio.wait([self.came], timeout=5)


async def main(host, port, transport, seconds, pause):
    loop = asyncio.get_running_loop()
    peer, client = Counter(True), Counter(False)
    socket, _ = await loop.create_datagram_endpoint(lambda: peer, local_addr=("127.0.0.1", 0))
    address = socket.get_extra_info("sockname")
    endpoint, _ = await turn.create_turn_endpoint(
        lambda: client,
        server_addr=(host, port),
        username="user",
        password="pass",
        transport=transport,
    )
    sent, ends = 0, time.monotonic() + seconds
    while time.monotonic() < ends:
        endpoint.sendto(b"%d" % sent, address)
        sent += 1
        await asyncio.sleep(pause)
    await client.wait_for(b"%d" % (sent - 1))
    print(json.dumps({"sent": sent, "to_peer": len(peer.seen), "back": len(client.seen)}))
    endpoint.close()
    socket.close()


if __name__ == "__main__":
    host, port, transport, seconds, milliseconds = sys.argv[1:]
    asyncio.run(main(host, int(port), transport, float(seconds), float(milliseconds) / 1000))
