"""The nouns that flow through the house: frozen, slotted, standard library only.

A question walks one way: ``Question`` -> ``RetrievedContext`` -> ``Candidate`` ->
``ValidatedQuery | Rejection`` -> ``Result`` -> ``Answer``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

__all__ = [
    "Alternative",
    "Answer",
    "Candidate",
    "Catalog",
    "Citation",
    "Column",
    "ColumnKind",
    "Dialect",
    "Finding",
    "ForeignKey",
    "Limits",
    "Meaning",
    "ModelInfo",
    "OutputColumn",
    "Question",
    "Rejection",
    "Result",
    "ResultColumn",
    "RetrievedContext",
    "Table",
    "TableSlice",
    "TermMatch",
    "ValidatedQuery",
    "ValueMatch",
    "VerifiedQuery",
]

Dialect = Literal["sqlite", "duckdb", "postgres", "mysql"]
ColumnKind = Literal["text", "number", "date", "bool", "other"]
Status = Literal["answered", "rejected", "abstained", "error"]
Meaning = Literal[
    "money", "percent", "ratio", "count", "number", "identifier", "year", "quarter", "month", "week", "day",
    "date", "time", "text", "bool", "other",
]  # fmt: skip
CitationKind = Literal["table", "column", "value", "term", "metric", "document", "query"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``type`` is the database's own words, ``kind`` what a model needs to know.

    ``values`` is a bounded sample of distinct values of a text-like column; ``minimum`` and
    ``maximum`` are the observed extremes of dates (ISO text) and numbers, or None.

    >>> Column("unit_price", "NUMERIC(10, 2)", "number").name
    'unit_price'
    """

    name: str
    type: str
    kind: ColumnKind
    comment: str = ""
    nullable: bool = True
    primary_key: bool = False
    values: tuple[str, ...] = ()
    minimum: str | float | int | None = None
    maximum: str | float | int | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """``columns`` of the owning table refer to ``target_columns`` of ``target``.

    ``target`` is a ``Table.key``. ``inferred`` marks a key that nobody declared.
    """

    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    inferred: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table or view. ``schema`` is None inside the connection's default schema.

    >>> Table("orders", (Column("id", "INTEGER", "number"),)).key
    'orders'
    >>> Table("orders", (), schema="sales").key
    'sales.orders'
    """

    name: str
    columns: tuple[Column, ...]
    schema: str | None = None
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str = ""
    is_view: bool = False
    row_estimate: int | None = None

    @property
    def key(self) -> str:
        """The name that is unique inside a catalog."""
        return self.name if self.schema is None else f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column | None:
        """The column of exactly this name, or None."""
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Our description of a database's schema, with a fingerprint of its structure.

    ``skipped`` says in words what could not be read (no permission, broken view). ``database`` is the engine's name of
    the current database, by which names may be qualified; empty where unknown.
    """

    dialect: Dialect
    tables: tuple[Table, ...]
    fingerprint: str = ""
    skipped: tuple[str, ...] = ()
    database: str = ""

    def table(self, key: str) -> Table | None:
        """The table of exactly this key, or None."""
        return next((t for t in self.tables if t.key == key), None)


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked. ``history`` holds the earlier (question, sql) turns, oldest first.

    ``today`` is the day that "last month" refers to; None: the clock's. ``in_full`` is a follow-up with what it
    refers to, so that it can be understood alone; "" for a question that already can.
    """

    text: str
    dialect: Dialect
    id: str = ""
    history: tuple[tuple[str, str], ...] = ()
    today: date | None = None
    in_full: str = ""


@dataclass(frozen=True, slots=True)
class TableSlice:
    """A retrieved table cut to the columns kept, with its score and the reason it came."""

    table: Table
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A cell that the question seems to mean: ``question[start:end]`` against ``value``."""

    table: str
    column: str
    value: str
    start: int
    end: int
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class TermMatch:
    """A glossary term, metric or document passage named in the question.

    ``hint`` is what the model reads behind the question; "" for nothing.
    """

    kind: Literal["term", "metric", "document"]
    name: str
    text: str
    source: str
    score: float
    hint: str = ""


@dataclass(frozen=True, slots=True)
class VerifiedQuery:
    """A question whose SQL somebody vouched for."""

    question: str
    sql: str
    source: str
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class RetrievedContext:
    """All that the model may see of the database, best table first.

    Foreign keys live on the tables; those that leave the context are cut by ``retrieval``.
    ``token_count`` is in word pieces of the shipped model; ``omitted`` names what the budget cut.
    """

    tables: tuple[TableSlice, ...]
    values: tuple[ValueMatch, ...] = ()
    terms: tuple[TermMatch, ...] = ()
    queries: tuple[VerifiedQuery, ...] = ()
    token_count: int = 0
    omitted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One piece of SQL that a model proposes. ``logprob`` is the sum over its tokens."""

    sql: str
    logprob: float
    model: str
    version: str
    finish_reason: Literal["stop", "length", "invalid", "unanswerable"] = "stop"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule objects to, for a person: ``span`` is (start, end) in the text, if known."""

    rule: str
    message: str
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ValidatedQuery:
    """SQL that passed every rule, byte for byte what runs. Built by ``validation`` alone.

    ``tables`` are table keys, ``columns`` are ``table_key.column``: what is really read.
    """

    sql: str
    dialect: Dialect
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a text may not run. ``sql`` is the text as given."""

    sql: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result: its name and the engine's type in words ('' when unknown)."""

    name: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """Rows that came back. ``truncated`` is True when more rows existed than the limit.

    ``notes`` say in words which limits were met: rows, bytes, cells, cost.
    """

    columns: tuple[ResultColumn, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False
    elapsed_s: float = 0.0
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may use: seconds, rows, bytes of result and of one cell, and MiB of memory."""

    timeout_s: float = 30.0
    max_rows: int = 1000
    max_bytes: int = 64 * 2**20
    max_cell_bytes: int = 2**20
    max_memory_mib: int = 384


@dataclass(frozen=True, slots=True)
class Citation:
    """One thing that an answer rests on, and where it came from."""

    kind: CitationKind
    name: str
    source: str
    score: float


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model wrote the SQL; ``adapter`` is None for the shipped weights alone."""

    name: str
    version: str
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """What a column of an answer is: its name in the result, a label in words, what its cells mean, where they come from.

    ``unit`` is a currency where one is known; ``sources`` are the columns (``table_key.column``) that it is made of.
    """

    name: str
    label: str
    meaning: Meaning
    role: Literal["measure", "dimension", "period", "identifier"]
    unit: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of two ways to read a question: what it would mean in words, its SQL and its rows."""

    label: str
    sql: str
    result: Result


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of the walk: a line of the history, a row of an evaluation, a row of training.

    ``warnings`` say why the figures may mean something else than was asked. ``reading`` is the query in plain
    words, ``assumptions`` what it settles that the question left open, ``columns`` what each column of the
    result is. ``alternatives`` are the readings that look equally right and give different results, this answer's own first;
    ``choice`` is the question that splits them.
    ``timings_ms`` has the keys retrieve, generate, validate, execute and total.
    """

    question: Question
    status: Status
    sql: str
    dialect: Dialect
    model: ModelInfo
    id: str
    result: Result | None = None
    confidence: float = 0.0
    citations: tuple[Citation, ...] = ()
    candidates: tuple[tuple[Candidate, Literal["allow", "reject"]], ...] = ()
    findings: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    message: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    context: RetrievedContext | None = None
    reading: str = ""
    assumptions: tuple[str, ...] = ()
    columns: tuple[OutputColumn, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    choice: str = ""
