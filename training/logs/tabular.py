"""Exports with one record per statement: JSON lines, a JSON array, or CSV with a header.

Column names decide what is what, in any case: the same few readers take a pg_stat_statements export, BigQuery's
``INFORMATION_SCHEMA.JOBS``, Snowflake's ``QUERY_HISTORY``, Databricks' and Redshift's history, and a plain file.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from typing import Any

from sqlgen.training.logs.events import Event, Found, moment

__all__ = ["TabularCsv", "TabularJson", "event_of"]

_NAMES = {
    # In Redshift's STL_QUERY "query" is a number.
    "sql": "sql query_text statement_text querytxt sql_text querybody query_string query statement",
    "question": "question title",
    "user": "user user_email user_name username usename executed_by userid user_id rolname",
    "at": "time timestamp at creation_time start_time starttime started_at executed_at created_at creationdate query_start_time_ms date",
    "count": "calls count executions exec_count",
    "verdict": "verdict feedback",
}
_COLUMNS = {part: tuple(names.split()) for part, names in _NAMES.items()}
_ERRORS = ("error", "error_result", "error_message", "error_code")
_STATES = ("state", "status", "execution_status")
_FINE = {"", "done", "success", "finished", "ok", "succeeded", "completed", "none", "null"}
_EMPTY = {"", "null", "none", "\\n", "0", "{}"}
_VERDICTS = {
    "accepted": "accepted", "accept": "accepted", "right": "accepted", "correct": "accepted", "good": "accepted",
    "corrected": "corrected", "edited": "corrected",
    "rejected": "rejected", "reject": "rejected", "wrong": "rejected", "bad": "rejected",
}  # fmt: skip


def event_of(row: Mapping[str, Any]) -> Event | str:
    """The event of a record, or in words why there is none. Names are in lower case.

    >>> event_of({"query_text": "SELECT 1", "execution_status": "FAIL"})
    'failed'
    >>> event_of({"query": "SELECT 1", "calls": "12"}).runs
    12
    """
    values = {
        part: next((row[name] for name in names if row.get(name) not in (None, "")), None)
        for part, names in _COLUMNS.items()
    }
    sql = values["sql"]
    if not isinstance(sql, str) or not sql.strip():
        return "no SQL in it"
    failed = any(str(row.get(name) or "").strip().lower() not in _EMPTY for name in _ERRORS)
    failed |= any(str(row.get(name) or "").strip().lower() not in _FINE for name in _STATES)
    failed |= str(row.get("aborted") or "0").strip().lower() in ("1", "true", "t")
    if failed:
        return "failed"
    try:
        count = max(1, int(float(values["count"] or 1)))
    except (TypeError, ValueError, OverflowError):
        count = 1
    question = values["question"] if isinstance(values["question"], str) else ""
    return Event(
        sql.encode("utf-8", "replace"),
        str(values["user"] or "").encode("utf-8", "replace"),
        moment(values["at"] or ""),
        count,
        " ".join(question.split()),
        _VERDICTS.get(str(values["verdict"] or "").strip().lower(), ""),
    )


def _take(row: Mapping[Any, Any], start: int, text: bytes, found: Found) -> None:
    event = event_of({str(key).strip().lower(): value for key, value in row.items()})
    if isinstance(event, Event):
        if b"\0" in event.sql:
            found.bad.append((start, "a NUL byte", text))
        else:
            found.events.append(event)
    elif event == "failed":
        found.skipped[event] += 1
    else:
        found.bad.append((start, event, text))


class TabularJson:
    """One object a line, or one array of objects."""

    _TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}"]', re.S)

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.state: dict[str, Any] = state or {}

    def resume(self, block: bytes) -> int:
        """Where the next line begins."""
        at = block.find(b"\n")
        return at + 1 if at >= 0 else -1

    def read(self, block: bytes, final: bool) -> tuple[int, Found]:
        """See ``Reader``."""
        if "array" not in self.state:
            self.state["array"] = block.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"[")
        found = Found()
        if self.state["array"]:
            end, spans = self._objects(block, final, found)
        else:
            end = len(block) if final else block.rfind(b"\n") + 1
            spans, at = [], 0
            for line in block[:end].split(b"\n"):
                if line.strip():
                    spans.append((at, at + len(line)))
                at += len(line) + 1
        for start, stop in spans:
            text = block[start:stop]
            found.entries += 1
            try:
                row = json.loads(text.decode("utf-8-sig"))
            except UnicodeDecodeError:
                found.bad.append((start, "not UTF-8", text))
                continue
            except (ValueError, RecursionError):
                found.bad.append((start, "not JSON", text))
                continue
            if isinstance(row, dict):
                _take(row, start, text, found)
            else:
                found.bad.append((start, "not a JSON object", text))
        return end, found

    def _objects(self, block: bytes, final: bool, found: Found) -> tuple[int, list[tuple[int, int]]]:
        depth = start = end = 0
        spans = []
        for token in self._TOKEN.finditer(block):
            if token[0] == b"{":
                if depth == 0:
                    start = token.start()
                depth += 1
            elif token[0] == b"}" and depth:
                depth -= 1
                if depth == 0:
                    end = token.end()
                    spans.append((start, end))
        if final:
            if depth:
                found.bad.append((start, "cut short", block[start:]))
            end = len(block)
        return end, spans


class TabularCsv:
    """Rows under a header; ``,``, ``;`` or a tab between the fields; fields in quotes may hold newlines."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.state: dict[str, Any] = state or {}

    def resume(self, block: bytes) -> int:
        """Where the next line begins."""
        at = block.find(b"\n")
        return at + 1 if at >= 0 else -1

    def read(self, block: bytes, final: bool) -> tuple[int, Found]:
        """See ``Reader``. A row is a run of lines whose quotes close."""
        found = Found()
        end = at = 0
        start: int | None = None
        quotes = 0
        lines = block.split(b"\n")
        if not final:
            lines.pop()
        for line in lines:
            begin, at = at, at + len(line) + 1
            quotes += line.count(b'"')
            if start is None:
                start = begin
            if quotes % 2 and at - start <= 2**20:
                continue
            if quotes % 2:
                found.bad.append((start, "a quote is never closed", block[start:at]))
            elif block[start:at].strip():
                self._row(start, block[start:at], found)
            start, quotes, end = None, 0, at
        if final:
            if start is not None:
                found.bad.append((start, "a quote is never closed", block[start:]))
            end = len(block)
        return end, found

    def _row(self, start: int, text: bytes, found: Found) -> None:
        try:
            line = text.decode("utf-8-sig").rstrip("\r\n")
            names = self.state.get("names")
            if names is None:
                self.state["separator"] = max(",;\t", key=line.count)
            csv.field_size_limit(2**24)
            (fields,) = csv.reader(line.splitlines(True), delimiter=self.state["separator"], strict=True)
        except UnicodeDecodeError:
            found.bad.append((start, "not UTF-8", text))
            return
        except (ValueError, csv.Error) as error:
            found.bad.append((start, str(error), text))
            return
        if names is None:
            self.state["names"] = [field.strip().lower() for field in fields]
            return
        found.entries += 1
        if len(fields) != len(names):
            found.bad.append((start, f"{len(fields)} fields under {len(names)} names", text))
            return
        _take(dict(zip(names, fields, strict=True)), start, text, found)
