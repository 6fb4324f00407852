"""Questions written for queries, and which of them are kept."""

from __future__ import annotations

import pytest

from sqlgen.sql.fingerprint import fingerprint, form_of, says_again
from sqlgen.training.logs.realise import realise
from sqlgen.types import Catalog, Column, ForeignKey, RetrievedContext, Table, TableSlice

CUSTOMERS = Table(
    "customers",
    (
        Column("id", "INTEGER", "number", primary_key=True),
        Column("name", "TEXT", "text"),
        Column("country", "TEXT", "text", comment="country of residence"),
        Column("signup", "DATE", "date"),
        Column("active", "BOOLEAN", "bool"),
        Column("manager_id", "INTEGER", "number"),
    ),
    foreign_keys=(ForeignKey(("manager_id",), "customers", ("id",)),),
)
ORDERS = Table(
    "orders",
    (
        Column("id", "INTEGER", "number", primary_key=True),
        Column("customer_id", "INTEGER", "number"),
        Column("placed", "DATE", "date"),
        Column("total", "REAL", "number"),
        Column("status", "TEXT", "text"),
    ),
    foreign_keys=(ForeignKey(("customer_id",), "customers", ("id",)),),
)
CATALOG = Catalog("sqlite", (CUSTOMERS, ORDERS))


def questions(sql: str, metrics: dict[str, str] | None = None) -> tuple[str, ...]:
    tables = [t.key for t in CATALOG.tables if t.name in sql]
    return realise(sql, "sqlite", CATALOG, tables, metrics)


@pytest.mark.parametrize(
    ("sql", "question"),
    [
        ("SELECT COUNT(*) FROM orders", "How many orders are there?"),
        ("SELECT name FROM customers WHERE country = 'Peru'", "Show the name of all customers whose country is Peru."),
        ("SELECT status, COUNT(*) FROM orders GROUP BY status", "For each status, show the number of orders."),
        ("SELECT AVG(total) FROM orders WHERE placed >= '2024-03-01' AND placed < '2024-04-01'",
         "What is the average total of orders whose placed is in March 2024?"),
        ("SELECT id FROM orders ORDER BY total DESC LIMIT 3", "What are the id of the 3 orders with the highest total?"),
        ("SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)",
         "Show the name of all customers that have no orders."),
        ("SELECT c.name FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id, c.name HAVING COUNT(*) > 2",
         "Which customer names have more than 2 orders?"),
        ("SELECT id FROM orders WHERE total > (SELECT AVG(total) FROM orders)",
         "Show the id of all orders whose total is more than the average total of orders."),
        ("SELECT 100.0 * SUM(CASE WHEN status = 'open' THEN 1 ELSE 0 END) / COUNT(*) FROM orders",
         "What is the percentage of orders where the status is open?"),
        ("SELECT country FROM customers WHERE signup IS NULL OR active = 1",
         "Show the country of all customers whose signup is missing or active is true."),
        ("SELECT COUNT(*) FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
         "How many customers that have no orders are there?"),
        ("SELECT COUNT(*) FROM (SELECT customer_id FROM orders GROUP BY customer_id HAVING COUNT(*) >= 2) AS d",
         "How many customers with at least 2 orders are there?"),
    ],
)  # fmt: skip
def test_the_plainest_wording(sql: str, question: str) -> None:
    assert questions(sql)[0] == question


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM customers WHERE country IN ('Peru', 'Chile') AND signup > '2024-05-17'",
        "SELECT country, COUNT(DISTINCT manager_id), MAX(signup) FROM customers GROUP BY country ORDER BY 2 DESC LIMIT 5",
        "SELECT c.country, SUM(o.total) / COUNT(*) FROM orders o JOIN customers c ON c.id = o.customer_id "
        "WHERE o.status <> 'cancelled' GROUP BY c.country ORDER BY c.country",
        "SELECT name FROM customers WHERE name LIKE '%ann%' EXCEPT SELECT name FROM customers WHERE active = 0",
        "SELECT strftime('%Y-%m', placed), SUM(total) FROM orders GROUP BY 1 ORDER BY 1",
        "SELECT name FROM customers WHERE signup BETWEEN '2024-01-05' AND '2024-02-07'",
    ],
)
def test_every_wording_holds_the_query(sql: str) -> None:
    found = questions(sql)
    assert len(found) in (4, 8)
    assert len(set(found)) == len(found)
    context = RetrievedContext(tuple(TableSlice(t, 1.0, "") for t in CATALOG.tables if t.name in sql))
    again = {says_again(sql, "sqlite", context, question) for question in found}
    assert len(again) == 1
    assert None not in again
    for question in found:
        assert question[0].isupper() or question[0].isdigit()
        assert form_of(sql, "sqlite", context, question)


