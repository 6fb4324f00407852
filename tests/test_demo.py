from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sqlgen import demo
from sqlgen.demo import GoldenQuestion, build_retail, demo_path, ensure_demo, generate_rows
from sqlgen.errors import ConfigError, ConnectionFailed, DatabaseError, UsageError
from sqlgen.execution.compare import results_equal
from sqlgen.types import Dialect, Result, ResultColumn

ROWS_SHA256 = "d7b616ee51799b35c576d8ecfc0ba10800a235661493979d109806795bb5dc78"
TABLES = [
    "categories",
    "suppliers",
    "products",
    "customers",
    "addresses",
    "employees",
    "campaigns",
    "orders",
    "order_lines",
    "payments",
    "shipments",
    "returns",
]
GOLDENS = demo.retail_goldens()


def run(cursor: Any, sql: str) -> Result:
    cursor.execute(sql)
    columns = tuple(ResultColumn(entry[0]) for entry in cursor.description)
    return Result(columns, tuple(map(tuple, cursor.fetchall())))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("shop") / "retail.sqlite"
    build_retail(path)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        yield connection


@pytest.fixture(scope="module")
def gold(shop: sqlite3.Connection) -> dict[str, Result]:
    return {golden.id: run(shop.cursor(), golden.sql) for golden in GOLDENS}


def one(shop: sqlite3.Connection, sql: str) -> Any:
    return shop.execute(sql).fetchone()[0]


# --- rows --------------------------------------------------------------------------------------------------


def test_rows_are_the_same_everywhere() -> None:
    rows = generate_rows(scale=0.05)
    assert list(rows) == TABLES
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest() == ROWS_SHA256
    assert rows == generate_rows(scale=0.05)
    assert rows != generate_rows(scale=0.05, seed=8)


def test_size_and_time(tmp_path: Path) -> None:
    # Processor time: other work on the machine must not fail a test.
    started = time.process_time()
    build_retail(tmp_path / "retail.sqlite")
    assert time.process_time() - started < 10
    with closing(sqlite3.connect(tmp_path / "retail.sqlite")) as connection:
        counts = {table: one(connection, f"SELECT COUNT(*) FROM {table}") for table in TABLES}
    assert 95_000 <= counts["order_lines"] <= 105_000
    assert counts["orders"] == 40_500
    assert counts["customers"] == 6_000
    assert min(counts.values()) >= 24


@pytest.mark.parametrize("arguments", [{"scale": 0}, {"scale": float("nan")}, {"scale": 1e6}, {"seed": -1}])
def test_senseless_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"scale|seed"):
        generate_rows(**arguments)


def test_keys_hold(shop: sqlite3.Connection) -> None:
    assert shop.execute("PRAGMA foreign_key_check").fetchall() == []
    assert one(shop, "PRAGMA integrity_check") == "ok"
    declared = {table: len(shop.execute(f"PRAGMA foreign_key_list({table})").fetchall()) for table in TABLES}
    assert sum(declared.values()) == 13


