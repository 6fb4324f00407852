"""What only one engine does: loose types, odd dates, schemas, rights, enumerations, shadow tables."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from sqlgen.catalog import distinct_values, load_catalog, open_engine, sampling
from sqlgen.errors import ConnectionFailed, EmptyDatabase
from sqlgen.types import Catalog, ForeignKey
from tests.conftest import NewDatabase, column_of, table_of


def run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.execution_options(no_parameters=True)
        for statement in statements:
            connection.exec_driver_sql(statement)


def load(url: str) -> Catalog:
    engine = open_engine(url)
    try:
        return load_catalog(engine)
    finally:
        engine.dispose()


def sqlite_file(tmp_path: Path, script: str) -> str:
    path = tmp_path / "odd.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return str(path)


# SQLite


def test_sqlite_kinds_follow_the_cells(tmp_path: Path) -> None:
    url = sqlite_file(
        tmp_path,
        """CREATE TABLE t (day TEXT, moment TEXT, word TEXT, mixed TEXT, free, blob_numbers BLOB, bytes BLOB,
        born DATE, years DATE, typed DATETIME, code INTEGER, amount INT);
        INSERT INTO t VALUES ('2024-01-02', '2024-01-02 03:04:05', 'a', '2024-01-02', 'x', 7, x'00ff',
          '31.12.1999', 1999, '2020-02-02', 'A-1', 5);
        INSERT INTO t VALUES ('2023-01-02', '2024-01-02T03:04:05Z', 'b', 'soon', 'y', 9, x'01',
          '1.1.2000', 2000, '2020-02-03', 'B-1', 6);""",
    )
    table = table_of(load(url), "t")
    assert {c.name: c.kind for c in table.columns} == {
        "day": "date",
        "moment": "date",
        "word": "text",
        "mixed": "text",
        "free": "text",
        "blob_numbers": "number",
        "bytes": "other",
        "born": "text",
        "years": "number",
        "typed": "date",
        "code": "text",
        "amount": "number",
    }
    assert {c.name: (c.minimum, c.maximum) for c in table.columns if c.minimum is not None} == {
        "day": ("2023-01-02", "2024-01-02"),
        "moment": ("2024-01-02 03:04:05", "2024-01-02T03:04:05Z"),
        "blob_numbers": (7, 9),
        "years": (1999, 2000),
        "typed": ("2020-02-02", "2020-02-03"),
        "amount": (5, 6),
    }


def test_sqlite_invalid_utf8_does_not_stop_the_others(tmp_path: Path) -> None:
    url = sqlite_file(
        tmp_path,
        """CREATE TABLE t (word TEXT, n INT);
        INSERT INTO t VALUES (CAST(x'636166e9' AS TEXT), 1), ('café', 2), ('bell' || char(7), 3);""",
    )
    for engine in (open_engine(url), sa.create_engine(f"sqlite:///{url}", poolclass=sa.pool.NullPool)):
        catalog = load_catalog(engine)
        assert column_of(catalog, "t", "word").values == ("café",)
        assert column_of(catalog, "t", "n").maximum == 3
        assert distinct_values(engine, catalog.tables[0], catalog.tables[0].columns[0], 9) == ["café"]
        assert catalog.skipped == ()


def test_sqlite_an_interrupt_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(raw: bytes) -> str:
        raise KeyboardInterrupt

    url = sqlite_file(tmp_path, "CREATE TABLE a (name TEXT); INSERT INTO a VALUES ('Fen')")
    monkeypatch.setattr("sqlgen.catalog.connect._lenient_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(url)
    monkeypatch.undo()
    assert len(load(url).tables) == 1


def test_sqlite_keys_with_implicit_target_and_other_case(tmp_path: Path) -> None:
    url = sqlite_file(
        tmp_path,
        """CREATE TABLE Parent (A INT, B INT, PRIMARY KEY (B, A));
        CREATE TABLE child (x INT, y INT, FOREIGN KEY (X, Y) REFERENCES parent);
        CREATE TABLE orphan (z INT REFERENCES nowhere);""",
    )
    catalog = load(url)
    assert table_of(catalog, "child").foreign_keys == (ForeignKey(("x", "y"), "Parent", ("B", "A")),)
    assert table_of(catalog, "orphan").foreign_keys == ()


def test_sqlite_shadow_tables_and_hidden_columns_stay_out(tmp_path: Path) -> None:
    url = sqlite_file(
        tmp_path,
        """CREATE VIRTUAL TABLE notes USING fts5(title, body); INSERT INTO notes VALUES ('a', 'b');
        CREATE TABLE plain (n INT, twice INT AS (n * 2)); INSERT INTO plain (n) VALUES (4);""",
    )
    catalog = load(url)
    assert {t.name: [c.name for c in t.columns] for t in catalog.tables} == {
        "notes": ["title", "body"],
        "plain": ["n", "twice"],
    }
    assert column_of(catalog, "plain", "twice").maximum == 8


def test_sqlite_wide_table(tmp_path: Path) -> None:
    columns = ", ".join(f"c{i} TEXT" for i in range(600))
    values = ", ".join(f"'v{i}'" for i in range(600))
    url = sqlite_file(tmp_path, f"CREATE TABLE wide ({columns}); INSERT INTO wide VALUES ({values});")
    assert [c.values for c in load(url).tables[0].columns] == [(f"v{i}",) for i in range(600)]


def test_large_tables_are_sampled_at_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SMALL_TABLE_ROWS", 2000)
    url = sqlite_file(
        tmp_path,
        """CREATE TABLE t (id INTEGER PRIMARY KEY, state TEXT, loose INT, indexed INT); CREATE INDEX i ON t (indexed);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
        INSERT INTO t SELECT i, CASE WHEN i < 4500 THEN 'old' ELSE 'new' END, i, i FROM n;""",
    )
    table = table_of(load(url), "t")
    assert table.row_estimate == 9000
    assert set(table.columns[1].values) == {"old", "new"}
    assert (table.columns[0].minimum, table.columns[0].maximum) == (1, 9000)
    assert (table.columns[3].minimum, table.columns[3].maximum) == (1, 9000)
    assert (table.columns[2].minimum, table.columns[2].maximum) == (None, None)


def test_slow_view_is_bounded_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "STATEMENT_TIMEOUT_S", 0.2)
    url = sqlite_file(
        tmp_path,
        """CREATE TABLE t (word TEXT); INSERT INTO t VALUES ('x');
        CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT max(i) AS most FROM n;""",
    )
    catalog = load(url)
    assert {t.key for t in catalog.tables} == {"t", "endless"}
    assert catalog.skipped == ("values of 'endless': interrupted",)


# DuckDB


def test_duckdb_schemas_and_nested_types(tmp_path: Path) -> None:
    pytest.importorskip("duckdb_engine")
    url = f"duckdb:///{tmp_path / 'odd.duckdb'}"
    run(
        url,
        "CREATE SCHEMA raw",
        "CREATE TYPE mood AS ENUM ('sad', 'it''s ok')",
        "CREATE TABLE raw.events (ts TIMESTAMPTZ, tags VARCHAR[], body STRUCT(a INT), id UUID, big HUGEINT, m mood)",
        "CREATE TABLE days (d DATE, t TIMESTAMP)",
        "INSERT INTO days VALUES ('infinity', '2020-01-01'), ('0044-03-15 (BC)', '-infinity')",
        "INSERT INTO raw.events VALUES ('2024-01-01 00:00:00+00', ['x'], {'a': 1}, uuid(), 170141183460469231731, 'sad')",
    )
    catalog = load(url)
    assert [t.key for t in catalog.tables] == ["days", "raw.events"]
    events = table_of(catalog, "raw.events")
    assert [c.kind for c in events.columns] == ["date", "other", "other", "text", "number", "text"]
    assert column_of(catalog, "raw.events", "m").values == ("sad", "it's ok")
    assert column_of(catalog, "raw.events", "big").maximum == 170141183460469231731
    assert column_of(catalog, "days", "d").minimum is None
    assert column_of(catalog, "days", "t").maximum == "2020-01-01 00:00:00"
    assert catalog.skipped == ()


# PostgreSQL


def test_postgres_dates_that_python_cannot_hold(new_postgres_database: NewDatabase) -> None:
    url = new_postgres_database()
    run(
        url,
        "CREATE TABLE t (d date, ts timestamp, tz timestamptz, n numeric, f double precision, m money)",
        "INSERT INTO t VALUES ('0044-03-15 BC', 'infinity', '-infinity', 'NaN', 'Infinity', '1.5'), "
        "('2020-01-01', '2020-01-01', '2020-01-01', 1, 1, '2.5')",
    )
    catalog = load(url)
    assert catalog.skipped == ()
    assert column_of(catalog, "t", "d").minimum is None
    assert column_of(catalog, "t", "d").maximum == "2020-01-01"
    assert column_of(catalog, "t", "ts").minimum == "2020-01-01 00:00:00"
    assert column_of(catalog, "t", "f").maximum is None
    assert column_of(catalog, "t", "n").minimum == 1


def test_postgres_schemas_enums_domains_and_partitions(new_postgres_database: NewDatabase) -> None:
    url = new_postgres_database()
    run(
        url,
        "CREATE SCHEMA sales",
        "CREATE TYPE mood AS ENUM ('sad', 'glad')",
        "CREATE DOMAIN email AS varchar(99)",
        "CREATE TABLE people (id int PRIMARY KEY, feels mood, mail email, tags text[], tree xml)",
        "INSERT INTO people VALUES (1, 'glad', 'a@b', '{x}', NULL)",
        "CREATE TABLE sales.bills (person_id int REFERENCES people, day date) PARTITION BY RANGE (day)",
        "CREATE TABLE sales.bills_2024 PARTITION OF sales.bills FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        "INSERT INTO sales.bills VALUES (1, '2024-05-05')",
        "CREATE MATERIALIZED VIEW sales.days AS SELECT day FROM sales.bills",
        'CREATE TABLE "a.b" (x int)',
    )
    catalog = load(url)
    assert [t.key for t in catalog.tables] == ["people", "a.b", "sales.bills", "sales.days"]
    assert [c.kind for c in table_of(catalog, "people").columns] == [
        "number",
        "text",
        "text",
        "other",
        "other",
    ]
    assert column_of(catalog, "people", "feels").values == ("glad", "sad")
    assert column_of(catalog, "people", "mail").values == ("a@b",)
    assert table_of(catalog, "sales.bills").foreign_keys == (ForeignKey(("person_id",), "people", ("id",)),)
    assert column_of(catalog, "sales.bills", "day").minimum == "2024-05-05"
    assert table_of(catalog, "sales.days").is_view


def test_postgres_rights(new_postgres_database: NewDatabase) -> None:
    url = new_postgres_database()
    role = "reader_" + str(sa.make_url(url).database)[-6:]
    run(
        url,
        "CREATE TABLE open_to_all (a int)",
        "CREATE TABLE in_part (seen int, unseen text)",
        "CREATE TABLE closed (b int)",
        "CREATE SCHEMA hidden",
        "CREATE TABLE hidden.deep (c int)",
        f"CREATE ROLE {role} LOGIN",
        f"GRANT SELECT ON open_to_all TO {role}",
        f"GRANT SELECT (seen) ON in_part TO {role}",
    )
    mine = sa.make_url(url).set(username=role).render_as_string(hide_password=False)
    catalog = load(mine)
    assert {t.key: [c.name for c in t.columns] for t in catalog.tables} == {
        "open_to_all": ["a"],
        "in_part": ["seen"],
    }
    assert catalog.skipped == (
        "table 'hidden.deep': no permission on its schema",
        "table 'closed': no permission to select, or no column",
    )
    run(
        url, f"REVOKE ALL ON open_to_all, in_part FROM {role}", f"REVOKE SELECT (seen) ON in_part FROM {role}"
    )
    with pytest.raises(EmptyDatabase, match="no table that can be read"):
        load(mine)


def test_postgres_locked_table_does_not_hang(
    new_postgres_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "STATEMENT_TIMEOUT_S", 0.3)
    url = new_postgres_database()
    run(url, "CREATE TABLE t (word text)", "INSERT INTO t VALUES ('x')")
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        catalog = load(url)
    assert catalog.tables[0].columns[0].values == ()
    assert len(catalog.skipped) == 1
    assert catalog.skipped[0].startswith("values of 't': canceling statement due to")


def test_limits_do_not_stay_in_the_session(new_postgres_database: NewDatabase) -> None:
    url = new_postgres_database()
    run(url, "CREATE TABLE t (a int)")
    engine = open_engine(url)
    load_catalog(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "0"
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "off"
    engine.dispose()


# MariaDB


def test_mariadb_zero_dates_and_odd_types(new_mariadb_database: NewDatabase) -> None:
    url = new_mariadb_database()
    run(
        url,
        "SET SESSION sql_mode = ''",
        "CREATE TABLE t (d DATE, dt DATETIME, span TIME, y YEAR, b BIT(3), e ENUM('new', 'it''s'), j JSON, "
        "raw VARBINARY(9), g POINT, big BIGINT UNSIGNED, word VARCHAR(9) CHARACTER SET latin1)",
        "INSERT INTO t VALUES ('0000-00-00', '0000-00-00 00:00:00', '838:59:59', 1999, 5, 'new', '{}', "
        "X'ff00', NULL, 18446744073709551615, 'né'), ('2020-02-30', '2021-01-01', NULL, NULL, NULL, NULL, NULL, "
        "NULL, NULL, 1, NULL)",
    )
    catalog = load(url)
    assert catalog.skipped == ()
    kinds = {c.name: c.kind for c in catalog.tables[0].columns}
    assert kinds == {
        "d": "date",
        "dt": "date",
        "span": "other",
        "y": "number",
        "b": "other",
        "e": "text",
        "j": "text",
        "raw": "other",
        "g": "other",
        "big": "number",
        "word": "text",
    }
    assert column_of(catalog, "t", "d").minimum is None
    assert column_of(catalog, "t", "dt").maximum == "2021-01-01 00:00:00"
    assert column_of(catalog, "t", "e").values == ("new", "it's")
    assert column_of(catalog, "t", "big").maximum == 18446744073709551615
    assert column_of(catalog, "t", "word").values == ("né",)


def test_mariadb_rights(new_mariadb_database: NewDatabase) -> None:
    url = new_mariadb_database()
    database = str(sa.make_url(url).database)
    user = "reader_" + database[-6:]
    run(
        url,
        "CREATE TABLE open_to_all (a INT, b INT)",
        "CREATE VIEW shown AS SELECT a FROM open_to_all",
        "CREATE TABLE write_only (c INT)",
        "CREATE TABLE closed (d INT)",
        f"CREATE USER '{user}'@'%' IDENTIFIED BY 'geheim42'",
        f"CREATE USER '{user}'@'localhost' IDENTIFIED BY 'geheim42'",
        *(
            f"GRANT {right} ON {database}.{table} TO '{user}'@'{host}'"
            for host in ("%", "localhost")
            for right, table in (("SELECT", "open_to_all"), ("SELECT", "shown"), ("INSERT", "write_only"))
        ),
    )
    mine = sa.make_url(url).set(username=user, password="geheim42").render_as_string(hide_password=False)
    catalog = load(mine)
    assert {t.key: [c.name for c in t.columns] for t in catalog.tables} == {
        "open_to_all": ["a", "b"],
        "shown": ["a"],
    }
    assert catalog.skipped == ("table 'write_only': no permission to select",)
    wrong = sa.make_url(mine).set(password="falsch77").render_as_string(hide_password=False)
    with pytest.raises(ConnectionFailed, match="refused the user or password") as caught:
        open_engine(wrong)
    assert "falsch77" not in str(caught.value)


def test_mariadb_views_come_after_tables(new_mariadb_database: NewDatabase) -> None:
    url = new_mariadb_database()
    run(url, "CREATE TABLE zz (a INT COMMENT 'é')", "CREATE VIEW aa AS SELECT a FROM zz", "CREATE SEQUENCE s")
    catalog = load(url)
    assert [(t.key, t.is_view) for t in catalog.tables] == [("zz", False), ("aa", True)]
    assert column_of(catalog, "zz", "a").comment == "é"