@pytest.mark.parametrize(
    ("sql", "brief"),
    [
        ("SELECT name FROM customers", {"Show me all customers.", "Customers"}),
        ("SELECT COUNT(DISTINCT c.name) FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.placed > '2024-05-17'",
         {"How many customers after 2024-05-17 are there?"}),
        ("SELECT o.total FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.name = 'Ann' AND o.status = 'paid'",
         {"List the total for orders by customer Ann that are paid.", "Totals of the orders of Ann that are paid"}),
        ("SELECT id FROM orders ORDER BY total DESC LIMIT 3", {"Show the top 3 orders by total."}),
        ("SELECT AVG(total) FROM orders WHERE placed BETWEEN '2024-05-17' AND '2024-06-03'",
         {"What is the average total of orders between 2024-05-17 and 2024-06-03?"}),
    ],
)  # fmt: skip
def test_a_brief_wording_leaves_out_the_columns_that_people_leave_out(sql: str, brief: set[str]) -> None:
    assert brief <= set(questions(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT total FROM orders WHERE status = 'paid' OR placed > '2024-05-17'",
        "SELECT total FROM orders WHERE total > 55",
        "SELECT total FROM orders WHERE status <> 'paid'",
    ],
)
def test_a_condition_keeps_its_column_where_the_value_alone_would_say_something_else(sql: str) -> None:
    column = "total" if "55" in sql else "status"
    assert questions(sql)
    assert all(column in question.lower() for question in questions(sql))


def test_the_same_words_every_time() -> None:
    sql = "SELECT name FROM customers WHERE country = 'Peru' ORDER BY signup DESC LIMIT 2"
    assert questions(sql) == questions(sql)


def test_descriptions_and_metrics_lend_their_words() -> None:
    assert any(
        "country of residence" in q
        for q in questions("SELECT country, COUNT(*) FROM customers GROUP BY country")
    )
    named = questions(
        "SELECT status, SUM(total) FROM orders GROUP BY status", {"SUM(orders.total)": "gross revenue"}
    )
    assert named[0] == "For each status, show the gross revenue."


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM customers WHERE name LIKE 'a_b%'",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r, customers",
        "SELECT name FROM customers GROUP BY ROLLUP (name)",
    ],
)
def test_what_cannot_be_said_has_no_question(sql: str) -> None:
    assert questions(sql) == ()


def test_a_wording_that_loses_the_value_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlgen.training.logs import realise as module

    spoken = module._Speaker.value
    monkeypatch.setattr(
        module._Speaker, "value", lambda self: "something" if self.style == 0 else spoken(self), raising=True
    )
    found = questions("SELECT name FROM customers WHERE country = 'Peru'")
    assert len(found) == 7
    assert all("Peru" in question for question in found)


def test_fingerprints_tell_structure_apart_and_nothing_else() -> None:
    def mark(sql: str) -> str:
        return fingerprint(sql, "postgres")

    same = "SELECT a.x, COUNT(*) AS n FROM t AS a JOIN u AS b ON a.i = b.i WHERE a.y = 1 AND b.z > 'q' GROUP BY a.x ORDER BY n LIMIT 5"
    assert mark(same) == mark(
        'select "t"."x", count(*) from T t join U on t.i = u.i where u.z > \'other\' and t.y = -7 group by t.x order by count(*) limit 9'
    ) or mark(same) == mark(
        "select t.x, count(*) c from t join u on t.i = u.i where u.z > 'other' and t.y = -7 group by t.x order by c limit 9"
    )
    for other in (
        same.replace("a.x", "a.w"),
        same.replace("COUNT(*)", "SUM(a.y)"),
        same.replace(" AND ", " OR "),
        same.replace("b.z >", "b.z <"),
        same.replace("JOIN", "LEFT JOIN"),
        same.replace(" LIMIT 5", ""),
    ):
        assert mark(other) != mark(same)
    assert mark("SELECT a.n FROM p a JOIN p b ON a.i = b.j WHERE a.k = 1") != mark(
        "SELECT b.n FROM p a JOIN p b ON a.i = b.j WHERE a.k = 1"
    )


