"""Both implementations of the core."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

try:
    importlib.import_module("ext.automaton")
    importlib.import_module("ext.border")
    importlib.import_module("ext.ids")
    importlib.import_module("ext.records")
    importlib.import_module("ext.salience")
    importlib.import_module("ext.work")
except ImportError as fault:
    raise pytest.UsageError(
        f"{fault}: build the core first: python setup.py build_ext --inplace"
    ) from fault


@pytest.fixture(params=["automaton_py", "automaton"])
def automaton(request: pytest.FixtureRequest) -> ModuleType:
    """The automaton module, pure and compiled."""
    return importlib.import_module(f"ext.{request.param}")


@pytest.fixture(params=["salience_py", "salience"])
def salience(request: pytest.FixtureRequest) -> ModuleType:
    """The salience module, pure and compiled."""
    return importlib.import_module(f"ext.{request.param}")


@pytest.fixture(params=["work_py", "work"])
def work(request: pytest.FixtureRequest) -> ModuleType:
    """The work counter, pure and compiled."""
    return importlib.import_module(f"ext.{request.param}")


@pytest.fixture(params=["border_py", "border"])
def border_twin(request: pytest.FixtureRequest) -> ModuleType:
    """The border module, pure and compiled."""
    return importlib.import_module(f"ext.{request.param}")


@pytest.fixture(params=["records_py", "records"])
def records(request: pytest.FixtureRequest) -> ModuleType:
    """The records module, pure and compiled."""
    return importlib.import_module(f"ext.{request.param}")
