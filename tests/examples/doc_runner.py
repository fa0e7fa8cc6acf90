"""Documents are true: what they show of a terminal is run, and has to come out as shown.

In: the text of a document. Out: its commands, run in order in a folder of their own, each compared
with the lines below it. In `docs/*.md` sessions stand in fences:

    ```console
    $ pico query root example.counter value
    11
    ```

A line `…` stands for any lines, and `…` within a line for any text; ids, hashes, sizes and folders
may differ. A fence with a language and a file name (```` ```krl door.krl ````) is that file, put
where the commands run. A command goes on in the next line after a backslash.

The shell that the reader has: `pico`, `krlc`, `curl` and the usual programs; `export`, `cd`,
`NAME=value`, `echo $?`; `pico serve … &`, at free ports that are shown as the document's own (3000
unless it says --port), and other commands with `&`; `kill %1` or `kill -9 %1` for the first of
them, `%%` for the last. The word ECI in a command is the first channel that `pico show` shows, and
EID the event id that was shown last.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# What is set up by the reader, and here is set up already.
NOT_RUN = (".", "make", "source")
# What differs from run to run, and what it is shown as.
VARYING = (
    (re.compile(r"\bc[0-9a-z]{2}[0-9a-z]{25}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "HASH"),
    (re.compile(r"[\d,.]+ (?:bytes|[KMG]iB)"), "N bytes"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "TIME"),
    (re.compile(r"\bpico [\d.]+ listens"), "pico VERSION listens"),
)
_FENCE = re.compile(r"```(\S*) *(\S*)$")
_ASSIGNMENT = re.compile(r"(\w+)=\S+$|(\w+)=\$\(.*\)$")
_EID = re.compile(r"^eid (\w+)$", re.MULTILINE)
_LISTENS = re.compile(r"(?:listens at http|channels     pico)://[\w.]+:(\d+)")
_BANNER_END = "Stop it with Ctrl-C.\n"
_SECONDS_MAX = 120


class Command(NamedTuple):
    """One command of a document, where it stands, and the lines shown below it."""

    line: int
    text: str
    shown: list[str]


class File(NamedTuple):
    """One file that a document shows whole."""

    name: str
    content: str


# --- Reading --------------------------------------------------------------------------------------


def steps(text: str) -> list[Command | File]:
    """The files and commands of a document's fences, in order."""
    found: list[Command | File] = []
    kind, name, block = "", "", list[str]()
    start = 0
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and not kind:
            kind, name, block, start = fence[1] or "text", fence[2], [], number
        elif line == "```" and kind:
            if kind == "console":
                found += _commands(block, start + 1)
            elif name:
                found.append(File(name, "\n".join(block) + "\n"))
            kind = ""
        elif kind:
            block.append(line)
    assert not kind, f"the fence of line {start} has no end"
    return found


def _commands(block: list[str], start: int) -> list[Command]:
    found: list[Command] = []
    goes_on = False
    for number, line in enumerate(block, start):
        if line.startswith("$ "):
            found.append(Command(number, line[2:], []))
        elif goes_on:
            last = found[-1]
            found[-1] = last._replace(text=f"{last.text[:-1].rstrip()} {line.lstrip('> ')}")
        else:
            assert found, f"line {number}: a session begins with a command"
            found[-1].shown.append(line)
        goes_on = found[-1].text.endswith("\\") and not found[-1].shown
    return found


def indented_commands(text: str) -> list[Command]:
    """The commands of a document whose sessions are indented by four spaces."""
    found: list[Command] = []
    is_open = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("    $ "):
            found.append(Command(number, line[6:], []))
            is_open = True
        elif is_open and line.startswith("    "):
            found[-1].shown.append(line[4:])
        elif line.strip():
            is_open = False
        elif is_open:
            found[-1].shown.append("")
    return found


# --- Comparing ------------------------------------------------------------------------------------


def is_as_shown(said: str, shown: list[str]) -> bool:
    """Whether an output is what a document shows."""
    lines = steady("\n".join(shown)).strip("\n").split("\n") if any(shown) else []
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else _line_pattern(line) + "\n" for line in lines
    )
    said = steady(said.strip("\n"))
    return re.fullmatch(pattern, said + "\n" if said else "") is not None


def _line_pattern(line: str) -> str:
    return ".*?".join(re.escape(part) for part in line.split("…"))


def steady(text: str) -> str:
    """A text without what differs from run to run."""
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return text


# --- Running --------------------------------------------------------------------------------------

_CURL = """\
import sys, urllib.error, urllib.request
url, method, data, headers, with_head = "", None, None, {}, False
words = iter(sys.argv[1:])
for word in words:
    if word == "-H":
        name, _, value = next(words).partition(":")
        headers[name] = value.strip()
    elif word == "-i":
        with_head = True
    elif word in ("-d", "--data"):
        data = next(words).encode()
    elif word == "-X":
        method = next(words)
    elif not word.startswith("-"):
        url = word
try:
    with urllib.request.urlopen(
        urllib.request.Request(url, data, headers, method=method), timeout=60
    ) as answer:
        body = answer.read()
except urllib.error.HTTPError as error:
    answer, body = error, error.read()
if with_head:
    print(f"HTTP/1.1 {answer.status} {answer.reason}\\n{answer.headers}", end="", flush=True)
sys.stdout.buffer.write(body)
"""


