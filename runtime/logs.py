"""What the log looks like: lines for people, or one JSON object a line for programs.

In: records of Python's logging, those of observe.py with their fields. Out: text on stderr.
Invariants: what may be an ECI is shortened in everything that users or rulesets have put there, and
attribute values are left out, unless `shows_values`; a record that cannot be shown does not stop
the engine. Not here: what is logged (observe.py).
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, TextIO

from runtime.dates import iso_text
from runtime.errors import without_ecis

FORMATS = ("text", "json")
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "klog": 25,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


class TextLines(logging.Formatter):
    """One line for people: time, level, logger, text."""

    def __init__(self, shows_values: bool) -> None:
        super().__init__()
        self._shows_values = shows_values

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_moment(record)} {record.levelname} {record.name}: "
        line += _text(record, self._shows_values)
        attrs = getattr(record, "values", {}).get("attrs")
        if attrs is not None and self._shows_values:
            line += f" {_json(attrs)}"
        if record.exc_info:
            line += "\n" + _shown(self.formatException(record.exc_info), self._shows_values)
        return line


class JsonLines(logging.Formatter):
    """One JSON object: {time, level, logger, happening?, message, …fields, trace?}."""

    def __init__(self, shows_values: bool) -> None:
        super().__init__()
        self._shows_values = shows_values

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if hasattr(record, "happening"):
            line["happening"] = record.happening
        line["message"] = _text(record, self._shows_values)
        line |= {k: v for k, v in getattr(record, "fields", {}).items() if v is not None}
        if self._shows_values:
            line |= getattr(record, "values", {})
        if record.exc_info:
            line["trace"] = _shown(self.formatException(record.exc_info), self._shows_values)
        return _json(line)


def _moment(record: logging.LogRecord) -> str:
    return iso_text(int(record.created * 1000))


def _text(record: logging.LogRecord, shows_values: bool) -> str:
    text = record.getMessage()
    if not hasattr(record, "happening"):
        # Who wrote this did not say what of it may be shown.
        return _shown(text, shows_values)
    said = getattr(record, "values", {}).get("said")
    if said:
        text = text.replace(said, _shown(said, shows_values))
    # A line is a record: what rulesets log must not look like several.
    return text.replace("\n", "\\n") if said else text


def _shown(text: str, shows_values: bool) -> str:
    return text if shows_values else without_ecis(text)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, default=str)


def set_up(
    level: str, form: str, *, shows_values: bool = False, stream: TextIO | None = None
) -> None:
    """Send all records of at least this level to a stream (stderr), in this form."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(shows_values) if form == "json" else TextLines(shows_values))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
