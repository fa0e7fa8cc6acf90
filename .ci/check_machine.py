"""Tell, before anything is installed, what this machine lacks for the set-up.

In: the Python that the set-up would use, and CC. Out: exit code 0, or 1 with what is missing and
how it usually is installed. Runs on any Python 3: an old one gets a message, not a syntax error.
"""

import importlib.util
import os
import shutil
import sys
import sysconfig


def missing():
    """What is missing, as sentences."""
    found = []
    if sys.version_info < (3, 11):
        version = sys.version.split()[0]
        found.append(
            "Python 3.11 or newer is needed, and this is %s (%s): "
            "name another with PYTHON=python3.13" % (version, sys.executable)
        )
        return found
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        found.append("the module venv is missing: on Debian and Ubuntu it is in python3-venv")
    header = os.path.join(sysconfig.get_path("include"), "Python.h")
    if not os.path.exists(header):
        found.append(
            "the headers of Python are missing (%s): on Debian and Ubuntu they are in "
            "python3-dev, on Fedora in python3-devel" % header
        )
    compiler = (os.environ.get("CC") or "cc").split()[0]
    if not shutil.which(compiler):
        found.append(
            "the C compiler %s is missing: on Debian and Ubuntu it is in build-essential, "
            "on Fedora in gcc" % compiler
        )
    return found


if __name__ == "__main__":
    problems = missing()
    for problem in problems:
        sys.stderr.write("set-up: %s\n" % problem)
    sys.exit(1 if problems else 0)
