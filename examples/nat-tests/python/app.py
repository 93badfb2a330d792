"""A small application: two users call each other, and send texts over a data channel.

It stands for yours. test_relay.py shows how to test it.
"""

import asyncio
import itertools

import aiohttp
import aioice.ice
from aiortc import (
    RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection, RTCSessionDescription,
)

# The seconds between two checks of a path, of which six in a row have to fail. With aioice's own
# interval, half a minute passes before a path is given up.
aioice.ice.CONSENT_INTERVAL = 1

# The pause between two attempts to reach the server again.
RETRY = 0.2


class Signaling:
    """The connection to the server, by the WebSocket protocol. It is made again when it is lost."""

    def __init__(self, session, url, token):
        self._session = session
        self._url = url
        self._token = token
        self._socket = None
        self._ids = itertools.count(1)
        self._answers = {}
        self._events = asyncio.Queue()
        self._reader = None

    @classmethod
    async def connect(cls, session, url, token):
        """Connects and signs in."""
        signaling = cls(session, url, token)
        await signaling._sign_in()
        signaling._reader = asyncio.create_task(signaling._read())
        return signaling

    async def _sign_in(self):
        """Connects and signs in, always as the same device: calls wait for it."""
        socket = await self._session.ws_connect(self._url)
        hello = {"token": self._token, "protocol": 1, "deviceId": "app"}
        await socket.send_json({"event": "session:hello", "data": hello})
        welcome = await socket.receive_json()
        if welcome["event"] != "session:welcome":
            raise RuntimeError(f"the sign-in failed: {welcome}")
        self._socket = socket

    async def _read(self):
        while True:
            async for message in self._socket:
                frame = message.json()
                if "event" in frame:
                    self._events.put_nowait((frame["event"], frame["data"]))
                else:
                    self._answers.pop(frame["re"]).set_result(frame["data"])
            for answer in self._answers.values():
                answer.set_exception(ConnectionError("the connection to the server was lost"))
            self._answers.clear()
            while self._socket.closed:
                try:
                    await self._sign_in()
                except (aiohttp.ClientError, TypeError):
                    await asyncio.sleep(RETRY)

    async def request(self, event, **data):
        """Sends a request and returns its answer."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send_json({"event": event, "id": number, "data": data})
        except ConnectionError:
            self._answers.pop(number, None)
            raise
        result = await answer
        if not result["ok"]:
            raise RuntimeError(f"{event}: {result['error']['message']}")
        return result

    async def next(self):
        """Returns the name and the data of the next event."""
        return await self._events.get()

    async def event(self, name):
        """Waits for an event of a call that is not up yet, and skips others."""
        while True:
            event, data = await self.next()
            if event == name:
                return data
            if event == "call:ended":
                raise RuntimeError(f"the call has ended: {data['reason']}")

    async def close(self):
        self._reader.cancel()
        await self._socket.close()


def readable(urls):
    """Returns the URIs that aiortc reads: those without an IPv6 address."""
    return [url for url in urls if "[" not in url]


class Call:
    """A call, which outlives its peer connections and the connection to the server."""

    def __init__(self, signaling, call, is_caller):
        self.signaling = signaling
        self.id = call["callId"]
        self.connection = None
        self.channel = None
        self._is_caller = is_caller
        self._texts = asyncio.Queue()
        self._opened = asyncio.Condition()
        self._connections = 0
        self._last_description = None
        self._awaits_answer = False
        self._lost = asyncio.Event()
        self._ended = asyncio.Event()
        self._open_connection(call)
        self._tasks = []

    def start(self):
        """Follows the events of the server and of the peer connection."""
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._repair())]

    def _open_connection(self, ice):
        """Makes a peer connection. `ice` has what the server sent."""
        servers = [
            RTCIceServer(readable(server["urls"]), server.get("username"), server.get("credential"))
            for server in ice["iceServers"]
        ]
        policy = RTCIceTransportPolicy(ice.get("iceTransportPolicy", "all"))
        connection = RTCPeerConnection(
            RTCConfiguration(iceServers=servers, iceTransportPolicy=policy)
        )

        @connection.on("connectionstatechange")
        def changed():
            if connection is self.connection and connection.connectionState in ("failed", "closed"):
                self._lost.set()

        channel = connection.createDataChannel("texts", negotiated=True, id=0)
        channel.on("open", lambda: asyncio.ensure_future(self._count()))
        channel.on("message", self._texts.put_nowait)
        self.connection, self.channel = connection, channel

    async def _count(self):
        async with self._opened:
            self._connections += 1
            self._opened.notify_all()

    async def connected(self, times):
        """Waits until the call has had this many connections, and the last of them is open: the
        first one, and one for each loss of the path."""
        async with self._opened:
            await self._opened.wait_for(lambda: self._connections >= times)
        return self

    async def _follow(self):
        while True:
            event, data = await self.signaling.next()
            try:
                if event == "signal:offer":
                    await self._on_offer(data)
                elif event == "signal:answer":
                    await self._on_answer(data)
                elif event == "call:ended":
                    self._ended.set()
                elif event == "call:sync":
                    # The server was restarted. What was sent to this side in between is here.
                    description = data.get("description") or {}
                    if description.get("type") == "offer":
                        await self._on_offer(description)
                    elif description.get("type") == "answer" and self._awaits_answer:
                        await self._on_answer(description)
                    elif not self._awaits_answer:
                        # The new relay does not have the allocations of the one before.
                        self._lost.set()
            except ConnectionError:
                pass  # `call:sync` follows, once the server is back.

    # ANCHOR: reconnect
    async def _repair(self):
        """Replaces the peer connection when the path is lost, since aiortc does not restart ICE.
        Only one side offers, so that offers do not cross."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            if self._is_caller:
                try:
                    await self._replace_connection()
                    await self.offer()
                except ConnectionError:
                    pass  # `call:sync` follows, once the server is back.

    async def _replace_connection(self):
        fresh = await self.signaling.request("ice:refresh", callId=self.id)
        before = self.connection
        self._open_connection(fresh)
        await before.close()
    # ANCHOR_END: reconnect

    async def offer(self):
        """Offers a connection."""
        # aiortc gathers all candidates here, so that they are in the description.
        await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp = self.connection.localDescription.sdp
        await self.signaling.request("signal:offer", callId=self.id, sdp=sdp)
        self._awaits_answer = True

    async def _on_offer(self, data):
        if not self._is_news(data):
            return
        if self._last_description is not None:
            await self._replace_connection()
        self._last_description = data["sdp"]
        await self.connection.setRemoteDescription(RTCSessionDescription(data["sdp"], "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        sdp = self.connection.localDescription.sdp
        await self.signaling.request("signal:answer", callId=self.id, sdp=sdp)

    async def _on_answer(self, data):
        if self._is_news(data):
            self._awaits_answer = False
            self._last_description = data["sdp"]
            await self.connection.setRemoteDescription(RTCSessionDescription(data["sdp"], "answer"))

    def _is_news(self, data):
        """Returns false for a description that was applied: `call:sync` repeats the last one."""
        return data["sdp"] != self._last_description

    def send(self, text):
        """Sends a text to the other side."""
        self.channel.send(text)

    async def text(self):
        """Returns the next text of the other side."""
        return await self._texts.get()

    async def ended(self):
        """Waits until the other side has hung up."""
        await self._ended.wait()
        await self.close()

    def path(self):
        """Returns the types of the two candidates of the selected pair."""
        ice = self.connection.sctp.transport.transport
        pair = ice._connection._nominated[1]
        return pair.local_candidate.type, pair.remote_candidate.type

    async def end(self):
        """Hangs up."""
        await self.signaling.request("call:end", callId=self.id)
        await self.close()

    async def close(self):
        for task in self._tasks:
            task.cancel()
        await self.connection.close()
        await self.signaling.close()


async def call(signaling, user):
    """Calls a user, and returns once the data channel is open."""
    started = await signaling.request("call:initiate", targetUserId=user, callType="audio")
    await signaling.event("call:accepted")
    call = Call(signaling, started, is_caller=True)
    await call.offer()
    call.start()
    return await call.connected(1)


async def answer(signaling):
    """Waits for a call and takes it, and returns once the data channel is open."""
    call = Call(signaling, await signaling.event("call:incoming"), is_caller=False)
    await signaling.request("call:accept", callId=call.id)
    call.start()
    return await call.connected(1)
