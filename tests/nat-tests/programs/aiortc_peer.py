"""A peer of aiortc on a side of a lab: a data channel to the peer on the other side.

    aiortc_peer.py offer|answer INPUT OUTPUT

Descriptions come by one FIFO and go by another one. The last line of stdout is JSON: the types of
the selected candidates and the text of the other side, or the reason for the failure.
"""

import asyncio
import json
import os
import sys

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription

# Seconds.
DEADLINE = 15


def servers():
    """Returns the servers of the lab."""
    found = []
    if stun := os.environ.get("NATLAB_STUN"):
        found.append(RTCIceServer(stun))
    if turn := os.environ.get("NATLAB_TURN"):
        found.append(RTCIceServer(
            turn.split(","), os.environ["NATLAB_TURN_USERNAME"], os.environ["NATLAB_TURN_PASSWORD"],
        ))
    return found


class Signaling:
    """Values over two FIFOs."""

    def __init__(self, source, target):
        # Neither waits for the other end.
        self._source = os.fdopen(os.open(source, os.O_RDWR))
        self._target = os.fdopen(os.open(target, os.O_RDWR), "w")

    async def receive(self):
        """Waits for a value of the other side."""
        return json.loads(await asyncio.to_thread(self._source.readline))

    def send(self, value):
        """Sends a value to the other side."""
        print(json.dumps(value), file=self._target, flush=True)


async def connect(connection, role, signaling):
    """Exchanges descriptions with the other side. aiortc has all candidates in them."""
    if role == "offer":
        await connection.setLocalDescription(await connection.createOffer())
        signaling.send(connection.localDescription.sdp)
        answer = RTCSessionDescription(await signaling.receive(), "answer")
        await connection.setRemoteDescription(answer)
    else:
        offer = RTCSessionDescription(await signaling.receive(), "offer")
        await connection.setRemoteDescription(offer)
        await connection.setLocalDescription(await connection.createAnswer())
        signaling.send(connection.localDescription.sdp)


async def talk(connection, channel, opened, texts, signaling):
    """Sends a text each way, and returns what was found."""
    async with asyncio.timeout(DEADLINE):
        await opened.wait()
        channel.send(f"hello from {os.environ['NATLAB_SIDE']}")
        text = await texts.get()
        # The text of this side has to arrive, too, before it ends.
        signaling.send("received")
        await signaling.receive()
    pair = connection.sctp.transport.transport._connection._nominated[1]
    return {"path": [pair.local_candidate.type, pair.remote_candidate.type], "text": text}


async def main(role, source, target):
    connection = RTCPeerConnection(RTCConfiguration(iceServers=servers()))
    channel = connection.createDataChannel("texts", negotiated=True, id=0)
    opened, texts = asyncio.Event(), asyncio.Queue()
    channel.on("open", opened.set)
    channel.on("message", texts.put_nowait)
    signaling = Signaling(source, target)
    await connect(connection, role, signaling)
    try:
        result = await talk(connection, channel, opened, texts, signaling)
    except TimeoutError:
        result = {"failed": f"ICE is {connection.iceConnectionState}"}
    print(json.dumps(result), flush=True)
    # At once: the threads that read, and the checks of ICE, would go on.
    os._exit(1 if "failed" in result else 0)


asyncio.run(main(*sys.argv[1:]))