@pytest.mark.parametrize(
    "violations",
    [
        "SELECT COUNT(*) FROM orders WHERE total_amount <> (SELECT ROUND(SUM(line_total), 2)"
        " FROM order_lines l WHERE l.order_id = orders.order_id)",
        "SELECT COUNT(*) FROM order_lines WHERE ABS(line_total - quantity * unit_price"
        " * (100 - discount_percent) / 100.0) > 0.006",
        "SELECT COUNT(*) FROM orders JOIN customers USING (customer_id) WHERE order_date < signup_date",
        "SELECT COUNT(*) FROM orders JOIN employees USING (employee_id) WHERE order_date <= hire_date",
        "SELECT COUNT(*) FROM orders JOIN campaigns USING (campaign_id)"
        " WHERE order_date NOT BETWEEN start_date AND end_date",
        "SELECT COUNT(*) FROM orders WHERE (channel IN ('store', 'phone')) <> (employee_id IS NOT NULL)",
        "SELECT COUNT(*) FROM orders WHERE (channel = 'store') <> (shipping_address_id IS NULL)",
        "SELECT COUNT(*) FROM orders JOIN addresses ON address_id = shipping_address_id"
        " WHERE orders.customer_id <> addresses.customer_id",
        "SELECT COUNT(*) FROM addresses JOIN customers USING (customer_id)"
        " WHERE addresses.country <> customers.country",
        "SELECT COUNT(*) FROM order_lines JOIN orders USING (order_id) JOIN products USING (product_id)"
        " WHERE launch_date > order_date OR products.status = 'upcoming'",
        "SELECT COUNT(*) FROM returns JOIN order_lines USING (order_line_id) JOIN orders USING (order_id)"
        " WHERE return_date <= order_date OR returns.quantity > order_lines.quantity"
        " OR refund_amount > line_total OR status <> 'delivered'",
        "SELECT COUNT(*) FROM shipments JOIN orders USING (order_id) WHERE shipped_date < order_date"
        " OR delivered_date < shipped_date OR status NOT IN ('shipped', 'delivered') OR channel = 'store'",
        "SELECT COUNT(*) FROM shipments JOIN orders USING (order_id)"
        " WHERE (delivered_date IS NULL) <> (status = 'shipped')",
        "SELECT COUNT(*) FROM payments JOIN orders USING (order_id) WHERE payment_date < order_date"
        " OR (payment_date IS NULL) <> (payments.status = 'pending')",
        "SELECT COUNT(*) FROM products WHERE cost >= price OR price <= 0 OR stock_quantity < 0",
        "SELECT COUNT(*) FROM employees e JOIN employees m ON e.manager_id = m.employee_id"
        " WHERE e.salary > m.salary",
    ],
)
def test_the_business_makes_sense(shop: sqlite3.Connection, violations: str) -> None:
    assert one(shop, violations) == 0


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("orders", "order_date"),
        ("payments", "payment_date"),
        ("shipments", "shipped_date"),
        ("shipments", "delivered_date"),
        ("returns", "return_date"),
        ("customers", "signup_date"),
    ],
)
def test_nothing_happens_after_the_last_day(shop: sqlite3.Connection, table: str, column: str) -> None:
    assert one(shop, f"SELECT MAX({column}) FROM {table}") <= demo.END_DATE.isoformat()


def test_orders_cover_every_day_with_season_weekend_and_growth(shop: sqlite3.Connection) -> None:
    assert one(shop, "SELECT COUNT(DISTINCT order_date) FROM orders") == 1096
    by_year = dict(shop.execute("SELECT strftime('%Y', order_date), COUNT(*) FROM orders GROUP BY 1"))
    assert by_year["2023"] * 1.1 < by_year["2024"] < by_year["2025"] / 1.1
    by_month = dict(shop.execute("SELECT strftime('%m', order_date), COUNT(*) FROM orders GROUP BY 1"))
    assert max(by_month, key=by_month.__getitem__) == "12"
    assert by_month["12"] > 1.8 * by_month["02"]
    by_weekday = dict(shop.execute("SELECT strftime('%w', order_date), COUNT(*) FROM orders GROUP BY 1"))
    assert by_weekday["6"] > 1.3 * by_weekday["2"]
    garden = dict(
        shop.execute(
            "SELECT strftime('%m', order_date), COUNT(*) FROM order_lines JOIN orders USING (order_id)"
            " JOIN products USING (product_id) JOIN categories USING (category_id)"
            " WHERE categories.name = 'Garden' GROUP BY 1"
        )
    )
    assert garden["06"] > 3 * garden["12"]


def test_some_values_are_missing_and_some_text_is_careless(shop: sqlite3.Connection) -> None:
    for table, column in (
        ("customers", "email"),
        ("customers", "birth_date"),
        ("products", "color"),
        ("addresses", "postal_code"),
        ("suppliers", "rating"),
    ):
        share = one(shop, f"SELECT AVG({column} IS NULL) FROM {table}")
        assert 0.01 < share < 0.6, column
    for column in ("orders.comment", "returns.comment", "customers.notes", "addresses.street"):
        table, name = column.split(".")
        assert one(shop, f"SELECT SUM({name} <> TRIM({name})) FROM {table}") > 20
        assert one(shop, f"SELECT SUM({name} = UPPER({name})) FROM {table}") > 20
        assert one(shop, f"SELECT SUM(TRIM({name}) = '') FROM {table}") == 0


@pytest.mark.parametrize(
    "column",
    [
        "categories.name",
        "categories.department",
        "products.name",
        "products.brand",
        "products.color",
        "products.status",
        "customers.country",
        "customers.segment",
        "addresses.city",
        "suppliers.name",
        "campaigns.name",
        "campaigns.medium",
        "orders.status",
        "orders.channel",
        "payments.method",
        "payments.status",
        "returns.reason",
        "shipments.carrier",
        "employees.job_title",
    ],
)
def test_what_answers_group_by_is_clean(shop: sqlite3.Connection, column: str) -> None:
    table, name = column.split(".")
    values = [v for (v,) in shop.execute(f"SELECT DISTINCT {name} FROM {table} WHERE {name} IS NOT NULL")]
    assert values == [" ".join(value.split()) for value in values]
    assert len({value.lower() for value in values}) == len(values)


