"""Settings of all tests: property tests repeat themselves exactly, unless a seed is given.

`python -m tests --seed N` (pytest's --hypothesis-seed) looks elsewhere; a failing example that is
found so becomes a fixed case of its test.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("repeated", derandomize=True, deadline=None, database=None)
settings.register_profile("seeded", deadline=None, database=None, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the profile before any test module is read."""
    is_seeded = config.getoption("--hypothesis-seed", None) is not None
    settings.load_profile("seeded" if is_seeded else "repeated")
