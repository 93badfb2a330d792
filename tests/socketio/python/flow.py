"""Runs the call flow with python-socketio: alice with its threaded client, bob with its asyncio client.

    flow.py URL ALICE_TOKEN BOB_TOKEN [websocket|polling]

Each authenticates with a token only. If the transport is a WebSocket, alice then loses it in a call and
resumes the call. Finally she disconnects. Exits with 0 on success.
"""

import asyncio
import queue
import socket
import sys
import threading

import socketio

WITHIN = 10


class Peer:
    """The received events, common to both clients."""

    def __init__(self):
        self.received = {}

    def receive(self, event, data):
        self.received.setdefault(event, queue.Queue()).put(data)

    def next(self, event):
        try:
            return self.received.setdefault(event, queue.Queue()).get(timeout=WITHIN)
        except queue.Empty:
            so_far = sorted(name for name, events in self.received.items() if not events.empty())
            raise AssertionError(f"{event} was not received; unread are {so_far}") from None

    def request(self, event, data):
        answer = self.call(event, data)
        assert answer["ok"] is True, (event, answer)
        return answer


class Threaded(Peer):
    """socketio.Client, which uses requests and websocket-client."""

    def __init__(self, url, token, transports):
        super().__init__()
        self.client = socketio.Client(reconnection_delay=0.1)
        self.client.on("*", self.receive)
        self.client.connect(url, auth={"token": token}, transports=transports)
        self.welcome = self.next("session:welcome")

    def emit(self, event, data):
        self.client.emit(event, data)

    def call(self, event, data):
        return self.client.call(event, data, timeout=WITHIN)

    def drop_connection(self):
        """Cuts the WebSocket without a close frame."""
        self.client.eio.ws.sock.shutdown(socket.SHUT_RDWR)

    def disconnect(self):
        self.client.disconnect()


class Async(Peer):
    """socketio.AsyncClient, which uses aiohttp, in its own thread."""

    def __init__(self, url, token, transports):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.wait(self.connect(url, token, transports))
        self.welcome = self.next("session:welcome")

    async def connect(self, url, token, transports):
        self.client = socketio.AsyncClient(reconnection_delay=0.1)
        self.client.on("*", self.receive_async)
        await self.client.connect(url, auth={"token": token}, transports=transports)

    async def receive_async(self, event, data):
        self.receive(event, data)

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=WITHIN)

    def emit(self, event, data):
        self.wait(self.client.emit(event, data))

    def call(self, event, data):
        return self.wait(self.client.call(event, data, timeout=WITHIN))

    def disconnect(self):
        self.wait(self.client.disconnect())


def run(url, alice_token, bob_token, transports):
    alice = Threaded(url, alice_token, transports)
    bob = Async(url, bob_token, transports)
    assert (alice.welcome["userId"], bob.welcome["userId"]) == ("alice", "bob")

    def call():
        answer = alice.request("call:initiate", {"targetUserId": "bob", "callType": "video"})
        incoming = bob.next("call:incoming")
        assert incoming["callId"] == answer["callId"] and incoming["callerId"] == "alice"
        bob.emit("call:accept", {"callId": answer["callId"]})
        assert alice.next("call:accepted")["callId"] == answer["callId"]
        return answer["callId"]

    call_id = call()
    alice.emit("ice:candidate", {"callId": call_id, "candidate": {"candidate": "candidate:1"}})
    alice.emit("signal:offer", {"callId": call_id, "sdp": "v=0 offer"})
    assert bob.next("signal:offer")["sdp"] == "v=0 offer"
    assert bob.next("ice:candidate")["candidate"] == {"candidate": "candidate:1"}
    bob.emit("signal:answer", {"callId": call_id, "sdp": "v=0 answer"})
    bob.emit("ice:candidate", {"callId": call_id, "candidate": {"candidate": "candidate:2"}})
    assert alice.next("signal:answer")["sdp"] == "v=0 answer"
    assert alice.next("ice:candidate")["candidate"] == {"candidate": "candidate:2"}
    ended = alice.request("call:end", {"callId": call_id})
    assert ended["reason"] == "hangup"
    assert bob.next("call:ended")["reason"] == "hangup"
    refused = bob.call("call:end", {"callId": call_id})
    assert refused["error"]["code"] == "call_ended", refused

    if "websocket" in transports:
        call_id = call()
        alice.drop_connection()
        assert bob.next("call:reconnecting")["callId"] == call_id
        assert bob.next("call:reconnected")["callId"] == call_id
        assert alice.next("session:welcome")["deviceId"] == alice.welcome["deviceId"]
        assert alice.next("call:sync")["callId"] == call_id
        bob.emit("signal:offer", {"callId": call_id, "sdp": "v=0 again"})
        assert alice.next("signal:offer")["sdp"] == "v=0 again"
        alice.request("call:end", {"callId": call_id})
        bob.next("call:ended")

    call()
    alice.disconnect()
    assert bob.next("call:ended")["reason"] == "left"
    bob.disconnect()


if __name__ == "__main__":
    url, alice_token, bob_token, *transports = sys.argv[1:]
    run(url, alice_token, bob_token, transports or ["polling", "websocket"])
    print("ok")
