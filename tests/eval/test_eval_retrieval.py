"""Retrieval figures on the small suite, and what gold SQL reads."""

from __future__ import annotations

from typing import Any

import pytest

from sqlgen.errors import UsageError
from sqlgen.eval import render_summary, run_from_options
from sqlgen.eval.retrieval import STAGES, gold_reads, union_catalog
from sqlgen.eval.suite import catalogs_of_tables_json
from sqlgen.generation import ScriptedGenerator


def measure(spider_files: Any, **options: Any) -> dict[str, Any]:
    return run_from_options(
        "spider", **spider_files.options, retrieval=True, generator=ScriptedGenerator({}), **options
    )


def test_with_the_database_known_everything_small_is_found(spider_files: Any) -> None:
    figures = measure(spider_files, per_database=True)
    assert figures["count"] == 12
    for name in ("recall", "complete_recall", "precision", "column_recall"):
        assert set(figures[name]) == {"3", "5", "10", "20"}
    # Each database has two tables: at any depth both are there.
    assert figures["complete_recall"]["3"] == figures["recall"]["20"] == figures["column_recall"]["5"] == 1.0
    assert figures["in_budget"]["complete_recall"] == 1.0
    assert 0.5 < figures["precision"]["20"] < 1.0
    assert figures["latency_ms"]["p50"] > 0
    assert figures["gold_refused"] == figures["without_tables"] == []


def test_the_union_is_one_catalog(spider_files: Any) -> None:
    figures = measure(spider_files)
    assert (figures["tables"], figures["databases"]) == (4, 2)
    assert figures["recall"]["5"] == 1.0
    recalls = [figures["recall"][depth] for depth in ("3", "5", "10", "20")]
    assert recalls == sorted(recalls)
    assert "4 tables, all databases as one catalog" in render_summary(figures)


def test_foreign_keys_stay_inside_their_database(spider_files: Any) -> None:
    union = union_catalog(catalogs_of_tables_json(spider_files.tables).items())
    keys = {table.key: [key.target for key in table.foreign_keys] for table in union.tables}
    assert keys == {"library.author": [], "library.book": ["library.author"], "garage.owner": [],
                    "garage.car": ["garage.owner"]}  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "tables", "columns"),
    [
        ("SELECT count(*) FROM author", {"author"}, set()),
        (
            "SELECT name FROM author WHERE id IN (SELECT author_id FROM book)",
            {"author", "book"},
            {"author.name", "author.id", "book.author_id"},
        ),
        ("SELECT id FROM author UNION SELECT year FROM book", {"author", "book"}, {"author.id", "book.year"}),
    ],
)
def test_what_gold_reads(spider_files: Any, sql: str, tables: set[str], columns: set[str]) -> None:
    catalog = catalogs_of_tables_json(spider_files.tables)["library"]
    assert gold_reads(sql, catalog, "sqlite") == (tables, columns, True)


def test_what_refused_gold_names(spider_files: Any) -> None:
    catalog = catalogs_of_tables_json(spider_files.tables)["library"]
    sql = "SELECT load_extension(name) FROM author WHERE born = 1 UNION SELECT title FROM book ORDER BY title"
    tables, columns, passed = gold_reads(sql, catalog, "sqlite")
    assert not passed
    assert tables == {"author", "book"}
    assert {"author.born", "book.title"} <= columns


def test_stages_are_measured_one_by_one(spider_files: Any) -> None:
    figures = measure(spider_files, stages=True)
    rows = {row["stage"]: row for row in figures["stages"]}
    assert list(rows) == [name for name, _, _ in STAGES]
    # The last stage is what a question gets, and the database's two tables are among the union's four.
    for name in ("recall", "complete_recall", "precision", "column_recall"):
        assert rows["+ reranker"][name] == figures[name]
        assert all(row[name]["20"] <= 1.0 for row in figures["stages"])
    text = render_summary(figures)
    assert "+ foreign keys" in text
    assert text.count("words  ") == 3


def test_stages_need_retrieval(spider_files: Any) -> None:
    with pytest.raises(UsageError, match="--stages belongs to --retrieval"):
        run_from_options("spider", **spider_files.options, stages=True)
