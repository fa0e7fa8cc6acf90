"""`pico serve` with channels, as a process: addresses, ports in use, stops and kills under load."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from runtime import client as sync
from runtime.cli import main
from runtime.client import Client
from runtime.home import read_address
from runtime.server import bind
from tests.channels.stage import HASTY, NUMBERS, run
from tests.harness.process import Served

COUNT = 400


@pytest.mark.parametrize("is_kill", [True, False])
def test_nothing_is_lost_or_doubled_when_the_engine_ends(tmp_path: Path, is_kill: bool) -> None:
    """Numbers are sent without pause while the engine is killed, or stopped, twice."""
    path = tmp_path / "socket"

    async def go(served: Served, eci: str) -> None:
        answered = 0

        async def bump(client: Client, n: int) -> None:
            nonlocal answered
            await client.event(eci, "number", "got", {"n": n})
            answered += 1

        async with Client.connect(f"pico+unix:{path}", window=16, patience=HASTY) as client:
            tasks = [asyncio.create_task(bump(client, n)) for n in range(COUNT)]
            for part in (1, 2):
                while answered < COUNT * part // 3:
                    await asyncio.sleep(0)
                if is_kill:
                    served.kill()
                else:
                    assert await asyncio.to_thread(served.stop) == (0, "")
                await asyncio.to_thread(served.start)
            await asyncio.gather(*tasks)
            assert await client.query(eci, "numbers", "order") == list(range(COUNT))

    with Served(tmp_path / "home", "--channel-socket", str(path)) as served:
        served.start()
        served.install("file:numbers.krl", NUMBERS)
        run(lambda: go(served, served.root_eci()), 120)
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert served.stop() == (0, "")
        assert not path.exists()


def test_addresses_are_announced_and_the_token_is_the_folders(tmp_path: Path) -> None:
    options = ("--channel-socket", str(tmp_path / "socket"))
    with Served(tmp_path / "home", *options) as served:
        served.start()
        eci = served.root_eci()
        served.install("file:numbers.krl", NUMBERS)
        address = read_address(tmp_path / "home")
        assert address is not None
        tcp, unix = address.channels
        assert tcp.startswith("pico://127.0.0.1:")
        assert unix == f"pico+unix:{tmp_path}/socket"
        for url in address.channels:
            with sync.connect(url, token=address.token) as client:
                client.event(eci, "number", "got", {"n": url}, time_ms=5)
        assert served.query(eci, "numbers", "order") == [tcp, unix]


def test_no_channels_when_told_so_and_trust_for_all(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    options = ("--channel-port", "none", "--channel-socket", str(path), "--trust-time")
    with Served(tmp_path / "home", *options) as served:
        served.start()
        address = read_address(tmp_path / "home")
        assert address is not None
        assert address.channels == (f"pico+unix:{path}",)
        with sync.connect(address.channels[0]) as client:
            assert client.event(served.root_eci(), "a", "b", time_ms=5)["directives"] == []


def test_channel_port_in_use_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with bind("127.0.0.1", 0) as bound:
        bound.listen()
        port = str(bound.getsockname()[1])
        home = tmp_path / "home"
        arguments = ["serve", "--home", str(home), "--port", "0", "--channel-port", port]
        assert main(arguments) == 3
        said = capsys.readouterr().err
        assert f"port {port} of 127.0.0.1 is in use" in said
        assert "--channel-port" in said
        assert not home.exists()