RIVERS = Table(
    "river",
    (
        Column("river_name", "TEXT", "text"),
        Column("length", "INTEGER", "number"),
        Column("state", "TEXT", "text"),
    ),
)
STATES = Table(
    "state",
    (
        Column("state_name", "TEXT", "text"),
        Column("population", "INTEGER", "number"),
        Column("area", "REAL", "number"),
        Column("capital", "TEXT", "text"),
    ),
)


@pytest.mark.parametrize(
    ("sql", "brief"),
    [
        ("SELECT river_name FROM river ORDER BY length DESC LIMIT 1", {"What is the longest river?", "Longest river"}),
        ("SELECT river_name FROM river WHERE length = (SELECT MIN(length) FROM river)", {"What is the shortest river?"}),
        ("SELECT river_name FROM river WHERE state = 'ohio' ORDER BY length LIMIT 3", {"What are the 3 shortest rivers in ohio?"}),
        ("SELECT capital FROM state WHERE area = (SELECT MAX(area) FROM state)", {"What is the capital of the largest state?"}),
        ("SELECT capital FROM state ORDER BY population DESC LIMIT 1", {"What is the capital of the most populous state?"}),
        ("SELECT river_name FROM river WHERE state = (SELECT state_name FROM state WHERE area = (SELECT MAX(area) FROM state))",
         {"Show me all rivers in the largest state."}),
        ("SELECT COUNT(river_name) FROM river WHERE state = 'ohio'", {"How many rivers in ohio are there?"}),
        ("SELECT MAX(length), state FROM river WHERE length = (SELECT MAX(length) FROM river) GROUP BY state",
         {"For each state, show the highest length of rivers with the highest length."}),
    ],
)  # fmt: skip
def test_a_brief_wording_has_the_superlatives_and_places_of_english(sql: str, brief: set[str]) -> None:
    tables = (RIVERS, STATES)
    found = realise(sql, "sqlite", Catalog("sqlite", tables), [t.key for t in tables if t.name in sql])
    assert brief <= set(found)


def test_what_something_is_about_and_who_made_it_have_words_of_their_own() -> None:
    papers = Table(
        "papers",
        (
            Column("title", "TEXT", "text"),
            Column("author", "TEXT", "text"),
            Column("keyword", "TEXT", "text"),
        ),
    )
    found = realise(
        "SELECT title FROM papers WHERE author = 'Ann Lee' AND keyword = 'Parsing'",
        "sqlite",
        Catalog("sqlite", (papers,)),
        ["papers"],
    )
    assert {
        "Show me all papers by Ann Lee on the key word Parsing.",
        "What are the papers of Ann Lee about Parsing?",
    } <= set(found)


def test_the_best_of_the_rows_asked_for_has_its_superlative_whatever_the_order_of_the_conditions() -> None:
    rivers = Table(
        "rivers",
        (
            Column("name", "TEXT", "text"),
            Column("length", "REAL", "number"),
            Column("country", "TEXT", "text"),
            Column("kind", "TEXT", "text"),
        ),
    )
    world = Catalog("sqlite", (rivers,))
    around = "SELECT name FROM rivers WHERE country = 'Peru' AND length = ({}) AND kind = 'wild'"
    same = around.format("SELECT MAX(length) FROM rivers WHERE kind = 'wild' AND country = 'Peru'")
    assert "What is the longest river in Peru with wild?" in realise(same, "sqlite", world, ["rivers"])
    others = "SELECT MAX(length) FROM rivers WHERE country = 'Chile' AND kind = 'wild'"
    assert not any("longest" in q for q in realise(around.format(others), "sqlite", world, ["rivers"]))
    fewer = "SELECT MAX(length) FROM rivers WHERE country = 'Peru'"
    assert not any("longest" in q for q in realise(around.format(fewer), "sqlite", world, ["rivers"]))
