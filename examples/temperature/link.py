"""What lies between two engines: an address that leads to one of them, as well as it goes.

In: the port that it leads to, which may change. Out: a URL that stays. A link that is `cut` lets
nothing pass; one that `loses` a part drops so much of what crosses it, in either direction, and the
connection that it came on with it. Not here: what crosses; bytes are bytes.
"""

from __future__ import annotations

import asyncio
import random
import threading
from types import TracebackType

_PIECE_BYTES = 1 << 16


class Link:
    """A TCP proxy on a thread of its own; attributes may be set at any time.

    Units: `loses` is the chance of each piece that is read, which is mostly a whole message.
    """

    def __init__(self, seed: int) -> None:
        self.target = 0
        self.loses = 0.0
        self.lost = 0
        self._is_cut = False
        self._chance = random.Random(seed)
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self.url = ""

    def __enter__(self) -> Link:
        self._thread.start()
        starting = asyncio.start_server(self._join, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Let nothing pass from now on, and end what is connected."""
        self._is_cut = True
        asyncio.run_coroutine_threadsafe(self._drop_all(), self._loop).result()

    def heal(self) -> None:
        """Let everything pass again, but for what is lost."""
        self._is_cut = False

    # --- On the thread ----------------------------------------------------------------------------

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect whoever came with the engine, until either of them, or the link, ends it."""
        self._open.add(writer)
        there = None
        try:
            if not self._is_cut:
                back, there = await asyncio.open_connection("127.0.0.1", self.target)
                self._open.add(there)
                ways = [
                    asyncio.ensure_future(self._carry(reader, there)),
                    asyncio.ensure_future(self._carry(back, writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
        except OSError:
            # Nobody is there: whoever came sees the connection end, and tries again.
            pass
        finally:
            for one in (writer, there):
                if one is not None:
                    self._open.discard(one)
                    one.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, until something is lost."""
        try:
            while piece := await reader.read(_PIECE_BYTES):
                if self._is_cut or self._chance.random() < self.loses:
                    self.lost += 1
                    return
                writer.write(piece)
                await writer.drain()
        except OSError:
            return

    async def _drop_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _close(self) -> None:
        self._is_cut = True
        self._server.close()
        await self._drop_all()
        while self._open:
            await asyncio.sleep(0)
