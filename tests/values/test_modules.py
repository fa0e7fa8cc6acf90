"""The modules math, random and time, beyond the vectors."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import dates
from runtime.clock import SeededIds, SeededRandom, VirtualClock
from runtime.errors import Fault
from runtime.limits import value_bytes_max
from runtime.modules import math, random, time

NOW_MS = 1_700_000_000_000


def context():
    world = SimpleNamespace(random=SeededRandom(1), ids=SeededIds(1), clock=VirtualClock(NOW_MS))
    return SimpleNamespace(turn=SimpleNamespace(world=world))


def test_random_numbers_lie_between_their_bounds():
    cx = context()
    whole = [random.random_integer(cx, 2, -1) for _ in range(200)]
    assert set(whole) == {-1, 0, 1, 2}
    assert {random.random_integer(cx) for _ in range(50)} == {0, 1}
    assert {random.random_integer(cx, "x", "y") for _ in range(50)} == {0, 1}
    parts = [random.random_number(cx, -1.5, 3) for _ in range(100)]
    assert -1.5 <= min(parts) < 0 < max(parts) <= 3
    assert 0 <= random.random_number(cx) < 1
    assert random.random_integer(cx, 2**53, 2**53) == 2**53


def test_random_words_and_ids_differ():
    cx = context()
    assert len({random.random_word(cx) for _ in range(50)}) > 10
    ids = {random.random_uuid(cx) for _ in range(50)}
    assert len(ids) == 50
    assert all(len(made) == 25 and made[0] == "c" and made.isalnum() for made in ids)


def test_now_is_the_clock_of_the_engine():
    assert time.time_now(context()) == "2023-11-14T22:13:20.000Z"
    assert time.time_new(context(), "10:20") == "2023-11-14T10:20:00.000Z"
    assert time.time_new(context(), "1020Z") == "2023-11-14T10:20:00.000Z"
    assert time.time_new(context(), "102030") == "2023-11-14T10:20:30.000Z"
    assert time.time_new(context(), "24:00") == "2023-11-15T00:00:00.000Z"


@given(st.integers(-dates.TIME_MS_MAX, dates.TIME_MS_MAX))
def test_a_time_written_is_read_back(ms):
    assert dates.parse_iso(dates.iso_text(ms), 0) == ms


@given(st.integers(-400_000, 400_000))
def test_a_date_and_its_day_number_say_the_same(days):
    year, month, day = dates.date_of(days)
    assert dates.days_of(year, month, day) == days
    assert 1 <= day <= dates.month_days(year, month)


@given(st.dates())
def test_days_are_those_of_the_calendar(date):
    days = date.toordinal() - 719_163
    assert dates.date_of(days) == (date.year, date.month, date.day)
    ms = days * dates.DAY_MS
    at = dates.moment_of(ms)
    assert (at.week_day, at.year_day) == (date.isoweekday(), date.timetuple().tm_yday)
    year, week, week_day = date.isocalendar()
    if year > 0:
        assert dates.parse_iso(f"{year:04d}-W{week:02d}-{week_day}", 0) == ms
    assert dates.strftime(ms, "%U %W %j") == date.strftime("%U %W %j")


NOT_DATES = ["T10:20", "2010-08-08T", "2010-08-08 Z", "2010-08-08T10:20+5", "x" * 10_000, "٢٠١٠"]


@pytest.mark.parametrize("text", NOT_DATES)
def test_what_is_no_date_is_refused(text):
    with pytest.raises(Fault) as caught:
        time.time_new(context(), text)
    assert caught.value.code == "R2018"


ADDED = [
    ({"D": 5, "q": 5}, "2017-01-31T00:00:00.000Z"),
    ({"Y": 1, "W": 1, "H": 1, "S": 1}, "2018-02-07T01:00:01.000Z"),
    ({"M": 1, "m": 1}, "2017-02-28T00:01:00.000Z"),
    ({"days": "x", "hours": 1}, "2017-01-31T01:00:00.000Z"),
    ({"seconds": "x", "hours": 1}, "2017-01-31T00:00:00.000Z"),
    ({"days": -0.5}, "2017-01-30T00:00:00.000Z"),
    ({"ms": 1.9}, "2017-01-31T00:00:00.001Z"),
]


@pytest.mark.parametrize(("spec", "wanted"), ADDED)
def test_units_are_added_by_group(spec, wanted):
    assert time.time_add(context(), "2017-01-31", spec) == wanted


@pytest.mark.parametrize("spec", [{"years": 1e300}, {"days": 2e8}, {"ms": 1e17}])
def test_a_time_too_far_away_is_refused(spec):
    with pytest.raises(Fault) as caught:
        time.time_add(context(), "2017-01-31", spec)
    assert caught.value.code == "R2002"


def test_every_listed_hash_works():
    cx = context()
    names = math.math_hashAlgorithms(cx)
    assert {"md5", "sha256", "sha3-512", "blake2b512", "RSA-SHA256"} <= set(names)
    for name in names:
        assert math.math_hash(cx, name, "x")
        assert math.math_hmac(cx, name, "k", "x", "base64")


GROWING = [
    lambda cx: math.math_base64encode(cx, "x" * value_bytes_max),
    lambda cx: math.math_base64decode(cx, "A" * value_bytes_max, "hex"),
    lambda cx: time.time_strftime(cx, "2020-01-01", "%c" * (value_bytes_max // 60)),
]


@pytest.mark.parametrize("grow", GROWING)
def test_what_would_grow_too_large_is_refused(grow):
    with pytest.raises(Fault) as caught:
        grow(context())
    assert caught.value.code == "R4004"


@given(st.binary(max_size=20))
def test_base64_gives_every_byte_back(data):
    cx = context()
    encoded = math.math_base64encode(cx, data.hex(), "hex")
    assert math.math_base64decode(cx, encoded, "hex") == data.hex()
    for encoding in ("latin1", "base64", "base64url"):
        text = math.math_base64decode(cx, encoded, encoding)
        assert math.math_base64encode(cx, text, encoding) == encoded


@given(st.decimals(-1000, 1000, places=3), st.integers(-2, 3))
def test_rounding_goes_half_up_by_decimal_digits(x, places):
    scaled = x.scaleb(places)
    floor = scaled.to_integral_value("ROUND_FLOOR")
    wanted = floor + (1 if scaled - floor >= type(x)("0.5") else 0)
    assert math.math_round(None, float(x), places) == float(wanted.scaleb(-places))
