"""A bounded look at the rows: distinct values of text, extremes of dates and numbers, row counts.

The bounds, all per table unless said otherwise:

* at most ``SAMPLE_ROWS`` rows are read for values, fewer in wide tables: all of a small table, else half from
  its head and half from its tail (PostgreSQL: a block sample of the whole table);
* a value longer than ``MAX_VALUE_CHARS``, with a control character or invalid UTF-8 is left out: nobody asks
  for it, and a cut value would match nothing;
* minimum and maximum are exact, and only taken where they are cheap: every date and number of a table of at
  most ``SMALL_TABLE_ROWS`` rows (DuckDB: ``DUCKDB_SMALL_TABLE_ROWS``), in larger ones only columns that an
  index starts with; never of a view;
* one statement gets ``STATEMENT_TIMEOUT_S``, the whole catalog ``TOTAL_TIMEOUT_S``.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sqlgen.catalog.connect import driver_message
from sqlgen.catalog.kinds import is_iso_date
from sqlgen.catalog.readers.common import Run, Structure, quote, quoted_table
from sqlgen.types import Column, ColumnKind, Dialect, Table

__all__ = ["bounded", "clean_value", "fill", "in_one_message", "text_expression"]

SAMPLE_ROWS = 4000
SAMPLE_CELLS = 40_000
MAX_VALUE_CHARS = 200
SMALL_TABLE_ROWS = 50_000
DUCKDB_SMALL_TABLE_ROWS = 5_000_000
STATEMENT_TIMEOUT_S = 2.0
TOTAL_TIMEOUT_S = 120.0
COLUMNS_PER_QUERY = 80

Progress = Callable[[int, int, str], None]


@contextmanager
def bounded(connection: Connection, dialect: Dialect, timeout_s: float) -> Iterator[Run]:
    """A read-only transaction, rolled back at the end, whose statements stop after ``timeout_s`` seconds.

    The limits die with the transaction (or the statement): a pooled connection goes back as it came.
    """
    prefix, suffix_hint = "", ""
    raw: Any = None
    deadline = [math.inf]
    if connection.in_transaction():
        connection.rollback()
    connection.execution_options(no_parameters=True)
    if dialect == "postgres":
        ms = int(timeout_s * 1000)
        connection.exec_driver_sql(
            f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {ms}; SET LOCAL lock_timeout = {ms}; "
            "SET LOCAL datestyle = 'ISO'"
        )
    elif dialect == "mysql":
        if getattr(connection.dialect, "is_mariadb", False):
            wait = max(1, round(timeout_s))
            prefix = f"SET STATEMENT max_statement_time={timeout_s:g}, lock_wait_timeout={wait} FOR "
        else:
            suffix_hint = f"/*+ MAX_EXECUTION_TIME({int(timeout_s * 1000)}) */ "
    else:
        raw = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        raw.set_progress_handler(lambda: time.monotonic() > deadline[0], 5000)

    def run(statement: str) -> Sequence[Any]:
        if suffix_hint and statement.startswith("SELECT "):
            statement = f"SELECT {suffix_hint}{statement[7:]}"
        timer: threading.Timer | None = None
        if isinstance(raw, sqlite3.Connection):
            deadline[0] = time.monotonic() + timeout_s
        elif raw is not None:
            timer = threading.Timer(timeout_s, raw.interrupt)
            timer.daemon = True
            timer.start()
        try:
            return connection.exec_driver_sql(prefix + statement).fetchall()
        finally:
            deadline[0] = math.inf
            if timer is not None:
                timer.cancel()

    try:
        yield run
    finally:
        # Ctrl-C has made SQLAlchemy close what it met.
        if isinstance(raw, sqlite3.Connection) and not connection.invalidated:
            raw.set_progress_handler(None, 0)
        connection.rollback()


def in_one_message(connection: Connection, timeout_s: float) -> Run:
    """As ``bounded``, for psycopg: every statement in a transaction that begins and ends with its one message.

    A question far from its server waits for one answer where ``bounded`` waits for four.
    """
    ms = int(timeout_s * 1000)
    limits = {"transaction_read_only": "on", "statement_timeout": ms, "lock_timeout": ms}
    head = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in limits.items())
    connection.execution_options(isolation_level="AUTOCOMMIT", no_parameters=True)

    def run(statement: str) -> Sequence[Any]:
        result = connection.exec_driver_sql(f"SELECT {head}; {statement}")
        cursor = result.cursor
        cursor.nextset()
        rows: Sequence[Any] = cursor.fetchall()
        result.close()
        return rows

    return run


def text_expression(column: str, dialect: Dialect, kind: ColumnKind = "text") -> str:
    """SQL that gives a cell as text, one character longer than the longest value kept."""
    name = quote(column, dialect)
    length = MAX_VALUE_CHARS + 1
    if dialect == "sqlite":
        # as bytes: the text of a cell may be invalid UTF-8, and decoding it would fail the whole statement
        return f"CAST(substr({name}, 1, {length}) AS BLOB)"
    if dialect == "postgres":
        return f"left({name}::text, {length})"
    if dialect == "mysql":
        return f"LEFT({name}, {length})" if kind == "text" else f"LEFT(CAST({name} AS CHAR), {length})"
    return f"left(CAST({name} AS VARCHAR), {length})"


def clean_value(cell: Any) -> str | None:
    """The cell as a value that a question could name, or None.

    >>> clean_value(b"caf\\xc3\\xa9"), clean_value(b"\\xff"), clean_value("a\\x07b"), clean_value("  ")
    ('café', None, None, None)
    """
    if cell is None:
        return None
    if isinstance(cell, bytes | bytearray | memoryview):
        try:
            text = bytes(cell).decode("utf-8")
        except UnicodeDecodeError:
            return None
    else:
        text = str(cell)
    if not text.strip() or len(text) > MAX_VALUE_CHARS:
        return None
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in text):
        return None
    return text


def fill(
    connection: Connection,
    dialect: Dialect,
    structure: Structure,
    sample_values: int,
    progress: Progress | None,
    unsampled: Mapping[str, frozenset[str]] | None = None,
    known: Mapping[str, Table] | None = None,
) -> list[Table]:
    """The tables of ``structure`` with row estimates, values and extremes; ``skipped`` names what failed.

    No cell is read of the columns that ``unsampled`` names by table key, nor of tables that are built as
    those in ``known``, by key: these keep what they have there.
    """
    started = time.monotonic()
    done: dict[str, Table] = {}
    late = 0
    # tables before views: a view may be slow, and its values mostly repeat a table's
    for table in structure.tables:
        before = (known or {}).get(table.key)
        if before is not None and _shape(before) == _shape(table):
            done[table.key] = replace(before, foreign_keys=table.foreign_keys)
    ordered = sorted((t for t in structure.tables if t.key not in done), key=lambda t: t.is_view)
    for number, table in enumerate(ordered, 1):
        if progress is not None:
            progress(number, len(ordered), table.key)
        if time.monotonic() - started > TOTAL_TIMEOUT_S:
            late += 1
            done[table.key] = table
        else:
            closed = (unsampled or {}).get(table.key, frozenset())
            done[table.key] = _fill_table(connection, dialect, structure, table, sample_values, closed)
    if late:
        structure.skipped.append(
            f"values of {late} tables: the {TOTAL_TIMEOUT_S:g} s for sampling were used up"
        )
    return [done[table.key] for table in structure.tables]


def _shape(table: Table) -> tuple[object, ...]:
    """What a reader says of a table, before any cell is looked at."""
    columns = tuple((c.name, c.type, c.comment, c.nullable, c.primary_key) for c in table.columns)
    return table.key, table.comment, table.is_view, columns


class _TableReader:
    """Runs the statements about one table, each bounded; notes the first failure."""

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        self.connection = connection
        self.dialect = dialect
        self.failure = ""

    def rows(self, statement: str) -> Sequence[Any] | None:
        try:
            with bounded(self.connection, self.dialect, STATEMENT_TIMEOUT_S) as run:
                return run(statement)
        except SQLAlchemyError as error:
            if getattr(error, "connection_invalidated", False):
                raise
            self.failure = self.failure or driver_message(error)
        except (ValueError, OverflowError) as error:
            # a driver that cannot turn a cell into a Python value
            self.failure = self.failure or f"{type(error).__name__}: {driver_message(error)}"
        return None


def _fill_table(
    connection: Connection,
    dialect: Dialect,
    structure: Structure,
    table: Table,
    sample_values: int,
    closed: frozenset[str],
) -> Table:
    if all(c.name in closed for c in table.columns):
        return table
    reader = _TableReader(connection, dialect)
    if not table.is_view and table.row_estimate is None:
        table = replace(table, row_estimate=_bounded_count(reader, dialect, structure, table))
    if sample_values <= 0:
        return table
    columns = list(table.columns)
    is_open = [c.name not in closed for c in columns]
    wanted = [i for i, c in enumerate(columns) if is_open[i] and (dialect == "sqlite" or _is_sampled(c))]
    limit = max(400, min(SAMPLE_ROWS, SAMPLE_CELLS // max(1, len(wanted))))
    for start in range(0, len(wanted), COLUMNS_PER_QUERY):
        chunk = wanted[start : start + COLUMNS_PER_QUERY]
        sampled = _sample_rows(reader, dialect, structure, table, [columns[i] for i in chunk], limit)
        if sampled is None:
            break
        for position, index in enumerate(chunk):
            if dialect == "sqlite":
                cells = [(row[2 * position], row[2 * position + 1]) for row in sampled]
                columns[index] = _fill_sqlite_column(columns[index], cells, sample_values)
            else:
                values = _most_common([clean_value(row[position]) for row in sampled], sample_values)
                declared = [v for v in columns[index].values if v not in values]
                columns[index] = replace(columns[index], values=(*values, *declared)[: max(sample_values, 1)])
    if not table.is_view and not reader.failure:
        _fill_extremes(reader, dialect, structure, table, columns, closed)
    if reader.failure:
        structure.skipped.append(f"values of {table.key!r}: {reader.failure}")
    return replace(table, columns=tuple(columns))


def _is_sampled(column: Column) -> bool:
    return column.kind == "text" and not column.type.lower().startswith("uuid")


def _bounded_count(reader: _TableReader, dialect: Dialect, structure: Structure, table: Table) -> int | None:
    """The exact count up to a limit; above it the largest rowid in SQLite, else None."""
    limit = 200_000 if dialect == "sqlite" else SMALL_TABLE_ROWS
    source = quoted_table(table, dialect)
    rows = reader.rows(f"SELECT count(*) FROM (SELECT 1 AS one FROM {source} LIMIT {limit + 1}) AS counted")
    if not rows:
        return None
    count = int(rows[0][0])
    if count <= limit:
        return count
    if dialect == "sqlite" and table.key in structure.row_order:
        largest = reader.rows(f"SELECT max(rowid) FROM {source}")
        return max(count, int(largest[0][0])) if largest else None
    return None


def _sample_rows(
    reader: _TableReader,
    dialect: Dialect,
    structure: Structure,
    table: Table,
    columns: Sequence[Column],
    limit: int,
) -> Sequence[Any] | None:
    source = quoted_table(table, dialect)
    if dialect == "sqlite":
        parts = [f"typeof({quote(c.name, dialect)}), {text_expression(c.name, dialect)}" for c in columns]
    else:
        parts = [text_expression(c.name, dialect, c.kind) for c in columns]
    selected = ", ".join(parts)
    order = structure.row_order.get(table.key)
    estimate = table.row_estimate
    if order is None or (estimate is not None and estimate <= limit):
        return reader.rows(f"SELECT {selected} FROM {source} LIMIT {limit}")
    if order == "tablesample":
        if estimate is not None:
            percent = min(100.0, 150.0 * limit / estimate)
            rows = reader.rows(
                f"SELECT {selected} FROM {source} TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (1) "
                f"LIMIT {limit}"
            )
            if rows is None or len(rows) >= limit // 4:
                return rows
        return reader.rows(f"SELECT {selected} FROM {source} LIMIT {limit}")
    head = reader.rows(f"SELECT {selected} FROM {source} LIMIT {limit // 2}")
    if head is None:
        return None
    tail = reader.rows(f"SELECT {selected} FROM {source} ORDER BY {order} DESC LIMIT {limit // 2}")
    return [*head, *(tail or ())]


def _most_common(values: Sequence[str | None], limit: int) -> tuple[str, ...]:
    counts = Counter(v for v in values if v is not None)
    return tuple(sorted(counts, key=lambda v: (-counts[v], v))[:limit])


def _fill_sqlite_column(column: Column, cells: Sequence[tuple[str, Any]], limit: int) -> Column:
    """SQLite lets any value stand in any column, so the kind follows what is there.

    All text and all of it ISO dates: date, whatever was declared. Declared a date, but only numbers, or only
    text that is no ISO date: number or text, as date functions would return NULL. No declared type, or
    declared a number but mostly other text: what the cells are.
    """
    present = [(kind, cell) for kind, cell in cells if kind != "null"]
    texts = [clean_value(cell) for kind, cell in present if kind == "text"]
    named = [t for t in texts if t is not None]
    numbers = sum(kind in ("integer", "real") for kind, _ in present)
    kind: ColumnKind = column.kind
    if (
        named
        and len(texts) == len(present)
        and all(is_iso_date(t) for t in named)
        and len(named) == len(texts)
    ):
        kind = "date"
    elif present and numbers == len(present):
        if kind in ("date", "other"):
            kind = "number"
    elif texts and len(texts) > 0.5 * len(present):
        is_mostly_text = kind == "date" and not any(is_iso_date(t) for t in named)
        if is_mostly_text or kind in ("number", "bool", "other"):
            kind = "text"
    if kind != "text":
        return replace(column, kind=kind)
    shown = [clean_value(cell) for type_name, cell in present if type_name != "blob"]
    return replace(column, kind=kind, values=_most_common(shown, limit))


def _fill_extremes(
    reader: _TableReader,
    dialect: Dialect,
    structure: Structure,
    table: Table,
    columns: list[Column],
    closed: frozenset[str],
) -> None:
    wanted = [i for i, c in enumerate(columns) if c.kind in ("number", "date") and c.name not in closed]
    if not wanted:
        return
    source = quoted_table(table, dialect)
    small = DUCKDB_SMALL_TABLE_ROWS if dialect == "duckdb" else SMALL_TABLE_ROWS
    if table.row_estimate is not None and table.row_estimate <= small:
        for start in range(0, len(wanted), COLUMNS_PER_QUERY):
            chunk = wanted[start : start + COLUMNS_PER_QUERY]
            selected = ", ".join(
                _extreme(columns[i], dialect, f, True) for i in chunk for f in ("min", "max")
            )
            rows = reader.rows(f"SELECT {selected} FROM {source}")
            if rows:
                for position, index in enumerate(chunk):
                    low, high = rows[0][2 * position], rows[0][2 * position + 1]
                    columns[index] = _with_extremes(columns[index], low, high)
        return
    for index in wanted:
        if (table.key, columns[index].name) not in structure.indexed:
            continue
        low, high = (
            f"(SELECT {_extreme(columns[index], dialect, function, False)} FROM {source})"
            for function in ("min", "max")
        )
        rows = reader.rows(f"SELECT {low}, {high}")
        if rows:
            columns[index] = _with_extremes(columns[index], rows[0][0], rows[0][1])


def _extreme(column: Column, dialect: Dialect, function: str, scans: bool) -> str:
    name = quote(column.name, dialect)
    if dialect == "sqlite":
        if scans:
            types = "('text')" if column.kind == "date" else "('integer', 'real')"
            name = f"CASE WHEN typeof({name}) IN {types} THEN {name} END"
        extreme = f"{function}({name})"
        return f"CAST({extreme} AS BLOB)" if column.kind == "date" else extreme
    extreme = f"{function}({name})"
    if column.kind != "date":
        if dialect == "duckdb" and column.type.startswith("DECIMAL"):
            return f"CAST({extreme} AS DOUBLE)"
        return extreme
    cast = {"postgres": f"{extreme}::text", "mysql": f"CAST({extreme} AS CHAR)"}
    return cast.get(dialect, f"CAST({extreme} AS VARCHAR)")


def _with_extremes(column: Column, low: Any, high: Any) -> Column:
    read = _date if column.kind == "date" else _number
    return replace(column, minimum=read(low), maximum=read(high))


def _date(cell: Any) -> str | None:
    text = clean_value(cell)
    return text if text is not None and is_iso_date(text) else None


def _number(cell: Any) -> int | float | None:
    if isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, int):
        return cell
    if isinstance(cell, Decimal):
        if not cell.is_finite():
            return None
        return int(cell) if cell == cell.to_integral_value() else float(cell)
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    return None