# --- golden questions --------------------------------------------------------------------------------------


def test_goldens_are_many_and_varied() -> None:
    assert len(GOLDENS) >= 80
    assert len({golden.id for golden in GOLDENS}) == len(GOLDENS)
    assert len({golden.question.lower() for golden in GOLDENS}) == len(GOLDENS)
    difficulty = Counter(golden.difficulty for golden in GOLDENS)
    assert difficulty["easy"] >= 30
    assert difficulty["medium"] >= 30
    assert difficulty["hard"] >= 20
    assert set(difficulty) == {"easy", "medium", "hard"}
    assert len({golden.family for golden in GOLDENS}) >= 12
    known: set[Dialect] = {"duckdb", "postgres", "mysql"}
    assert all(set(golden.dialects) <= known for golden in GOLDENS)


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.id)
def test_golden_has_a_telling_answer(golden: GoldenQuestion, gold: dict[str, Result]) -> None:
    result = gold[golden.id]
    assert 1 <= len(result.rows) <= 200
    assert len(set(result.rows)) == len(result.rows)
    cells = [cell for row in result.rows for cell in row]
    assert not all(cell in (None, 0) for cell in cells)
    outermost = golden.sql
    while "(" in outermost:
        outermost = re.sub(r"\([^()]*\)", "", outermost)
    assert golden.ordered == (" ORDER BY " in outermost)


@pytest.mark.timeout(900)
def test_goldens_do_not_hang_on_the_order_of_storage(
    shop: sqlite3.Connection, gold: dict[str, Result]
) -> None:
    with closing(sqlite3.connect(":memory:")) as mirror:
        for table in TABLES:
            rows = shop.execute(f"SELECT * FROM {table} ORDER BY rowid DESC").fetchall()
            columns = [entry[1] for entry in shop.execute(f"PRAGMA table_info({table})")]
            mirror.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            mirror.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)
        for (index,) in shop.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        ):
            mirror.execute(index)
        for table in TABLES:
            mirror.execute(f"CREATE UNIQUE INDEX key_{table} ON {table} ({shop_key(table)})")
        differing = [
            golden.id
            for golden in GOLDENS
            if not results_equal(gold[golden.id], run(mirror.cursor(), golden.sql), ordered=golden.ordered)
        ]
    assert differing == []


def shop_key(table: str) -> str:
    return next(iter(demo.retail_descriptions()[table][1]))


def differing_goldens(cursor: Any, dialect: Dialect, gold: dict[str, Result]) -> list[str]:
    return [
        golden.id
        for golden in GOLDENS
        if not results_equal(
            gold[golden.id], run(cursor, golden.sql_for(dialect)), ordered=golden.ordered, tolerance=1e-6
        )
    ]


def test_goldens_on_duckdb(tmp_path: Path, gold: dict[str, Result]) -> None:
    duckdb = pytest.importorskip("duckdb")
    build_retail(tmp_path / "retail.duckdb")
    assert [path.name for path in tmp_path.iterdir()] == ["retail.duckdb"]
    with closing(duckdb.connect(str(tmp_path / "retail.duckdb"), read_only=True)) as connection:
        assert differing_goldens(connection, "duckdb", gold) == []
        comments = connection.execute(
            "SELECT COUNT(comment) FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal"
        ).fetchone()
    assert comments == (sum(len(columns) for _, columns in demo.retail_descriptions().values()),)


@pytest.mark.timeout(900)
def test_goldens_on_postgres(new_postgres_database: Callable[[], str], gold: dict[str, Result]) -> None:
    engine = sa.create_engine(new_postgres_database(), poolclass=sa.pool.NullPool)
    build_retail(engine)
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        assert differing_goldens(cursor, "postgres", gold) == []
    inspector = sa.inspect(engine)
    assert inspector.get_table_comment("orders") == {"text": demo.retail_descriptions()["orders"][0]}
    assert all(column["comment"] for table in TABLES for column in inspector.get_columns(table))
    assert sum(len(inspector.get_foreign_keys(table)) for table in TABLES) == 13
    with pytest.raises(DatabaseError, match="categories"):
        build_retail(engine, scale=0.01)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM orders")).scalar() == 40_500


