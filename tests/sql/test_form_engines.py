"""Every construct of the form, run on four engines against rows counted by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from sqlgen.catalog import load_catalog
from sqlgen.execution import open_driver
from sqlgen.execution.driver import Driver
from sqlgen.sql.form import KEYWORDS, FormToken, form_to_sql
from sqlgen.types import Catalog, Limits, RetrievedContext, TableSlice, ValidatedQuery
from sqlgen.validation import validate

TODAY = date(2025, 3, 1)
SCHEMA = """
CREATE TABLE departments (id INTEGER PRIMARY KEY, name VARCHAR(20));
CREATE TABLE employees (id INTEGER PRIMARY KEY, name VARCHAR(20), manager_id INTEGER, dept_id INTEGER,
  salary DECIMAL(10, 2), born DATE, nick VARCHAR(20),
  FOREIGN KEY (manager_id) REFERENCES employees (id), FOREIGN KEY (dept_id) REFERENCES departments (id));
CREATE TABLE airports (id INTEGER PRIMARY KEY, city VARCHAR(20));
CREATE TABLE flights (id INTEGER PRIMARY KEY, origin_id INTEGER, target_id INTEGER, left_at TIMESTAMP, seats INTEGER,
  FOREIGN KEY (origin_id) REFERENCES airports (id), FOREIGN KEY (target_id) REFERENCES airports (id));
INSERT INTO departments VALUES (1, 'Sales'), (2, 'Research'), (3, 'Legal');
INSERT INTO employees VALUES (1, 'Ada', NULL, 2, 100, '1980-05-20', NULL);
INSERT INTO employees VALUES (2, 'Bob', 1, 2, 60, '1990-01-01', 'Bobby'), (3, 'Cyd', 1, 1, 80, '2000-03-01', NULL);
INSERT INTO employees VALUES (4, 'Dan', 2, 1, 40, '2000-03-02', 'D');
INSERT INTO airports VALUES (1, 'Oslo'), (2, 'Rome'), (3, 'Wien');
INSERT INTO flights VALUES (1, 1, 2, '2025-01-05 09:30:00', 10), (2, 2, 1, '2025-01-20 17:00:00', 20),
  (3, 1, 3, '2025-02-10 09:00:00', 30), (4, 1, 2, '2025-04-01 23:15:00', 40);
