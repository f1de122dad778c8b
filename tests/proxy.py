"""A TCP proxy that does to connections what a bad network does.

It is a process of its own, so that it goes on whatever the test's process is busy with, and it ends
with that process. Up is from the client to the server, down is back. A method returns when its
effect is in place.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal, Self

HOST = "127.0.0.1"
UP, DOWN = "up", "down"
CHUNK_BYTES = 65_536
CHUNKS_UNDER_WAY = 64
ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 10.0


class Proxy:
    """Stands between a client and the server on a port of this machine."""

    port: int

    def __init__(self, target: int) -> None:
        self.target = target

    def __enter__(self) -> Self:
        """Start the proxy on a port of its own."""
        from tests.servers.programs import free_ports

        with ExitStack() as stack:
            (self.port,) = stack.enter_context(free_ports(1))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.proxy", str(self.port), str(self.target)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # the terminal's Ctrl-C is for the tests
            )
            stack.callback(self._end)
            self.restore()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End the proxy and every connection through it."""
        self._stack.close()

    def cut(self, *, reset: bool = False) -> None:
        """Close all present connections, by a reset if wanted, and go on accepting new ones."""
        self._tell("cut", "reset" if reset else "close")

    def refuse(self) -> None:
        """Close all present connections and refuse new ones, until `restore`."""
        self._tell("refuse")

    def black_hole(self, direction: Literal["both", "up", "down"] = "both") -> None:
        """Forward nothing in a direction, not even an end; all connections stay open and silent.

        New ones are accepted. What was sent meanwhile arrives after `restore`, as with TCP.
        """
        self._tell("black_hole", direction)

    def delay(self, seconds: float) -> None:
        """Let each chunk that is sent from now on arrive so much later, in both directions."""
        self._tell("delay", seconds)

    def half_open(self) -> None:
        """Close the server's end of all present connections, of which the client hears nothing.

        New connections are as usual; `restore` resets the silent ones, as their next packet would.
        """
        self._tell("half_open")

    def restore(self) -> None:
        """Be a good network again."""
        self._tell("restore")

    def connections(self) -> int:
        """Count the connections that clients have open."""
        return int(self._tell("connections"))

    def _tell(self, word: str, *arguments: object) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("The proxy has no pipes.")
        with suppress(BrokenPipeError):
            stdin.write(json.dumps([word, *arguments]).encode() + b"\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError("The proxy has ended.")
        return json.loads(line)

    def _end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Network:
    """What the proxy's process does, with one method for each of `Proxy`'s."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.target = target
        self.lag = 0.0
        self.open = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        self.links: set[Link] = set()
        self.listener: socket.socket | None = None

    async def cut(self, how: str) -> None:
        self._accept()  # the kernel may have some that were not looked at yet
        for link in [*self.links]:
            await link.halt()
            link.close(reset=how == "reset")

    async def refuse(self) -> None:
        await self.cut("close")
        if self.listener is not None:
            asyncio.get_running_loop().remove_reader(self.listener)
            self.listener.close()
            self.listener = None

    async def black_hole(self, direction: str) -> None:
        for one, way in self.open.items():
            if direction in (one, "both"):
                way.clear()

    async def delay(self, seconds: float) -> None:
        self.lag = seconds

    async def half_open(self) -> None:
        self._accept()
        for link in [*self.links]:
            await link.halt()
            link.server.close()

    async def restore(self) -> None:
        self.lag = 0.0
        for link in [link for link in self.links if link.halted]:
            link.close(reset=True)
        for way in self.open.values():
            way.set()
        if self.listener is None:
            self.listener = socket.create_server((HOST, self.port), backlog=1024)
            self.listener.settimeout(0)
            asyncio.get_running_loop().add_reader(self.listener, self._accept)

    async def connections(self) -> int:
        self._accept()
        return len(self.links)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while self.listener is not None:
                client, _ = self.listener.accept()
                self.links.add(Link(self, client))


class Link:
    """A client's connection and the one to the server that goes with it."""

    def __init__(self, network: Network, client: socket.socket) -> None:
        self.network = network
        self.client = client
        self.server = socket.socket()
        for end in (self.client, self.server):
            end.settimeout(0)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A chunk and when it is due; an empty one for the end, None for a reset.
        self.under_way: dict[str, asyncio.Queue[tuple[float, bytes | None]]] = {
            UP: asyncio.Queue(CHUNKS_UNDER_WAY),
            DOWN: asyncio.Queue(CHUNKS_UNDER_WAY),
        }
        self.halted = False
        self.task = asyncio.create_task(self._run())

    async def halt(self) -> None:
        """Forward no more; the ends stay as they are."""
        self.halted = True
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def close(self, *, reset: bool) -> None:
        """Close both ends."""
        for end in (self.client, self.server):
            with suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        self.network.links.discard(self)

    async def _run(self) -> None:
        reset = False
        try:
            await _loop().sock_connect(self.server, (HOST, self.network.target))
            async with asyncio.TaskGroup() as group:
                for way, source, sink in (
                    (UP, self.client, self.server),
                    (DOWN, self.server, self.client),
                ):
                    group.create_task(self._read(source, way))
                    group.create_task(self._write(sink, way))
        except* OSError:
            reset = True
        if not self.halted:
            self.close(reset=reset)

    async def _read(self, source: socket.socket, way: str) -> None:
        chunk: bytes | None = b"more"
        while chunk:
            try:
                chunk = await _loop().sock_recv(source, CHUNK_BYTES)
            except OSError:
                chunk = None
            await self.under_way[way].put((_loop().time() + self.network.lag, chunk))

    async def _write(self, sink: socket.socket, way: str) -> None:
        chunk: bytes | None = b"more"
        while chunk:
            due, chunk = await self.under_way[way].get()
            await asyncio.sleep(max(0.0, due - _loop().time()))
            try:
                await self._send(sink, chunk, way)
            except OSError:
                if chunk is None:
                    raise
                # The receiver is gone, of which the sender hears by the other way.
                other = DOWN if way == UP else UP
                await self.under_way[other].put((0.0, None))
                return

    async def _send(self, sink: socket.socket, chunk: bytes | None, way: str) -> None:
        """Send a chunk, of which not a byte leaves while the way is closed."""
        while True:
            while not self.network.open[way].is_set():
                await self.network.open[way].wait()
            if chunk is None:
                raise ConnectionResetError
            if not chunk:
                sink.shutdown(socket.SHUT_WR)
                return
            try:
                chunk = chunk[sink.send(chunk) :]
            except BlockingIOError:
                await _until_writable(sink)
            if not chunk:
                return


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def _until_writable(sink: socket.socket) -> None:
    ready = _loop().create_future()
    _loop().add_writer(sink, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        _loop().remove_writer(sink)


async def _obey(port: int, target: int) -> None:
    """Do what standard input says, one list of words a line, until it ends."""
    words = asyncio.StreamReader()
    await _loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    network = Network(port, target)
    while line := await words.readline():
        word, *arguments = json.loads(line)
        answer = await getattr(network, word)(*arguments)
        os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    asyncio.run(_obey(int(sys.argv[1]), int(sys.argv[2])))