@pytest.mark.timeout(900)
def test_goldens_on_mariadb(new_mariadb_database: Callable[[], str], gold: dict[str, Result]) -> None:
    url = new_mariadb_database()
    build_retail(url)
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        assert differing_goldens(cursor, "mysql", gold) == []
    inspector = sa.inspect(engine)
    assert inspector.get_table_comment("orders") == {"text": demo.retail_descriptions()["orders"][0]}
    assert all(column["comment"] for table in TABLES for column in inspector.get_columns(table))
    with pytest.raises(DatabaseError, match="categories"):
        build_retail(engine, scale=0.01)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM orders")).scalar() == 40_500


def test_rows_arrive_unchanged_on_every_engine(
    tmp_path: Path,
    new_postgres_database: Callable[[], str],
    new_mariadb_database: Callable[[], str],
) -> None:
    rows = generate_rows(scale=0.005)
    pytest.importorskip("duckdb_engine")
    for url in (
        f"sqlite:///{tmp_path / 'shop.sqlite'}",
        f"duckdb:///{tmp_path / 'shop.duckdb'}",
        new_postgres_database(),
        new_mariadb_database(),
    ):
        build_retail(url, scale=0.005)
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            for table in TABLES:
                columns = len(rows[table][0])
                got = connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1").fetchall()
                header = tuple(ResultColumn("") for _ in range(columns))
                assert results_equal(
                    Result(header, tuple(rows[table])),
                    Result(header, tuple(map(tuple, got))),
                    ordered=True,
                    tolerance=0,
                ), (url, table)
        engine.dispose()


# --- glossary, descriptions, tour --------------------------------------------------------------------------


def test_descriptions_name_every_column_and_nothing_else(shop: sqlite3.Connection) -> None:
    found = {table: [entry[1] for entry in shop.execute(f"PRAGMA table_info({table})")] for table in TABLES}
    described = {table: list(columns) for table, (_, columns) in demo.retail_descriptions().items()}
    assert described == found
    assert all(
        text for about, columns in demo.retail_descriptions().values() for text in (about, *columns.values())
    )


def test_glossary_runs(
    tmp_path: Path, new_postgres_database: Callable[[], str], new_mariadb_database: Callable[[], str]
) -> None:
    terms = demo.retail_glossary()
    assert len(terms) >= 15
    names = [name.lower() for term in terms for name in (term.name, *term.synonyms)]
    assert len(set(names)) == len(names)
    urls: dict[Dialect, str] = {
        "sqlite": f"sqlite:///{tmp_path / 'shop.sqlite'}",
        "duckdb": f"duckdb:///{tmp_path / 'shop.duckdb'}",
        "postgres": new_postgres_database(),
        "mysql": new_mariadb_database(),
    }
    answers: dict[str, list[Result]] = {term.name: [] for term in terms}
    for dialect, url in urls.items():
        build_retail(url, scale=0.005)
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            for term in terms:
                sql, tables = term.sql_for(dialect), ", ".join(term.tables)
                if term.kind == "metric":
                    links = (
                        " WHERE order_lines.product_id = products.product_id" if len(term.tables) > 1 else ""
                    )
                    sql = f"SELECT {sql} FROM {tables}{links}"
                elif term.kind == "filter":
                    sql = f"SELECT COUNT(*) FROM {term.tables[0]} WHERE {sql}"
                rows = connection.exec_driver_sql(sql).fetchall()
                answers[term.name].append(Result((ResultColumn(""),), tuple(map(tuple, rows))))
        engine.dispose()
    for name, results in answers.items():
        assert results[0].rows, name
        assert results[0].rows[0][0] not in (None, 0), name
        assert all(results_equal(results[0], other) for other in results[1:]), name


def test_tour_names_golden_questions() -> None:
    tour = demo.tour()
    assert 3 <= len(tour) <= 12
    assert len(set(tour)) == len(tour)
    assert set(tour) <= {golden.id for golden in GOLDENS}


# --- where it is kept, and how it gets there ---------------------------------------------------------------


def test_ensure_demo_builds_once_and_again_for_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(demo.RETAIL, generate=lambda *, seed, scale: generate_rows(seed=seed, scale=0.005))
    monkeypatch.setattr(demo, "RETAIL", small)
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "home"))
    steps: list[tuple[int, int, str]] = []
    path = ensure_demo(lambda done, total, what: steps.append((done, total, what)))
    assert path == tmp_path / "home" / "demo" / "retail.sqlite"
    assert [what for _, _, what in steps] == [*TABLES, "done"]
    assert steps[-1][0] == steps[-1][1] > 0
    before = path.stat()
    assert ensure_demo() == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    monkeypatch.setattr(demo, "RETAIL", replace(small, version=small.version + 1))
    assert ensure_demo() == path
    assert path.stat().st_ino != before.st_ino
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UsageError, match="not a demo database"):
        ensure_demo()


