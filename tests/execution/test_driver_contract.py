"""What every driver promises, on real engines, with queries that no validation has seen."""

from __future__ import annotations

import datetime as dt
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from sqlgen.errors import LimitReached, QueryFailed, UsageError
from sqlgen.execution import open_driver
from sqlgen.execution.compare import results_equal
from sqlgen.types import Limits, ResultColumn, ValidatedQuery

ENDLESS = {
    "recursion": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r",
    "product": "SELECT COUNT(*) FROM item a, item b, item c, item d WHERE a.name < d.name",
    "wide product": "SELECT MAX(LENGTH(a.name) + b.id * c.id) FROM item a, item b, item c, item d",
}
WRITES = (
    "INSERT INTO item (id) VALUES (-1)",
    "UPDATE item SET name = 'x'",
    "DELETE FROM item",
    "DROP TABLE item",
    "CREATE TABLE other (a INTEGER)",
    "ALTER TABLE item ADD COLUMN extra INTEGER",
    "SELECT 1; DELETE FROM item",
    "SELECT 1; DROP TABLE item",
    "COMMIT; DROP TABLE item",
)


def test_rows_columns_and_time(shop: Any) -> None:
    result = shop.run("SELECT id, name FROM item WHERE id < 3 ORDER BY id DESC")
    assert [column.name for column in result.columns] == ["id", "name"]
    assert all(column.type for column in result.columns)
    assert result.rows == ((2, "item 2"), (1, "item 1"), (0, "item 0"))
    assert not result.truncated
    assert result.elapsed_s > 0


def test_one_question_one_answer_everywhere(shop: Any, sqlite_shop: Any) -> None:
    sql = "SELECT made, COUNT(*) AS n, SUM(price) AS total FROM item WHERE id < 500 GROUP BY made"
    assert results_equal(sqlite_shop.run(sql), shop.run(sql))


def test_values_are_plain_python(shop: Any) -> None:
    ((day, price, nothing),) = shop.run("SELECT made, price, NULL FROM item WHERE id = 5").rows
    assert nothing is None
    assert day == "2024-01-06" if shop.dialect == "sqlite" else day == dt.date(2024, 1, 6)
    assert type(price) in (Decimal, float)
    assert price == Decimal("1.25")


def test_percent_colon_and_quotes_arrive_as_written(shop: Any) -> None:
    assert shop.run("SELECT COUNT(*) FROM item WHERE name LIKE 'item 1%'").rows[0][0] == 1111
    assert shop.run("SELECT '100%' AS a, ':x %s %% ''é☕' AS b").rows == (("100%", ":x %s %% 'é☕"),)


def test_a_comment_at_the_end_is_harmless(shop: Any) -> None:
    assert shop.run("SELECT 1 AS a -- done").rows == ((1,),)


def test_two_columns_of_one_name(shop: Any) -> None:
    result = shop.run("SELECT a.id, b.id FROM item a JOIN item b ON b.id = a.id + 1 WHERE a.id = 7")
    assert [column.name for column in result.columns] == ["id", "id"]
    assert result.rows == ((7, 8),)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_rows_are_cut_and_said_so(shop: Any, more: int) -> None:
    result = shop.run("SELECT id FROM item ORDER BY id LIMIT 700", max_rows=700 + more)
    assert len(result.rows) == min(700, 700 + more)
    assert result.truncated is (more < 0)


def test_no_rows_have_columns(shop: Any) -> None:
    result = shop.run("SELECT id, name FROM item WHERE id < 0")
    assert result.rows == ()
    assert not result.truncated
    assert [column.name for column in result.columns] == ["id", "name"]


def test_bytes_are_cut_and_said_so(shop: Any) -> None:
    result = shop.run("SELECT id, name, price, made FROM item", max_bytes=20_000, max_rows=5000)
    assert result.truncated
    assert 20 < len(result.rows) < 1500
    assert shop.run("SELECT COUNT(*) FROM item").rows == ((3000,),)


def test_one_row_beyond_the_byte_limit_is_an_error(shop: Any) -> None:
    wide = "hex(zeroblob(50000))" if shop.dialect == "sqlite" else "REPEAT('x', 100000)"
    with pytest.raises(LimitReached) as caught:
        shop.run(f"SELECT {wide} FROM item", max_bytes=50_000)
    assert caught.value.limit == "bytes"
    assert shop.run("SELECT 1").rows == ((1,),)


