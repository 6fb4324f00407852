"""PostgreSQL and MariaDB: what happens on the server, and when it goes away."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sqlgen.errors import ConnectionFailed, LimitReached, QueryFailed, UsageError
from sqlgen.execution import open_driver
from sqlgen.types import Dialect, Limits, ValidatedQuery

SLOW: dict[str, str] = {
    "postgres": "SELECT COUNT(*) FROM item a, item b, item c, item d WHERE a.name < d.name",
    "mysql": "SELECT COUNT(*) FROM item a, item b, item c, item d WHERE a.name < d.name",
}


@pytest.fixture(params=["postgres", "mysql"])
def server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{request.param}_shop")


def busy(shop: Any) -> list[int]:
    """Ids of the sessions that run something in the shop's database, but for the one that asks."""
    statement = {
        "postgres": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND state <> 'idle'",
        "mysql": "SELECT id FROM information_schema.processlist WHERE db = DATABASE() "
        "AND id <> CONNECTION_ID() AND command <> 'Sleep'",
    }[shop.dialect]
    with shop.engine.connect() as connection:
        return [int(row[0]) for row in connection.execute(sa.text(statement))]


def wait_for(condition: Callable[[], Any], timeout_s: float = 5.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


def end_sessions(shop: Any, ids: list[int]) -> None:
    word = "SELECT pg_terminate_backend({})" if shop.dialect == "postgres" else "KILL {}"
    with shop.engine.connect() as connection:
        for number in ids:
            connection.exec_driver_sql(word.format(number))


def test_nothing_runs_on_after_the_limit(server: Any) -> None:
    with pytest.raises(LimitReached):
        server.run(SLOW[server.dialect], timeout_s=0.5)
    wait_for(lambda: not busy(server), 2.0)
    assert busy(server) == []


def test_nothing_runs_on_after_a_cut(server: Any) -> None:
    result = server.run("SELECT a.name, b.name FROM item a, item b, item c", max_rows=10)
    assert (len(result.rows), result.truncated) == (10, True)
    assert result.elapsed_s < 5
    wait_for(lambda: not busy(server), 2.0)
    assert busy(server) == []


def test_the_server_is_asked_to_stop_when_its_own_limit_is_gone(server: Any) -> None:
    # a session variable set by the query itself: the client's deadline still holds
    if server.dialect == "postgres":
        sql = "SELECT set_config('statement_timeout', '0', true), pg_sleep(1e-9 * id), id FROM item"
        sql += " UNION ALL SELECT '', pg_sleep(30), 0"
    else:
        pytest.skip("MariaDB takes no SET inside a query")
    started = time.monotonic()
    with pytest.raises(LimitReached) as caught:
        server.run(sql, timeout_s=1.0, max_rows=5000)
    assert caught.value.limit == "time"
    assert time.monotonic() - started < 2.0
    wait_for(lambda: not busy(server), 2.0)
    assert busy(server) == []


def test_a_session_ended_mid_query_is_a_typed_error(server: Any) -> None:
    server.run("SELECT 1")

    def end() -> None:
        end_sessions(server, wait_for(lambda: busy(server)))

    thread = threading.Timer(0.5, end)
    thread.start()
    with pytest.raises(ConnectionFailed, match="gone"):
        server.run(SLOW[server.dialect], timeout_s=20.0)
    thread.join()
    assert server.run("SELECT 1").rows == ((1,),)


def test_sessions_that_died_while_idle_are_replaced_unseen(server: Any) -> None:
    with open_driver(server.engine, server.dialect) as driver:
        query = ValidatedQuery("SELECT 1", server.dialect, (), ())
        driver.execute(query, Limits())
        statement = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            if server.dialect == "postgres"
            else "SELECT id FROM information_schema.processlist "
            "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        with server.engine.connect() as connection:
            ids = [int(row[0]) for row in connection.execute(sa.text(statement))]
        end_sessions(server, ids)
        time.sleep(0.2)
        assert driver.execute(query, Limits()).rows == ((1,),)
    assert server.run("SELECT 2").rows == ((2,),)


def test_a_lock_is_waited_for_and_named(server: Any) -> None:
    lock = (
        "LOCK TABLE item IN ACCESS EXCLUSIVE MODE"
        if server.dialect == "postgres"
        else "LOCK TABLES item WRITE"
    )
    with server.engine.connect() as connection:
        connection.exec_driver_sql(lock)
        started = time.monotonic()
        with pytest.raises((QueryFailed, LimitReached)):
            server.run("SELECT * FROM item LIMIT 1", timeout_s=1.0)
        assert time.monotonic() - started < 2.5
        if server.dialect == "mysql":
            connection.exec_driver_sql("UNLOCK TABLES")
    assert server.run("SELECT COUNT(*) FROM item").rows == ((3000,),)


def test_the_caller_s_pool_is_left_alone(server: Any) -> None:
    setting = "application_name" if server.dialect == "postgres" else "@@SESSION.sql_mode"
    show = f"SHOW {setting}" if server.dialect == "postgres" else f"SELECT {setting}, @@SESSION.tx_read_only"
    with server.engine.connect() as connection:
        before = connection.exec_driver_sql(show).all()
    server.run("SELECT 1")
    with server.engine.begin() as connection:
        assert connection.exec_driver_sql(show).all() == before
        connection.exec_driver_sql("CREATE TABLE scratch (a INTEGER)")
        connection.exec_driver_sql("DROP TABLE scratch")


def test_other_database_modules_are_refused_by_name(server: Any) -> None:
    class Other:
        driver = "pg8000"

    with pytest.raises(UsageError, match=r"postgresql\+psycopg|mysql\+pymysql"):
        open_driver(Other(), server.dialect)  # type: ignore[arg-type]


def test_an_unreachable_server_is_a_typed_error(server: Any) -> None:
    url = server.engine.url.set(host="127.0.0.1", port=1)
    if server.dialect == "postgres":
        url = url.difference_update_query(["host"])
    engine = sa.create_engine(url)
    started = time.monotonic()
    with open_driver(engine, server.dialect) as driver, pytest.raises(ConnectionFailed) as caught:
        driver.execute(ValidatedQuery("SELECT 1", server.dialect, (), ()), Limits())
    assert time.monotonic() - started < 5
    assert "127.0.0.1" not in str(caught.value)


ODD_POSTGRES = """SELECT DATE '0044-03-15 BC', DATE 'infinity', TIMESTAMP '-infinity',
    TIMESTAMP '2024-01-02 03:04:05', TIMESTAMPTZ '2024-01-02 03:04:05+00',
    TIME '24:00', INTERVAL '1 day 2 hours', INTERVAL '170000000 years',
    'NaN'::numeric, 'NaN'::float8, 1.50::numeric, ARRAY[1, NULL],
    ARRAY[DATE '0001-01-01 BC'], '{"a": [1]}'::jsonb, '\\x00ff'::bytea, '10.0.0.1'::inet,
    '00000000-0000-0000-0000-000000000001'::uuid, (1, 'x'), int4range(1, 5),
    B'101', '5 MB'::text, 2::oid, NULL, TRUE"""


def test_odd_postgres_values(postgres_shop: Any) -> None:
    result = postgres_shop.run(ODD_POSTGRES)
    row = result.rows[0]
    assert row[:4] == ("0044-03-15 BC", "infinity", "-infinity", dt.datetime(2024, 1, 2, 3, 4, 5))
    assert row[4] == dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert row[5:8] == ("24:00:00", dt.timedelta(days=1, hours=2), "170000000 years")
    assert row[8].is_nan()
    assert math.isnan(row[9])
    assert row[10:14] == (Decimal("1.50"), [1, None], ["0001-01-01 BC"], {"a": [1]})
    assert row[14:18] == (b"\0\xff", "10.0.0.1", "00000000-0000-0000-0000-000000000001", ["1", "x"])
    assert row[18:] == ("[1, 5)", "101", "5 MB", 2, None, True)
    assert [c.type for c in result.columns][10:12] == ["numeric", "int4[]"]


def test_postgres_runs_one_statement_and_no_writing_query(postgres_shop: Any) -> None:
    for sql in (
        "WITH gone AS (DELETE FROM item RETURNING id) SELECT * FROM gone",
        "SELECT 1; COMMIT; DROP TABLE item",
        "SELECT * INTO other FROM item",
        "SELECT nextval('nosuch')",
        "SELECT id FROM item FOR UPDATE",
        "COPY item TO '/tmp/out.csv'",
        "EXPLAIN ANALYZE DELETE FROM item",
        "SET statement_timeout = 0",
        "LISTEN news",
    ):
        with pytest.raises(QueryFailed):
            postgres_shop.run(sql)
    assert postgres_shop.run("SELECT COUNT(*) FROM item").rows == ((3000,),)


def test_postgres_sessions_come_back_clean(postgres_shop: Any) -> None:
    postgres_shop.run("SELECT pg_advisory_lock(42), set_config('search_path', 'nowhere', false)")
    assert postgres_shop.run("SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'").rows == ((0,),)
    assert postgres_shop.run("SELECT current_setting('search_path')").rows[0][0] != "nowhere"


def test_odd_mariadb_values(mysql_shop: Any) -> None:
    with mysql_shop.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE odd (d DATE, t DATETIME, b BIT(3), j JSON, x BLOB, h TIME)")
        connection.exec_driver_sql("SET SESSION sql_mode = ''")
        connection.exec_driver_sql(
            "INSERT INTO odd VALUES "
            "('0000-00-00', '0000-00-00 00:00:00', b'101', '{\"a\": 1}', x'00ff', '838:59:59')"
        )
    (row,) = mysql_shop.run("SELECT * FROM odd").rows
    assert row == (
        "0000-00-00",
        "0000-00-00 00:00:00",
        b"\5",
        '{"a": 1}',
        b"\0\xff",
        dt.timedelta(hours=838, minutes=59, seconds=59),
    )
    assert mysql_shop.run("SELECT 1.50, 1 / 3, TRUE, NULL, 1e0").rows[0][0] == Decimal("1.50")


def test_mariadb_takes_queries_only(mysql_shop: Any) -> None:
    for sql in (
        "SET SESSION TRANSACTION READ WRITE",
        "COMMIT",
        "FLUSH TABLES",
        "ANALYZE TABLE item",
        "/*! DROP TABLE item */",
        "/* why */ DROP TABLE item",
        "LOCK TABLES item WRITE",
        "DO SLEEP(1)",
        "PREPARE p FROM 'DROP TABLE item'",
        "SELECT * FROM item FOR UPDATE",
        "TRUNCATE item",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
    ):
        with pytest.raises(QueryFailed):
            mysql_shop.run(sql)
    for sql in ("/* why */ SELECT 1", "-- why\n(SELECT 1)", "  WITH a AS (SELECT 1 AS x) SELECT x FROM a"):
        assert mysql_shop.run(sql).rows == ((1,),)


def test_mariadb_reads_text_as_it_was_checked(new_mariadb_database: Callable[[], str]) -> None:
    engine = sa.create_engine(new_mariadb_database(), connect_args={"sql_mode": "ANSI,NO_BACKSLASH_ESCAPES"})
    with open_driver(engine, "mysql") as driver:
        query = ValidatedQuery("""SELECT "text" AS a, 'it\\'s' AS b, 'x' || 'y' AS c""", "mysql", (), ())
        assert driver.execute(query, Limits()).rows == (("text", "it's", 0),)
    engine.dispose()


def test_mariadb_counts_a_long_recursion_to_its_end(mysql_shop: Any) -> None:
    rounds = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5000)"
    sql = f"{rounds} SELECT COUNT(*) FROM r"
    assert mysql_shop.run(sql).rows == ((5000,),)


