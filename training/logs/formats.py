"""The formats by name, and which of them a file is in."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from typing import Any

from sqlgen.errors import UsageError
from sqlgen.training.logs.events import Reader
from sqlgen.training.logs.mysql import MysqlGeneral, MysqlSlow
from sqlgen.training.logs.postgres import PostgresCsv, PostgresJson, PostgresStderr
from sqlgen.training.logs.tabular import TabularCsv, TabularJson

__all__ = ["DIALECT_OF", "FORMATS", "detect", "open_reader"]

FORMATS = (
    "postgres-stderr", "postgres-csv", "postgres-json", "pg-stat-statements", "mysql-general", "mysql-slow",
    "bigquery", "snowflake", "databricks", "redshift", "jsonl", "csv",
)  # fmt: skip
DIALECT_OF = {
    "postgres-stderr": "postgres",
    "postgres-csv": "postgres",
    "postgres-json": "postgres",
    "pg-stat-statements": "postgres",
    "mysql-general": "mysql",
    "mysql-slow": "mysql",
    "bigquery": "bigquery",
    "snowflake": "snowflake",
    "databricks": "databricks",
    "redshift": "redshift",
}
"""In which dialect the statements of a format are written; of the others the database's own."""

_READERS: dict[str, Callable[..., Reader]] = {
    "postgres-stderr": PostgresStderr,
    "postgres-csv": PostgresCsv,
    "postgres-json": PostgresJson,
    "mysql-general": MysqlGeneral,
    "mysql-slow": MysqlSlow,
}
_SIGNS = (
    ("pg-stat-statements", ({"calls", "query"}, {"queryid", "query"})),
    ("bigquery", ({"job_id", "query"}, {"creation_time", "query"}, {"total_bytes_billed", "query"})),
    ("databricks", ({"statement_text", "statement_id"}, {"statement_text", "executed_by"}, {"query_text", "executed_as_user_name"})),
    ("redshift", ({"querytxt"}, {"query_text", "usage_limit"}, {"query_text", "query_label"})),
    # Redshift and the interface of Databricks have these names too, beside others.
    ("snowflake", ({"query_text", "warehouse_name"}, {"query_text", "query_id"})),
)  # fmt: skip


def open_reader(
    format: str, state: dict[str, Any] | None, *, array: bool, prefix: str | None = None
) -> Reader:
    """The reader of a format; ``array`` says that an export is JSON, not CSV."""
    if format == "postgres-stderr":
        return PostgresStderr(state, prefix)
    if format in _READERS:
        return _READERS[format](state)
    return TabularJson(state) if array else TabularCsv(state)


def looks_like_json(head: bytes) -> bool:
    """Whether an export begins like JSON."""
    return head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"[")


def detect(head: bytes, name: str) -> str:
    """The format of a file that begins with ``head``; UsageError when none fits.

    >>> detect(b'{"sql": "SELECT 1"}', "x"), detect(b"query_id,query_text,warehouse_name", "x")
    ('jsonl', 'snowflake')
    """
    head = head.removeprefix(b"\xef\xbb\xbf")
    if looks_like_json(head):
        keys = _json_keys(head)
        if "error_severity" in keys:
            return "postgres-json"
        return _by_columns(keys) or "jsonl"
    if re.search(rb"^# (?:Time|User@Host): ", head, re.M):
        return "mysql-slow"
    if PostgresCsv._START.match(head):
        return "postgres-csv"
    if MysqlGeneral._ENTRY.search(head) and b":  " not in head.split(b"\n")[0]:
        return "mysql-general"
    if re.search(rb"^[^\n]{0,300}?\b(?:LOG|ERROR|FATAL|WARNING|DETAIL|STATEMENT):  ", head, re.M):
        return "postgres-stderr"
    first = head.lstrip().split(b"\n")[0].decode("utf-8", "replace").strip()
    separator = max(",;\t", key=first.count)
    names = {field.strip().lower() for field in next(csv.reader([first], delimiter=separator), [])}
    from sqlgen.training.logs.tabular import _COLUMNS

    if found := _by_columns(names):
        return found
    if names & set(_COLUMNS["sql"]):
        return "csv"
    raise UsageError(f"cannot tell the format of {name}; give --format ({', '.join(FORMATS)})")


def _json_keys(head: bytes) -> set[str]:
    text = head.decode("utf-8", "replace").lstrip(" \r\n\t[")
    try:
        row, _ = json.JSONDecoder().raw_decode(text)
        return {str(key).lower() for key in row}
    except (ValueError, TypeError, RecursionError):
        # The first record may be longer than what we look at, or cut.
        return {key.lower() for key in re.findall(r'"(\w+)"\s*:', text[:20_000])}


def _by_columns(names: set[str]) -> str | None:
    return next((name for name, signs in _SIGNS if any(sign <= names for sign in signs)), None)
