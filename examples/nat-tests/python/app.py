"""A small application: two users call each other, and send texts over a data channel.

It stands for yours. test_relay.py shows how to test it.
"""

import asyncio
import itertools

from aiortc import (
    RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection, RTCSessionDescription,
)


class Signaling:
    """A session, by the WebSocket protocol."""

    def __init__(self, socket):
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers = {}
        self._events = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())
        self.renewals = 0

    @classmethod
    async def connect(cls, session, url, token):
        """Connects and signs in."""
        signaling = cls(await session.ws_connect(url))
        await signaling._socket.send_json({"event": "session:hello", "data": {"token": token}})
        await signaling.event("session:welcome")
        return signaling

    async def _read(self):
        async for message in self._socket:
            frame = message.json()
            if "event" not in frame:
                self._answers.pop(frame["re"]).set_result(frame["data"])
            elif frame["event"] == "ice:servers":
                self.renewals += 1
            else:
                self._events.put_nowait((frame["event"], frame["data"]))

    async def request(self, event, **data):
        """Sends a request and returns its answer."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"event": event, "id": number, "data": data})
        result = await answer
        if not result["ok"]:
            raise RuntimeError(f"{event}: {result['error']['message']}")
        return result

    async def event(self, name):
        """Waits for an event, and skips others."""
        while True:
            event, data = await self._events.get()
            if event == name:
                return data

    async def close(self):
        await self._socket.close()
        await self._reader


class Call:
    """A call, once its data channel is open."""

    def __init__(self, signaling, call):
        self.signaling = signaling
        self.id = call["callId"]
        servers = [
            RTCIceServer(server["urls"], server.get("username"), server.get("credential"))
            for server in call["iceServers"]
        ]
        policy = RTCIceTransportPolicy(call.get("iceTransportPolicy", "all"))
        self.connection = RTCPeerConnection(
            RTCConfiguration(iceServers=servers, iceTransportPolicy=policy)
        )
        self.channel = self.connection.createDataChannel("texts", negotiated=True, id=0)
        self._texts = asyncio.Queue()
        self._opened = asyncio.Event()
        self.channel.on("open", self._opened.set)
        self.channel.on("message", self._texts.put_nowait)

    async def opened(self):
        await self._opened.wait()
        return self

    def send(self, text):
        """Sends a text to the other side."""
        self.channel.send(text)

    async def text(self):
        """Returns the next text of the other side."""
        return await self._texts.get()

    async def end(self):
        """Hangs up."""
        await self.signaling.request("call:end", callId=self.id)
        await self.close()

    async def close(self):
        await self.connection.close()
        await self.signaling.close()


async def call(signaling, user):
    """Calls a user, and returns once the data channel is open."""
    started = await signaling.request("call:initiate", targetUserId=user, callType="audio")
    await signaling.event("call:accepted")
    call = Call(signaling, started)
    # aiortc gathers all candidates here, so that they are in the description.
    await call.connection.setLocalDescription(await call.connection.createOffer())
    sdp = call.connection.localDescription.sdp
    await signaling.request("signal:offer", callId=call.id, sdp=sdp)
    answer = await signaling.event("signal:answer")
    await call.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
    return await call.opened()


async def answer(signaling):
    """Waits for a call and takes it, and returns once the data channel is open."""
    call = Call(signaling, await signaling.event("call:incoming"))
    await signaling.request("call:accept", callId=call.id)
    offer = await signaling.event("signal:offer")
    await call.connection.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
    await call.connection.setLocalDescription(await call.connection.createAnswer())
    sdp = call.connection.localDescription.sdp
    await signaling.request("signal:answer", callId=call.id, sdp=sdp)
    return await call.opened()
