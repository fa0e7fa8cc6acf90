"""Write recorded.tsv anew: `python -m tests.channels.recorded`, to be run only for a new version.

In: the frames below. Out: one line for each: who sends it, its bytes in hexadecimal, and what it is
as JSON. The file is what clients in other languages test against, and must never change within a
version; the encoder is not the engine's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.channels.stage import frame_of

FILE = Path(__file__).with_name("recorded.tsv")
ECI = "c00k3ud2pv5s0rslhqwx8nf1y4"
FRAMES: list[tuple[str, list[Any]]] = [
    ("client", [0, 0, 1, {}]),
    ("client", [0, 1, 1, {"token": "sesame"}]),
    ("engine", [1, 0, 1, {"engine": "picos 0.1.0", "credit": 1024, "trusts_time": False}]),
    ("client", [2, 1, ECI, "counter", "bump", {"by": 2}]),
    ("client", [2, 2, ECI, "counter", "bump", {"by": 2.5}, "key-1"]),
    ("client", [2, 3, ECI, "counter", "bump", None, None, 1700000000000]),
    ("client", [2, 4, ECI, "counter", "bump"]),
    ("engine", [6, 1, {"eid": "cm0", "directives": [{"name": "n", "options": {"v": 2}}]}]),
    ("client", [3, 5, ECI, "say", "hello", {"name": "Zoë", "to": [None, True, -1, 1e300]}, "k"]),
    ("engine", [6, 5, "cm1"]),
    ("client", [4, 6, ECI, "counters", "value"]),
    ("client", [4, 7, ECI, "counters", "value", {"of": {"a": [1, 2]}}]),
    ("engine", [6, 7, None]),
    ("client", [5, 8, ECI, "counter", "bump", {"by": 1}, "counters", "value", {}, "key-2"]),
    ("client", [5, 9, ECI, "counter", "bump", None, "counters", "value"]),
    ("engine", [6, 9, 9007199254740992]),
    ("engine", [7, 6, {"error": "Error: ECI not found c", "code": "R1001", "status": 404}]),
    ("engine", [7, None, {"error": "Error: it stops", "code": "R3007", "status": 503}]),
    ("engine", [8, 0, 256]),
    ("client", [9, 10]),
    ("engine", [10, 10]),
    ("engine", [9, 0]),
    ("client", [10, 0]),
    ("client", [11, 11]),
    ("client", [11, 12, {"event": "counter:bump", "level": "warn", "entries": 100}]),
    ("engine", [6, 12, {"entries": 100}]),
    ("engine", [13, 12, [{"pico": "cm2", "eid": "cm3", "domain": "counter", "name": "bump"}], 3]),
    ("client", [14, 12, 50]),
    ("client", [14, 12, 0]),
    ("engine", [6, 13, 41, True]),
    ("client", [12, 12, "cpair", 7, 5, ECI, "counter", "bump", {"by": 2}, "cm2", 1700000000000]),
    ("engine", [6, 12, ["taken", 0, "", "", 0]]),
    ("engine", [6, 13, ["refused", 8, "R1002", "Not allowed by channel policy", 0]]),
    ("engine", [6, 14, ["resend", 6, "", "", 0]]),
    ("engine", [6, 15, ["later", 0, "R4002", "too much waits", 1000]]),
]


def main() -> None:
    """Write the file."""
    lines = [
        f"{sender}\t{frame_of(frame).hex()}\t{json.dumps(frame, ensure_ascii=False)}\n"
        for sender, frame in FRAMES
    ]
    FILE.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
