"""One contract for the catalog of every engine: the same shop, read from four real databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from sqlgen.catalog import dialect_of, distinct_values, load_catalog, open_engine, schema_fingerprint
from sqlgen.errors import EmptyDatabase, QueryFailed
from sqlgen.types import Catalog, Column, ForeignKey
from tests.conftest import NewDatabase, column_of, table_of

ENGINES = ("sqlite", "duckdb", "postgres", "mysql")


@dataclass
class Live:
    """A fresh database: ``write`` runs statements in it, ``engine`` is what the product opens."""

    name: str
    url: str

    def write(self, *statements: str) -> None:
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.execution_options(no_parameters=True)
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    def open(self) -> sa.Engine:
        return open_engine(self.url)

    def load(self, **options: int) -> Catalog:
        engine = self.open()
        try:
            return load_catalog(engine, **options)  # type: ignore[arg-type]
        finally:
            engine.dispose()

    def quote(self, name: str) -> str:
        if self.name == "mysql":
            return "`" + name.replace("`", "``") + "`"
        return '"' + name.replace('"', '""') + '"'


@pytest.fixture(params=ENGINES)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    name = request.param
    if name == "sqlite":
        path = tmp_path / "shop.sqlite"
        path.touch()
        yield Live(name, f"sqlite:///{path}")
    elif name == "duckdb":
        pytest.importorskip("duckdb_engine")
        path = tmp_path / "shop.duckdb"
        live = Live(name, f"duckdb:///{path}")
        live.write("SELECT 1")
        yield live
    else:
        maker = "new_postgres_database" if name == "postgres" else "new_mariadb_database"
        new_database: NewDatabase = request.getfixturevalue(maker)
        yield Live(name, new_database())


SHOP = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, full_name VARCHAR(40) NOT NULL, joined DATE, "
    "rating DOUBLE PRECISION, active BOOLEAN)",
    "CREATE TABLE products (sku VARCHAR(10) PRIMARY KEY, label VARCHAR(40), price NUMERIC(10, 2))",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, placed TIMESTAMP NULL, "
    "FOREIGN KEY (customer_id) REFERENCES customers (id))",
    "CREATE TABLE order_lines (order_id INTEGER, line_no INTEGER, sku VARCHAR(10), quantity INTEGER, "
    "PRIMARY KEY (order_id, line_no))",
    "CREATE TABLE returns (id INTEGER PRIMARY KEY, order_id INTEGER, line_no INTEGER, "
    "FOREIGN KEY (order_id, line_no) REFERENCES order_lines (order_id, line_no))",
    "CREATE VIEW big_spenders AS SELECT full_name, rating FROM customers",
    "INSERT INTO customers VALUES (1, 'Ann', '2020-01-31', 4.5, true), (2, 'Bo', '2021-02-28', 3.0, false), "
    "(3, 'Ann', NULL, NULL, NULL)",
    "INSERT INTO products VALUES ('A-1', 'Anvil', 99.50), ('B-2', 'Bucket', 5.00)",
    "INSERT INTO orders VALUES (10, 1, '2024-05-01 10:30:00'), (11, 2, '2024-06-01 00:00:00')",
    "INSERT INTO order_lines VALUES (10, 1, 'A-1', 2), (10, 2, 'B-2', 1), (11, 1, 'A-1', 7)",
    "INSERT INTO returns VALUES (1, 10, 2)",
)


def test_shop_reads_the_same_from_every_engine(live: Live) -> None:
    live.write(*SHOP)
    catalog = live.load()
    assert catalog.dialect == live.name
    assert catalog.skipped == ()
    assert {t.key for t in catalog.tables} == {
        "customers",
        "products",
        "orders",
        "order_lines",
        "returns",
        "big_spenders",
    }
    kinds = {c.name: c.kind for c in table_of(catalog, "customers").columns}
    assert kinds == {
        "id": "number",
        "full_name": "text",
        "joined": "date",
        "rating": "number",
        "active": "bool",
    }
    assert [c.name for c in table_of(catalog, "order_lines").columns if c.primary_key] == [
        "order_id",
        "line_no",
    ]
    assert not column_of(catalog, "customers", "full_name").nullable
    assert not column_of(catalog, "customers", "id").nullable
    assert column_of(catalog, "customers", "joined").nullable
    view = table_of(catalog, "big_spenders")
    assert view.is_view
    assert view.row_estimate is None
    assert [(c.name, c.kind) for c in view.columns] == [("full_name", "text"), ("rating", "number")]
    assert table_of(catalog, "order_lines").row_estimate == 3


def test_values_and_extremes(live: Live) -> None:
    live.write(*SHOP)
    catalog = live.load()
    assert column_of(catalog, "customers", "full_name").values == ("Ann", "Bo")
    assert column_of(catalog, "big_spenders", "full_name").values == ("Ann", "Bo")
    joined = column_of(catalog, "customers", "joined")
    assert (joined.minimum, joined.maximum) == ("2020-01-31", "2021-02-28")
    price = column_of(catalog, "products", "price")
    assert (price.minimum, price.maximum) == (5, 99.5)
    rating = column_of(catalog, "customers", "rating")
    assert (rating.minimum, rating.maximum) == (3.0, 4.5)
    placed = column_of(catalog, "orders", "placed")
    assert str(placed.minimum).startswith("2024-05-01")
    assert str(placed.maximum).startswith("2024-06-01")


def test_no_cell_is_read_when_no_values_are_wanted(live: Live) -> None:
    live.write(*SHOP)
    catalog = live.load(sample_values=0)
    assert len(catalog.tables) == 6
    for table in catalog.tables:
        for column in table.columns:
            assert (column.values, column.minimum, column.maximum) == ((), None, None)


def test_sample_size_is_respected_and_most_frequent_come_first(live: Live) -> None:
    live.write("CREATE TABLE t (word VARCHAR(20))")
    rows = ", ".join(f"('w{i:03}')" for i in range(200))
    live.write(f"INSERT INTO t VALUES {rows}", "INSERT INTO t VALUES ('often'), ('often'), ('often')")
    values = column_of(live.load(sample_values=5), "t", "word").values
    assert values == ("often", "w000", "w001", "w002", "w003")


def test_foreign_keys_declared_and_inferred(live: Live) -> None:
    live.write(*SHOP)
    catalog = live.load()
    assert table_of(catalog, "orders").foreign_keys == (ForeignKey(("customer_id",), "customers", ("id",)),)
    assert table_of(catalog, "returns").foreign_keys == (
        ForeignKey(("order_id", "line_no"), "order_lines", ("order_id", "line_no")),
    )
    assert set(table_of(catalog, "order_lines").foreign_keys) == {
        ForeignKey(("order_id",), "orders", ("id",), inferred=True),
        ForeignKey(("sku",), "products", ("sku",), inferred=True),
    }


def test_empty_database_says_so(live: Live) -> None:
    engine = live.open()
    with pytest.raises(EmptyDatabase, match=r"no tables"):
        load_catalog(engine)
    engine.dispose()


def test_empty_tables_read_without_values(live: Live) -> None:
    live.write("CREATE TABLE t (id INTEGER PRIMARY KEY, word VARCHAR(9), born DATE)")
    table = table_of(live.load(), "t")
    assert table.row_estimate == 0
    assert all((c.values, c.minimum, c.maximum) == ((), None, None) for c in table.columns)


ODD_NAMES = (
    "order",
    "two words",
    'dou"ble',
    "back`tick",
    "semi;colon",
    "100%",
    "co:lon",
    "naïve",
    "日本",
    "it's",
    "--",
)


def test_odd_identifiers_survive(live: Live) -> None:
    live.write(
        *(
            f"CREATE TABLE {live.quote(name)} ({live.quote(name)} VARCHAR(20), id INTEGER PRIMARY KEY)"
            for name in ODD_NAMES
        ),
        *(f"INSERT INTO {live.quote(name)} VALUES ('a % b :c', 1)" for name in ODD_NAMES),
    )
    engine = live.open()
    catalog = load_catalog(engine)
    assert catalog.skipped == ()
    assert {t.name for t in catalog.tables} == set(ODD_NAMES)
    for name in ODD_NAMES:
        assert column_of(catalog, name, name).values == ("a % b :c",)
        table = table_of(catalog, name)
        assert distinct_values(engine, table, table.columns[0], 5) == ["a % b :c"]
    engine.dispose()


def test_names_that_differ_by_case(live: Live) -> None:
    if live.name in ("sqlite", "duckdb"):
        pytest.skip("the engine refuses names that differ by case alone")
    q = live.quote
    live.write(
        f"CREATE TABLE {q('Name')} (a INTEGER)",
        f"CREATE TABLE {q('name')} (b INTEGER)",
        f"CREATE TABLE {q('NAME')} (c INTEGER)",
    )
    catalog = live.load()
    assert {t.key: t.columns[0].name for t in catalog.tables} == {"Name": "a", "name": "b", "NAME": "c"}


def test_comments(live: Live) -> None:
    if live.name == "sqlite":
        pytest.skip("SQLite keeps no comments")
    if live.name == "mysql":
        live.write("CREATE TABLE t (a INTEGER COMMENT 'it''s a') COMMENT='the ''t'''")
    else:
        live.write(
            "CREATE TABLE t (a INTEGER)",
            "COMMENT ON TABLE t IS 'the ''t'''",
            "COMMENT ON COLUMN t.a IS 'it''s a'",
        )
    table = table_of(live.load(), "t")
    assert table.comment == "the 't'"
    assert table.columns[0].comment == "it's a"


def test_broken_view_is_skipped_and_named(live: Live) -> None:
    if live.name == "postgres":
        pytest.skip("PostgreSQL keeps views whole")
    live.write(
        "CREATE TABLE gone (x INTEGER)",
        "CREATE VIEW broken AS SELECT x FROM gone",
        "CREATE TABLE kept (y INTEGER)",
        "CREATE VIEW fine AS SELECT y FROM kept",
        "DROP TABLE gone",
    )
    catalog = live.load()
    assert [t.key for t in catalog.tables] == ["kept", "fine"]
    assert len(catalog.skipped) == 1
    assert catalog.skipped[0].startswith("view 'broken': ")
    assert "gone" in catalog.skipped[0] or "invalid table" in catalog.skipped[0]


CHANGES: dict[str, tuple[str, ...]] = {
    "add table": ("CREATE TABLE extra (id INTEGER)",),
    "drop table": ("DROP TABLE spare",),
    "rename table": ("ALTER TABLE spare RENAME TO renamed",),
    "add column": ("ALTER TABLE t ADD COLUMN added INTEGER",),
    "rename column": ("ALTER TABLE t RENAME COLUMN a TO renamed",),
    "drop column": ("ALTER TABLE t DROP COLUMN b",),
    "retype column": ("ALTER TABLE t ALTER COLUMN a TYPE BIGINT",),
    "comment table": ("COMMENT ON TABLE t IS 'new'",),
    "comment column": ("COMMENT ON COLUMN t.a IS 'new'",),
    "add view": ("CREATE VIEW v AS SELECT a FROM t",),
}
MYSQL_CHANGES = {
    "retype column": ("ALTER TABLE t MODIFY COLUMN a BIGINT",),
    "comment table": ("ALTER TABLE t COMMENT = 'new'",),
    "comment column": ("ALTER TABLE t MODIFY COLUMN a INTEGER COMMENT 'new'",),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_sees_the_change(live: Live, change: str) -> None:
    if live.name == "sqlite" and change in ("retype column", "comment table", "comment column"):
        pytest.skip("SQLite has no such statement")
    statements = MYSQL_CHANGES.get(change, CHANGES[change]) if live.name == "mysql" else CHANGES[change]
    live.write("CREATE TABLE t (a INTEGER, b VARCHAR(9))", "CREATE TABLE spare (x INTEGER)")
    engine = live.open()
    before = schema_fingerprint(engine)
    assert schema_fingerprint(engine) == before
    live.write(*statements)
    after = schema_fingerprint(engine)
    assert after != before
    assert load_catalog(engine).fingerprint == after
    engine.dispose()


def test_fingerprint_ignores_rows(live: Live) -> None:
    live.write("CREATE TABLE t (a INTEGER)")
    engine = live.open()
    before = schema_fingerprint(engine)
    live.write("INSERT INTO t VALUES (1), (2)", "DELETE FROM t WHERE a = 1")
    assert schema_fingerprint(engine) == before
    engine.dispose()


def test_fingerprint_is_one_query_that_returns_little(live: Live) -> None:
    columns = ", ".join(f"c{i} INTEGER" for i in range(10))
    live.write(*(f"CREATE TABLE t{i} ({columns})" for i in range(20)))
    engine = live.open()
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    schema_fingerprint(engine)
    engine.dispose()
    assert len([s for s in statements if "SELECT" in s and not s.startswith("SET TRANSACTION")]) == 1


def test_distinct_values(live: Live) -> None:
    live.write(*SHOP)
    engine = live.open()
    catalog = load_catalog(engine)
    customers, lines = table_of(catalog, "customers"), table_of(catalog, "order_lines")
    assert distinct_values(engine, customers, customers.columns[1], 10) == ["Ann", "Bo"]
    assert distinct_values(engine, customers, customers.columns[1], 1) == ["Ann"]
    assert distinct_values(engine, lines, lines.columns[2], 10) == ["A-1", "B-2"]
    gone = Column("article", "VARCHAR(10)", "text")
    with pytest.raises(QueryFailed, match=r"order_lines\.article"):
        distinct_values(engine, lines, gone, 10)
    engine.dispose()


def test_unspeakable_values_are_left_out(live: Live) -> None:
    live.write(
        "CREATE TABLE t (word VARCHAR(5000))",
        f"INSERT INTO t VALUES ('good'), ('{'x' * 201}'), (''), ('   '), (NULL), ('{'y' * 200}')",
    )
    engine = live.open()
    catalog = load_catalog(engine)
    assert set(column_of(catalog, "t", "word").values) == {"good", "y" * 200}
    table = catalog.tables[0]
    assert set(distinct_values(engine, table, table.columns[0], 9)) == {"good", "y" * 200}
    engine.dispose()


def test_progress_names_every_table_once(live: Live) -> None:
    live.write(*SHOP)
    seen: list[tuple[int, int, str]] = []
    engine = live.open()
    load_catalog(engine, progress=lambda done, total, key: seen.append((done, total, key)))
    engine.dispose()
    assert [s[0] for s in seen] == [1, 2, 3, 4, 5, 6]
    assert {s[1] for s in seen} == {6}
    assert seen[-1][2] == "big_spenders"


def test_nothing_is_written(live: Live) -> None:
    live.write(*SHOP)
    engine = live.open()
    load_catalog(engine)
    if live.name in ("sqlite", "duckdb"):
        with engine.connect() as connection, pytest.raises(sa.exc.SQLAlchemyError, match=r"(?i)read.?only"):
            connection.exec_driver_sql("CREATE TABLE new_one (a INTEGER)")
    engine.dispose()


def test_agrees_with_the_inspector(live: Live) -> None:
    if live.name == "duckdb":
        pytest.skip("the inspector does not work on DuckDB 2")
    live.write(*SHOP)
    engine = live.open()
    catalog = load_catalog(engine)
    inspector = sa.inspect(engine)
    names = set(inspector.get_table_names()) | set(inspector.get_view_names())
    assert names == {t.name for t in catalog.tables}
    for table in catalog.tables:
        columns = inspector.get_columns(table.name)
        assert [c["name"] for c in columns] == [c.name for c in table.columns]
        if table.is_view:
            continue
        primary = inspector.get_pk_constraint(table.name)["constrained_columns"]
        assert sorted(primary) == sorted(c.name for c in table.columns if c.primary_key)
        declared = {(k.columns, k.target, k.target_columns) for k in table.foreign_keys if not k.inferred}
        assert declared == {
            (tuple(k["constrained_columns"]), k["referred_table"], tuple(k["referred_columns"]))
            for k in inspector.get_foreign_keys(table.name)
        }
    engine.dispose()


def test_dialect_of(live: Live) -> None:
    engine = live.open()
    assert dialect_of(engine) == live.name
    engine.dispose()
