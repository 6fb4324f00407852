"""Errors: one tree, one root. Expected outcomes are values and never raise.

::

    SqlgenError                 exit code 1
    ├── UsageError              2   the caller asked for something that cannot be
    │   ├── ConfigError             sqlgen.toml, environment or flags
    │   │   └── AuditFailed             the audit log cannot be written, so nothing is answered
    │   └── SchemaFileError         DDL text that does not parse (line and column named)
    ├── DatabaseError           5   the database, its driver or the way to it
    │   ├── ConnectionFailed        not reachable, no such file, wrong password, unknown scheme
    │   ├── EmptyDatabase           nothing to ask about
    │   └── QueryFailed             the engine refused or broke off a validated query
    ├── LimitReached            6   time, rows, bytes, memory or cost
    ├── ModelUnavailable        7   weights missing, damaged or of another version
    ├── IndexUnusable           1   the index could not be read or rebuilt
    └── StoreUnusable           1   knowledge or history: damaged, locked, or not to be written

Every message is one line for a person: what is wrong, and what to do. Secrets never enter one.
"""

from __future__ import annotations

__all__ = [
    "AuditFailed",
    "ConfigError",
    "ConnectionFailed",
    "DatabaseError",
    "EmptyDatabase",
    "IndexUnusable",
    "LimitReached",
    "ModelUnavailable",
    "QueryFailed",
    "SchemaFileError",
    "SqlgenError",
    "StoreUnusable",
    "UsageError",
]


class SqlgenError(Exception):
    """The root. ``exit_code`` is what the command line ends with.

    >>> UsageError("unknown format 'xml'; use table, json, csv, markdown or sql").exit_code
    2
    """

    exit_code: int = 1


class UsageError(SqlgenError):
    """The caller asked for something that cannot be."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown or has a value that makes no sense."""


class AuditFailed(ConfigError):
    """The audit log that the settings ask for cannot be written, so nothing is answered."""


class SchemaFileError(UsageError):
    """DDL text that does not parse; ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class DatabaseError(SqlgenError):
    """The database, its driver or the way to it."""

    exit_code = 5


class ConnectionFailed(DatabaseError):
    """The database cannot be reached with this URL."""


class EmptyDatabase(DatabaseError):
    """There is no table to ask about."""


class QueryFailed(DatabaseError):
    """The engine refused or broke off a validated query."""


class LimitReached(SqlgenError):
    """``limit`` is one of time, rows, bytes, memory, cost."""

    exit_code = 6

    def __init__(self, message: str, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


class ModelUnavailable(SqlgenError):
    """The weights are missing, damaged or of another version."""

    exit_code = 7


class IndexUnusable(SqlgenError):
    """The retrieval index could not be read nor rebuilt."""


class StoreUnusable(SqlgenError):
    """The file of the knowledge or of the history is damaged, locked, or not to be written."""