def test_demo_path_prefers_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert demo_path() == tmp_path / "data" / "sqlgen" / "demo" / "retail.sqlite"
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "mine"))
    assert demo_path() == tmp_path / "mine" / "demo" / "retail.sqlite"
    assert demo_path(tmp_path / "flag") == tmp_path / "flag" / "demo" / "retail.sqlite"


def test_demo_path_without_a_writable_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = demo_path()
    assert path.parent.parent == tmp_path
    assert path.parent.stat().st_mode & 0o077 == 0
    assert demo_path() == path
    monkeypatch.setenv("SQLGEN_HOME", str(blocked))
    with pytest.raises(ConfigError, match="SQLGEN_HOME"):
        demo_path()


def test_a_temporary_folder_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    trap = tmp_path / f"sqlgen-{os.getuid()}"
    trap.mkdir()
    trap.chmod(0o777)
    assert demo_path().parent != trap


@pytest.mark.parametrize("name", ["precious.sqlite", "precious.duckdb"])
def test_other_files_are_never_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE precious (x)")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="choose another file"):
        build_retail(path, scale=0.005)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_an_engine_with_a_table_of_the_same_name_keeps_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'own.sqlite'}"
    with closing(sqlite3.connect(tmp_path / "own.sqlite")) as connection:
        connection.execute("CREATE TABLE orders (x)")
    with pytest.raises(DatabaseError, match="orders already exists"):
        build_retail(url, scale=0.005)
    with closing(sqlite3.connect(tmp_path / "own.sqlite")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("orders",)]


def test_mariadb_loses_only_what_a_broken_load_made(new_mariadb_database: Callable[[], str]) -> None:
    engine = sa.create_engine(new_mariadb_database(), poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (x INTEGER)"))
    with pytest.raises(DatabaseError, match="orders"):
        build_retail(engine, scale=0.005)
    assert sa.inspect(engine).get_table_names() == ["orders"]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("nonsense", UsageError),
        ("oracle9://x/y", UsageError),
        ("postgresql+psycopg://nobody@127.0.0.1:1/none", ConnectionFailed),
        ("sqlite:////nowhere/at/all.sqlite", ConnectionFailed),
    ],
)
def test_a_useless_url_is_one_clear_line(url: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        build_retail(url, scale=0.005)
    assert "\n" not in str(caught.value)


BUILD_AND_DIE = """
import os, signal, sys
from pathlib import Path
from sqlgen.demo import build_retail

def die(done, total, what):
    if what == sys.argv[2]:
        os.kill(os.getpid(), getattr(signal, sys.argv[3]))

build_retail(Path(sys.argv[1]), scale=0.02, progress=die)
"""


@pytest.mark.parametrize("moment", ["categories", "order_lines", "done"])
@pytest.mark.parametrize("suffix", ["sqlite", "duckdb"])
def test_kill_leaves_nothing_or_the_whole_file(tmp_path: Path, moment: str, suffix: str) -> None:
    path = tmp_path / f"retail.{suffix}"
    command = [sys.executable, "-c", BUILD_AND_DIE, str(path), moment, "SIGKILL"]
    killed = subprocess.run(command, cwd=Path(demo.__file__).parents[2], capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not path.exists()
    leftovers = list(tmp_path.glob(".*.part*"))
    assert leftovers
    for leftover in leftovers:
        os.utime(leftover, (0, 0))
    build_retail(path, scale=0.02)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_kill_during_a_rebuild_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "retail.sqlite"
    build_retail(path, scale=0.01)
    before = path.read_bytes()
    command = [sys.executable, "-c", BUILD_AND_DIE, str(path), "payments", "SIGKILL"]
    killed = subprocess.run(command, cwd=Path(demo.__file__).parents[2], capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert path.read_bytes() == before


def test_interruption_cleans_up(tmp_path: Path) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        if what == "shipments":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_retail(tmp_path / "retail.sqlite", scale=0.01, progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        build_retail(f"sqlite:///{tmp_path / 'own.sqlite'}", scale=0.01, progress=interrupt)
    with closing(sqlite3.connect(tmp_path / "own.sqlite")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,)
