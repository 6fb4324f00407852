"""Exact set match and hardness against cases made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sqlgen.eval.suite import catalogs_of_tables_json
from sqlgen.sql.exact_match import clause_sets, exact_set_match, hardness
from sqlgen.types import Catalog

JOIN = "FROM author AS T1 JOIN book AS T2 ON T1.id = T2.author_id"

SAME = {
    "itself": ("SELECT name FROM author", "SELECT name FROM author"),
    "order of columns": ("SELECT name, born FROM author", "SELECT born, name FROM author"),
    "case of names and words": ("SELECT name FROM author", "select NAME from Author"),
    "quoted names": ("SELECT name FROM author", 'SELECT "name" FROM "author"'),
    "names qualified or not": ("SELECT name FROM author", "SELECT author.name FROM author"),
    "other aliases": (
        f"SELECT T1.name {JOIN}",
        "SELECT a.name FROM author AS a JOIN book AS b ON a.id = b.author_id",
    ),
    "names of the select list": ("SELECT count(*) FROM author", "SELECT count(*) AS n FROM author"),
    "order by a name of the select list": (
        "SELECT country FROM author GROUP BY country ORDER BY count(*)",
        "SELECT country FROM author GROUP BY country ORDER BY COUNT(*) ASC",
    ),
    "order of joined tables": (
        f"SELECT T2.title {JOIN}",
        "SELECT T2.title FROM book AS T2 JOIN author AS T1 ON T1.id = T2.author_id",
    ),
    "order of conditions": (
        "SELECT name FROM author WHERE born > 1950 AND country = 'Chile'",
        "SELECT name FROM author WHERE country = 'Chile' AND born > 1950",
    ),
    "values": ("SELECT name FROM author WHERE born > 1950", "SELECT name FROM author WHERE born > 1"),
    "values in double quotes": (
        "SELECT name FROM author WHERE country = 'Chile'",
        'SELECT name FROM author WHERE country = "Norway"',
    ),
    "values in double quotes below FROM": (
        "SELECT count(*) FROM (SELECT name FROM author WHERE country = 'Chile')",
        'SELECT count(*) FROM (SELECT name FROM author WHERE country = "Chile")',
    ),
    "number behind LIMIT": (
        "SELECT name FROM author ORDER BY born LIMIT 1",
        "SELECT name FROM author ORDER BY born LIMIT 3",
    ),
    "DISTINCT at the top": ("SELECT DISTINCT name FROM author", "SELECT name FROM author"),
    "DISTINCT in an aggregate": ("SELECT count(DISTINCT name) FROM author", "SELECT count(name) FROM author"),
    "both ends of a foreign key": (f"SELECT T1.id {JOIN}", f"SELECT T2.author_id {JOIN}"),
    "grouped by both ends of a foreign key": (
        f"SELECT count(*) {JOIN} GROUP BY T1.id",
        f"SELECT count(*) {JOIN} GROUP BY T2.author_id",
    ),
    "the same nested query": (
        "SELECT name FROM author WHERE id IN (SELECT author_id FROM book WHERE year > 1)",
        "SELECT name FROM author WHERE id IN (SELECT author_id FROM book WHERE year > 2)",
    ),
    "not equal in both spellings": (
        "SELECT name FROM author WHERE id <> 1",
        "SELECT name FROM author WHERE id != 1",
    ),
    "the condition of a join": (
        f"SELECT T1.name {JOIN}",
        "SELECT T1.name FROM author AS T1 JOIN book AS T2 ON T1.id = T2.id",
    ),
    "ASC written out": ("SELECT name FROM author ORDER BY born", "SELECT name FROM author ORDER BY born ASC"),
    "the last direction counts for all": (
        "SELECT name FROM author ORDER BY born DESC, id DESC",
        "SELECT name FROM author ORDER BY born, id DESC",
    ),
    "values in HAVING": (
        "SELECT country FROM author GROUP BY country HAVING count(*) > 1",
        "SELECT country FROM author GROUP BY country HAVING count(*) > 2",
    ),
    "DISTINCT in HAVING": (
        "SELECT country FROM author GROUP BY country HAVING count(DISTINCT name) > 1",
        "SELECT country FROM author GROUP BY country HAVING count(name) > 2",
    ),
    "mixed AND and OR in another order": (
        "SELECT name FROM author WHERE id = 1 AND born = 2 OR country = 'x'",
        "SELECT name FROM author WHERE id = 1 OR born = 2 AND country = 'x'",
    ),
    "a column compared with another one": (
        "SELECT title FROM book WHERE year > price",
        "SELECT title FROM book WHERE year > id",
    ),
    "DISTINCT in both parts": (
        "SELECT DISTINCT name FROM author EXCEPT SELECT title FROM book",
        "SELECT name FROM author EXCEPT SELECT DISTINCT title FROM book",
    ),
    "ORDER BY of an aggregate with DISTINCT": (
        "SELECT country FROM author GROUP BY country ORDER BY count(DISTINCT name)",
        "SELECT country FROM author GROUP BY country ORDER BY count(name)",
    ),
    "aliases of the same table": (
        "SELECT T2.name FROM author AS T1 JOIN author AS T2 ON T1.id = T2.id",
        "SELECT T1.name FROM author AS T1 JOIN author AS T2 ON T1.id = T2.id",
    ),
    "parts of a set operation": (
        "SELECT name, born FROM author WHERE id = 1 UNION SELECT name, born FROM author WHERE id = 2",
        "SELECT born, name FROM author WHERE id = 1 UNION SELECT born, name FROM author WHERE id = 3",
    ),
}

DIFFERENT = {
    "another column": ("SELECT name FROM author", "SELECT country FROM author"),
    "a column more": ("SELECT name FROM author", "SELECT name, born FROM author"),
    "a column twice": ("SELECT name FROM author", "SELECT name, name FROM author"),
    "another aggregate": ("SELECT max(born) FROM author", "SELECT min(born) FROM author"),
    "no aggregate": ("SELECT count(name) FROM author", "SELECT name FROM author"),
    "another table": ("SELECT id FROM author", "SELECT id FROM book"),
    "a join more": ("SELECT name FROM author", f"SELECT T1.name {JOIN}"),
    "an outer join": (f"SELECT T1.name {JOIN}", f"SELECT T1.name {JOIN.replace('JOIN', 'LEFT JOIN')}"),
    "another operator": ("SELECT name FROM author WHERE born > 1", "SELECT name FROM author WHERE born >= 1"),
    "NOT": (
        "SELECT name FROM author WHERE name LIKE 'A%'",
        "SELECT name FROM author WHERE name NOT LIKE 'A%'",
    ),
    "OR for AND": (
        "SELECT name FROM author WHERE born > 1 AND id > 1",
        "SELECT name FROM author WHERE born > 1 OR id > 1",
    ),
    "a condition more": (
        "SELECT name FROM author WHERE id > 1",
        "SELECT name FROM author WHERE id > 1 AND born > 1",
    ),
    "no LIMIT": ("SELECT name FROM author ORDER BY born LIMIT 1", "SELECT name FROM author ORDER BY born"),
    "other direction": (
        "SELECT name FROM author ORDER BY born",
        "SELECT name FROM author ORDER BY born DESC",
    ),
    "order of sorting": (
        "SELECT name FROM author ORDER BY born, id",
        "SELECT name FROM author ORDER BY id, born",
    ),
    "no ORDER BY": ("SELECT name FROM author ORDER BY born", "SELECT name FROM author"),
    "another grouping": (
        "SELECT count(*) FROM author GROUP BY country",
        "SELECT count(*) FROM author GROUP BY born",
    ),
    "no HAVING": (
        "SELECT country FROM author GROUP BY country HAVING count(*) > 1",
        "SELECT country FROM author GROUP BY country",
    ),
    "a value for a nested query": (
        "SELECT name FROM author WHERE id IN (SELECT author_id FROM book)",
        "SELECT name FROM author WHERE id IN (1, 2)",
    ),
    "order of columns in a nested query": (
        "SELECT name FROM author WHERE id IN (SELECT id FROM book WHERE year > 1 AND price > 1)",
        "SELECT name FROM author WHERE id IN (SELECT id FROM book WHERE price > 1 AND year > 1)",
    ),
    "DISTINCT in a nested query": (
        "SELECT name FROM author WHERE id IN (SELECT author_id FROM book)",
        "SELECT name FROM author WHERE id IN (SELECT DISTINCT author_id FROM book)",
    ),
    "a value in a query below FROM": (
        "SELECT count(*) FROM (SELECT name FROM author WHERE country = 'Chile')",
        "SELECT count(*) FROM (SELECT name FROM author WHERE country = 'Japan')",
    ),
    "another set operation": (
        "SELECT id FROM author UNION SELECT id FROM book",
        "SELECT id FROM author EXCEPT SELECT id FROM book",
    ),
    "sides of a set operation": (
        "SELECT id FROM author EXCEPT SELECT id FROM book",
        "SELECT id FROM book EXCEPT SELECT id FROM author",
    ),
    "order of grouped columns": (
        "SELECT count(*) FROM author GROUP BY country, born",
        "SELECT count(*) FROM author GROUP BY born, country",
    ),
    "order of conditions in HAVING": (
        "SELECT country FROM author GROUP BY country HAVING count(*) > 1 AND max(born) > 2",
        "SELECT country FROM author GROUP BY country HAVING max(born) > 2 AND count(*) > 1",
    ),
    "number behind a nested LIMIT": (
        "SELECT name FROM author WHERE id = (SELECT author_id FROM book ORDER BY price LIMIT 1)",
        "SELECT name FROM author WHERE id = (SELECT author_id FROM book ORDER BY price LIMIT 2)",
    ),
    "both ends of a key in a nested query": (
        f"SELECT name FROM author WHERE id IN (SELECT T1.id {JOIN})",
        f"SELECT name FROM author WHERE id IN (SELECT T2.author_id {JOIN})",
    ),
    "one end of a key, its table not joined": ("SELECT id FROM author", "SELECT author_id FROM book"),
    "BETWEEN for two comparisons": (
        "SELECT name FROM author WHERE born BETWEEN 1 AND 2",
        "SELECT name FROM author WHERE born >= 1 AND born <= 2",
    ),
    "sides of a comparison of columns": (
        "SELECT title FROM book WHERE year > price",
        "SELECT title FROM book WHERE price < year",
    ),
    "count of a column for all": ("SELECT count(*) FROM author", "SELECT count(id) FROM author"),
    "LIMIT without its ORDER BY": (
        "SELECT name FROM author ORDER BY born LIMIT 1",
        "SELECT name FROM author LIMIT 1",
    ),
    "text that does not parse": ("SELECT name FROM author", "SELECT FROM WHERE ("),
    "nothing": ("SELECT name FROM author", ""),
}


@pytest.fixture(scope="module")
def catalog(spider_files: Any) -> Catalog:
    return catalogs_of_tables_json(spider_files.tables)["library"]


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME.keys())
def test_what_matches(pair: tuple[str, str], catalog: Catalog) -> None:
    assert exact_set_match(*pair, catalog, "sqlite")
    assert exact_set_match(pair[1], pair[0], catalog, "sqlite")


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_does_not_match(pair: tuple[str, str], catalog: Catalog) -> None:
    assert not exact_set_match(*pair, catalog, "sqlite")
    assert not exact_set_match(pair[1], pair[0], catalog, "sqlite")


def test_queries_outside_of_spiders_grammar_match_themselves(catalog: Catalog) -> None:
    for sql in (
        "WITH a AS (SELECT id FROM author) SELECT count(*) FROM a",
        "SELECT strftime('%Y', born) FROM author",
        "SELECT name, row_number() OVER (PARTITION BY country ORDER BY born) FROM author",
        "SELECT sum(price) / count(*) FROM book",
        "SELECT CASE WHEN born > 1960 THEN 'young' ELSE 'old' END FROM author",
        "SELECT name FROM author WHERE EXISTS (SELECT 1 FROM book WHERE book.author_id = author.id)",
        "SELECT name FROM author ORDER BY born LIMIT 2 OFFSET 1",
    ):
        assert exact_set_match(sql, sql, catalog, "sqlite"), sql
    young, old = "SELECT strftime('%Y', born) FROM author", "SELECT strftime('%m', born) FROM author"
    assert not exact_set_match(young, old, catalog, "sqlite")


def test_hardness_of_every_question_of_the_fixture(spider_files: Any) -> None:
    catalogs = catalogs_of_tables_json(spider_files.tables)
    for db_id, _, gold, expected in spider_files.asked:
        assert hardness(gold, catalogs[db_id], "sqlite") == expected, gold


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT name FROM author", "easy"),
        ("SELECT name, born FROM author", "medium"),
        ("SELECT name FROM author WHERE born > 1 AND id > 1", "medium"),
        ("SELECT country, count(*) FROM author GROUP BY country", "medium"),
        ("SELECT name, born FROM author WHERE id > 1 AND born > 1 ORDER BY born", "extra"),
        ("SELECT name FROM author WHERE id > 1 ORDER BY born LIMIT 1", "hard"),
        ("SELECT name FROM author WHERE id IN (SELECT author_id FROM book)", "hard"),
        (
            "SELECT name FROM author WHERE born > 1 OR id > 1 OR country LIKE 'N%' ORDER BY born LIMIT 1",
            "extra",
        ),
        ("SELECT id FROM author EXCEPT SELECT author_id FROM book WHERE year > 1", "hard"),
        ("SELECT country FROM author WHERE id > 1 GROUP BY country ORDER BY count(*) LIMIT 1", "extra"),
        ("not sql at all (", None),
    ],
)
def test_hardness_by_the_published_rule(sql: str, expected: str | None, catalog: Catalog) -> None:
    assert hardness(sql, catalog, "sqlite") == expected


def test_a_trailing_order_belongs_to_the_last_part_of_a_set_operation(catalog: Catalog) -> None:
    query = clause_sets(
        "SELECT id FROM author UNION SELECT id FROM book ORDER BY id LIMIT 2", catalog, "sqlite"
    )
    assert query is not None
    assert query.then is not None
    assert not query.order_by
    assert query.then[1].limit == "2"
    assert len(query.then[1].order_by) == 1


def test_three_parts_read_from_left_to_right(catalog: Catalog) -> None:
    query = clause_sets("SELECT 1 UNION SELECT 2 EXCEPT SELECT 3", catalog, "sqlite")
    assert query is not None
    assert query.then is not None
    assert query.then[0] == "union"
    assert query.then[1].then is not None
    assert query.then[1].then[0] == "except"


def test_tables_json_as_catalogs(spider_files: Any) -> None:
    catalog = catalogs_of_tables_json(spider_files.tables)["garage"]
    car = catalog.table("car")
    assert car is not None
    assert [key.target for key in car.foreign_keys] == ["owner"]
    model = car.column("model")
    assert model is not None
    assert (model.comment, model.kind, model.primary_key) == ("model name", "text", False)
