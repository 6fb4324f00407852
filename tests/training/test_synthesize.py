"""Made questions: literals where they are said, SQL that runs, nothing of the measuring databases."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from sqlgen.generation.embedded import shipped_path
from sqlgen.generation.encode import PieceCache, encode, form_to_ids, ids_to_form
from sqlgen.sql.form import KEYWORDS, form_to_sql, needed_tables
from sqlgen.sql.form.words import number_of
from sqlgen.sql.periods import parse_period
from sqlgen.training.corpora import HELD_OUT, Example, read_sqlite
from sqlgen.training.synthesis.families import FAMILIES
from sqlgen.training.synthesis.schemas import business_database
from sqlgen.training.synthesis.subjects import Domain, parts_of, read_domain
from sqlgen.training.synthesis.wording import (
    expand,
    mark,
    number_text,
    period_text,
    plural,
    singular,
    slip,
    unmark,
)
from sqlgen.training.synthesize import business_domains, corpus_domains, synthesize


@pytest.fixture(scope="module")
def domains() -> list[Domain]:
    return list(business_domains(6, seed=3))


@pytest.fixture(scope="module")
def pairs(domains: list[Domain]) -> list[tuple[str, Example]]:
    return list(synthesize(domains, 700, seed=5))


@pytest.fixture(scope="module")
def cache() -> PieceCache:
    tokenizer = Tokenizer.from_file(str(shipped_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return PieceCache(tokenizer)


def test_every_family_comes_and_no_question_twice(pairs: list[tuple[str, Example]]) -> None:
    shares = Counter(family for family, _ in pairs)
    assert set(shares) == set(FAMILIES)
    assert shares["date"] > shares["distinct"]
    questions = [e.question.lower() for _, e in pairs]
    assert len(set(questions)) == len(questions)


def test_the_seed_decides(domains: list[Domain]) -> None:
    def some(seed: int) -> list[tuple[str, tuple[object, ...]]]:
        return [(e.question, e.form) for _, e in synthesize(domains, 30, seed)]

    assert some(1) == some(1)
    assert some(1) != some(2)


def test_forms_go_through_ids_and_back(pairs: list[tuple[str, Example]], cache: PieceCache) -> None:
    for _, example in pairs:
        encoded = encode(example.question, example.context, cache)
        assert tuple(ids_to_form(form_to_ids(example.form, encoded), encoded)) == example.form, (
            example.question
        )


def test_literals_are_what_the_question_says(pairs: list[tuple[str, Example]]) -> None:
    cells = spans = 0
    for _, example in pairs:
        for token in example.form:
            if isinstance(token, str):
                assert token in KEYWORDS
            elif token[0] == "v":
                match = example.context.values[token[1]]
                assert example.question[match.start : match.end]
                cells += 1
            elif token[0] == "q":
                said = example.question[token[1] : token[2]]
                assert said
                assert said == said.strip()
                spans += 1
    assert cells > 30
    assert spans > 60


def test_periods_in_forms_are_periods(domains: list[Domain]) -> None:
    seen = dated = 0
    for family, example in synthesize(domains, 400, seed=8):
        if family != "date":
            continue
        dated += 1
        for at, token in enumerate(example.form):
            if not isinstance(token, str) and token[0] == "c" and at + 2 < len(example.form):
                column = example.context.tables[token[1]].table.columns[token[2]]
                literal = example.form[at + 2]
                if column.kind == "date" and not isinstance(literal, str) and literal[0] == "q":
                    said = example.question[literal[1] : literal[2]]
                    assert parse_period(said, date(2024, 5, 5)), said
                    seen += 1
    assert dated > 15
    assert seen > dated // 3


def test_forms_join_along_keys_and_name_no_table_twice(pairs: list[tuple[str, Example]]) -> None:
    joined = 0
    for _, example in pairs:
        sql = form_to_sql(example.form, example.context, example.question, "postgres")
        assert "CROSS JOIN" not in sql
        joined += len(needed_tables(example.form, example.context)) > 1
    assert joined > len(pairs) // 3


def test_business_databases_are_whole() -> None:
    styles = set()
    for seed in range(25):
        business = business_database(seed)
        assert business.connection.execute("PRAGMA foreign_key_check").fetchall() == []
        catalog, _ = read_sqlite("\n".join(business.connection.iterdump()), business.name)
        assert 3 <= len(catalog.tables) <= 10
        assert all((t.name, "") in business.nouns for t in catalog.tables)
        assert all((t.name, c.name) in business.nouns for t in catalog.tables for c in t.columns)
        assert all(
            k.target in {t.key for t in catalog.tables} for t in catalog.tables for k in t.foreign_keys
        )
        styles.add(catalog.tables[-1].columns[0].name)
        business.connection.close()
    assert len(styles) > 10
    assert not HELD_OUT & {business_database(1).name}


def test_measuring_databases_are_left_out(tmp_path: Path) -> None:
    entries = []
    names = ["museum", *sorted(HELD_OUT)]
    for name in names:
        path = tmp_path / "spider" / "database" / name / f"{name}.sqlite"
        path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(path)) as db:
            db.executescript("CREATE TABLE a (b TEXT); INSERT INTO a VALUES ('x'), ('y');")
        entries.append(
            {
                "db_id": name,
                "column_names_original": [],
                "table_names_original": ["a"],
                "foreign_keys": [],
            }
        )
    (tmp_path / "spider" / "tables.json").write_text(json.dumps(entries))
    (tmp_path / "sample_databases").mkdir()
    for name in ("world_pg", "world_1", "pets_small", "northwind"):
        with closing(sqlite3.connect(tmp_path / "sample_databases" / f"{name}.sqlite")) as db:
            db.executescript("CREATE TABLE a (b TEXT); INSERT INTO a VALUES ('x'), ('y');")
    found = list(corpus_domains(tmp_path, random.Random(0)))
    assert [d.name for d in found] == ["museum", "northwind"]
    for domain in found:
        domain.connection.close()


def test_large_catalogs_come_in_parts() -> None:
    columns = ", ".join(f"some_long_column_{i} TEXT" for i in range(12))
    ddl = "\n".join(f"CREATE TABLE t{i} (id INTEGER PRIMARY KEY, {columns});" for i in range(30))
    catalog, _ = read_sqlite(ddl, "big")
    parts = parts_of(catalog, random.Random(0))
    assert len(parts) > 3
    assert {t.name for p in parts for t in p.tables} == {t.name for t in catalog.tables}
    assert all(len(p.tables) <= 14 for p in parts)


def test_roles_of_columns() -> None:
    script = """
    CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT, founded DATE, kind TEXT);
    INSERT INTO city VALUES (1, 'Rome', '2001-02-03', 'old'), (2, 'Bonn', '2003-01-01', 'old'), (3, 'Lodz', NULL, 'new');
    CREATE TABLE house (id INTEGER PRIMARY KEY, city_id INTEGER REFERENCES city (id), price REAL, built_year INTEGER);
    INSERT INTO house VALUES (1, 1, 10.5, 1990), (2, 1, 12, 1991), (3, 2, 99, 2001);
    """
    catalog, values = read_sqlite(script, "towns")
    connection = sqlite3.connect(":memory:")
    connection.executescript(script)
    domain = read_domain("towns", catalog, values, connection, {}, random.Random(0))
    connection.close()
    city, house = domain.entities
    assert {f.column.name: f.role for f in city.fields} == {
        "id": "key",
        "name": "text",
        "founded": "date",
        "kind": "category",
    }
    assert {f.column.name: f.role for f in house.fields} == {
        "id": "key", "city_id": "key", "price": "measure", "built_year": "year",
    }  # fmt: skip
    assert [f.column.name for f in city.label] == ["name"]
    assert [link.parent.noun for link in house.parents] == ["city"]
    assert [[x.parent.noun for x in chain] for chain in domain.chains(house)] == [["city"]]


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("order item", "order items"),
        ("company", "companies"),
        ("person", "people"),
        ("address", "addresses"),
        ("day", "days"),
        ("bus", "buses"),
    ],
)
def test_inflection_goes_both_ways(one: str, many: str) -> None:
    assert plural(one) == many
    assert singular(many) == one


def test_wording_keeps_spans() -> None:
    rng = random.Random(4)
    for _ in range(200):
        text = (
            expand("(show|list) employees (from|in) ", rng)
            + mark(0, "Paris")
            + " before "
            + mark(1, "May 2024")
        )
        question, spans = unmark(slip(text, rng))
        assert [question[s:e] for s, e in spans.values()] == ["Paris", "May 2024"]


def test_numbers_and_periods_read_back() -> None:
    rng = random.Random(2)
    for _ in range(300):
        number = rng.choice((7, 12.5, 1500, 20_000, 3_000_000, 999_999))
        assert float(number_of(number_text(number, rng)) or "nan") == number
        day = date(rng.randrange(1950, 2026), rng.randrange(1, 13), rng.randrange(1, 29))
        for unit in ("year", "half", "quarter", "month", "day"):
            found = parse_period(period_text(day, unit, rng), date(2024, 1, 1))
            assert found is not None
            assert found[0] <= day < found[1]
