"""Statements that nobody wrote, put to the guard; what it accepts runs where it could do harm, and must have done none.

Two sources, both from a seed: a grammar over the fixture's schema with its functions, and mutations of the suite
(words left out, doubled, exchanged, inserted; statements spliced and put into one another). Run all of it with

    python -m tests.validation.fuzz --count 200000 [--postgres URL] [--mysql URL]

from the checkout. Accepted statements run on databases that are open for writing, so the guard alone is what holds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sqlgen.sql.functions import load_functions
from sqlgen.types import Dialect, ValidatedQuery
from sqlgen.validation import validate
from tests.validation.conftest import CATALOGS, DIALECTS, SCHEMA, cases, ddl, line_cases, quote

SLOWEST_S = 1.0
"""Longest that the guard may take for one statement."""
# What a mutation puts between two words: the beginnings of most attacks.
NASTY = (
    "; /* */ -- # /*! /*!50000 /*M! */ /*+ INTO OUTFILE '/tmp/x' DUMPFILE FOR UPDATE SHARE LOCK IN MODE @x := @@global ? :x "
    "$1 $$ U& E' ' \" ` [ ] { } ( ) , . * = || :: -> DELETE FROM UPDATE SET INSERT DROP TABLE customers CREATE TEMP VIEW "
    "TRUNCATE ALTER GRANT CALL DO COPY TO PROGRAM ATTACH PRAGMA VACUUM EXPLAIN ANALYZE ANALYSE RETURNING WITH RECURSIVE UNION ALL "
    "EXCEPT LATERAL ONLY VALUES PIVOT ON USING NATURAL JOIN CROSS NOT NULL IS CASE WHEN END OVER PARTITION BY ORDER LIMIT "
    "OFFSET 1000000000 0x1f 1e9 -1 pg_sleep(9) sleep(9) load_extension('x') read_text('/etc/passwd') lo_import('/x') nextval('s') "
    "set_config('a','b',false) pg_read_file('x') getenv('HOME') load_file('/x') pg_catalog. main. mysql. sqlite_master pg_shadow "
    "information_schema.tables duckdb_settings() query('SELECT 1') generate_series(1,99999999999) repeat('x',999999999) "
    "zeroblob(999999999) seq_1_to_10 rowid ctid"
).split()
NOT_READING = (
    "DELETE FROM {t}", "UPDATE {t} SET {c} = {e}", "INSERT INTO {t} SELECT * FROM {t}", "DROP TABLE {t}", "TRUNCATE {t}",
    "CREATE TABLE x AS {q}", "CREATE VIEW v AS {q}", "REPLACE INTO {t} SELECT * FROM {t}", "{q} INTO OUTFILE '/tmp/x'",
    "WITH x AS (DELETE FROM {t} RETURNING *) {q}", "EXPLAIN ANALYZE {q}", "{q} FOR UPDATE", "SET a = ({q})", "{q}; {q}",
    "COPY ({q}) TO '/tmp/x'", "PREPARE p AS {q}", "DECLARE c CURSOR FOR {q}", "CALL f({e})", "VACUUM INTO '/tmp/x'",
)  # fmt: skip


class Grammar:
    """Random statements of one dialect; most are queries that mean something to its engine."""

    def __init__(self, dialect: Dialect, rng: random.Random) -> None:
        self.dialect = dialect
        self.rng = rng
        known = load_functions(dialect)
        self.scalars = sorted(known.calls - known.aggregates - known.windows)
        self.aggregates = sorted(known.aggregates)
        self.windows = sorted(known.windows)
        self.tables = {n: [c for c, _ in cs] for n, cs in SCHEMA.items() if n != "Weird Table"}

    def statement(self) -> str:
        query = self.query(self.rng.randint(0, 2))
        if self.rng.random() < 0.12:
            table = self.rng.choice(list(self.tables))
            form = self.rng.choice(NOT_READING)
            return form.format(t=table, c=self.tables[table][0], e=self.literal(), q=query)
        return query

    def query(self, depth: int) -> str:
        rng = self.rng
        roll = rng.random()
        if depth and roll < 0.15:
            return f"{self.query(depth - 1)} {rng.choice(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'])} {self.query(0)}"
        if depth and roll < 0.3:
            return f"WITH c AS ({self.query(depth - 1)}) SELECT COUNT(*) FROM c"
        if roll < 0.34:
            return (
                f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + {rng.randint(0, 2)} FROM r "
                f"{rng.choice(['', 'WHERE n < 9', f'WHERE n < {10 ** rng.randint(1, 12)}', 'LIMIT 5'])}) "
                f"SELECT {self.call('n', 1)} FROM r"
            )
        sources = rng.sample(list(self.tables), rng.choice([1, 1, 1, 2, 2, 3]))
        columns = [f"{chr(97 + i)}.{c}" for i, t in enumerate(sources) for c in self.tables[t]]
        origin = f"{sources[0]} a"
        for i, table in enumerate(sources[1:], 1):
            label = chr(97 + i)
            joined = f"({self.plain(table)})" if depth and rng.random() < 0.2 else table
            kind = rng.choice(["JOIN", "LEFT JOIN", "JOIN", "CROSS JOIN", ","])
            origin += f" {kind} {joined} {label}" if kind != "," else f", {joined} {label}"
            if "CROSS" not in kind and kind != ",":
                origin += f" ON a.{self.tables[sources[0]][0]} = {label}.{self.tables[table][0]}"
        outputs = ", ".join(
            f"{self.expression(columns, depth)} AS x{i}"
            if rng.random() < 0.5
            else self.expression(columns, depth)
            for i in range(rng.randint(1, 3))
        )
        parts = [f"SELECT {rng.choice(['', '', 'DISTINCT '])}{outputs} FROM {origin}"]
        if rng.random() < 0.5:
            parts.append(f"WHERE {self.condition(columns, depth)}")
        if rng.random() < 0.2:
            parts[0] = f"SELECT {rng.choice(columns)} AS g, {self.aggregate(columns)} AS n FROM {origin}"
            parts.append(f"GROUP BY {rng.choice(columns)}")
        if rng.random() < 0.3:
            parts.append(f"ORDER BY {self.expression(columns, 0)} {rng.choice(['', 'DESC', 'NULLS LAST'])}")
        if rng.random() < 0.4:
            parts.append(f"LIMIT {rng.randint(0, 20)}")
        return " ".join(parts)

    def plain(self, table: str) -> str:
        return f"SELECT * FROM {table}"

    def literal(self) -> str:
        return self.rng.choice(
            [
                "1",
                "0",
                "-3",
                "2.5",
                "1e6",
                "'x'",
                "'DELETE FROM t'",
                "'a''b'",
                "NULL",
                "'2024-01-01'",
                "99999999999",
                "''",
                "'%a%'",
            ]
        )

    def call(self, argument: str, depth: int) -> str:
        name = self.rng.choice(self.scalars)
        more = [self.literal() for _ in range(self.rng.choice([0, 0, 1, 1, 2]))]
        return f"{name}({', '.join([argument, *more])})"

    def aggregate(self, columns: Sequence[str]) -> str:
        return f"{self.rng.choice([*self.aggregates, 'COUNT', 'SUM', 'MAX'])}({self.rng.choice(columns)})"

    def expression(self, columns: Sequence[str], depth: int) -> str:
        rng, column = self.rng, self.rng.choice(columns)
        roll = rng.random()
        if roll < 0.4:
            return column
        if roll < 0.5:
            return self.literal()
        if roll < 0.68:
            return self.call(self.expression(columns, 0) if depth else column, depth)
        if roll < 0.76:
            return (
                f"({column} {rng.choice(['+', '-', '*', '/', '||', '%', '=', '<', '<>'])} {self.literal()})"
            )
        if roll < 0.84:
            return f"CASE WHEN {self.condition(columns, 0)} THEN {self.literal()} ELSE {column} END"
        if roll < 0.9:
            return f"CAST({column} AS {rng.choice(['INTEGER', 'VARCHAR(20)', 'CHAR(9)', 'DATE', 'DOUBLE', 'DECIMAL(9,2)', 'SIGNED'])})"
        if roll < 0.95:
            name = rng.choice([*self.windows, "SUM", "COUNT"])
            argument = column if name in ("SUM", "COUNT", "lag", "lead", "first_value", "last_value") else ""
            return f"{name}({argument}) OVER (PARTITION BY {rng.choice(columns)} ORDER BY {column})"
        return (
            f"(SELECT {self.aggregate(['z.id'])} FROM customers z WHERE z.id = {column})" if depth else column
        )

    def condition(self, columns: Sequence[str], depth: int) -> str:
        rng, column = self.rng, self.rng.choice(columns)
        made = rng.choice(
            [
                f"{column} {rng.choice(['=', '<', '>', '<>', '>='])} {self.literal()}",
                f"{column} IN ({self.literal()}, {self.literal()})",
                f"{column} LIKE {self.literal()}",
                f"{column} IS NOT NULL",
                f"{column} BETWEEN {self.literal()} AND {self.literal()}",
                f"EXISTS (SELECT 1 FROM orders o WHERE o.id = {column})",
            ]
        )
        return (
            f"{made} {rng.choice(['AND', 'OR', 'AND NOT'])} {self.condition(columns, depth - 1)}"
            if depth
            else made
        )


_WORD = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\w+|\s+|.", re.S)


def mutate(sql: str, other: str, rng: random.Random) -> str:
    """One or a few changes to ``sql``, some of them taken from ``other``."""
    roll = rng.random()
    if roll < 0.06:
        return f"SELECT * FROM ({sql}) t"
    if roll < 0.1:
        return f"WITH t AS ({sql}) {other}"
    if roll < 0.14:
        return f"{sql} {rng.choice(['UNION ALL', 'UNION', 'EXCEPT'])} {other}"
    if roll < 0.18:
        return f"SELECT ({sql}), ({other})"
    words, others = _WORD.findall(sql), _WORD.findall(other)
    if roll < 0.26:
        return "".join(words[: rng.randint(0, len(words))] + others[rng.randint(0, len(others)) :])
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        if not words:
            break
        at = rng.randrange(len(words))
        change = rng.randrange(7)
        if change == 0:
            del words[at]
        elif change == 1:
            words.insert(at, words[at])
        elif change == 2:
            to = rng.randrange(len(words))
            words[at], words[to] = words[to], words[at]
        elif change == 3 and others:
            words[at] = rng.choice(others)
        elif change == 4:
            words.insert(at, f" {rng.choice(NASTY)} ")
        elif change == 5:
            words[at] = words[at].swapcase()
        else:
            letters = list(words[at])
            letters[rng.randrange(len(letters))] = chr(
                rng.choice([rng.randint(1, 127), 0xA0, 0x2019, 0x202E, 0xFF07])
            )
            words[at] = "".join(letters)
    return "".join(words)


def suite(dialect: Dialect) -> list[str]:
    """Every statement of the conformance suite of one dialect, to be refused or not."""
    found = [
        sql
        for kind in ("accept", "refuse")
        for n in ("common", dialect)
        for _, sql in cases(f"{n}_{kind}.sql")
    ]
    for name in ("accept_lines.txt", "refuse_lines.txt", "refuse_resources.txt"):
        found += [sql for _, sql in line_cases(name, dialect)]
    return [sql for sql in found if sql]


def statements(dialect: Dialect, count: int, seed: int) -> Iterator[str]:
    """``count`` statements: one part grammar, two parts mutations."""
    rng = random.Random(f"{seed} {dialect}")
    grammar, known = Grammar(dialect, rng), suite(dialect)
    for number in range(count):
        yield grammar.statement() if number % 3 == 0 else mutate(rng.choice(known), rng.choice(known), rng)


# --- engines -----------------------------------------------------------------------------------------------


class Target:
    """A filled database that is open for writing; ``state`` is what no statement may change."""

    def run(self, sql: str) -> str:
        """Run to the end or to the time limit; the outcome in a word."""
        raise NotImplementedError

    def state(self) -> str:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


RUN_S = 0.3


class SqliteTarget(Target):
    def __init__(self, folder: Path) -> None:
        self.path = folder / "fuzz.sqlite"
        with sqlite3.connect(self.path) as connection:
            for statement in ddl("sqlite"):
                connection.execute(statement)
        connection.close()
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        self.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 20_000_000)
        self.connection.set_progress_handler(lambda: int(time.monotonic() > self.deadline), 1000)
        self.deadline = 0.0

    def run(self, sql: str) -> str:
        self.deadline = time.monotonic() + RUN_S
        try:
            self.connection.execute(sql).fetchmany(1000)
        except (sqlite3.Error, OverflowError) as error:
            return "stopped" if "interrupted" in str(error) else "error"
        return "rows"

    def state(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def close(self) -> None:
        self.connection.close()


class DuckdbTarget(Target):
    def __init__(self, folder: Path) -> None:
        import duckdb

        self.path = folder / "fuzz.duckdb"
        self.error: type[Exception] = duckdb.Error
        with duckdb.connect(str(self.path)) as connection:
            for statement in ddl("duckdb"):
                connection.execute(statement)
        self.connection: Any = duckdb.connect(
            str(self.path), config={"memory_limit": "300MB", "threads": "1"}
        )

    def run(self, sql: str) -> str:
        alarm = threading.Timer(RUN_S, self.connection.interrupt)
        alarm.start()
        try:
            self.connection.execute(sql).fetchmany(1000)
        except self.error as error:
            return "stopped" if "nterrupt" in str(error) else "error"
        except (RuntimeError, ValueError, OverflowError):
            return "error"
        finally:
            alarm.cancel()
            alarm.join()
        return "rows"

    def state(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def close(self) -> None:
        self.connection.close()


class ServerTarget(Target):
    """A database of its own on a server; the state is every row of every table and what tables there are."""

    def __init__(self, url: str, dialect: Dialect) -> None:
        self.dialect = dialect
        self.engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with self.engine.connect() as connection:
            for statement in ddl(dialect):
                connection.execution_options(no_parameters=True).exec_driver_sql(statement)
        self.connection = self._connect()

    def _connect(self) -> sa.Connection:
        connection = self.engine.connect().execution_options(no_parameters=True)
        limit = f"{RUN_S * 1000:.0f}"
        connection.exec_driver_sql(
            f"SET statement_timeout = {limit}"
            if self.dialect == "postgres"
            else f"SET max_statement_time = {RUN_S}"
        )
        return connection

    def run(self, sql: str) -> str:
        try:
            self.connection.exec_driver_sql(sql).fetchmany(1000)
        except (sa.exc.SQLAlchemyError, UnicodeError, ValueError, OverflowError) as error:
            if getattr(error, "connection_invalidated", False) or self.connection.closed:
                self.connection = self._connect()
            text = str(error)
            return "stopped" if "timeout" in text or "max_statement_time" in text else "error"
        return "rows"

    def state(self) -> str:
        if self.dialect == "postgres":
            listing = (
                "SELECT table_schema || '.' || table_name FROM information_schema.tables "
                "WHERE table_schema IN ('public', 'sales') ORDER BY 1"
            )
        else:
            listing = (
                "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1"
            )
        with self.engine.connect() as connection:
            names = [row[0] for row in connection.exec_driver_sql(listing)]
            held = []
            for name in names:
                whole = ".".join(quote(part, self.dialect) for part in name.split("."))
                rows = connection.execution_options(no_parameters=True).exec_driver_sql(
                    f"SELECT * FROM {whole}"
                )
                held.append((name, sorted(map(repr, rows))))
        return hashlib.sha256(repr(held).encode()).hexdigest()

    def close(self) -> None:
        self.connection.close()
        self.engine.dispose()


# --- the run -----------------------------------------------------------------------------------------------


@dataclass
class Findings:
    """What a run found: ``faults`` is empty where everything holds."""

    statements: int = 0
    accepted: int = 0
    executed: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0
    guard_s: float = 0.0
    faults: list[str] = field(default_factory=list)


def fuzz(dialect: Dialect, count: int, seed: int, target: Target | None, every: int = 2_000) -> Findings:
    """Put ``count`` statements to the guard; run what passes on ``target``, whose state is compared all ``every`` runs."""
    found, ran = Findings(), set[str]()
    before = target.state() if target is not None else ""
    for sql in statements(dialect, count, seed):
        found.statements += 1
        started = time.thread_time()
        try:
            verdict = validate(sql, CATALOGS[dialect], dialect, max_rows=1000)
        except (RuntimeError, LookupError, ArithmeticError, TypeError, ValueError, AttributeError) as error:
            found.faults.append(f"{type(error).__name__} for {sql!r}")
            continue
        took = time.thread_time() - started
        found.guard_s += took
        found.slowest_ms = max(found.slowest_ms, took * 1000)
        if took > SLOWEST_S:
            found.faults.append(f"{took:.2f} s for {sql!r}")
        if not isinstance(verdict, ValidatedQuery):
            rule = verdict.findings[0].rule
            found.rules[rule] += 1
            if rule == "not_followed":
                found.faults.append(f"{rule} for {sql!r}")
            continue
        found.accepted += 1
        if target is None or verdict.sql in ran:
            continue
        ran.add(verdict.sql)
        found.executed += 1
        found.outcomes[target.run(verdict.sql)] += 1
        if found.executed % every == 0 and target.state() != before:
            found.faults.append(f"changed by one of the {every} up to {verdict.sql!r}")
            return found
    if target is not None and target.state() != before:
        found.faults.append("the database has changed")
    return found


def main() -> None:
    """The command: figures as JSON, exit code 1 if anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=200_000, help="statements over all dialects")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dialects", nargs="+", default=list(DIALECTS), choices=DIALECTS)
    parser.add_argument("--postgres", help="URL of an empty database")
    parser.add_argument("--mysql", help="URL of an empty database called guard")
    chosen = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        makers: dict[Dialect, Callable[[], Target | None]] = {
            "sqlite": lambda: SqliteTarget(Path(folder)),
            "duckdb": lambda: DuckdbTarget(Path(folder)),
            "postgres": lambda: ServerTarget(chosen.postgres, "postgres") if chosen.postgres else None,
            "mysql": lambda: ServerTarget(chosen.mysql, "mysql") if chosen.mysql else None,
        }
        for dialect in chosen.dialects:
            target = makers[dialect]()
            started = time.monotonic()
            found = fuzz(dialect, chosen.count // len(chosen.dialects), chosen.seed, target)
            if target is not None:
                target.close()
            failed |= bool(found.faults)
            figures = {
                "dialect": dialect, "statements": found.statements, "accepted": found.accepted, "executed": found.executed,
                "outcomes": dict(found.outcomes), "guard_s": round(found.guard_s, 1),
                "per_s": round(found.statements / max(found.guard_s, 1e-9)), "wall_s": round(time.monotonic() - started, 1),
                "slowest_ms": round(found.slowest_ms, 1), "rules": dict(found.rules.most_common()),
                "faults": found.faults[:20],
            }  # fmt: skip
            print(json.dumps(figures), flush=True)
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
