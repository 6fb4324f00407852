"""Questions of several constructs: every family gives pairs that run, with the words they should have."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from tokenizers import Tokenizer

from sqlgen.generation.embedded import shipped_path
from sqlgen.generation.encode import PieceCache, encode, form_to_ids, ids_to_form
from sqlgen.sql.form import form_to_sql
from sqlgen.training.corpora import Example
from sqlgen.training.synthesis import families
from sqlgen.training.synthesis.composed import COMPOSED
from sqlgen.training.synthesis.schemas import business_database
from sqlgen.training.synthesis.subjects import Domain
from sqlgen.training.synthesize import business_domains, synthesize

Pairs = dict[str, list[Example]]


@pytest.fixture(scope="module")
def domains() -> list[Domain]:
    return list(business_domains(9, seed=16))


@pytest.fixture(scope="module")
def pairs(domains: list[Domain]) -> Pairs:
    found: Pairs = {}
    kept = dict(families.FAMILIES)
    try:
        for name, entry in COMPOSED.items():
            families.FAMILIES.clear()
            families.FAMILIES[name] = entry
            found[name] = [example for _, example in synthesize(domains, 8, seed=2)]
    finally:
        families.FAMILIES.clear()
        families.FAMILIES.update(kept)
    return found


@pytest.mark.parametrize("family", sorted(COMPOSED))
def test_a_family_gives_pairs_that_run(family: str, pairs: Pairs, domains: list[Domain]) -> None:
    # synthesize runs every pair and keeps those that return something.
    assert len(pairs[family]) == 8
    for example in pairs[family]:
        assert not re.search(r"[⟦⟧{}\ue000\ue001]|\(\)|  ", example.question), example.question
        assert form_to_sql(example.form, example.context, example.question, "postgres")


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("counts side by side", {"if"}), ("shares", {"if", "/"}), ("rates", {"100", "if"}), ("buckets", {"case", "then"}),
        ("outer joins", {"all"}), ("missing side", {"["}), ("sets", {"in", "union", "intersect", "except", "union_all"}),
        ("hierarchies", {"other", "is_null", "outer", "distinct"}),
        ("ranks", {"offset", "not_in", "[", "limit"}), ("averages", {"with", "[", "outer"}),
        ("missing", {"is_null", "not_null", "coalesce"}), ("orderings", {"order"}), ("distinct counts", {"distinct"}),
    ],
)  # fmt: skip
def test_a_family_says_its_words(family: str, words: set[str], pairs: Pairs) -> None:
    for example in pairs[family]:
        assert words & {t for t in example.form if isinstance(t, str)}, example.question


def test_forms_go_through_ids_and_back(pairs: Pairs) -> None:
    tokenizer = Tokenizer.from_file(str(shipped_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    cache = PieceCache(tokenizer)
    for examples in pairs.values():
        for example in examples:
            encoded = encode(example.question, example.context, cache)
            ids = form_to_ids(example.form, encoded)
            assert tuple(ids_to_form(ids, encoded)) == example.form, example.question


def test_businesses_have_tables_that_meet_themselves_and_double_keys() -> None:
    seen: Counter[str] = Counter()
    for seed in range(40):
        business = business_database(seed)
        tables = [r[0] for r in business.connection.execute("SELECT name FROM sqlite_master")]
        for table in tables:
            keys = business.connection.execute(f'PRAGMA foreign_key_list("{table}")').fetchall()
            targets = [key[2] for key in keys]
            seen["self"] += table in targets
            seen["double"] += any(targets.count(t) > 1 for t in set(targets) - {table})
            for key in keys:
                if key[2] == table:
                    rows = business.connection.execute(f'SELECT rowid, "{key[3]}" FROM "{table}"').fetchall()
                    assert all(above is None or above < row for row, above in rows)
        business.connection.close()
    assert seen["self"] > 10
    assert seen["double"] > 10


def test_the_seed_decides(domains: list[Domain]) -> None:
    domain = domains[0]

    def some() -> list[str]:
        texts = []
        for seed in range(60):
            try:
                texts.append(COMPOSED["brief"][1](families.Writer(domain, random.Random(seed)))[0])
            except families.Unfit:
                continue
        return texts

    assert some() == some()
