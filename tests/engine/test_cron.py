"""Timespecs of `schedule … repeat`: which moments they name, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.cron import WORDS, read_cron
from runtime.errors import Fault
from runtime.limits import cron_characters_max
from tests.harness.engine import TestEngine
from tests.harness.scheduling import CLOCK, START, clock, utc


@pytest.mark.parametrize(
    ("spec", "after", "moments"),
    [
        ("*/15 * * * *", "2026-01-01T00:00:00", ["2026-01-01T00:15:00", "2026-01-01T00:30:00"]),
        ("*/40 * * * * *", "2026-01-01T00:00:00", ["2026-01-01T00:00:40", "2026-01-01T00:01:00"]),
        ("0 7 * * 1-5", "2026-01-02T08:00:00", ["2026-01-05T07:00:00", "2026-01-06T07:00:00"]),
        ("0 7 * * mon,WED", "2026-01-02T08:00:00", ["2026-01-05T07:00:00", "2026-01-07T07:00:00"]),
        ("0 0 L * *", "2027-12-31T00:00:00", ["2028-01-31T00:00:00", "2028-02-29T00:00:00"]),
        ("0 0 1 JAN-MAR *", "2026-03-01T00:00:00", ["2027-01-01T00:00:00", "2027-02-01T00:00:00"]),
        ("0 0 * * 0", "2026-01-01T00:00:00", ["2026-01-04T00:00:00", "2026-01-11T00:00:00"]),
        ("0 0 * * 7", "2026-01-01T00:00:00", ["2026-01-04T00:00:00", "2026-01-11T00:00:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00:00", ["2028-02-29T00:00:00", "2032-02-29T00:00:00"]),
        ("@monthly", "2026-01-01T00:00:00", ["2026-02-01T00:00:00", "2026-03-01T00:00:00"]),
        ("@yearly", "2026-01-01T00:00:00", ["2027-01-01T00:00:00", "2028-01-01T00:00:00"]),
        # A zone: Denver is seven hours behind in winter, six in summer.
        (
            "0 7 * * 1-5 TZ=America/Denver CATCHUP=skip",
            "2026-03-06T14:00:00",
            ["2026-03-09T13:00:00", "2026-03-10T13:00:00"],
        ),
        # A fixed time in the gap comes at its end; one that exists twice comes once.
        (
            "30 2 * * * TZ=America/New_York",
            "2026-03-07T08:00:00",
            ["2026-03-08T07:00:00", "2026-03-09T06:30:00"],
        ),
        (
            "30 1 * * * TZ=America/New_York",
            "2026-11-01T05:29:00",
            ["2026-11-01T05:30:00", "2026-11-02T06:30:00"],
        ),
        (
            "30 1 * * * TZ=America/New_York",
            "2026-11-01T06:10:00",
            ["2026-11-02T06:30:00", "2026-11-03T06:30:00"],
        ),
        (
            "20 30 1 * * * TZ=America/New_York",
            "2026-11-01T05:45:00",
            ["2026-11-02T06:30:20", "2026-11-03T06:30:20"],
        ),
        (
            "20 30 2 * * * CATCHUP=all TZ=America/New_York",
            "2026-03-08T06:00:00",
            ["2026-03-08T07:00:20", "2026-03-09T06:30:20"],
        ),
        # Fields that begin with a star follow the time that passes.
        (
            "*/30 * * * * TZ=America/New_York",
            "2026-11-01T05:15:00",
            ["2026-11-01T05:30:00", "2026-11-01T06:00:00", "2026-11-01T06:30:00"],
        ),
    ],
)
def test_moments_of_a_timespec(spec: str, after: str, moments: list[str]) -> None:
    cron = read_cron(spec)
    ms: int | None = utc(after)
    for moment in moments:
        assert ms is not None
        ms = cron.after(ms)
        assert ms == utc(moment)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (5, "expected a timespec but got Number"),
        (None, "expected a timespec but got Null"),
        ("", "of 5 or 6 fields but '' has 0"),
        ("* * * *", "has 4"),
        ("* * * * * * *", "has 7"),
        ("61 * * * *", "the minute field '61'"),
        ("60 * * * * *", "the second field '60'"),
        ("0 24 * * *", "the hour field '24'"),
        ("0 0 30 2 *", "the day-of-month field '30'"),
        ("0 0 0 * *", "the day-of-month field '0'"),
        ("0 0 * FOO *", "the month field 'FOO'"),
        ("0 0 * * 8", "the day-of-week field '8'"),
        ("0-9/0 * * * *", "the minute field '0-9/0'"),
        ("@never", "the word @never"),
        ("0 7 * * * TZ=Denver", "the zone 'Denver'"),
        ("0 7 * * * TZ=../UTC", "the zone '../UTC'"),
        ("0 7 * * * TZ=", "the zone ''"),
        ("0 7 * * * TZ=UTC TZ=UTC", "TZ= twice"),
        ("0 7 * * * CATCHUP=never", "CATCHUP=never"),
        ("0 7 * * * ZONE=UTC", "ZONE="),
        ("0 7 * * *" + " " * cron_characters_max, "more than 200 characters"),
    ],
)
def test_a_timespec_that_cannot_be_read_names_what(spec: Any, named: str) -> None:
    engine = clock()
    (error,) = engine.event("t", "repeat", {"spec": spec})["errors"]
    assert error["code"] == "R2001"
    assert error["error"].startswith("TypeError: schedule .. repeat ")
    assert named in error["error"]
    assert engine.query("clock", "jobs") == []


def test_a_timespec_that_never_comes_is_a_fault() -> None:
    engine = TestEngine(start_ms=utc("9999-12-31T23:59:00"))
    engine.install(CLOCK)
    (error,) = engine.event("t", "repeat", {"spec": "@yearly"})["errors"]
    assert "next fifty years" in error["error"]


FIELD = st.text("0123456789*/,-L#MONJAW@", max_size=6)


@given(st.lists(FIELD | st.just("*"), min_size=4, max_size=7).map(" ".join))
def test_any_timespec_is_read_or_refused(spec: str) -> None:
    code, moment = "", None
    try:
        moment = read_cron(spec).after(START)
    except Fault as fault:
        code = fault.code
    assert code in ("", "R2001")
    assert moment is None or moment > START


@settings(max_examples=50)
@given(
    st.sampled_from([*WORDS, "30 2 * * *", "*/7 1 * * *", "5 */2 * * * *", "15 30 1 * * 0"]),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Europe/Berlin"]),
    st.integers(utc("2020-01-01"), utc("2030-01-01")),
)
def test_moments_only_go_forward(spec: str, zone: str, start: int) -> None:
    cron = read_cron(f"{spec} TZ={zone}")
    ms = start
    for _ in range(5):
        after = cron.after(ms)
        assert after is not None
        assert after > ms
        # Between the two there is none: asked from just before it, the answer is the same.
        assert cron.after(after - 1) == after
        ms = after
