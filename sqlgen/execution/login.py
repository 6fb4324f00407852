"""What a login could do if every check failed: the account is the last wall, so its rights are worth knowing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy.exc

from sqlgen.errors import ConnectionFailed
from sqlgen.execution.driver import one_line
from sqlgen.types import Dialect, Finding

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["LoginReport", "inspect_login"]

_SHOWN = 5
# what reading needs, and what a default installation gives everybody
_HARMLESS = frozenset({"USAGE", "SELECT", "SHOW VIEW", "SHOW DATABASES"})


@dataclass(frozen=True, slots=True)
class LoginReport:
    """``user`` is the login as the server knows it; ``risks`` what it could do beyond reading, worst first."""

    dialect: Dialect
    user: str
    server: str
    risks: tuple[Finding, ...]

    @property
    def reads_only(self) -> bool:
        """Whether nothing was found that goes beyond reading."""
        return not self.risks


def inspect_login(engine: Engine, dialect: Dialect) -> LoginReport:
    """Ask the server what the login of ``engine`` may do; for a file, what this process may. Reads only.

    Raises ConnectionFailed when the database cannot be asked.

    >>> inspect_login(sqlalchemy.create_engine("sqlite://"), "sqlite").reads_only
    True
    """
    try:
        with engine.connect() as connection:
            if dialect == "postgres":
                return _postgres(connection)
            if dialect == "mysql":
                return _mysql(connection)
            return _file(connection, dialect)
    except sqlalchemy.exc.SQLAlchemyError as error:
        said = one_line(str(getattr(error, "orig", None) or error))
        raise ConnectionFailed(f"the rights of this login cannot be read: {said}") from None


def _risk(rule: str, message: str, names: list[str] | None = None) -> Finding:
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        message = f"{message}: {', '.join(names[:_SHOWN])}{more}"
    return Finding(rule, one_line(message, 500))


# -- PostgreSQL ----------------------------------------------------------------------------------

_PG_ATTRIBUTES = (
    (
        "rolsuper",
        "superuser",
        "is a superuser: it may do anything, files and programs of the server included",
    ),
    ("rolbypassrls", "bypass_rls", "sees rows that row-level security hides from others"),
    ("rolreplication", "replication", "may copy the whole server as a replica"),
    ("rolcreaterole", "roles", "may make and change roles"),
    ("rolcreatedb", "create", "may create databases"),
)
_PG_ROLES = {
    "pg_execute_server_program": ("programs", "may run programs on the server"),
    "pg_write_server_files": ("files", "may write files of the server"),
    "pg_read_server_files": ("files", "may read files of the server"),
    "pg_write_all_data": ("write", "may write to every table"),
    "pg_signal_backend": ("signal", "may end other people's sessions"),
    "pg_maintain": ("maintain", "may vacuum, cluster and lock every table"),
    "pg_checkpoint": ("maintain", "may order checkpoints"),
    "pg_create_subscription": ("replication", "may subscribe to other servers"),
}
_PG_USER_SCHEMA = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


def _postgres(connection: Connection) -> LoginReport:
    def ask(sql: str) -> list[Any]:
        return list(connection.exec_driver_sql(sql).all())

    ((user, version),) = ask("SELECT current_user, current_setting('server_version')")
    # attributes and memberships count through every role that the login may take on
    roles = ask(
        "SELECT rolname, rolsuper, rolbypassrls, rolreplication, rolcreaterole, rolcreatedb FROM pg_roles "
        "WHERE pg_has_role(current_user, oid, 'MEMBER') ORDER BY rolname <> current_user, rolname"
    )
    risks: list[Finding] = []
    is_superuser = any(role.rolsuper for role in roles)
    for attribute, rule, message in _PG_ATTRIBUTES:
        having = [role.rolname for role in roles if getattr(role, attribute)]
        if having:
            through = "" if user in having else f" (as {having[0]})"
            risks.append(_risk(rule, f"the login {message}{through}"))
    if is_superuser:
        return LoginReport("postgres", user, f"PostgreSQL {version}", tuple(risks))
    names = {role.rolname for role in roles}
    risks += [_risk(rule, f"the login {text}") for name, (rule, text) in _PG_ROLES.items() if name in names]
    tables = ask(
        "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n "
        f"ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_PG_USER_SCHEMA} "
        "AND (has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') "
        "OR has_any_column_privilege(c.oid, 'INSERT, UPDATE')) ORDER BY 1"
    )
    if tables:
        risks.append(_risk("write", f"the login may change {len(tables)} tables", [t[0] for t in tables]))
    sequences = ask(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        # CASE, because the function fails on what is no sequence and AND keeps no order
        f"WHERE {_PG_USER_SCHEMA} AND CASE WHEN c.relkind = 'S' "
        "THEN has_sequence_privilege(c.oid, 'USAGE, UPDATE') END ORDER BY 1"
    )
    if sequences:
        risks.append(_risk("write", "the login may advance sequences", [s[0] for s in sequences]))
    schemas = ask(
        f"SELECT n.nspname FROM pg_namespace n WHERE {_PG_USER_SCHEMA} "
        "AND has_schema_privilege(n.oid, 'CREATE') ORDER BY 1"
    )
    if schemas:
        risks.append(_risk("create", "the login may create tables in the schemas", [s[0] for s in schemas]))
    if ask("SELECT 1 WHERE has_database_privilege(current_database(), 'CREATE')"):
        risks.append(_risk("create", "the login may create schemas in this database"))
    definers = ask(
        "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        f"WHERE p.prosecdef AND {_PG_USER_SCHEMA} AND has_function_privilege(p.oid, 'EXECUTE') ORDER BY 1"
    )
    if definers:
        risks.append(
            _risk("definer", "functions that run with their owner's rights", [d[0] for d in definers])
        )
    outward = ask(
        "SELECT extname FROM pg_extension WHERE extname IN "
        "('dblink', 'postgres_fdw', 'file_fdw', 'adminpack', 'lo', 'plpython3u', 'plperlu', 'http') ORDER BY 1"
    )
    if outward:
        names_found = [e[0] for e in outward]
        risks.append(
            _risk("extension", "extensions that reach out of the database are installed", names_found)
        )
    return LoginReport("postgres", user, f"PostgreSQL {version}", tuple(risks))


# -- MySQL and MariaDB ---------------------------------------------------------------------------

_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?P<on>.+?) TO ", re.IGNORECASE)
_MYSQL_RULES = (
    ("superuser", ("ALL PRIVILEGES", "SUPER")),
    ("files", ("FILE",)),
    ("roles", ("GRANT OPTION", "CREATE USER", "PROXY")),
    ("programs", ("EXECUTE", "TRIGGER", "EVENT", "CREATE ROUTINE", "ALTER ROUTINE")),
    ("write", ("INSERT", "UPDATE", "DELETE", "DELETE HISTORY")),
    (
        "create",
        ("CREATE", "DROP", "ALTER", "INDEX", "CREATE VIEW", "CREATE TEMPORARY TABLES", "CREATE TABLESPACE"),
    ),
    ("lock", ("LOCK TABLES",)),
)


def _mysql(connection: Connection) -> LoginReport:
    ((user, version),) = connection.exec_driver_sql("SELECT CURRENT_USER(), VERSION()").all()
    held: dict[str, list[str]] = {}
    for (line,) in connection.exec_driver_sql("SHOW GRANTS").all():
        for right, on in _rights_of(str(line)):
            places = held.setdefault(right, [])
            if on not in places:
                places.append(on)
    risks = list(_mysql_risks(held))
    if "FILE" in held or "ALL PRIVILEGES" in held:
        ((folder,),) = connection.exec_driver_sql("SELECT @@GLOBAL.secure_file_priv").all()
        if not folder:
            risks.append(_risk("files", "the server bounds no folder for files (secure_file_priv is empty)"))
    product = "MariaDB" if "MariaDB" in str(version) else "MySQL"
    return LoginReport("mysql", str(user), f"{product} {version}", tuple(risks))


def _rights_of(grant: str) -> Iterator[tuple[str, str]]:
    """The rights that one line of SHOW GRANTS gives, and on what.

    >>> list(_rights_of("GRANT SELECT, INSERT (`a`, `b`) ON `shop`.* TO `ann`@`%` WITH GRANT OPTION"))
    [('SELECT', 'shop.*'), ('INSERT', 'shop.*'), ('GRANT OPTION', 'shop.*')]
    """
    found = _GRANT.match(grant)
    if found is None:
        return
    on = found["on"].replace("`", "").removeprefix("TABLE ")
    for right in re.sub(r"\([^)]*\)", "", found["rights"]).split(","):
        yield right.strip().upper(), on
    if grant.upper().rstrip().endswith("WITH GRANT OPTION"):
        yield "GRANT OPTION", on


def _mysql_risks(held: dict[str, list[str]]) -> Iterator[Finding]:
    ruled = {right: rule for rule, rights in _MYSQL_RULES for right in rights}
    order = [rule for rule, _ in _MYSQL_RULES]
    beyond = sorted(
        (right for right in held if right not in _HARMLESS),
        key=lambda right: (order.index(ruled[right]) if right in ruled else len(order), right),
    )
    for right in beyond:
        yield _risk(ruled.get(right, "administration"), f"the login has {right} on", held[right])


# -- files ---------------------------------------------------------------------------------------


def _file(connection: Connection, dialect: Dialect) -> LoginReport:
    listing = (
        "PRAGMA database_list"
        if dialect == "sqlite"
        else "SELECT 0, database_name, path FROM duckdb_databases()"
    )
    paths = [str(path) for _, _, path in connection.exec_driver_sql(listing).all() if path]
    risks = []
    for path in paths:
        if os.access(path, os.W_OK):
            risks.append(
                _risk(
                    "writable_file",
                    f"this process may write to the file {os.path.basename(path)}; sqlgen opens it read-only, "
                    "a file that it may not write is safer still",
                )
            )
    product = "SQLite" if dialect == "sqlite" else "DuckDB"
    return LoginReport(dialect, f"uid {os.getuid()}" if hasattr(os, "getuid") else "", product, tuple(risks))
