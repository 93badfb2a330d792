"""Starts a callbox server for a test, on free ports of loopback. Copy it into your project."""

import asyncio
import json
import os
import shutil

START_TIMEOUT = 20
STOP_TIMEOUT = 10


class Server:
    """A server that ends with this process, however that ends. Use it with `async with`."""

    def __init__(self, *options: str):
        self._options = options
        self._process = None
        self._log = None
        self.ready = None

    async def __aenter__(self):
        binary = os.environ.get("CALLBOX_BIN") or shutil.which("callbox")
        if not binary:
            raise RuntimeError("There is no callbox in PATH; name it by CALLBOX_BIN.")
        self._process = await asyncio.create_subprocess_exec(
            binary, "serve", "--dev", "--http=127.0.0.1:0", "--listen=127.0.0.1:0", "--ready-json",
            f"--exit-with-parent={os.getpid()}", *self._options,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("CALLBOX_")},
        )
        self._log = asyncio.create_task(self._process.stderr.read())
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), START_TIMEOUT)
            self.ready = json.loads(line)
        except (asyncio.TimeoutError, json.JSONDecodeError):
            if self._process.returncode is None:
                self._process.kill()
            log = (await self._log).decode()
            await self._process.wait()
            raise RuntimeError(f"callbox does not start; it logged:\n{log}") from None
        return self

    async def __aexit__(self, *_):
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._log.cancel()

    @property
    def url(self) -> str:
        """The base URL of HTTP."""
        return self.ready["http"]

    @property
    def websocket(self) -> str:
        """The URL of the WebSocket protocol."""
        return self.ready["websocket"]

    async def token(self, session, user: str) -> str:
        """Gets a token with which a user signs in."""
        async with session.post(f"{self.url}/dev/token", json={"userId": user}) as response:
            response.raise_for_status()
            return (await response.json())["token"]