@pytest.mark.parametrize("sql", WRITES)
def test_writing_fails_at_the_engine(shop: Any, sql: str) -> None:
    with pytest.raises(QueryFailed):
        shop.run(sql)
    assert shop.run("SELECT COUNT(*), MIN(id) FROM item WHERE name <> 'x'").rows == ((3000, 0),)
    assert [c.name for c in shop.run("SELECT * FROM item LIMIT 1").columns] == ["id", "name", "price", "made"]


@pytest.mark.parametrize("sql", ["", "-- nothing", "SELECT nosuch FROM item", "SELEC 1", "SELECT '\0'"])
def test_a_broken_query_is_one_clean_line(shop: Any, sql: str) -> None:
    with pytest.raises(QueryFailed) as caught:
        shop.run(sql)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert "/tmp" not in message
    assert shop.run("SELECT 1").rows == ((1,),)


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_work_is_stopped(shop: Any, name: str) -> None:
    started = time.monotonic()
    with pytest.raises(LimitReached) as caught:
        shop.run(ENDLESS[name], timeout_s=1.0)
    assert caught.value.limit == "time"
    assert "1 s" in str(caught.value)
    assert time.monotonic() - started < 2.0
    assert shop.run("SELECT 1").rows == ((1,),)


def test_threads_share_a_driver(shop: Any) -> None:
    def work(thread: int) -> list[tuple[Any, ...]]:
        return [
            shop.run(f"SELECT id, name FROM item WHERE id = {thread * 100 + i}").rows[0] for i in range(20)
        ]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(work, range(8)))
    assert answers == [[(t * 100 + i, f"item {t * 100 + i}") for i in range(20)] for t in range(8)]


def test_a_slow_query_does_not_hold_up_the_others(shop: Any) -> None:
    def slow() -> None:
        with pytest.raises(LimitReached):
            shop.run(ENDLESS["product"], timeout_s=1.5)

    shop.run("SELECT 1")
    thread = threading.Thread(target=slow)
    thread.start()
    time.sleep(0.3)
    started = time.monotonic()
    assert shop.run("SELECT 2").rows == ((2,),)
    assert time.monotonic() - started < 1.0
    thread.join()


@pytest.mark.parametrize("given", ["SELECT 1", None, ("SELECT 1", "sqlite", (), ()), sa.text("SELECT 1")])
def test_only_a_checked_query_is_accepted(shop: Any, given: Any) -> None:
    with pytest.raises(TypeError, match="ValidatedQuery"):
        shop.driver.execute(given, Limits())


def test_a_query_for_another_dialect_is_refused(shop: Any) -> None:
    other = "mysql" if shop.dialect != "mysql" else "sqlite"
    with pytest.raises(UsageError, match="checked for"):
        shop.driver.execute(ValidatedQuery("SELECT 1", other, (), ()), Limits())  # type: ignore[arg-type]


@pytest.mark.parametrize("limits", [Limits(timeout_s=0), Limits(max_rows=0), Limits(max_bytes=-1)])
def test_senseless_limits_are_refused(shop: Any, limits: Limits) -> None:
    with pytest.raises(UsageError, match="above zero"):
        shop.driver.execute(ValidatedQuery("SELECT 1", shop.dialect, (), ()), limits)


def test_closing_ends_it_and_leaves_the_engine(shop: Any) -> None:
    driver = open_driver(shop.engine, shop.dialect)
    checked = ValidatedQuery("SELECT 1 AS a", shop.dialect, (), ())
    assert driver.execute(checked, Limits()).columns[0].name == "a"
    driver.close()
    driver.close()
    with pytest.raises(UsageError, match="closed"):
        driver.execute(checked, Limits())
    with shop.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_an_unknown_dialect_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="oracle"):
        open_driver(sa.create_engine("sqlite://"), "oracle")  # type: ignore[arg-type]


def test_types_in_words(shop: Any) -> None:
    columns = shop.run("SELECT id, name, price, made FROM item ORDER BY id").columns
    words = {
        "sqlite": ("INTEGER", "TEXT", "REAL", "TEXT"),
        "duckdb": ("INTEGER", "VARCHAR", "DECIMAL(10,2)", "DATE"),
        "postgres": ("int4", "varchar(50)", "numeric(10,2)", "date"),
        "mysql": ("INT", "VARCHAR", "DECIMAL", "DATE"),
    }
    assert columns == tuple(map(ResultColumn, ("id", "name", "price", "made"), words[shop.dialect]))
