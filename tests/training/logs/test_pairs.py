"""From statements to pairs: what stays, what goes and why, with which question and weight."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from sqlgen.pipeline import Database
from sqlgen.sql.fingerprint import fingerprint
from sqlgen.training.logs.ingest import import_log
from sqlgen.training.logs.pairs import LogPair, Mined, collect, log_path, mine, weight_of
from sqlgen.training.logs.review import Queue
from sqlgen.training.logs.store import LogStore
from sqlgen.training.logs.titles import title_of


def mined(store: LogStore, shop: Database, rows: Iterable[dict[str, object] | str], tmp_path: Path) -> Mined:
    log = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
    log.write_text("".join(json.dumps(r if isinstance(r, dict) else {"sql": r}) + "\n" for r in rows))
    import_log(store, log, dialect="sqlite", format="jsonl")
    return mine(store, shop)


def test_pairs_of_one_statement(store: LogStore, shop: Database, tmp_path: Path) -> None:
    rows = [f"SELECT name FROM customers WHERE city = '{city}'" for city in ("Oslo", "Rome", "Oslo")]
    found = mined(store, shop, rows, tmp_path)
    assert found.fingerprints == 1
    assert {p.runs for p in found.pairs} == {3}
    assert {(p.question, p.sql) for p in found.pairs} >= {
        (
            "Show the name of all customers whose city is Oslo.",
            "SELECT name FROM customers WHERE city = 'Oslo'",
        ),
        (
            "Show the name of all customers whose city is Rome.",
            "SELECT name FROM customers WHERE city = 'Rome'",
        ),
    }
    assert all(p.source == "written" for p in found.pairs)
    assert {p.fingerprint for p in found.pairs} == {fingerprint(rows[0], "sqlite")}
    assert len({p.id for p in found.pairs}) == len(found.pairs)


def test_wordings_are_shared_among_the_texts_of_a_statement(
    store: LogStore, shop: Database, tmp_path: Path
) -> None:
    cities = ("Oslo", "Rome", "Lima", "Kyiv")
    rows = [f"SELECT name FROM customers WHERE city = '{city}'" for city in cities]
    found = mined(store, shop, rows, tmp_path).pairs
    assert len(found) == 16
    of = {city: [p.question.replace(city, "*") for p in found if city in p.sql] for city in cities}
    assert {len(wordings) for wordings in of.values()} == {4}
    assert len({wording for wordings in of.values() for wording in wordings}) >= 6


def test_questions_and_titles_of_people_come_first(store: LogStore, shop: Database, tmp_path: Path) -> None:
    found = mined(
        store,
        shop,
        [
            {"sql": "SELECT COUNT(*) FROM orders", "question": "How busy were we?"},
            "-- Monthly revenue\nSELECT strftime('%Y-%m', placed), SUM(total) FROM orders GROUP BY 1",
            "/* title: Big orders */ SELECT id FROM orders WHERE total > 55",
        ],
        tmp_path,
    )
    asked = {p.source: {q.question for q in found.pairs if q.source == p.source} for p in found.pairs}
    assert asked["log"] == {"How busy were we?"}
    assert asked["title"] == {"Monthly revenue", "Big orders"}
    best = max(found.pairs, key=lambda p: p.weight)
    assert best.source == "log"


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT name FROM secrets", "validation: unknown_table"),
        ("SELECT salary FROM customers", "the schema no longer has what it names"),
        ("SELECT 1", "catalog or driver"),
        ("SELECT name FROM sqlite_master", "catalog or driver"),
        ("SELECT * FROM customers WHERE id = 7 LIMIT 21", "a row by its key"),
        ('SELECT customers.id AS customers_id, customers.name AS customers_name FROM customers '
         "WHERE customers.id = 1", "a row by its key"),
        ("SELECT 1 FROM orders WHERE total > 5 LIMIT 1", "a test for rows"),
        ("SELECT name FROM customers; SELECT 2", "several statements"),
        ("WITH x AS (DELETE FROM orders RETURNING id) SELECT id FROM x", "does not parse"),
        ("SELECT (((", "does not parse"),
        ("SELECT name FROM customers WHERE city = '{{ city }}'", "a template, not a statement"),
        ("SELECT name FROM customers WHERE length(name) > ?", "parameters without values"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_counted_by_cause(
    store: LogStore, shop: Database, tmp_path: Path, sql: str, why: str
) -> None:
    found = mined(store, shop, [sql, sql, "SELECT COUNT(*) FROM orders"], tmp_path)
    assert {p.sql for p in found.pairs} == {"SELECT COUNT(*) FROM orders"}
    (cause,) = found.dropped
    assert cause == why or (
        why == "does not parse" and cause in ("does not parse", "validation: not_allowed")
    )
    assert found.dropped[cause] == 2


def test_parameters_get_values_of_their_columns(store: LogStore, shop: Database, tmp_path: Path) -> None:
    found = mined(store, shop, ["SELECT name FROM customers WHERE city = ? LIMIT ?"], tmp_path)
    assert {p.sql for p in found.pairs} == {"SELECT name FROM customers WHERE city = 'Oslo' LIMIT 10"}


def test_what_runs_under_its_new_name_needs_no_proposal(
    store: LogStore, shop: Database, tmp_path: Path
) -> None:
    shop.retrieve("orders")
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as connection:
        connection.execute("ALTER TABLE orders RENAME TO sales")
    found = mined(store, shop, ["SELECT MAX(total) FROM orders"], tmp_path)
    assert (found.pairs, {p.sql for p in found.proposed}) == ((), {"SELECT MAX(total) FROM sales"})
    again = mined(store, shop, ["SELECT MAX(total) FROM sales"], tmp_path)
    assert {p.sql for p in again.pairs} == {"SELECT MAX(total) FROM sales"}
    assert again.proposed == ()
    assert [sql for _, sql in again.drifted] == ["SELECT MAX(total) FROM orders"]


def test_a_statement_that_runs_all_day_does_not_drown_the_rest(
    store: LogStore, shop: Database, tmp_path: Path
) -> None:
    columns = ("id", "name", "city", "email")
    others = [f"SELECT {a} FROM customers ORDER BY {b}" for a in columns for b in columns]
    others += [f"SELECT {a}, COUNT(*) FROM customers GROUP BY {a}" for a in columns]
    others += [
        "SELECT SUM(total) FROM orders",
        "SELECT MIN(total) FROM orders",
        "SELECT MAX(total) FROM orders",
    ]
    flood = [{"sql": "SELECT COUNT(DISTINCT city) FROM customers", "user": f"u{n % 20}"} for n in range(2000)]
    found = mined(store, shop, [*flood, *others], tmp_path)
    assert found.fingerprints == 24
    total = sum(p.weight for p in found.pairs)
    share = sum(p.weight for p in found.pairs if p.runs == 2000) / total
    assert 0.04 < share < 0.08
    assert sum(p.weight for p in found.pairs) / len(found.pairs) == pytest.approx(1, abs=0.05)


def test_weights_grow_with_runs_users_and_recency() -> None:
    assert weight_of(100, 1, 0) > weight_of(10, 1, 0) > weight_of(10, 1, 90) > weight_of(10, 1, 10_000)
    assert weight_of(10, 4, 0) > weight_of(10, 1, 0)
    assert weight_of(1, 1, 0, "corrected") == 2 * weight_of(1, 1, 0)
    assert weight_of(10**9, 10**6, 0) == weight_of(1000, 16, 0)


def test_nothing_of_a_log_is_ever_run(
    store: LogStore, shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(shop), "_open_driver", lambda self: pytest.fail("a statement was about to run"))
    assert mined(store, shop, ["SELECT COUNT(*) FROM orders"], tmp_path).pairs


def test_rejected_answers_are_no_pairs(store: LogStore, shop: Database, tmp_path: Path) -> None:
    found = mined(
        store, shop, [{"sql": "SELECT COUNT(*) FROM orders", "question": "How many customers?", "verdict": "wrong"}], tmp_path
    )  # fmt: skip
    assert found.pairs == ()
    assert found.dropped == {"rejected by a person": 1}


def test_what_was_made_is_kept_until_the_catalog_changes(
    store: LogStore, shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mined(store, shop, ["SELECT COUNT(*) FROM orders"], tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("sqlgen.training.logs.pairs._study", lambda *_: pytest.fail("made again"))
        assert mine(store, shop).pairs == first.pairs
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as connection:
        connection.execute("ALTER TABLE orders RENAME TO sales")
    assert mine(store, shop).dropped == {"the schema no longer has what it names": 1}


def test_review_decides_and_takes_back(store: LogStore, shop: Database, tmp_path: Path) -> None:
    rows = ["SELECT COUNT(*) FROM orders", "SELECT name FROM customers", "SELECT MAX(total) FROM orders"]
    found = mined(store, shop, rows, tmp_path)
    queue = Queue(store, found.pairs)
    assert len(queue) == 3

    first = queue.current
    assert first is not None
    queue.reject()
    second = queue.current
    assert second is not None
    queue.accept()
    queue.edit("Which order was the biggest?", "SELECT MAX(total) FROM orders")
    assert queue.current is None
    again = mine(store, shop)
    assert first.id not in {p.id for p in again.pairs}
    reviewed = {p.question for p in again.pairs if p.source == "reviewed"}
    assert reviewed == {second.question, "Which order was the biggest?"}
    assert again.dropped == {"rejected in review": 1}

    assert queue.undo()
    assert queue.undo()
    assert queue.undo()
    assert not queue.undo()
    assert queue.current == first
    assert store.decisions() == {}
    assert mine(store, shop).pairs == found.pairs


def test_review_goes_on_where_it_was_left(store: LogStore, shop: Database, tmp_path: Path) -> None:
    found = mined(store, shop, ["SELECT COUNT(*) FROM orders", "SELECT name FROM customers"], tmp_path)
    Queue(store, found.pairs).accept()
    left = Queue(store, mine(store, shop).pairs)
    assert len(left) == 1
    left.skip()
    assert left.current is None
    assert len(Queue(store, mine(store, shop).pairs)) == 1
    assert len(Queue(store, mine(store, shop).pairs, every=True)) == len(found.pairs) - 1


def test_judged_answers_of_the_product_are_pairs(shop: Database, tmp_path: Path) -> None:
    from sqlgen.types import Answer, ModelInfo, Question

    def answer(number: int, text: str, sql: str) -> None:
        done = Answer(
            Question(text, "sqlite"), "answered", sql, "sqlite", ModelInfo("m", "1"), f"abcd{number}"
        )
        shop.history.add(done, database=shop.identity, url="", context="")

    answer(1, "How many orders?", "SELECT COUNT(*) FROM orders")
    answer(2, "Biggest order?", "SELECT MIN(total) FROM orders")
    answer(3, "All names?", "SELECT city FROM customers")
    answer(4, "Not judged?", "SELECT email FROM customers")
    shop.history.judge("abcd1", "right", "SELECT COUNT(*) FROM orders")
    shop.history.judge("abcd2", "corrected", "SELECT MAX(total) FROM orders")
    shop.history.judge("abcd3", "wrong")
    found = collect(shop)
    assert {(p.question, p.sql, p.source) for p in found.pairs} == {
        ("How many orders?", "SELECT COUNT(*) FROM orders", "history"),
        ("Biggest order?", "SELECT MAX(total) FROM orders", "history"),
    }
    assert found.dropped == {"rejected by a person": 1}
    assert found.pairs[0].question == "Biggest order?"
    assert not log_path(shop).exists() or log_path(shop).stat().st_size


@pytest.mark.parametrize(
    ("sql", "title"),
    [
        ("-- Top customers from Germany\nSELECT 1", "Top customers from Germany"),
        ("-- ------------\n-- Orders by month\n-- ------------\nSELECT 1", "Orders by month"),
        ("/*\n * Revenue per region.\n * Author: somebody\n */\nSELECT 1", "Revenue per region"),
        ("SELECT a, -- name: Late shipments\nb FROM t", "Late shipments"),
        ("SELECT 1 -- only the last one", ""),
        ("-- UserId: your user id\nSELECT 1", ""),
        ("-- SELECT old FROM t\nSELECT 1", ""),
        ("-- and a.b = c.d\nSELECT 1", ""),
        ("/*application='web',traceparent='00-1-01'*/ SELECT 1", ""),
        ('/* {"app": "looker", "user": 3} */ SELECT 1', ""),
        ("SELECT '-- not a comment at all' FROM t", ""),
        ("/*+ INDEX(t) use it now */ SELECT 1", ""),
    ],
)
def test_titles(sql: str, title: str) -> None:
    assert title_of(sql) == title


def test_the_line_of_a_pair() -> None:
    pair = LogPair("How many?", "SELECT COUNT(*) FROM t", 1.23456, "written", "ab12", 4)
    assert pair.to_dict("shop") == {
        "question": "How many?", "sql": "SELECT COUNT(*) FROM t", "db": "shop", "weight": 1.235,
        "source": "written", "fingerprint": "ab12", "split": "ab12",
    }  # fmt: skip
