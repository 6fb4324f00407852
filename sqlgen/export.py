"""Answers and results as documents (JSON) and as frames of other libraries."""

from __future__ import annotations

import datetime
import decimal
import importlib
import math
import uuid
from typing import Any

from sqlgen.errors import UsageError
from sqlgen.types import Answer, Finding, Result, RetrievedContext

__all__ = [
    "answer_document",
    "context_document",
    "finding_document",
    "json_cell",
    "to_arrow",
    "to_pandas",
    "to_polars",
]


def json_cell(value: Any) -> Any:
    """A cell as JSON can say it.

    Decimals become numbers, dates ISO text, bytes hexadecimal text, NaN and infinities text.

    >>> json_cell(decimal.Decimal("1.50")), json_cell(b"hi"), json_cell(float("nan"))
    (1.5, '0x6869', 'NaN')
    >>> json_cell(datetime.date(2025, 1, 31)), json_cell({"a": [1, None]})
    ('2025-01-31', {'a': [1, None]})
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _not_finite(value)
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return "NaN" if value.is_nan() else _not_finite(float(value))
        whole = value == value.to_integral_value()
        return (
            int(value) if whole and abs(value) >= 2**53 else float(value) if "." in str(value) else int(value)
        )
    if isinstance(value, (datetime.date, datetime.time, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "0x" + bytes(value).hex()
    if isinstance(value, dict):
        return {str(json_cell(k)): json_cell(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_cell(v) for v in value]
    if isinstance(value, (datetime.timedelta, uuid.UUID)):
        return str(value)
    return str(value)


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding as a JSON document; ``span`` is its place in the SQL, in characters."""
    return {
        "rule": finding.rule,
        "message": finding.message,
        "span": list(finding.span) if finding.span else None,
    }


def answer_document(answer: Answer) -> dict[str, Any]:
    """The answer as one JSON document; ``row_count`` is None when nothing was executed."""
    result = answer.result
    return {
        "question": answer.question.text,
        "status": answer.status,
        "sql": answer.sql,
        "dialect": answer.dialect,
        "columns": _columns(answer, result) if result else [],
        "rows": [[json_cell(cell) for cell in row] for row in result.rows] if result else [],
        "row_count": len(result.rows) if result else None,
        "truncated": result.truncated if result else False,
        "confidence": round(answer.confidence, 4),
        "citations": [
            {"kind": c.kind, "name": c.name, "source": c.source, "score": round(c.score, 4)}
            for c in answer.citations
        ],
        "candidates": [
            {"sql": candidate.sql, "logprob": json_cell(round(candidate.logprob, 4)), "verdict": verdict}
            for candidate, verdict in answer.candidates
        ],
        "findings": [finding_document(f) for f in answer.findings],
        "warnings": [{"rule": w.rule, "message": w.message} for w in answer.warnings],
        "message": answer.message,
        "reading": answer.reading,
        "assumptions": list(answer.assumptions),
        "choice": answer.choice,
        "alternatives": [
            {
                "label": a.label,
                "sql": a.sql,
                "columns": [{"name": c.name, "type": c.type} for c in a.result.columns],
                "rows": [[json_cell(cell) for cell in row] for row in a.result.rows],
            }
            for a in answer.alternatives
        ],
        "model": {
            "name": answer.model.name,
            "version": answer.model.version,
            "adapter": answer.model.adapter,
        },
        "timings_ms": {name: round(ms, 1) for name, ms in answer.timings_ms.items()},
        "answer_id": answer.id,
    }


def _columns(answer: Answer, result: Result) -> list[dict[str, Any]]:
    """Name and type of each column, and what is known of its meaning and origin."""
    documents: list[dict[str, Any]] = [{"name": c.name, "type": c.type} for c in result.columns]
    if len(answer.columns) == len(documents):
        for document, column in zip(documents, answer.columns, strict=True):
            document |= {
                "label": column.label,
                "meaning": column.meaning,
                "role": column.role,
                "unit": column.unit,
                "sources": list(column.sources),
            }
    return documents


def context_document(context: RetrievedContext) -> dict[str, Any]:
    """What retrieval handed over, as one JSON document, tables best first."""
    return {
        "tables": [
            {
                "name": piece.table.key,
                "score": round(piece.score, 4),
                "reason": piece.reason,
                "columns": [column.name for column in piece.table.columns],
            }
            for piece in context.tables
        ],
        "values": [
            {"table": v.table, "column": v.column, "value": v.value, "score": round(v.score, 4)}
            for v in context.values
        ],
        "terms": [
            {"kind": t.kind, "name": t.name, "text": t.text, "source": t.source, "score": round(t.score, 4)}
            for t in context.terms
        ],
        "queries": [
            {"question": q.question, "sql": q.sql, "source": q.source, "score": round(q.score, 4)}
            for q in context.queries
        ],
        "tokens": context.token_count,
        "omitted": list(context.omitted),
    }


def _library(name: str, needed_by: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"{needed_by}() needs {name}: pip install {name}") from error


def to_pandas(result: Result) -> Any:
    """A ``pandas.DataFrame``; UsageError when pandas is not installed."""
    pandas = _library("pandas", "to_pandas")
    return pandas.DataFrame([list(row) for row in result.rows], columns=[c.name for c in result.columns])


def to_arrow(result: Result) -> Any:
    """A ``pyarrow.Table``; UsageError when pyarrow is not installed."""
    pyarrow = _library("pyarrow", "to_arrow")
    arrays = [pyarrow.array([row[i] for row in result.rows]) for i in range(len(result.columns))]
    return pyarrow.Table.from_arrays(arrays, names=[c.name for c in result.columns])


def to_polars(result: Result) -> Any:
    """A ``polars.DataFrame``; UsageError when polars is not installed.

    Names that occur twice get a number, because polars wants them distinct.
    """
    polars = _library("polars", "to_polars")
    names: list[str] = []
    for column in result.columns:
        name, count = column.name, 1
        while name in names:
            count += 1
            name = f"{column.name}_{count}"
        names.append(name)
    return polars.DataFrame(
        [list(row) for row in result.rows], schema=names, orient="row", infer_schema_length=None
    )
