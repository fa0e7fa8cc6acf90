"""The rulesets that engines talk with in these tests; they run on the Node engine as well."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).with_name("krl")
TALK = (FOLDER / "talk.krl").read_text(encoding="utf-8")
