"""One tree of errors with one root, drawn at the top of its file."""

from __future__ import annotations

import re

import pytest

from sqlgen import errors
from sqlgen.errors import SqlgenError

CODES = {
    "SqlgenError": 1,
    "UsageError": 2,
    "ConfigError": 2,
    "AuditFailed": 2,
    "SchemaFileError": 2,
    "DatabaseError": 5,
    "ConnectionFailed": 5,
    "EmptyDatabase": 5,
    "QueryFailed": 5,
    "LimitReached": 6,
    "ModelUnavailable": 7,
    "IndexUnusable": 1,
    "StoreUnusable": 1,
}


def test_every_error_is_public_and_has_the_documented_exit_code() -> None:
    assert set(errors.__all__) == set(CODES)
    for name, code in CODES.items():
        kind = getattr(errors, name)
        assert issubclass(kind, SqlgenError)
        assert kind.exit_code == code
        assert kind.__doc__


def test_the_drawing_shows_the_tree_as_it_is() -> None:
    assert errors.__doc__ is not None
    parents: list[str] = []
    for line in errors.__doc__.splitlines():
        drawn = re.match(r"^    ([│├└─ ]*)([A-Z]\w+)", line)
        if not drawn or drawn.group(2) not in CODES:
            continue
        depth = len(drawn.group(1)) // 4
        parents[depth:] = [drawn.group(2)]
        if depth:
            assert getattr(errors, parents[depth]).__base__ is getattr(errors, parents[depth - 1])
    assert set(parents) <= set(CODES)


def test_errors_carry_what_failed() -> None:
    error = errors.SchemaFileError("line 3, column 7: expected )", 3, 7)
    assert (error.line, error.column) == (3, 7)
    assert errors.LimitReached("too slow", "time").limit == "time"
    with pytest.raises(SqlgenError, match="too slow"):
        raise errors.LimitReached("too slow", "time")
