"""The accepted answers of a suite, executed by the product's own driver wherever validation lets them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sqlgen.errors import DatabaseError, LimitReached
from sqlgen.execution import Driver
from sqlgen.sql.order import is_ordered
from sqlgen.types import Catalog, Dialect, Finding, Limits, Rejection, Result, ResultColumn, ValidatedQuery

__all__ = ["GoldAnswers", "GoldResult", "run_unchecked"]


@dataclass(frozen=True, slots=True)
class GoldResult:
    """What an accepted answer gives. ``result`` is None when it does not run; then ``error`` says why.

    ``query`` is None and ``refused`` says why where validation lets the gold not pass.
    """

    sql: str
    result: Result | None
    ordered: bool
    error: str = ""
    query: ValidatedQuery | None = None
    refused: tuple[Finding, ...] = ()


class GoldAnswers:
    """Executes gold SQL on one database, each text once. ``path`` is its file where it has one."""

    def __init__(
        self, driver: Driver, catalog: Catalog, dialect: Dialect, limits: Limits, path: Path | None = None
    ) -> None:
        self._driver = driver
        self._catalog = catalog
        self._dialect = dialect
        self._limits = limits
        self._path = path
        self._known: dict[tuple[str, bool | None], GoldResult] = {}

    def get(self, sql: str, ordered: bool | None = None) -> GoldResult:
        """The result of ``sql``; ``ordered`` None asks the query whether its order counts."""
        key = (sql, ordered)
        if key not in self._known:
            self._known[key] = self._run(sql, ordered)
        return self._known[key]

    def _run(self, sql: str, ordered: bool | None) -> GoldResult:
        from sqlgen.validation import validate

        in_order = is_ordered(sql, self._dialect) if ordered is None else ordered
        verdict = validate(sql, self._catalog, self._dialect)
        if isinstance(verdict, Rejection):
            if self._path is None:
                reason = "; ".join(finding.message for finding in verdict.findings)
                error = f"refused by validation: {reason}"
                return GoldResult(sql, None, in_order, error, refused=verdict.findings)
            try:
                result = run_unchecked(self._path, sql, self._limits)
            except (DatabaseError, LimitReached) as failure:
                return GoldResult(sql, None, in_order, str(failure), refused=verdict.findings)
            return GoldResult(sql, result, in_order, refused=verdict.findings)
        try:
            result = self._driver.execute(verdict, self._limits)
        except (DatabaseError, LimitReached) as failure:
            return GoldResult(sql, None, in_order, str(failure), verdict)
        return GoldResult(sql, result, in_order, query=verdict)


def run_unchecked(path: Path, sql: str, limits: Limits) -> Result:
    """Run ``sql`` on a SQLite file opened for reading, in a process that is killed when time is up.

    Raises LimitReached after ``limits.timeout_s`` and DatabaseError when SQLite refuses the query.
    """
    program = Path(__file__).with_name("read_sqlite.py")
    command = [sys.executable, "-I", str(program), str(path.absolute()), str(limits.max_rows)]
    try:
        done = subprocess.run(
            command, input=sql.encode("utf-8"), capture_output=True, timeout=limits.timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LimitReached(f"no answer within {limits.timeout_s:g} s", "time") from error
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise DatabaseError("the reading process ended without an answer") from error
    if "error" in document:
        raise DatabaseError(document["error"])
    rows = tuple(
        tuple(bytes.fromhex(cell["bytes"]) if isinstance(cell, dict) else cell for cell in row)
        for row in document["rows"]
    )
    columns = tuple(ResultColumn(name) for name in document["columns"])
    return Result(columns, rows, document["truncated"])
