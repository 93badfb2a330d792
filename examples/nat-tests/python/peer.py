"""One side of a call in a lab of `callbox natlab`: side `a` calls `b`."""

import asyncio
import os
import sys

import aiohttp

import app


async def call(signaling):
    """Calls the other side, which may not be online yet."""
    while True:
        try:
            return await app.call(signaling, "b")
        except RuntimeError as error:
            print(f"{error}; it is called again", file=sys.stderr)
            await asyncio.sleep(1)


async def main():
    is_caller = os.environ["NATLAB_SIDE"] == "a"
    async with aiohttp.ClientSession() as session:
        signaling = await app.Signaling.connect(
            session, os.environ["NATLAB_WS"], os.environ["NATLAB_TOKEN"]
        )
        peer = await (call(signaling) if is_caller else app.answer(signaling))
        print(*peer.path(), sep=" to ")
        # The caller hangs up when it has the answer to its text. The end of the call, which does not
        # take the path of the media, cannot overtake a text then.
        if is_caller:
            peer.send("hello")
        print("received", await peer.text())
        if is_caller:
            await peer.end()
        else:
            peer.send("hello")
            await peer.ended()


asyncio.run(main())
