"""Coverage-guided fuzzing of the guard by atheris (not a dependency: `pip install atheris`). From the checkout:

    python -m tests.validation.fuzz_atheris [-runs=100000] [-max_total_time=600]

The first byte chooses the dialect, the rest is the statement. Any exception, and anything over a second, is a crash.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from pathlib import Path

from tests.validation.conftest import CATALOGS, DIALECTS
from tests.validation.fuzz import SLOWEST_S, suite


def one(data: bytes) -> None:
    """Judge what ``data`` holds; raises where the guard does, takes too long, or meets what no rule expected."""
    from sqlgen.types import Rejection
    from sqlgen.validation import validate

    if not data:
        return
    dialect = DIALECTS[data[0] % len(DIALECTS)]
    sql = data[1:].decode("utf-8", "surrogateescape")
    started = time.thread_time()
    verdict = validate(sql, CATALOGS[dialect], dialect, max_rows=1000)
    took = time.thread_time() - started
    if took > SLOWEST_S:
        raise RuntimeError(f"{took:.2f} s for {sql!r}")
    if isinstance(verdict, Rejection) and verdict.findings[0].rule == "not_followed":
        raise RuntimeError(f"not followed: {sql!r}")


def main() -> None:
    """Fuzz until the limits that the command line gives, beginning with the conformance suite."""
    if importlib.util.find_spec("atheris") is None:
        raise SystemExit("atheris is not installed; pip install atheris")
    import atheris

    atheris.instrument_all()
    with tempfile.TemporaryDirectory() as folder:
        for place, dialect in enumerate(DIALECTS):
            for number, sql in enumerate(suite(dialect)):
                seed = bytes([place]) + sql.encode("utf-8", "surrogatepass")
                (Path(folder) / f"{dialect}{number}").write_bytes(seed)
        atheris.Setup([*sys.argv, folder, "-rss_limit_mb=1000", "-timeout=10"], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
