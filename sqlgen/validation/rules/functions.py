"""Every function that is called stands on the dialect's list, wherever the call stands."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.sql.functions import load_functions
from sqlgen.sql.scope import nearest
from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["functions"]


def functions(draft: Draft) -> Iterator[Finding]:
    """Names are compared in lower case, so a quoted name in another case is not the engine's function."""
    known = load_functions(draft.dialect)
    for call in draft.statement.calls:
        if call.qualifier and not _open_qualifier(draft, call.qualifier):
            yield Finding(
                "function",
                f"function `{call.qualifier}.{call.name}` is not allowed: it names a schema",
                call.span,
            )
        elif call.is_source and call.name not in known.tables:
            yield Finding("function", f"function `{call.name}` cannot be read like a table", call.span)
        elif not call.is_source and call.name.lower() not in known.calls:
            near = nearest(call.name, known.calls, 1)
            hint = f"; nearest: `{near[0]}`" if near and draft.dialect else ""
            yield Finding(
                "function", f"function `{call.name}` is not on the list of {draft.dialect}{hint}", call.span
            )


def _open_qualifier(draft: Draft, qualifier: str) -> bool:
    if draft.dialect == "postgres":
        return qualifier == "pg_catalog"
    # In DuckDB `a.f()` calls f on the column a; the rule on names refuses it when there is no such column.
    return draft.dialect == "duckdb" and "." not in qualifier
