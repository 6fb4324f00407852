"""One contract for both stores: a SQLite file, and a PostgreSQL database with pgvector."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqlgen.errors import IndexUnusable
from sqlgen.retrieval import Index, SharedStore, open_index
from sqlgen.retrieval.store import COLUMN_NAME, TABLE_NAME, IndexStore
from sqlgen.types import Catalog, Column, Table

from .conftest import count_words, number, text

Place = Path | SharedStore


class Letters:
    """An embedder that counts letters, and remembers what it was given."""

    id = "letters-1"

    def __init__(self) -> None:
        self.given: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.given += texts
        rows = np.array([[t.count(c) for c in "abcdefgh"] for t in texts], dtype=np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place for an index."""
    if request.param == "sqlite":
        return tmp_path / "index.sqlite"
    url = request.getfixturevalue("new_postgres_database")()
    return SharedStore(url, "shop")


def beside(place: Place) -> Place:
    """Another place of the same kind."""
    return replace(place, name="other") if isinstance(place, SharedStore) else place.with_name("other.sqlite")


def store_of(index: Index) -> IndexStore:
    return index._store


def keys(index: Index, question: str) -> list[str]:
    return [s.table.key for s in index.rank(question)]


def test_words_are_found_in_all_their_forms(place: Place, shop: Catalog) -> None:
    with open_index(shop, place) as index:
        found = store_of(index).search(
            ["customer", "customers", "goods", "paris", "selling", "nothing", "id"], 50
        )
    assert [kind for kind, _ in found[0]] == [TABLE_NAME, COLUMN_NAME]
    assert found[0] == found[1]
    assert found[2] == found[4] == [(1, 3)]
    assert [len(f) for f in found[3:6]] == [1, 1, 0]
    assert len(found[6]) == 7
    assert found[6] == sorted(found[6])


def test_a_limit_cuts_the_last(place: Place, shop: Catalog) -> None:
    with open_index(shop, place) as index:
        store = store_of(index)
        assert store.search(["id"], 2) == [store.search(["id"], 50)[0][:2]]
        assert store.search_columns("id", 3, 7) == [3, 4, 7]


@pytest.mark.parametrize("word", ["' OR 1=1", '"', "a & b | !c", "café", "naïve:*", "x" * 500, "100%", "\\"])
def test_no_word_is_an_operator(place: Place, shop: Catalog, word: str) -> None:
    with open_index(shop, place) as index:
        assert store_of(index).search([word], 50) == [[]]


def test_accents_and_numbers_are_words(place: Place) -> None:
    table = Table("Größe", (text("Café 24", "naïve 007"), number("e5")))
    with open_index(Catalog("sqlite", (table,), "f"), place) as index:
        found = store_of(index).search(["grosse", "größe", "cafe", "24", "naive", "007", "e5"], 9)
    assert [len(f) for f in found] == [0, 1, 1, 1, 1, 1, 1]


def test_cells_come_with_their_column(place: Place, shop: Catalog) -> None:
    with open_index(shop, place) as index:
        store = store_of(index)
        assert sorted(store.cells(["paris", "ann lee", "lee"], 9)) == [
            ("ann lee", 1, "Ann Lee"),
            ("paris", 2, "Paris"),
        ]
        assert len(store.cells(["paris", "ann lee"], 1)) == 1
        assert store.cells([], 9) == []


def test_vectors_come_back(place: Place, shop: Catalog) -> None:
    embedder = Letters()
    with open_index(shop, place, embedder=embedder) as index:
        numbers, rows = store_of(index).vectors(TABLE_NAME)
        columns = store_of(index).vectors(COLUMN_NAME)[1]
    assert numbers.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(rows, embedder.embed(embedder.given[:5]), atol=0.01)
    assert columns.shape == (15, 8)


def test_what_is_no_value_is_not_lost(place: Place) -> None:
    odd = ["a\x00b", "tab\tnew\nline", "back\\slash", "\\N", "emoji 🙂", "quote ' \"", "\ud800"]
    catalog = Catalog("sqlite", (Table("t", (text("a", *odd),)),), "f\x00")
    with open_index(catalog, place) as index:
        kept = {
            value
            for _, _, value in store_of(index).cells(
                ["tab new line", "back slash", "n", "emoji", "quote"], 99
            )
        }
    assert kept == {"tab\tnew\nline", "back\\slash", "\\N", "emoji 🙂", "quote ' \""}
    progress: list[int] = []
    open_index(catalog, place, progress=lambda done, total, what: progress.append(done)).close()
    assert progress == []