class Session:
    """A shell in a folder, and the engines and other programs that it has started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cwd = folder
        self.code = 0
        self._eid = "EID"
        self.jobs: list[subprocess.Popen[str]] = []
        # The document's port, and the real one; each engine has one for HTTP and one for channels.
        self._ports: dict[int, int] = {}
        self._bin = folder / ".bin"
        self._bin.mkdir()
        self._program("pico", '-m runtime "$@"')
        self._program("krlc", '-m krlc "$@"')
        (self._bin / "curl.py").write_text(_CURL)
        self._program("curl", f'{self._bin / "curl.py"} "$@"')
        self._program("python", '"$@"')
        self.env = {
            "PATH": f"{self._bin}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            # Output and error output are one stream here: they come in order, as at a terminal.
            "PYTHONUNBUFFERED": "1",
        }

    def _program(self, name: str, arguments: str) -> None:
        file = self._bin / name
        file.write_text(f"#!/bin/sh\nexec {sys.executable} {arguments}\n")
        file.chmod(0o755)

    def run(self, text: str) -> str:
        """Run one command; what it says."""
        words = text.split()
        if words[0] in NOT_RUN:
            return ""
        if words[0] == "export":
            for pair in words[1:]:
                name, _, value = pair.partition("=")
                self.env[name] = value
            return ""
        if words[0] == "cd":
            self.cwd = (self.cwd / words[1]).resolve()
            return ""
        if text == "echo $?":
            return f"{self.code}\n"
        if words[0] == "kill":
            self._kill(words[1:])
            return ""
        if words[-1] == "&":
            return self._begin(text.removesuffix("&").rstrip())
        assignment = _ASSIGNMENT.match(text)
        if assignment:
            word = assignment[1] or assignment[2]
            self.env[word] = self._do(self._real(f'{text}; printf %s "${word}"'))
            return ""
        said = self._do(self._real(text))
        self._eid = (_EID.findall(said) or [self._eid])[-1]
        return self._say(said)

    def _do(self, text: str) -> str:
        done = subprocess.run(
            ["sh", "-c", text],
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_SECONDS_MAX,
        )
        self.code = done.returncode
        return done.stdout

    def _real(self, text: str) -> str:
        """A command with the ports and the ECI that are meant."""
        for shown, real in self._ports.items():
            text = re.sub(rf"(127\.0\.0\.1:|localhost:|--port ){shown}\b", rf"\g<1>{real}", text)
        if re.search(r"\bECI\b", text):
            tree = self._do("pico show")
            text = re.sub(r"\bECI\b", tree.partition("channel ")[2].split()[0], text)
        return re.sub(r"\bEID\b", self._eid, text)

    def _say(self, said: str) -> str:
        """What was said, with the document's ports, and this folder as the reader's."""
        for shown, real in self._ports.items():
            said = re.sub(rf"(?<=:){real}\b", str(shown), said)
        return said.replace(str(self.folder), "/home/you")

    def _begin(self, text: str) -> str:
        if text.startswith("pico serve"):
            return self._serve(text)
        self._start(self._real(text))
        return ""

    def _start(self, text: str) -> subprocess.Popen[str]:
        begun = subprocess.Popen(
            ["sh", "-c", f"exec {text}"],
            cwd=self.cwd,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.jobs.append(begun)
        return begun

    def _serve(self, text: str) -> str:
        asked = re.search(r"--port (\d+)", text)
        port = int(asked[1]) if asked else 3000
        text = text.replace(asked[0], "--port 0") if asked else f"{text} --port 0"
        engine = self._start(text)
        assert engine.stdout is not None
        said = ""
        while not said.endswith(_BANNER_END):
            line = engine.stdout.readline()
            assert line, f"the engine ended after {said!r}"
            said += line
        real = [int(number) for number in _LISTENS.findall(said)]
        self._ports |= dict(zip((port, port + 1), real, strict=False))
        return self._say(said)

    def _kill(self, words: list[str]) -> None:
        number = signal.SIGKILL if words[0] == "-9" else signal.SIGTERM
        job = self.jobs[-1] if words[-1] == "%%" else self.jobs[int(words[-1].lstrip("%")) - 1]
        _end(job, number)

    def close(self) -> None:
        """End what still runs."""
        for job in self.jobs:
            _end(job, signal.SIGKILL)


def _end(job: subprocess.Popen[str], number: int) -> None:
    assert job.stdout is not None
    if job.poll() is None:
        job.send_signal(number)
        job.wait(_SECONDS_MAX)
    job.stdout.close()


def run_commands(session: Session, found: list[Command]) -> list[str]:
    """Run commands in order; what is not as shown, up to the first."""
    for command in found:
        said = session.run(command.text)
        if command.text.split()[0] in NOT_RUN:
            continue
        if not is_as_shown(said, command.shown):
            shown = "\n".join(command.shown)
            place = f"line {command.line}: `{command.text}`"
            return [f"{place} says\n{said}\nand the document shows\n{shown}"]
    return []


def run_document(path: Path, folder: Path) -> list[str]:
    """Run the fences of a document in a folder; what is not as shown, up to the first."""
    session = Session(folder)
    try:
        for step in steps(path.read_text("utf-8")):
            if isinstance(step, File):
                (session.folder / step.name).parent.mkdir(parents=True, exist_ok=True)
                (session.folder / step.name).write_text(step.content, "utf-8")
            else:
                wrong = run_commands(session, [step])
                if wrong:
                    return [f"{path.name}, {line}" for line in wrong]
    finally:
        session.close()
    return []
