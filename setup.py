"""Extension list, pure-Python switch, system rulesets; all else stands in pyproject.toml.

PICOS_PURE=1   build no extension (the pure twins serve)
PICOS_DEBUG=1  bounds checks, line directives and no optimisation
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build

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


class BuildRulesets(Command):
    """Compile the system rulesets into the package's data, in the source tree itself."""

    description = "compile the system rulesets"
    user_options: ClassVar[list[tuple[str, str, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        folder = Path("runtime", "rulesets")
        sources = [str(path) for path in sorted(folder.glob("*.krl"))]
        target = str(folder / "system.krlb")
        subprocess.run([sys.executable, "-m", "krlc", "build", *sources, "-o", target], check=True)

    # `build_py` gathers what this one made, as package data.
    def get_source_files(self) -> list[str]:
        return []

    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Build(build):
    """The rulesets first: the package's data is gathered after them."""

    sub_commands: ClassVar = [("build_rulesets", None), *build.sub_commands]


setup(ext_modules=extensions, cmdclass={"build": Build, "build_rulesets": BuildRulesets})
