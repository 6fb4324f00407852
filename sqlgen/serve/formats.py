"""Rows as the caller wants them: JSON, CSV or an Arrow stream, by the Accept header."""

from __future__ import annotations

import importlib
from typing import Any

from sqlgen.cli.present import csv_text
from sqlgen.errors import UsageError
from sqlgen.types import Result

__all__ = ["ARROW", "CSV", "JSON", "arrow_bytes", "csv_bytes", "wanted_type"]

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"


def wanted_type(accept: str) -> str | None:
    """The media type that an Accept header likes best of the three, None when it likes none.

    >>> wanted_type(""), wanted_type("*/*"), wanted_type("text/html, text/csv;q=0.5"), wanted_type("image/png")
    ('application/json', 'application/json', 'text/csv', None)
    >>> wanted_type("application/json;q=0.1, application/vnd.apache.arrow.stream")
    'application/vnd.apache.arrow.stream'
    """
    if not accept.strip():
        return JSON
    liked: dict[str, tuple[float, int]] = {}
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((_quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        for known in (JSON, CSV, ARROW):
            exactness = {known: 2, known.partition("/")[0] + "/*": 1, "*/*": 0}.get(media)
            # The most exact of the patterns that fit a type says how much it is liked.
            if exactness is not None and (known not in liked or liked[known][1] < exactness):
                liked[known] = (quality, exactness)
    best = max(liked, key=lambda known: liked[known], default=None)
    return best if best is not None and liked[best][0] > 0 else None


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0


def csv_bytes(result: Result) -> bytes:
    """The rows as CSV with a header, safe to open in a spreadsheet."""
    return csv_text([c.name for c in result.columns], result.rows).encode("utf-8", "backslashreplace")


def arrow_bytes(result: Result) -> bytes:
    """The rows as an Arrow IPC stream; a column of mixed types becomes text. UsageError without pyarrow."""
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
    except ImportError as error:
        raise UsageError("Arrow needs pyarrow: pip install pyarrow") from error
    arrays = []
    for position in range(len(result.columns)):
        cells: list[Any] = [row[position] for row in result.rows]
        try:
            arrays.append(pyarrow.array(cells))
        except (pyarrow.ArrowException, OverflowError):
            arrays.append(pyarrow.array([None if c is None else str(c) for c in cells], pyarrow.string()))
    table = pyarrow.Table.from_arrays(arrays, names=[c.name for c in result.columns])
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found
