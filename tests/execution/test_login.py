"""What a login could do, told from real accounts of real servers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sqlgen.errors import ConnectionFailed
from sqlgen.execution.login import LoginReport, inspect_login


def rules(report: LoginReport) -> set[str]:
    return {risk.rule for risk in report.risks}


@pytest.fixture
def postgres_login(new_postgres_database: Callable[[], str]) -> Any:
    """Make a login with these rights and inspect it; ``{role}`` stands for its name."""
    owner = sa.create_engine(new_postgres_database())
    role = f"login_{owner.url.database}"
    with owner.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id SERIAL, a INTEGER)")
        connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        connection.exec_driver_sql(f"GRANT SELECT ON t TO {role}")

    def inspect(*grants: str) -> LoginReport:
        with owner.begin() as connection:
            for grant in grants:
                connection.exec_driver_sql(grant.replace("{role}", role))
        engine = sa.create_engine(owner.url.set(username=role))
        try:
            return inspect_login(engine, "postgres")
        finally:
            engine.dispose()

    yield inspect
    with owner.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")
    owner.dispose()


def test_a_postgres_reader_has_no_risks(postgres_login: Any) -> None:
    report = postgres_login()
    assert report.risks == ()
    assert report.reads_only
    assert report.user.startswith("login_")
    assert report.server.startswith("PostgreSQL ")


@pytest.mark.parametrize(
    ("grant", "rule", "word"),
    [
        ("GRANT INSERT ON t TO {role}", "write", "public.t"),
        ("GRANT UPDATE (a) ON t TO {role}", "write", "public.t"),
        ("GRANT TRUNCATE ON t TO {role}", "write", "public.t"),
        ("GRANT USAGE ON SEQUENCE t_id_seq TO {role}", "write", "t_id_seq"),
        ("GRANT CREATE ON SCHEMA public TO {role}", "create", "public"),
        ("GRANT pg_read_server_files TO {role}", "files", "read files"),
        ("GRANT pg_write_server_files TO {role}", "files", "write files"),
        ("GRANT pg_execute_server_program TO {role}", "programs", "programs"),
        ("GRANT pg_write_all_data TO {role}", "write", "every table"),
        ("GRANT pg_signal_backend TO {role}", "signal", "sessions"),
        ("ALTER ROLE {role} CREATEROLE", "roles", "roles"),
        ("ALTER ROLE {role} CREATEDB", "create", "databases"),
        ("ALTER ROLE {role} REPLICATION", "replication", "replica"),
        ("ALTER ROLE {role} BYPASSRLS", "bypass_rls", "row-level"),
        ("ALTER ROLE {role} SUPERUSER", "superuser", "anything"),
        ("CREATE FUNCTION f() RETURNS INT LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "definer", "f"),
    ],
)
def test_each_right_of_a_postgres_login_is_told(
    postgres_login: Any, grant: str, rule: str, word: str
) -> None:
    report = postgres_login(grant)
    assert not report.reads_only
    assert any(risk.rule == rule and word in risk.message for risk in report.risks), report.risks


@pytest.fixture
def mariadb_login(new_mariadb_database: Callable[[], str]) -> Any:
    """Make an account with these rights and inspect it."""
    url = sa.make_url(new_mariadb_database())
    owner = sa.create_engine(url)
    account = f"'{url.database[-16:]}'@'%%'" if url.database else ""
    with owner.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INTEGER)")
        connection.exec_driver_sql(f"CREATE USER {account} IDENTIFIED BY 'secret'")

    def inspect(*grants: str) -> LoginReport:
        with owner.begin() as connection:
            for grant in grants:
                connection.exec_driver_sql(
                    grant.replace("{account}", account).replace("{db}", str(url.database))
                )
        engine = sa.create_engine(url.set(username=str(url.database)[-16:], password="secret"))
        try:
            return inspect_login(engine, "mysql")
        finally:
            engine.dispose()

    yield inspect
    with owner.begin() as connection:
        connection.exec_driver_sql(f"DROP USER {account}")
    owner.dispose()


def test_a_mariadb_reader_has_no_risks(mariadb_login: Any) -> None:
    report = mariadb_login("GRANT SELECT, SHOW VIEW ON {db}.* TO {account}")
    assert report.risks == ()
    assert "MariaDB" in report.server


@pytest.mark.parametrize(
    ("grant", "rule"),
    [
        ("GRANT SELECT, INSERT ON {db}.* TO {account}", "write"),
        ("GRANT SELECT, UPDATE (a) ON {db}.t TO {account}", "write"),
        ("GRANT ALL PRIVILEGES ON {db}.* TO {account}", "superuser"),
        ("GRANT CREATE TEMPORARY TABLES, SELECT ON {db}.* TO {account}", "create"),
        ("GRANT EXECUTE, SELECT ON {db}.* TO {account}", "programs"),
        ("GRANT LOCK TABLES, SELECT ON {db}.* TO {account}", "lock"),
        ("GRANT SELECT ON {db}.* TO {account} WITH GRANT OPTION", "roles"),
        ("GRANT PROCESS ON *.* TO {account}", "administration"),
        ("GRANT RELOAD ON *.* TO {account}", "administration"),
    ],
)
def test_each_right_of_a_mariadb_login_is_told(mariadb_login: Any, grant: str, rule: str) -> None:
    grants = [grant] if "{db}" in grant else ["GRANT SELECT ON {db}.* TO {account}", grant]
    assert rule in rules(mariadb_login(*grants))


def test_files_on_a_mariadb_server_are_told(mariadb_login: Any) -> None:
    report = mariadb_login("GRANT SELECT ON {db}.* TO {account}", "GRANT FILE ON *.* TO {account}")
    assert "files" in rules(report)
    assert any("FILE" in risk.message for risk in report.risks)


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb"])
def test_a_file_that_can_be_written_is_told(
    dialect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"shop.{dialect}"
    engine = sa.create_engine(f"{dialect}:///{path}", poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INTEGER)")
    report = inspect_login(engine, dialect)
    assert rules(report) == {"writable_file"}
    assert "shop" in report.risks[0].message
    assert str(tmp_path) not in report.risks[0].message
    # root may write to everything, so the rights of the file alone don't tell in a container
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert inspect_login(engine, dialect).reads_only


def test_a_server_that_is_gone_is_one_clean_line() -> None:
    engine = sa.create_engine("mysql+pymysql://ann:geheim@127.0.0.1:1/shop")
    with pytest.raises(ConnectionFailed) as caught:
        inspect_login(engine, "mysql")
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)
