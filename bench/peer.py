"""Other engines and matchers, each in a process of its own that does what it is told.

In: a folder into which `python -m bench peers` installed them. Out: `Peer`s to be given orders, one
JSON line each way. A peer that is not there, or cannot be started, is an `OSError` that says so in
one line, for the row that it leaves empty; work done wrong is a `WrongAnswer`, as with ours. Not
here: what they are told to do (plans.py), the drivers (peers/), installing (peer_setup.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from time import monotonic
from typing import IO, Any

from bench.measure import STUCK_S, Sample, WrongAnswer

HERE = Path(__file__).resolve().parent
DRIVERS = HERE / "peers"
RULESETS = HERE / "rulesets"
DEFAULT_FOLDER = "~/.cache/picos/peers"
# What remains of the work a peer had answered, for the tables.
KEEPS = {
    "disk": "kill of the process: variables; nothing queued, no progress of expressions",
    "memory": "nothing",
    "none": "nothing: it is not its task",
}
# A stretch of a peer takes about so long, at most the operations that ours does.
STRETCH_S, QUICK_STRETCH_S = 0.6, 0.25
# V8 has compiled what events use after some thousand of them: four times cheaper than at first. By
# CPU, since on a busy machine little happens in a second; the clock ends what only waits.
WARM_UP_OPERATIONS = 5000
WARM_UP_CPU_S, WARM_UP_S = 2.0, 6.0
QUICK_WARM_UP_CPU_S, QUICK_WARM_UP_S = 0.8, 2.0


def stretch_s(is_quick: bool) -> float:
    """How long a stretch of a peer is to be."""
    return QUICK_STRETCH_S if is_quick else STRETCH_S


def default_folder() -> Path:
    """Where peers are installed when no folder is named."""
    return Path(os.environ.get("PICOS_PEERS") or DEFAULT_FOLDER).expanduser()


class Peer:
    """A process that answers each line with a line of JSON.

    Raises: OSError when it cannot be started.
    """

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        # A file, since a pipe that nobody reads would stop a peer that complains a lot.
        self._complaints = TemporaryFile()  # noqa: SIM115 - closed with the peer
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                text=True,
            )
        except OSError:
            self._complaints.close()
            raise

    def say(self, line: str, seconds: float = STUCK_S) -> Any:
        """What it answers to a line.

        Raises: OSError when it stopped or takes longer; WrongAnswer when it says so itself.
        """
        stdin: IO[str] | None = self.process.stdin
        stdout: IO[str] | None = self.process.stdout
        assert stdin is not None
        assert stdout is not None
        late = Timer(seconds, self.process.kill)
        late.start()
        try:
            stdin.write(line + "\n")
            stdin.flush()
            answer = stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            is_late = not late.is_alive()
            late.cancel()
        if not answer:
            why = f"it gave no answer in {seconds:g} s" if is_late else self._last_words()
            raise OSError(f"{self.name} stopped: {why}")
        value = json.loads(answer)
        if isinstance(value, dict) and "wrong" in value:
            raise WrongAnswer(f"{self.name}: {value['wrong']}")
        return value

    def _last_words(self) -> str:
        self.process.wait()
        self._complaints.seek(0)
        said = self._complaints.read().decode("utf-8", "replace").splitlines()
        errors = [line.strip() for line in said if "Error" in line]
        return errors[0] if errors else "it said nothing"

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.communicate()
        self._complaints.close()


class NodeEngine(Peer):
    """`pico-engine-core` in FOLDER/node_modules.

    Raises: OSError when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        script = str(DRIVERS / "pico_engine.js")
        modules = _node_modules(folder, "pico-engine-core")
        about = json.loads((modules / "package.json").read_text(encoding="utf-8"))
        command = [node(), "--expose-gc", script, str(folder.resolve()), str(RULESETS)]
        super().__init__(f"pico-engine-core {about['version']}", command)

    def open(self, plan: dict[str, Any], storage: str, data: Path) -> None:
        """Be ready for a plan; `storage` is "disk" or "memory".

        Raises: OSError, WrongAnswer.
        """
        order = {"do": "open", "data": str(data), "storage": storage, "plan": plan}
        self.say(json.dumps(order))

    def stretch(self, count: int, flight: int) -> Sample:
        """Do so many operations.

        Raises: OSError, WrongAnswer.
        """
        found = self.say(json.dumps({"do": "run", "count": count, "flight": flight}))
        return Sample(
            count,
            found["per_second"],
            found["cpu_us"],
            found["p50_us"],
            found["p99_us"],
            found["rss_mb"],
        )

    def warm_up(self, count: int, flight: int, is_quick: bool) -> int:
        """Do operations until Node has compiled what they use; how many make a stretch.

        Raises: OSError, WrongAnswer.
        """
        cpu_s = QUICK_WARM_UP_CPU_S if is_quick else WARM_UP_CPU_S
        longest = QUICK_WARM_UP_S if is_quick else WARM_UP_S
        deadline = monotonic() + longest
        done, few, spent = 0, 2, 0.0
        while True:
            sample = self.stretch(few, flight)
            done += few
            spent += sample.cpu_us * few / 1e6
            if done >= WARM_UP_OPERATIONS or spent > cpu_s or monotonic() > deadline:
                return max(1, min(count, int(sample.per_second * stretch_s(is_quick))))
            few = max(1, min(4 * few, count, int(sample.per_second * longest / 4)))

    def verify(self) -> None:
        """Raises: OSError, WrongAnswer for what is left behind."""
        self.say('{"do": "verify"}')


def node() -> str:
    """Where Node is.

    Raises: OSError.
    """
    found = shutil.which("node")
    if found is None:
        raise OSError("node is not on the path")
    return found


def _node_modules(folder: Path, package: str) -> Path:
    found = folder / "node_modules" / package
    if not found.is_dir():
        raise OSError(
            f"{folder} has no node_modules/{package}; python -m bench peers {folder} gets it"
        )
    return found


def select_when(folder: Path, cycle: str) -> Peer:
    """`select-when` in FOLDER/node_modules, with a cycle of events as JSON.

    Raises: OSError.
    """
    _node_modules(folder, "select-when")
    script = str(DRIVERS / "select_when_stream.js")
    return Peer("select-when", [node(), script, str(folder.resolve()), cycle])


def durable_python(folder: Path) -> Path:
    """The interpreter of the environment that has durable_rules.

    Raises: OSError.
    """
    found = folder / "python/bin/python"
    if not found.exists():
        raise OSError(f"{folder} has no python/; python -m bench peers {folder} makes it")
    return found


def krl_compiler(folder: Path) -> Path:
    """The folder itself, when it has `krl-compiler`.

    Raises: OSError.
    """
    _node_modules(folder, "krl-compiler")
    return folder
