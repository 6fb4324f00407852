"""A change of the schema is seen at the next look, whatever was changed; and a look costs little."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sqlgen.catalog import SchemaWatch, freshness, introspect, open_engine, schema_fingerprint
from sqlgen.catalog.sampling import in_one_message

LIMITS = ("transaction_read_only", "statement_timeout", "lock_timeout")
CREATE = [
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(40), city VARCHAR(40))",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, amount INTEGER)",
    "CREATE VIEW spending AS SELECT customer_id, amount FROM orders",
]
CHANGES = {
    "add a column": "ALTER TABLE orders ADD COLUMN note VARCHAR(40)",
    "rename a column": "ALTER TABLE orders RENAME COLUMN note TO remark",
    "drop a column": "ALTER TABLE orders DROP COLUMN remark",
    "add a table": "CREATE TABLE items (id INTEGER PRIMARY KEY)",
    "rename a table": "ALTER TABLE items RENAME TO positions",
    "drop a table": "DROP TABLE positions",
    "replace a view": ("DROP VIEW spending", "CREATE VIEW spending AS SELECT amount FROM orders"),
}
MORE = {
    "duckdb": {
        "comment a table": "COMMENT ON TABLE orders IS 'what was bought'",
        "comment a column": "COMMENT ON COLUMN orders.amount IS 'in cents'",
        "change a type": "ALTER TABLE customers ALTER COLUMN city TYPE INTEGER",
    },
    "postgresql": {
        "comment a table": "COMMENT ON TABLE orders IS 'what was bought'",
        "comment a column": "COMMENT ON COLUMN orders.amount IS 'in cents'",
        "change a type": "ALTER TABLE customers ALTER COLUMN city TYPE text",
        "uncomment a column": "COMMENT ON COLUMN orders.amount IS NULL",
        "add a key": "ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers (id)",
    },
    "mysql": {
        "comment a table": "ALTER TABLE orders COMMENT = 'what was bought'",
        "comment a column": "ALTER TABLE orders MODIFY amount INTEGER COMMENT 'in cents'",
        "change a type": "ALTER TABLE orders MODIFY amount BIGINT",
        "add a key": "ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers (id)",
    },
    "sqlite": {},
}


@pytest.fixture(params=["sqlite", "duckdb", "postgresql", "mysql"])
def databases(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[sa.Engine, Callable[..., None]]]:
    """A database with two tables and a view, as sqlgen opens it, and a way to change it from outside."""
    if request.param in ("sqlite", "duckdb"):
        suffix = "db" if request.param == "sqlite" else "duckdb"
        url = f"{request.param}:///{tmp_path / 'shop'}.{suffix}"
    else:
        fixture = {"postgresql": "new_postgres_database", "mysql": "new_mariadb_database"}[request.param]
        url = request.getfixturevalue(fixture)()
    writer = sa.create_engine(url, poolclass=sa.pool.NullPool)

    def change(*statements: str) -> None:
        with writer.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    change(*CREATE)
    engine = open_engine(url)
    yield engine, change
    engine.dispose()


def test_every_change_is_seen_at_once(databases: tuple[sa.Engine, Callable[..., None]]) -> None:
    engine, change = databases
    watch = SchemaWatch(engine)
    seen = [watch.fingerprint()]
    backend = engine.url.get_backend_name()
    for name, statements in {**CHANGES, **MORE[backend]}.items():
        change(*([statements] if isinstance(statements, str) else statements))
        seen.append(watch.fingerprint())
        assert seen[-1] not in seen[-2:-1], name
        assert seen[-1] == schema_fingerprint(engine), name


def test_an_unchanged_schema_is_not_read_again(
    databases: tuple[sa.Engine, Callable[..., None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, change = databases
    monkeypatch.setattr(freshness, "_SETTLED_S", 0.0)
    looks = []
    real = introspect.fingerprint_of

    def count(connection: sa.Connection, dialect: str) -> str:
        looks.append(dialect)
        return real(connection, dialect)  # type: ignore[arg-type]

    monkeypatch.setattr(freshness, "fingerprint_of", count)
    watch = SchemaWatch(engine)
    first = watch.fingerprint()
    assert [watch.fingerprint() for _ in range(5)] == [first] * 5
    assert len(looks) == 1
    change("INSERT INTO customers VALUES (1, 'Ann', 'Oslo')")
    assert watch.fingerprint() == first


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_file_written_just_now_is_looked_into(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.db" if kind == "sqlite" else "a.duckdb")
    writer = sa.create_engine(f"{kind}:///{path}", poolclass=sa.pool.NullPool)
    with writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE a (x INTEGER)")
    stamp = path.stat()
    watch = SchemaWatch(open_engine(str(path)))
    before = watch.fingerprint()
    with writer.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE a RENAME COLUMN x TO y")
    # As on a file system whose clock stands still in between.
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert watch.fingerprint() != before


def test_a_file_put_in_its_place_is_seen(tmp_path: Path) -> None:
    for name, column in (("a.db", "x"), ("b.db", "y")):
        with sqlite3.connect(tmp_path / name) as connection:
            connection.execute(f"CREATE TABLE a ({column} INTEGER)")
        connection.close()
        long_ago = time.time_ns() - 10**12
        os.utime(tmp_path / name, ns=(long_ago, long_ago))
    watch = SchemaWatch(open_engine(str(tmp_path / "a.db")))
    before = watch.fingerprint()
    os.replace(tmp_path / "b.db", tmp_path / "a.db")
    assert watch.fingerprint() != before


def test_rights_that_change_are_seen(new_postgres_database: Callable[[], str]) -> None:
    url = new_postgres_database()
    writer = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE a (x INTEGER)")
    engine = open_engine(url)
    watch = SchemaWatch(engine)
    before = watch.fingerprint()
    with writer.begin() as connection:
        connection.exec_driver_sql("GRANT SELECT ON a TO PUBLIC")
    assert watch.fingerprint() != before
    engine.dispose()


def test_a_look_at_postgres_is_one_message_that_leaves_the_connection_as_it_was(
    new_postgres_database: Callable[[], str],
) -> None:
    engine = open_engine(new_postgres_database())
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        before = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in LIMITS]
    messages: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *seen: messages.append(seen[2]))
    watch = SchemaWatch(engine)
    watch.fingerprint()
    messages.clear()
    watch.fingerprint()
    assert len(messages) == 1
    with engine.connect() as connection:
        run = in_one_message(connection, 0.1)
        assert run("SELECT 1") == [(1,)]
        with pytest.raises(sa.exc.DBAPIError, match="read-only"):
            run("CREATE TABLE b (x INTEGER)")
        with pytest.raises(sa.exc.DBAPIError, match="statement timeout"):
            run("SELECT pg_sleep(5)")
        assert run("SELECT 1") == [(1,)]
    with engine.connect() as connection:
        assert [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in LIMITS] == before
        assert not connection.connection.dbapi_connection.autocommit
    engine.dispose()