"""

# (form, with tables and columns by name and spans of QUESTION in quotes; rows)
QUESTION = "Rome and Oslo, Sales, big 50, low, January 2025, 2025, b, Ada"
CASES = [
    ("select employees.name other employees.name order employees.name asc",
     [("Bob", "Ada"), ("Cyd", "Ada"), ("Dan", "Bob")]),
    ("select other employees.name count * group other employees.name having count * > 1", [("Ada", 2)]),
    ("select count * from via flights.origin_id other flights.target_id where airports.city = 'Oslo' and other airports.city = 'Rome'",
     [(2,)]),
    ("select departments.name count employees.id from all departments group departments.name order departments.name asc",
     [("Legal", 0), ("Research", 2), ("Sales", 2)]),
    ("select employees.name where employees.salary > [ select avg employees.salary "
     "where employees.dept_id = outer employees.dept_id ] order employees.name asc",
     [("Ada",), ("Cyd",)]),
    ("select departments.name where not_exists [ select * where employees.dept_id = outer departments.id ]", [("Legal",)]),
    ("with [ select employees.dept_id count * group employees.dept_id ] select avg #2", [(2.0,)]),
    ("with [ select departments.name sum employees.salary group departments.name ] select #1 where #2 > [ select avg #2 ]",
     [("Research",)]),
    ("with [ select employees.dept_id sum employees.salary group employees.dept_id ] select departments.name #2 order #2 desc",
     [("Research", 160), ("Sales", 120)]),
    ("with [ select airports.city except select airports.city where airports.city = 'Oslo' ] select count *", [(2,)]),
    ("select count if ( employees.salary >= '50' ) * count * 100 * count if ( employees.salary >= '50' ) * / count *", [(3, 4, 75.0)]),
    ("select sum if ( employees.salary < '50' ) employees.salary avg if ( employees.dept_id = 1 ) employees.salary", [(40, 60)]),
    ("select employees.name case when employees.salary > '50' then 'big' else 'low' end order employees.id asc limit 2 offset 2",
     [("Cyd", "big"), ("Dan", "low")]),
    ("select departments.name employees.name order employees.salary desc limit 1 per departments.name",
     [("Research", "Ada"), ("Sales", "Cyd")]),
    ("select departments.name employees.name order employees.salary desc limit 1 offset 1 per departments.name",
     [("Research", "Bob"), ("Sales", "Dan")]),
    ("select airports.city count * from flights via flights.origin_id group airports.city order count * desc limit 1 per airports.city",
     [("Oslo", 3), ("Rome", 1)]),
    ("select employees.name rank over ( order employees.salary desc ) order employees.name asc",
     [("Ada", 1), ("Bob", 3), ("Cyd", 2), ("Dan", 4)]),
    ("select employees.name row_number over ( per employees.dept_id order employees.salary asc ) order employees.name asc",
     [("Ada", 2), ("Bob", 1), ("Cyd", 2), ("Dan", 1)]),
    ("select employees.name ntile 2 over ( order employees.salary asc ) order employees.name asc",
     [("Ada", 2), ("Bob", 1), ("Cyd", 2), ("Dan", 1)]),
    ("select by_month flights.left_at sum flights.seats sum sum flights.seats over ( order by_month flights.left_at asc ) "
     "group by_month flights.left_at order by_month flights.left_at asc",
     [("2025-01", 30, 30), ("2025-02", 30, 60), ("2025-04", 40, 100)]),
    ("select flights.id avg flights.seats over ( order flights.id asc rows 2 ) order flights.id asc",
     [(1, 10), (2, 15), (3, 25), (4, 35)]),
    ("select by_month flights.left_at lag sum flights.seats over ( order by_month flights.left_at asc ) "
     "growth sum flights.seats over ( order by_month flights.left_at asc ) "
     "group by_month flights.left_at order by_month flights.left_at asc",
     [("2025-01", None, None), ("2025-02", 30, 0), ("2025-04", 30, 100 / 3)]),
    ("select flights.id change flights.seats over ( order flights.id asc ) order flights.id asc limit 2", [(1, None), (2, 10)]),
    ("select departments.name share sum employees.salary group departments.name order departments.name asc",
     [("Research", 16000 / 280), ("Sales", 12000 / 280)]),
    ("select employees.name share employees.salary over ( per employees.dept_id ) order employees.name asc limit 2",
     [("Ada", 62.5), ("Bob", 37.5)]),
    ("select by_quarter flights.left_at count * group by_quarter flights.left_at order by_quarter flights.left_at asc",
     [("2025-Q1", 3), ("2025-Q2", 1)]),
    ("select quarter flights.left_at hour flights.left_at year flights.left_at day flights.left_at weekday flights.left_at "
     "where flights.id = 4",
     [(2, 23, 2025, 1, 2)]),
    ("select by_week flights.left_at by_day flights.left_at where flights.id = 1", [("2024-12-30", "2025-01-05")]),
    ("select count * from flights where flights.left_at = 'January 2025'", [(2,)]),
    ("select count * from flights where by_month flights.left_at = 'January 2025'", [(2,)]),
    ("select employees.name years_between employees.born today days_between employees.born today "
     "where employees.id >= 3 order employees.id asc",
     [("Cyd", 25, 9131), ("Dan", 24, 9130)]),
    ("select lower employees.name upper employees.name length employees.name left employees.name 2 where employees.id = 1",
     [("ada", "ADA", 3, "Ad")]),
    ("select coalesce employees.nick employees.name concat employees.name employees.nick order employees.id asc limit 2",
     [("Ada", None), ("Bobby", "Bob Bobby")]),
    ("select round { employees.salary / 7 } 1 abs { 0 - employees.salary } where employees.id = 2", [(8.6, 60)]),
    ("select 1 - { avg employees.salary / 100 }", [(0.3,)]),
    ("select airports.city union_all select airports.city order airports.city asc limit 3", [("Oslo",), ("Oslo",), ("Rome",)]),
    ("select count distinct employees.dept_id", [(2,)]),
    ("select employees.name where employees.nick is_null and employees.name not_contains 'b' order employees.name asc",
     [("Ada",), ("Cyd",)]),
    ("select departments.name departments.id from on departments.id employees.id employees where employees.name = 'Ada'",
     [("Sales", 1)]),
]  # fmt: skip


def tokens_of(text: str, context: RetrievedContext) -> list[FormToken]:
    tables = {s.table.name: i for i, s in enumerate(context.tables)}
    out: list[FormToken] = []
    for word in re.findall(r"'[^']*'|\S+", text):
        if word.startswith("'"):
            start = QUESTION.index(word[1:-1])
            out.append(("q", start, start + len(word) - 2))
        elif word in KEYWORDS:
            out.append(word)
        else:
            table, _, column = word.partition(".")
            i = tables[table]
            names = [c.name for c in context.tables[i].table.columns]
            out.append(("c", i, names.index(column)) if column else ("t", i))
    return out


@pytest.fixture(scope="module", params=["sqlite", "duckdb", "postgres", "mariadb"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    folder: Path = tmp_path_factory.mktemp("form")
    if request.param in ("sqlite", "duckdb"):
        path = folder / f"form.{request.param}"
        path.touch() if request.param == "sqlite" else None
        url = f"{request.param}:///{path}"
    else:
        url = request.getfixturevalue(f"new_{request.param}_database")()
    made = sa.create_engine(url)
    with made.begin() as connection:
        for statement in SCHEMA.split(";\n"):
            if statement.strip():
                connection.execute(sa.text(statement))
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def catalog(engine: sa.Engine) -> Catalog:
    return load_catalog(engine)


@pytest.fixture(scope="module")
def driver(engine: sa.Engine, catalog: Catalog) -> Iterator[Driver]:
    with open_driver(engine, catalog.dialect) as opened:
        yield opened


def plain(cell: object) -> object:
    return cell if isinstance(cell, str | None) else round(float(str(cell)), 6)


@pytest.mark.parametrize(("form", "rows"), CASES, ids=lambda x: str(x)[:60])
def test_means_the_same_everywhere(
    driver: Driver, catalog: Catalog, form: str, rows: list[tuple[object, ...]]
) -> None:
    context = RetrievedContext(tuple(TableSlice(t, 1.0, "") for t in catalog.tables))
    sql = form_to_sql(tokens_of(form, context), context, QUESTION, catalog.dialect, today=TODAY)
    checked = validate(sql, catalog, catalog.dialect)
    assert isinstance(checked, ValidatedQuery), (sql, checked)
    got = [tuple(plain(c) for c in row) for row in driver.execute(checked, Limits()).rows]
    assert sorted(got, key=str) == sorted((tuple(plain(c) for c in row) for row in rows), key=str), sql