def test_a_change_is_read_and_embedded_alone(place: Place, shop: Catalog) -> None:
    asked: list[str] = []

    def values(table: Table, column: Column, limit: int) -> Iterable[str]:
        asked.append(f"{table.key}.{column.name}")
        return column.values

    embedder = Letters()
    ledger = Table("ledger", tuple(number(f"entry_{n}") for n in range(30)))
    shop = replace(shop, tables=(*shop.tables, ledger))
    open_index(shop, place, values=values, embedder=embedder).close()
    assert len(embedder.given) == 6 + 45
    wider = replace(shop.tables[0], columns=(*shop.tables[0].columns, text("nickname", "Annie")))
    new = Table("invoices", (number("amount"),))
    changed = replace(shop, tables=(new, shop.tables[2], wider, *shop.tables[3:]), fingerprint="shop-2")
    asked.clear()
    embedder.given.clear()
    with open_index(changed, place, values=values, embedder=embedder) as index:
        assert asked == ["customers.name", "customers.city", "customers.nickname"]
        # two tables with their five columns
        assert len(embedder.given) == 7
        status = index.status()
        assert (status["tables"], status["columns"], status["fingerprint"]) == (6, 43, "shop-2")
        assert keys(index, "Annie's nickname")[0] == "customers"
        assert keys(index, "invoice amounts")[0] == "invoices"
        assert "orders" not in keys(index, "orders placed on a day, by status")
        numbered = index._numbered
        for kind, mine in zip((TABLE_NAME, COLUMN_NAME), numbered.vectors(), strict=True):
            assert len(mine) == (6 if kind == TABLE_NAME else 43)
            assert mine.any(axis=1).all()


def test_an_updated_index_answers_as_a_new_one(place: Place, make_catalog: Callable[[int], Catalog]) -> None:
    old = make_catalog(60)
    embedder = Letters()
    open_index(replace(old, tables=old.tables[:55], fingerprint="a"), place, embedder=embedder).close()
    tables = list(old.tables)
    tables[7] = replace(tables[7], comment="parcels that went astray")
    tables[3], tables[9] = tables[9], tables[3]
    del tables[20]
    new = replace(old, tables=tuple(tables), fingerprint="b")
    questions = [
        "parcels astray",
        *(t.name.replace("_", " ") for t in tables[::5]),
        "codes of vehicles and their drivers",
    ]
    with (
        open_index(new, place, embedder=embedder) as updated,
        open_index(new, beside(place), embedder=embedder) as fresh,
    ):
        for question in questions:
            ours, theirs = updated.rank(question), fresh.rank(question)
            assert [s.table.key for s in ours] == [s.table.key for s in theirs]
            assert [s.score for s in ours] == pytest.approx([s.score for s in theirs], abs=0.02)


def test_many_changes_end_in_a_build_as_a_whole(place: Place, make_catalog: Callable[[int], Catalog]) -> None:
    catalog = make_catalog(40)
    open_index(catalog, place).close()
    for turn in range(9):
        tables = [
            replace(t, comment=f"{turn}") if n % 5 == turn % 5 else t for n, t in enumerate(catalog.tables)
        ]
        catalog = replace(catalog, tables=tuple(tables), fingerprint=f"turn {turn}")
        with open_index(catalog, place) as index:
            meta = store_of(index).meta
            assert meta.columns == sum(len(t.columns) for t in tables)
            assert meta.next_column <= meta.columns + 1000 + 200


def test_another_scope_leaves_nothing(place: Place, shop: Catalog) -> None:
    def values(table: Table, column: Column, limit: int) -> Iterable[str]:
        return ["Reykjavik"] if column.name == "city" else []

    open_index(shop, place, values=values, scope="").close()
    closed = replace(shop, fingerprint="shop-2")
    with open_index(closed, place, values=lambda table, column, limit: [], scope="policy 2") as index:
        assert store_of(index).cells(["reykjavik"], 9) == []
        assert store_of(index).search(["reykjavik"], 9) == [[]]


