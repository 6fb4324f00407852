"""Statements that no validation has seen, handed to the drivers: what the sessions themselves refuse."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sqlgen.errors import ConnectionFailed, LimitReached, QueryFailed, UsageError
from sqlgen.execution import open_driver
from sqlgen.types import Limits, ValidatedQuery


def attempt(shop: Any, sql: str) -> None:
    """Run it; refusing is fine, and so is running as long as nothing comes of it."""
    with contextlib.suppress(QueryFailed, LimitReached, ConnectionFailed):
        shop.run(sql, timeout_s=5.0)


# -- PostgreSQL, as a superuser ------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT pg_read_binary_file('PG_VERSION')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_export(1, '/tmp/sqlgen-out')",
        "SELECT lo_import('/etc/hostname')",
        "SELECT lo_put(lo_create(0), 0, 'x')",
        "SELECT pg_reload_conf()",
        "SELECT pg_rotate_logfile()",
        "SELECT pg_switch_wal()",
        "SELECT pg_create_restore_point('a')",
        "SELECT pg_stat_reset()",
        "SELECT set_config('role', 'none', true), pg_read_file('PG_VERSION')",
        "SELECT query_to_xml('SELECT pg_read_file(''PG_VERSION'')', true, false, '')",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT set_config('session_authorization', 'postgres', false), lo_import('/etc/hostname')",
        "SELECT pg_import_system_collations('pg_catalog')",
    ],
)
def test_a_superuser_s_rights_are_put_down(postgres_shop: Any, sql: str) -> None:
    with pytest.raises(QueryFailed):
        postgres_shop.run(sql)


def test_a_superuser_still_reads_everything_and_is_told_once(
    new_postgres_database: Callable[[], str],
) -> None:
    engine = sa.create_engine(new_postgres_database())
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA hidden")
        connection.exec_driver_sql("CREATE TABLE hidden.t AS SELECT 7 AS a")
        connection.exec_driver_sql("CREATE VIEW v AS SELECT a FROM hidden.t")
    with open_driver(engine, "postgres") as driver:
        query = ValidatedQuery("SELECT t.a, v.a FROM hidden.t, v", "postgres", (), ())
        first, second = driver.execute(query, Limits()), driver.execute(query, Limits())
    assert first.rows == second.rows == ((7, 7),)
    assert [note.rule for note in first.notes] == ["superuser"]
    assert second.notes == ()
    engine.dispose()


def test_rows_that_a_policy_hides_end_the_query_and_are_not_missing(
    new_postgres_database: Callable[[], str],
) -> None:
    engine = sa.create_engine(new_postgres_database())
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t AS SELECT 7 AS a")
        connection.exec_driver_sql("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    with open_driver(engine, "postgres") as driver, pytest.raises(QueryFailed, match="row-level security"):
        driver.execute(ValidatedQuery("SELECT a FROM t", "postgres", (), ()), Limits())
    engine.dispose()


def test_the_schema_named_like_the_user_stays_in_the_path(new_postgres_database: Callable[[], str]) -> None:
    engine = sa.create_engine(new_postgres_database())
    with engine.begin() as connection:
        user = connection.exec_driver_sql("SELECT current_user").scalar()
        connection.exec_driver_sql("CREATE TABLE public.t AS SELECT 'public' AS a")
        connection.exec_driver_sql(f'CREATE SCHEMA "{user}"')
        connection.exec_driver_sql(f"CREATE TABLE \"{user}\".t AS SELECT 'own' AS a")
    with open_driver(engine, "postgres") as driver:
        assert driver.execute(ValidatedQuery("SELECT a FROM t", "postgres", (), ()), Limits()).rows == (
            ("own",),
        )
    engine.dispose()


SETTINGS = (
    "SELECT count(*) FILTER (WHERE source = 'session'), "
    "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), (SELECT count(*) FROM pg_prepared_statements), "
    "(SELECT count(*) FROM pg_cursors WHERE name <> 'sqlgen'), (SELECT count(*) FROM pg_listening_channels()), "
    "(SELECT count(*) FROM pg_class WHERE relpersistence = 't') FROM pg_settings "
    "WHERE name NOT IN ('statement_timeout', 'lock_timeout', 'transaction_read_only', 'row_security', 'role', "
    "'idle_in_transaction_session_timeout', 'standard_conforming_strings', 'search_path', 'temp_file_limit')"
)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT set_config('work_mem', '1GB', false), set_config('DateStyle', 'German', false)",
        "SELECT pg_advisory_lock(1), pg_advisory_lock_shared(2)",
        "SELECT pg_notify('a', 'b')",
        "SELECT pg_export_snapshot()",
        "SELECT set_config('role', 'none', false)",
        "SELECT set_config('statement_timeout', '0', false), set_config('x.y', 'z', false)",
    ],
)
def test_nothing_stays_in_a_postgres_session(postgres_shop: Any, sql: str) -> None:
    before = postgres_shop.run(SETTINGS).rows
    attempt(postgres_shop, sql)
    assert postgres_shop.run(SETTINGS).rows == before
    assert postgres_shop.run("SELECT current_user").rows == (("pg_read_all_data",),)


def test_a_least_privilege_role_in_the_url_is_kept(new_postgres_database: Callable[[], str]) -> None:
    url = sa.make_url(new_postgres_database())
    owner = sa.create_engine(url)
    role = f"reader_{url.database}"
    with owner.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t AS SELECT 1 AS a")
        connection.exec_driver_sql("CREATE TABLE secret AS SELECT 2 AS a")
        connection.exec_driver_sql(f"CREATE ROLE {role}")
        connection.exec_driver_sql(f"GRANT SELECT ON t TO {role}")
    engine = sa.create_engine(url.update_query_dict({"options": f"-c role={role}"}))
    with open_driver(engine, "postgres") as driver:
        result = driver.execute(ValidatedQuery("SELECT a, current_user FROM t", "postgres", (), ()), Limits())
        assert (result.rows, result.notes) == (((1, role),), ())
        with pytest.raises(QueryFailed, match="permission denied"):
            driver.execute(ValidatedQuery("SELECT a FROM secret", "postgres", (), ()), Limits())
    engine.dispose()
    with owner.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")
    owner.dispose()


# -- MariaDB, as root ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 INTO OUTFILE '{out}'",
        "SELECT 1 INTO DUMPFILE '{out}'",
        "SELECT 1 INTO @kept",
        "VALUES (1) INTO OUTFILE '{out}'",
        "WITH a AS (SELECT 1) SELECT * FROM a INTO OUTFILE '{out}'",
        "SELECT '\\'' INTO OUTFILE '{out}'",
        'SELECT "a"" INTO" INTO OUTFILE \'{out}\'',
        "SELECT 1 /* INTO */ INTO/**/OUTFILE '{out}'",
        "SELECT 1 /*! INTO OUTFILE '{out}' */",
        "SELECT 1 /*M!100000 INTO OUTFILE '{out}' */",
        "SELECT 1 -- x\nINTO OUTFILE '{out}'",
        "SELECT `a``` INTO OUTFILE '{out}' FROM (SELECT 1 AS `a```) t",
        "SELECT 1 --INTO OUTFILE '{out}'",
        "SELECT LOAD_FILE('/etc/hostname')",
        "SELECT `load_file`('/etc/hostname')",
        "SELECT load_file ('/etc/hostname')",
        "SELECT id FROM item PROCEDURE ANALYSE()",
        "SELECT NEXT VALUE FOR numbers",
        "SELECT SETVAL(numbers, 9)",
        "EXPLAIN DELETE FROM item",
        "SELECT id FROM item FOR UPDATE",
    ],
)
def test_mariadb_touches_no_file_and_no_variable(mysql_shop: Any, sql: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tmp_path.chmod(0o777)
    with mysql_shop.engine.begin() as connection:
        connection.exec_driver_sql("CREATE SEQUENCE IF NOT EXISTS numbers")
    with pytest.raises(QueryFailed):
        mysql_shop.run(sql.replace("{out}", str(out)))
    assert not out.exists()


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT 'SELECT 1 INTO OUTFILE ''x'''", "SELECT 1 INTO OUTFILE 'x'"),
        ("SELECT 'it\\'s into'", "it's into"),
        ("SELECT 'into' AS `into` -- into", "into"),
        ("SELECT /* into outfile */ 'a' # load_file", "a"),
        ("SELECT \"load_file('x')\"", "load_file('x')"),
    ],
)
def test_mariadb_reads_such_words_in_text(mysql_shop: Any, sql: str, value: str) -> None:
    assert mysql_shop.run(sql).rows == ((value,),)


def test_locks_by_name_do_not_stay_in_a_mariadb_session(mysql_shop: Any) -> None:
    attempt(mysql_shop, "SELECT GET_LOCK('mine', 1)")
    with mysql_shop.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT IS_FREE_LOCK('mine')").scalar() == 1


def test_a_connection_that_may_send_local_files_is_refused(mysql_shop: Any) -> None:
    engine = sa.create_engine(mysql_shop.engine.url, connect_args={"local_infile": True})
    with open_driver(engine, "mysql") as driver, pytest.raises(UsageError, match="local_infile"):
        driver.execute(ValidatedQuery("SELECT 1", "mysql", (), ()), Limits())
    engine.dispose()


def test_what_the_caller_sets_on_connecting_holds_for_every_query(
    mysql_shop: Any, postgres_shop: Any
) -> None:
    for shop, arguments, sql, value in (
        (mysql_shop, {"init_command": "SET time_zone = '+05:45'"}, "SELECT @@time_zone", "+05:45"),
        (
            postgres_shop,
            {"options": "-c TimeZone=Asia/Kathmandu"},
            "SELECT current_setting('TimeZone')",
            "Asia/Kathmandu",
        ),
    ):
        engine = sa.create_engine(shop.engine.url, connect_args=arguments)
        with open_driver(engine, shop.dialect) as driver:
            query = ValidatedQuery(sql, shop.dialect, (), ())
            assert [driver.execute(query, Limits()).rows for _ in range(3)] == [((value,),)] * 3
        engine.dispose()


# -- SQLite and DuckDB: the bytes of the file ----------------------------------------------------

SQLITE_ATTACKS = [
    "ATTACH '{other}' AS o",
    "VACUUM INTO '{other}'",
    "PRAGMA writable_schema = 1",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "SELECT * FROM pragma_journal_mode('delete')",
    "SELECT load_extension('{other}')",
    "SELECT fts3_tokenizer('simple', x'0000000000000000')",
    "SELECT writefile('{other}', 'x')",
    "SELECT edit('x', 'touch {other}')",
    "WITH a AS (SELECT 1) INSERT INTO item (id) SELECT * FROM a",
    "WITH a AS (SELECT 1) UPDATE item SET name = 'x'",
    "REPLACE INTO item (id) VALUES (1)",
    "CREATE TEMP TRIGGER t AFTER INSERT ON item BEGIN DELETE FROM item; END",
    "BEGIN EXCLUSIVE",
    "DETACH main",
    "EXPLAIN DELETE FROM item",
]


@pytest.mark.parametrize("sql", SQLITE_ATTACKS)
def test_no_byte_of_a_sqlite_file_changes(sqlite_shop: Any, sql: str, tmp_path: Path) -> None:
    file = Path(sqlite_shop.engine.url.database)
    before, beside = file.read_bytes(), sorted(os.listdir(file.parent))
    attempt(sqlite_shop, sql.replace("{other}", str(tmp_path / "other")))
    assert file.read_bytes() == before
    assert sorted(os.listdir(file.parent)) == beside
    assert list(tmp_path.iterdir()) == []
    assert sqlite_shop.run("SELECT COUNT(*) FROM item").rows == ((3000,),)


DUCKDB_ATTACKS = [
    "COPY item TO '{other}'",
    "EXPORT DATABASE '{other}'",
    "ATTACH '{other}' AS o",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM read_blob('/etc/hostname')",
    "SELECT * FROM query('COPY item TO ''{other}''')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/hostname'')')",
    "SELECT * FROM query_table('/etc/hostname')",
    "FROM '/etc/hostname'",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA enable_profiling",
    "CREATE OR REPLACE TEMP MACRO item() AS TABLE SELECT 1",
    "PREPARE p AS SELECT 1",
    "CALL checkpoint()",
    "SELECT * FROM checkpoint()",
    "FORCE CHECKPOINT",
    "CREATE SECRET s (TYPE s3)",
    "EXPLAIN ANALYZE DELETE FROM item",
    "UPDATE EXTENSIONS",
    "SELECT * FROM duckdb_secrets()",
    "INSERT INTO item (id) VALUES (-1) RETURNING id",
]


@pytest.mark.parametrize("sql", DUCKDB_ATTACKS)
def test_no_byte_of_a_duckdb_file_changes(duckdb_shop: Any, sql: str, tmp_path: Path) -> None:
    file = Path(duckdb_shop.engine.url.database)
    before, beside = file.read_bytes(), sorted(os.listdir(file.parent))
    attempt(duckdb_shop, sql.replace("{other}", str(tmp_path / "other")))
    assert file.read_bytes() == before
    assert sorted(os.listdir(file.parent)) == beside
    assert list(tmp_path.iterdir()) == []
    assert duckdb_shop.run("SELECT COUNT(*) FROM item").rows == ((3000,),)


def test_no_file_of_the_machine_comes_back_from_duckdb(duckdb_shop: Any) -> None:
    for sql in DUCKDB_ATTACKS:
        if "/etc/" in sql:
            with pytest.raises(QueryFailed):
                duckdb_shop.run(sql)


def test_a_write_ahead_log_is_read_and_left(tmp_path: Path) -> None:
    path = tmp_path / "wal.db"
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE t AS SELECT 1 AS a")
    writer.commit()
    writer.execute("INSERT INTO t VALUES (2)")
    writer.commit()
    before = path.read_bytes(), (tmp_path / "wal.db-wal").read_bytes()
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)
    with open_driver(engine, "sqlite") as driver:
        assert driver.execute(ValidatedQuery("SELECT SUM(a) FROM t", "sqlite", (), ()), Limits()).rows == (
            (3,),
        )
    assert (path.read_bytes(), (tmp_path / "wal.db-wal").read_bytes()) == before
    writer.close()
