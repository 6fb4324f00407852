"""Whatever passes under a policy finds the same where all that is hidden differs, and nothing of it."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlgen.types import ValidatedQuery
from sqlgen.validation import validate
from tests.validation.policy_shop import (
    TABLES,
    VIEW_COLUMNS,
    Twins,
    duckdb_twins,
    protection,
    sqlite_twins,
)

COLUMNS = {**{name: [c for c, _ in columns] for name, columns in TABLES.items()}, **VIEW_COLUMNS}
OPEN = {
    "customers": ["id", "name", "city"],
    "orders": ["id", "customer_id", "total", "region", "note"],
    "staff": ["id", "name", "boss_id", "city"],
    "items": ["id", "order_id", "quantity"],
    "cities": ["id", "name", "people"],
    "v_customers": ["id", "name", "city"],
    "v_names": ["id", "name", "city"],
    "v_renamed": ["id", "who"],
    "v_orders": ["id", "customer_id", "total", "region"],
    "v_costs": ["id", "total"],
    "v_sums": ["customer_id", "total"],
    "v_over": ["customer_id", "total"],
    "v_mails": ["id", "mail"],
    "v_cities": ["id", "name"],
}


class Writer:
    """Writes queries of all shapes; now and then one names something that the policy closes."""

    def __init__(self, draw: random.Random, dialect: str) -> None:
        self.draw = draw
        self.dialect = dialect
        self.made = 0

    def chance(self, share: float) -> bool:
        return self.draw.random() < share

    def source(self, depth: int) -> tuple[str, str, list[str]]:
        """A piece of FROM, its alias and its columns."""
        self.made += 1
        alias = f"t{self.made}"
        if depth > 0 and self.chance(0.25):
            query, columns = self.query(depth - 1)
            return f"({query}) AS {alias}", alias, columns
        name = self.draw.choice(list(COLUMNS if self.chance(0.06) else OPEN))
        columns = COLUMNS[name] if name not in OPEN or self.chance(0.06) else OPEN[name]
        if self.chance(0.2):
            return name, name, columns
        return f"{name} AS {alias}", alias, columns

    def cell(self, columns: list[tuple[str, str]]) -> str:
        alias, column = self.draw.choice(columns)
        return column if self.chance(0.1) else f"{alias}.{column}"

    def value(self, columns: list[tuple[str, str]], depth: int) -> str:
        pick = self.draw.random()
        cell = self.cell(columns)
        if pick < 0.6:
            return cell
        if pick < 0.7:
            return (
                f"COALESCE({cell}, {self.cell(columns)})"
                if self.dialect == "sqlite"
                else f"COALESCE({cell}, NULL)"
            )
        if pick < 0.78:
            return f"CASE WHEN {self.condition(columns, 0)} THEN {cell} END"
        if pick < 0.86:
            return f"LENGTH(CAST({cell} AS VARCHAR))"
        if pick < 0.9:
            return f"CAST({cell} AS INTEGER)"
        if pick < 0.95 and depth > 0:
            return f"(SELECT COUNT(*) FROM {self.source(0)[0]})"
        return self.draw.choice(["1", "'EU'", "NULL"])

    def condition(self, columns: list[tuple[str, str]], depth: int) -> str:
        pick = self.draw.random()
        left = self.cell(columns)
        if pick < 0.3:
            return f"{left} IS NOT NULL"
        if pick < 0.5:
            return f"CAST({left} AS VARCHAR) LIKE '%{self.draw.choice('abe12')}%'"
        if pick < 0.6:
            return f"({self.condition(columns, 0)} OR {self.condition(columns, 0)})"
        if pick < 0.7:
            return f"NOT {self.condition(columns, 0)}"
        if pick < 0.8:
            return f"CAST({left} AS INTEGER) > {self.draw.choice([0, 3, 20])}"
        if pick < 0.9 and depth > 0:
            source, alias, own = self.source(0)
            return f"EXISTS (SELECT 1 FROM {source} WHERE {alias}.{self.draw.choice(own)} = {left})"
        return f"1 / (LENGTH(CAST({left} AS VARCHAR)) - 3) > 0"

    def query(self, depth: int) -> tuple[str, list[str]]:
        """A SELECT and the names of its outputs."""
        if depth > 0 and self.chance(0.12):
            first, names = self.core(depth - 1, 1)
            second, _ = self.core(depth - 1, 1)
            return (
                f"{first} {self.draw.choice(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'])} {second}",
                names,
            )
        return self.core(depth, None)

    def core(self, depth: int, width: int | None) -> tuple[str, list[str]]:
        source, alias, own = self.source(depth)
        columns, text = [(alias, c) for c in own], source
        for _ in range(self.draw.choice([0, 0, 1, 2])):
            other, label, more = self.source(depth - 1 if depth else 0)
            kind = self.draw.choice(["JOIN", "LEFT JOIN", "CROSS JOIN", "NATURAL JOIN", "JOIN"])
            text += f" {kind} {other}"
            if kind in ("JOIN", "LEFT JOIN"):
                shared = [c for c in own if c in more]
                if shared and self.chance(0.2):
                    text += f" USING ({self.draw.choice(shared)})"
                else:
                    text += f" ON {alias}.{self.draw.choice(own)} = {label}.{self.draw.choice(more)}"
            columns += [(label, c) for c in more]
        if width is None and self.chance(0.12):
            star = "*" if self.chance(0.5) else f"{alias}.*"
            outputs, names = [star], own
        else:
            count = width or self.draw.choice([1, 2, 3])
            names = [f"c{i}" for i in range(count)]
            outputs = [f"{self.value(columns, depth)} AS {name}" for name in names]
        where = f" WHERE {self.condition(columns, depth)}" if self.chance(0.5) else ""
        tail = ""
        if self.chance(0.15) and outputs[0] not in ("*", f"{alias}.*"):
            key = self.cell(columns)
            outputs = [f"{key} AS c0", f"COUNT(*) AS c{len(names)}"][: width or 2]
            names = ["c0", f"c{len(names)}"][: width or 2]
            tail = f" GROUP BY {key}"
            tail += f" HAVING COUNT({self.cell(columns)}) > 0" if self.chance(0.4) else ""
        elif width is None and self.chance(0.2):
            tail = f" ORDER BY {self.cell(columns)}"
        text = f"SELECT {', '.join(outputs)} FROM {text}{where}{tail}"
        if width is None and self.chance(0.15) and "(SELECT" not in source:
            self.made += 1
            return f"WITH w{self.made} AS ({text}) SELECT * FROM w{self.made}", names
        return text, names


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Twins]:
    yield from sqlite_twins()


@pytest.fixture(scope="module")
def duckdb() -> Iterator[Twins]:
    pytest.importorskip("duckdb")
    yield from duckdb_twins()


RULES = {
    (dialect, strict): protection(dialect, strict=strict)
    for dialect in ("sqlite", "duckdb")
    for strict in (True, False)
}


def examine(twins: Twins, draw: random.Random) -> tuple[bool, bool]:
    """Whether a random query passed, and whether it ran without an error."""
    sql, _ = Writer(draw, twins.dialect).query(2)
    rules = RULES[twins.dialect, draw.random() < 0.5]  # type: ignore[index]
    verdict = validate(sql, rules.visible, twins.dialect, protection=rules)
    if not isinstance(verdict, ValidatedQuery):
        return False, False
    found = twins.found(verdict.sql)
    return True, not (found and found[0].startswith("error"))


COMMON = settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@COMMON
@given(seed=st.integers(0, 2**48))
def test_no_accepted_query_depends_on_what_is_hidden_in_sqlite(sqlite: Twins, seed: int) -> None:
    examine(sqlite, random.Random(seed))


@COMMON
@given(seed=st.integers(0, 2**48))
def test_no_accepted_query_depends_on_what_is_hidden_in_duckdb(duckdb: Twins, seed: int) -> None:
    examine(duckdb, random.Random(seed))


def test_the_writer_writes_queries_that_pass_and_run(sqlite: Twins, duckdb: Twins) -> None:
    for twins in (sqlite, duckdb):
        seen = [examine(twins, random.Random(seed)) for seed in range(150)]
        assert sum(passed for passed, _ in seen) >= 40
        assert sum(ran for _, ran in seen) >= 25
        assert sum(not passed for passed, _ in seen) >= 10