def test_mariadb_refuses_connections_with_several_statements(mysql_shop: Any) -> None:
    from pymysql.constants import CLIENT

    engine = sa.create_engine(mysql_shop.engine.url, connect_args={"client_flag": CLIENT.MULTI_STATEMENTS})
    with open_driver(engine, "mysql") as driver, pytest.raises(UsageError, match="MULTI_STATEMENTS"):
        driver.execute(ValidatedQuery("SELECT 1", "mysql", (), ()), Limits())
    engine.dispose()


# -- a network that goes silent ------------------------------------------------------------------


class Relay:
    """Passes bytes between a client and a server until told to swallow or to drop them."""

    def __init__(self, listener: socket.socket, dial: Callable[[], socket.socket]) -> None:
        self.listener, self.dial = listener, dial
        self.silent = False
        self.pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = self.dial()
            self.pairs += [client, upstream]
            for source, sink in ((client, upstream), (upstream, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if not self.silent:
                    sink.sendall(data)
        except OSError:
            return
        finally:
            if not self.silent:
                for end in (source, sink):
                    end.close()

    def close(self) -> None:
        self.listener.close()
        for end in self.pairs:
            end.close()


@pytest.fixture
def relayed(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Relay]]:
    url = server.engine.url
    folder = url.query.get("host") or (url.host if (url.host or "").startswith("/") else None)
    if folder:
        name = f".s.PGSQL.{url.port or url.query.get('port') or 5432}"
        here = Path(f"/tmp/sqlgen-relay-{id(url) % 100000}")
        here.mkdir(exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(here / name))
        url = url.update_query_dict({"host": str(here)})

        def dial() -> socket.socket:
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(f"{folder}/{name}")
            return upstream
    else:
        here = None
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        address = (url.host or "127.0.0.1", url.port or 3306)
        url = url.set(host="127.0.0.1", port=listener.getsockname()[1])

        def dial() -> socket.socket:
            return socket.create_connection(address)

    listener.listen()
    relay = Relay(listener, dial)
    engine = sa.create_engine(url, poolclass=sa.pool.QueuePool, connect_args={"connect_timeout": 2})
    with open_driver(engine, server.dialect) as driver:
        yield driver, relay
    engine.dispose()
    relay.close()
    if here is not None:
        for entry in here.iterdir():
            entry.unlink()
        here.rmdir()


def test_a_silent_network_is_bounded_by_the_clients_deadline(relayed: tuple[Any, Relay]) -> None:
    driver, relay = relayed
    dialect: Dialect = driver.dialect
    query = ValidatedQuery("SELECT COUNT(*) FROM item", dialect, (), ())
    assert driver.execute(query, Limits()).rows == ((3000,),)
    relay.silent = True
    started = time.monotonic()
    with pytest.raises(LimitReached) as caught:
        driver.execute(query, Limits(timeout_s=1.0))
    assert caught.value.limit == "time"
    assert time.monotonic() - started < 2.5
    relay.silent = False
    assert driver.execute(query, Limits()).rows == ((3000,),)


def test_a_dropped_network_is_a_typed_error_and_heals(relayed: tuple[Any, Relay]) -> None:
    driver, relay = relayed
    dialect: Dialect = driver.dialect
    slow = ValidatedQuery(SLOW[dialect], dialect, (), ())
    query = ValidatedQuery("SELECT COUNT(*) FROM item", dialect, (), ())
    assert driver.execute(query, Limits()).rows == ((3000,),)

    def drop() -> None:
        for end in relay.pairs:
            # shutting one end may already have closed the other
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(0.5, drop)
    timer.start()
    with pytest.raises(ConnectionFailed):
        driver.execute(slow, Limits(timeout_s=10.0))
    timer.join()
    assert driver.execute(query, Limits()).rows == ((3000,),)


def test_overhead_of_a_query_on_a_server(server: Any, benchmark: Any) -> None:
    assert benchmark(server.run, "SELECT 1").rows == ((1,),)
