"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
import time

import sqlgen

HEAVY = ("sqlglot", "sqlalchemy", "onnxruntime", "numpy", "tokenizers", "click", "rich", "torch", "duckdb")


def test_public_names_are_sorted_documented_and_all_there() -> None:
    constants, functions = [], []
    for name in sqlgen.__all__:
        assert getattr(sqlgen, name).__doc__, name
        (constants if name[0].isupper() else functions).append(name)
    assert sqlgen.__all__ == sorted(constants) + sorted(functions)
    public = {
        name for name, value in vars(sqlgen).items() if not name.startswith("_") and not is_module(value)
    }
    assert public == set(sqlgen.__all__)


def is_module(value: object) -> bool:
    return type(value).__name__ == "module"


def test_import_is_light() -> None:
    code = f"import sys, sqlgen; print([m for m in {HEAVY!r} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


def test_import_and_help_are_quick() -> None:
    # The best of ten, because other processes may have the processor; the promise is 0.3 s.
    def best(*command: str) -> float:
        spent = []
        for _ in range(10):
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            spent.append(time.perf_counter() - began)
        return min(spent)

    bare = best("-c", "pass")
    assert best("-c", "import sqlgen") - bare < 0.3
    assert best("-m", "sqlgen", "--help") - bare < 0.6
