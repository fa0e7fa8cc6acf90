"""Extension list and the pure-Python switch; everything else stands in pyproject.toml.

PICOS_PURE=1   build no extension (the pure twins serve)
PICOS_DEBUG=1  bounds checks, line directives and no optimisation
"""

import os
from pathlib import Path

from setuptools import Extension, setup

debug = os.environ.get("PICOS_DEBUG") == "1"
sources = sorted(Path("ext").glob("*.pyx"))
extensions: list[Extension] = []
if os.environ.get("PICOS_PURE") != "1" and sources:
    from Cython.Build import cythonize

    extensions = cythonize(
        [
            Extension(
                f"ext.{path.stem}",
                [str(path)],
                extra_compile_args=["-O0", "-g"] if debug else ["-O3"],
            )
            for path in sources
        ],
        compiler_directives={
            "language_level": "3",
            "boundscheck": debug,
            "wraparound": False,
            "initializedcheck": debug,
            "emit_code_comments": debug,
            "embedsignature": True,
        },
        build_dir="build/cython",
    )

setup(ext_modules=extensions)
