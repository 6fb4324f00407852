"""What comes back for a question, and what the budget leaves of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sqlgen.catalog.naming import natural_name
from sqlgen.retrieval import Index, open_index
from sqlgen.types import Catalog, Column, ForeignKey, RetrievedContext, Table

from .conftest import count_words, number, text


@pytest.fixture
def index(tmp_path: Path, shop: Catalog) -> Iterator[Index]:
    with open_index(shop, tmp_path / "index.sqlite") as opened:
        yield opened


def names(context: RetrievedContext) -> list[str]:
    return [s.table.key for s in context.tables]


def cost(context: RetrievedContext) -> int:
    total = sum(count_words(m.value) + 1 for m in context.values)
    for s in context.tables:
        total += count_words(natural_name(s.table.name)) + 1
        total += sum(count_words(natural_name(c.name)) + 1 for c in s.table.columns)
    return total


def check_whole(context: RetrievedContext, catalog: Catalog, budget: int) -> None:
    """What every context keeps to."""
    assert context.token_count == cost(context) <= budget
    kept = {s.table.key: {c.name for c in s.table.columns} for s in context.tables}
    assert len(kept) == len(context.tables)
    for s in context.tables:
        original = catalog.table(s.table.key)
        assert original is not None
        order = [c.name for c in original.columns]
        assert [c.name for c in s.table.columns] == [name for name in order if name in kept[s.table.key]]
        assert s.reason
        for key in s.table.foreign_keys:
            assert set(key.columns) <= kept[s.table.key]
            assert set(key.target_columns) <= kept[key.target]
    for match in context.values:
        assert match.column in kept[match.table]
    scores = [s.score for s in context.tables]
    assert scores == sorted(scores, reverse=True)


def test_a_small_catalog_comes_whole_best_first(index: Index, shop: Catalog) -> None:
    context = index.retrieve("Which products cost most?", k=1, count_tokens=count_words)
    assert names(context)[0] == "products"
    assert sorted(names(context)) == sorted(t.key for t in shop.tables)
    assert {s.table.key: s.table for s in context.tables} == {t.key: t for t in shop.tables}
    assert context.omitted == ()
    check_whole(context, shop, 440)
    assert context.tables[0].reason == "name matches 'products'"


def test_a_join_table_between_two_hits_comes_along(index: Index, shop: Catalog) -> None:
    ranked = index.rank("customers and their products", limit=4)
    found = [s.table.key for s in ranked]
    assert set(found) == {"customers", "products", "orders", "order_lines"}
    reasons = {s.table.key: s.reason for s in ranked}
    assert "joins customers and order_lines" in reasons["orders"]
    assert "joins orders and products" in reasons["order_lines"]
    assert "name matches 'customers'" in reasons["customers"]


def test_a_cell_brings_its_table_and_is_cited(index: Index) -> None:
    question = "what did people in Paris buy?"
    context = index.retrieve(question, count_tokens=count_words)
    assert names(context)[0] == "customers"
    assert context.tables[0].reason == "value 'Paris' in city"
    (match,) = context.values
    assert (match.table, match.column, match.value) == ("customers", "city", "Paris")
    assert question[match.start : match.end] == "Paris"


@pytest.mark.parametrize(
    ("question", "table", "reason"),
    [
        ("goods", "products", "description or sample matches 'goods'"),
        ("unitPrice", "products", "column unit_price"),
        ("orderLines", "order_lines", "name matches 'orderLines'; column order_id"),
        ("how high is the quantity", "order_lines", "column quantity"),
        ("red things", "products", "description or sample matches 'red'"),
    ],
)
def test_each_field_is_searched(index: Index, question: str, table: str, reason: str) -> None:
    best = index.rank(question)[0]
    assert (best.table.key, best.reason) == (table, reason)


def test_words_that_people_join_or_split_are_found(tmp_path: Path) -> None:
    catalog = Catalog("sqlite", (Table("lineitem", (number("a"),)), Table("other", (number("b"),))), "x")
    with open_index(catalog, tmp_path / "i.sqlite") as opened:
        assert opened.rank("average line item")[0].table.key == "lineitem"


def test_no_match_gives_the_best_connected_tables(tmp_path: Path, index: Index, shop: Catalog) -> None:
    context = index.retrieve("xyzzy", k=2, token_budget=30, count_tokens=count_words)
    assert names(context) == ["orders", "order_lines"]
    assert context.tables[0].reason == "no match; among the most connected tables"
    check_whole(context, shop, 30)


@pytest.mark.parametrize("budget", range(1, 60))
def test_every_budget_is_kept_without_cutting_an_item(index: Index, shop: Catalog, budget: int) -> None:
    question = "orders of Ann Lee in Paris for the red lamp"
    context = index.retrieve(question, token_budget=budget, k=5, count_tokens=count_words)
    check_whole(context, shop, budget)
    kept = {s.table.key: {c.name for c in s.table.columns} for s in context.tables}
    left_out = {t.key for t in shop.tables if t.key not in kept}
    left_out |= {
        f"{t.key}.{c.name}"
        for t in shop.tables
        if t.key in kept
        for c in t.columns
        if c.name not in kept[t.key]
    }
    assert set(context.omitted) == left_out


def test_a_wide_table_keeps_keys_and_what_was_asked_for(tmp_path: Path) -> None:
    wide = Table(
        "measurements",
        (
            *(number(f"reading_{n}") for n in range(100)),
            number("id", primary_key=True),
            number("station_id"),
            number("humidity"),
        ),
        foreign_keys=(ForeignKey(("station_id",), "stations", ("code",)),),
    )
    stations = Table("stations", (number("code"), text("name"), *(text(f"remark_{n}") for n in range(50))))
    catalog = Catalog("sqlite", (wide, stations), "w")
    with open_index(catalog, tmp_path / "i.sqlite") as opened:
        context = opened.retrieve("humidity measured by stations", token_budget=40, count_tokens=count_words)
    check_whole(context, catalog, 40)
    by_name = {s.table.key: s.table for s in context.tables}
    assert {"id", "station_id", "humidity"} <= {c.name for c in by_name["measurements"].columns}
    assert "code" in {c.name for c in by_name["stations"].columns}
    assert by_name["measurements"].foreign_keys == wide.foreign_keys
    assert "measurements.reading_99" in context.omitted


def test_k_bounds_the_tables_of_a_large_catalog(
    tmp_path: Path, make_catalog: Callable[[int], Catalog]
) -> None:
    catalog = make_catalog(200)
    with open_index(catalog, tmp_path / "i.sqlite") as opened:
        for k in (1, 3, 10):
            context = opened.retrieve("orders of a customer", k=k, count_tokens=count_words)
            assert 0 < len(context.tables) <= k
            check_whole(context, catalog, 440)
        with pytest.raises(ValueError, match="at least 1"):
            opened.retrieve("orders", k=0, count_tokens=count_words)


@pytest.mark.parametrize(
    "question",
    [
        "",
        "   \n",
        "?" * 50,
        '" OR 1=1; DROP TABLE doc; --',
        'NEAR("a" "b", 5) AND NOT text:* ^orders -x {a b}: "',
        "\x00\x01\xff\udc80 orders \x00",
        "SELECT * FROM orders",
        "订单 заказы café ﬁ ª ² 𞤀𞤁 orders",
        "orders " * 15_000,
        "x" * 100_000,
        "'" * 100_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_no_question_breaks_it(index: Index, shop: Catalog, question: str) -> None:
    started = time.process_time()
    for budget in (440, 20):
        context = index.retrieve(question, token_budget=budget, count_tokens=count_words)
        assert context.tables
        check_whole(context, shop, budget)
    assert time.process_time() - started < 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=st.text(max_size=200), budget=st.integers(1, 60), k=st.integers(1, 6))
def test_any_text_keeps_the_contract(index: Index, shop: Catalog, question: str, budget: int, k: int) -> None:
    check_whole(index.retrieve(question, k=k, token_budget=budget, count_tokens=count_words), shop, budget)


ODD = (
    "select",
    "Order Details",
    'quo"te',
    "back`tick",
    "semi;colon",
    "naïve_größe",
    "名前",
    "Orders",
    "ORDERS",
    "a.b",
    "%_*",
    "tab\there",
    "new\nline",
    "nul\x00byte",
    "🦊",
    "lone\udc80",
    "_",
    "x" * 300,
)


def test_odd_identifiers_survive(tmp_path: Path) -> None:
    tables = tuple(
        Table(name, (number(name, primary_key=True), text(name + " 2", name[:60])), schema=schema)
        for name in ODD
        for schema in (None, 'sch"ema')
    )
    keyed = replace(tables[0], foreign_keys=(ForeignKey((ODD[0],), 'sch"ema.名前', ("名前",)),))
    catalog = Catalog("sqlite", (keyed, *tables[1:]), "odd")
    for _ in range(2):
        with open_index(catalog, tmp_path / "i.sqlite") as opened:
            assert opened.status()["tables"] == len(ODD) * 2
            whole = opened.retrieve("select 名前", token_budget=10_000, count_tokens=count_words)
            assert {s.table.key for s in whole.tables} == {t.key for t in catalog.tables}
            assert {s.table.name for s in opened.rank("größe")[:2]} == {"naïve_größe"}
            assert {s.table.name for s in opened.rank("名前", limit=2)} == {"名前"}
            for name in ODD:
                opened.retrieve(name, token_budget=60, count_tokens=count_words)


def test_missing_foreign_key_targets_do_no_harm(tmp_path: Path) -> None:
    table = Table(
        "orders",
        (number("id"), number("who")),
        foreign_keys=(ForeignKey(("who",), "gone", ("id",)), ForeignKey(("id",), "orders", ("id",))),
    )
    with open_index(Catalog("sqlite", (table,), "x"), tmp_path / "i.sqlite") as opened:
        context = opened.retrieve("orders", count_tokens=count_words)
    assert context.tables[0].table.foreign_keys == (table.foreign_keys[1],)


def test_tables_without_columns_are_kept(tmp_path: Path) -> None:
    catalog = Catalog("sqlite", (Table("empty", ()), Table("orders", (number("id"),))), "x")
    with open_index(catalog, tmp_path / "i.sqlite") as opened:
        assert names(opened.retrieve("empty", count_tokens=count_words)) == ["empty", "orders"]


def test_schemas_tell_equal_names_apart(tmp_path: Path) -> None:
    columns = (number("id"), text("name"))
    catalog = Catalog(
        "postgres", tuple(Table("staff", columns, schema=s) for s in ("hospital", "airport", "school")), "x"
    )
    with open_index(catalog, tmp_path / "i.sqlite") as opened:
        assert opened.rank("staff names of the airport")[0].table.key == "airport.staff"


class Meaning:
    """An embedder that knows two synonyms, and that a text is about what it begins with."""

    id = "meaning-1"

    def __init__(self) -> None:
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        rows = [
            [float(t.startswith(("client", "customer"))), float("age" in t or "years" in t), 0.1]
            for t in texts
        ]
        found: NDArray[np.float32] = np.asarray(rows, dtype=np.float32).reshape(-1, 3)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found


def test_vectors_find_what_words_do_not(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "i.sqlite"
    with open_index(shop, path, embedder=Meaning()) as opened:
        best = opened.rank("clients")[0]
        assert (best.table.key, best.reason) == ("customers", "close in meaning")
        assert opened.status()["embedder"] == "meaning-1"
    warm = Meaning()
    with open_index(shop, path, embedder=warm) as opened:
        assert warm.calls == 0
        assert opened.rank("clients")[0].table.key == "customers"
    with open_index(shop, path) as opened:
        assert opened.status()["embedder"] == "meaning-1"
        assert opened.rank("products")[0].table.key == "products"
    other = Meaning()
    other.id = "meaning-2"
    with open_index(shop, path, embedder=other) as opened:
        assert opened.status()["embedder"] == "meaning-2"


def test_counting_is_remembered(index: Index) -> None:
    counted: list[str] = []

    def count(some: str) -> int:
        counted.append(some)
        return len(some)

    index.retrieve("orders", count_tokens=count)
    first = len(counted)
    index.retrieve("orders of products", count_tokens=count)
    assert first > 0
    assert len(counted) == first


def test_a_thousand_tables_are_searched_in_time(
    tmp_path: Path, make_catalog: Callable[[int], Catalog]
) -> None:
    catalog = make_catalog(1000)
    started = time.process_time()
    with open_index(catalog, tmp_path / "i.sqlite") as opened:
        assert time.process_time() - started < 20
        taken = []
        for table in catalog.tables[::50]:
            question = f"the date of each {natural_name(table.name)} by customer name and kind"
            started = time.process_time()
            context = opened.retrieve(question, count_tokens=count_words)
            taken.append(time.process_time() - started)
            assert names(context)[0] == table.key
            check_whole(context, catalog, 440)
    # Processor time, measured at about a tenth of this.
    assert statistics.median(taken) < 0.15


def test_columns_of_a_common_word_are_ranked_in_a_large_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlgen.retrieval.ranking._POSTINGS_MIN", 20)
    plain = tuple(Column(f"zz_{i}", "TEXT", "text") for i in range(300))
    filler = tuple(Table(f"t{n}", (*plain[:30], text("colour"))) for n in range(60))
    catalog = Catalog("sqlite", (*filler, Table("lamps", (*plain, text("lamp_colour")))), "x")
    with open_index(catalog, tmp_path / "i.sqlite") as opened:
        context = opened.retrieve("colour of lamps", k=1, token_budget=26, count_tokens=count_words)
    (only,) = context.tables
    assert only.table.key == "lamps"
    assert "lamp_colour" in {c.name for c in only.table.columns}
    assert only.reason == "name matches 'lamps'; column lamp_colour"
