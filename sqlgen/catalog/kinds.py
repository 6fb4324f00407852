"""From the engine's words for a type to what a model needs to know about it."""

from __future__ import annotations

import re

from sqlgen.types import ColumnKind

__all__ = ["is_iso_date", "kind_of_type", "sqlite_kind"]

_NUMBER = frozenset(
    str.split("""int integer bigint smallint mediumint tinyint int1 int2 int3 int4 int8 int16 int32 int64
    int128 hugeint uhugeint uint8 uint16 uint32 uint64 uint128 uinteger ubigint usmallint utinyint bignum varint long
    short serial bigserial smallserial serial2 serial4 serial8 oid numeric decimal dec fixed number real
    double float float4 float8 money smallmoney year""")
)
_TEXT = frozenset(
    str.split("""char varchar varchar2 nchar nvarchar nvarchar2 character bpchar text tinytext mediumtext
    longtext clob string citext name enum set uuid national native ltree""")
)
_DATE = frozenset(
    str.split("""date datetime smalldatetime timestamp timestamptz timestamp_s timestamp_ms timestamp_us
    timestamp_ns datetime64""")
)
_BOOL = frozenset(("bool", "boolean", "logical"))
_FIRST_WORD = re.compile(r"[a-z_0-9]+")
_ISO_DATE = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"(?:[ T](?:[01]\d|2[0-4]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?: ?Z|[+-]\d{2}(?::?\d{2}){0,2})?)?"
)


def kind_of_type(type_name: str) -> ColumnKind:
    """The kind behind an engine's type words; ``other`` for what is neither text, number, date nor bool.

    Times of day and intervals are ``other``: no date function takes them.

    >>> [kind_of_type(t) for t in ("NUMERIC(10, 2)", "character varying(20)", "timestamp with time zone")]
    ['number', 'text', 'date']
    >>> [kind_of_type(t) for t in ("tinyint(1)", "INTEGER[]", "interval", "point", "enum('a','b')")]
    ['bool', 'other', 'other', 'other', 'text']
    """
    words = type_name.strip().lower()
    if words.endswith("]") or words.endswith(" array"):
        return "other"
    if words.startswith(("tinyint(1)", "bit(1)")):
        return "bool"
    match = _FIRST_WORD.match(words)
    first = match.group() if match else ""
    if first == "unsigned" or first == "signed":
        return "number"
    if first in _NUMBER:
        return "number"
    if first in _TEXT:
        return "text"
    if first in _DATE:
        return "date"
    return "bool" if first in _BOOL else "other"


def sqlite_kind(type_name: str) -> ColumnKind:
    """The kind of a SQLite column from its declared type: known words first, then SQLite's affinity rules.

    >>> [sqlite_kind(t) for t in ("VARCHAR(9)", "UNSIGNED BIG INT", "DATETIME", "", "STRINGY CHARS", "WEIRD")]
    ['text', 'number', 'date', 'other', 'text', 'number']
    """
    kind = kind_of_type(type_name)
    if kind != "other":
        return kind
    words = type_name.upper()
    if not words or "BLOB" in words or "JSON" in words or words.startswith("TIME"):
        return "other"
    if "INT" in words:
        return "number"
    if "CHAR" in words or "CLOB" in words or "TEXT" in words:
        return "text"
    return "number"


def is_iso_date(text: str) -> bool:
    """Whether the whole text is a date, or a date and a time, that sorts as text.

    >>> [is_iso_date(t) for t in ("2024-02-29", "2024-02-29 12:30:00.5+02", "0000-00-00", "29.02.2024")]
    [True, True, False, False]
    """
    return _ISO_DATE.fullmatch(text) is not None