def test_who_holds_the_old_index_keeps_it(place: Place, shop: Catalog) -> None:
    with open_index(shop, place) as old:
        smaller = replace(shop, tables=shop.tables[1:], fingerprint="shop-2")
        with open_index(smaller, place) as new:
            assert keys(old, "customers in Paris")[0] == "customers"
            assert "customers" not in keys(new, "customers in Paris")
        with open_index(smaller, place, rebuild=True) as rebuilt:
            assert keys(old, "customers in Paris")[0] == "customers"
            assert "customers" not in keys(rebuilt, "customers in Paris")


def test_writers_at_once_build_once(place: Place, shop: Catalog) -> None:
    builds: list[int] = []

    def open_it() -> None:
        with open_index(shop, place, progress=lambda done, total, what: builds.append(done)) as index:
            assert index.status()["tables"] == 5

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds == [0, 1, 2, 3, 4, 5, 6]


def test_a_build_that_fails_leaves_what_was_there(place: Place, shop: Catalog) -> None:
    open_index(shop, place).close()

    def fail(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    other = replace(shop, tables=(Table("x", (number("y"),)),), fingerprint="x")
    with pytest.raises(KeyboardInterrupt):
        open_index(other, place, progress=fail)
    with open_index(shop, place, progress=fail) as index:
        assert keys(index, "customers")[0] == "customers"


def test_a_closed_store_says_so(place: Place, shop: Catalog) -> None:
    index = open_index(shop, place)
    index.close()
    index.close()
    with pytest.raises(IndexUnusable, match="closed"):
        index.rank("orders")


def test_both_find_misspelt_values(place: Place) -> None:
    table = Table("places", (text("country", "United Kingdom", "Mississippi"), text("city", "New York City")))
    with open_index(Catalog("sqlite", (table,), "f"), place) as index:

        def found(question: str) -> list[tuple[str, str]]:
            context = index.retrieve(question, count_tokens=count_words)
            return [(m.value, question[m.start : m.end]) for m in context.values]

        assert found("sales in the Untied Kingdom") == [("United Kingdom", "Untied Kingdom")]
        assert found("rivers of Misisipi") == [("Mississippi", "Misisipi")]
        assert found("trips to NYC") == [("New York City", "NYC")]
        assert found("states of the union") == []


def test_stores_are_kept_apart_by_name(new_postgres_database: Callable[[], str], shop: Catalog) -> None:
    url = new_postgres_database()
    other = Catalog("sqlite", (Table("x", (number("y"),)),), "x")
    with (
        open_index(shop, SharedStore(url, "a")) as first,
        open_index(other, SharedStore(url, "b")) as second,
    ):
        assert keys(first, "customers")[0] == "customers"
        assert keys(second, "customers") == ["x"]


def test_a_store_that_is_no_postgresql_is_refused(shop: Catalog) -> None:
    with pytest.raises(IndexUnusable, match="PostgreSQL database"):
        open_index(shop, SharedStore("mysql://root@localhost/x", "a"))
    with pytest.raises(IndexUnusable, match="index store cannot be used") as failure:
        open_index(shop, SharedStore("postgresql://ann:geheim@127.0.0.1:1/x", "a"))
    assert "geheim" not in str(failure.value)


def test_replaced_builds_go_in_time(new_postgres_database: Callable[[], str], shop: Catalog) -> None:
    from sqlgen.retrieval.postgres_store import _cursor, _new_engine, _rows, drop_replaced

    url = new_postgres_database()
    place = SharedStore(url, hashlib.sha256(b"x").hexdigest())
    with open_index(shop, place) as old:
        open_index(shop, place, rebuild=True).close()
        engine = _new_engine(url)
        assert drop_replaced(engine) == 0
        assert drop_replaced(engine, older_than="0 s") == 1
        with _cursor(engine) as cursor:
            left = _rows(cursor, "SELECT count(*) FROM pg_tables WHERE schemaname = 'sqlgen_index'")
        engine.dispose()
        assert left == [(5,)]
        # What an open index read from is gone: it takes up the one in force.
        assert keys(old, "customers")[0] == "customers"
