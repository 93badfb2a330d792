"""Starts a callbox server for a test, on free ports of loopback. Copy it into your project."""

import asyncio
import json
import os
import shutil

START_TIMEOUT = 20
STOP_TIMEOUT = 10


def binary() -> str:
    """Returns the path of the server: CALLBOX_BIN, or `callbox` in PATH."""
    found = os.environ.get("CALLBOX_BIN") or shutil.which("callbox")
    if not found:
        raise RuntimeError("There is no callbox in PATH; name it by CALLBOX_BIN.")
    return found


class Server:
    """A server that ends with this process, however that ends. Use it with `async with`."""

    def __init__(self, *options: str):
        self._options = options
        self._process = None
        self._log = None
        self.ready = None

    async def __aenter__(self):
        await self._start("--http=127.0.0.1:0", "--listen=127.0.0.1:0")
        return self

    async def __aexit__(self, *_):
        await self.stop()

    async def _start(self, *options: str):
        self._process = await asyncio.create_subprocess_exec(
            binary(), "serve", "--dev", "--ready-json",
            f"--exit-with-parent={os.getpid()}", *options, *self._options,
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

    async def stop(self):
        """Stops the server."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._log.cancel()

    async def restart(self):
        """Stops the server, and starts it again with the same addresses and secrets."""
        await self.stop()
        listening, secrets = self.ready["listening"], self.ready["dev"]
        await self._start(
            f"--http={listening['http']}",
            f"--listen={','.join(listening['listen'])}",
            f"--auth-secret={secrets['authSecret']}",
            f"--jwt-secret={secrets['jwtSecret']}",
            f"--api-key={secrets['apiKey']}",
        )

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

    async def faults(self, session, document=None) -> dict:
        """Injects faults in place of the current ones, and returns the server's report. An empty
        document ends all; without one the report is of the current ones.

        The server needs `--allow-faults`. docs/faults.md describes the document.
        """
        method = "GET" if document is None else "PUT"
        headers = {"authorization": f"Bearer {self.ready['dev']['apiKey']}"}
        faults = f"{self.url}/api/v1/faults"
        async with session.request(method, faults, json=document, headers=headers) as response:
            report = await response.json()
            if response.status != 200:
                raise RuntimeError(f"faults: {report['error']['message']}")
            return report
