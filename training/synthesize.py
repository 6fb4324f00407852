"""Questions and forms made together, over databases with rows; every pair is executed.

python -m sqlgen.training.synthesize --corpora DIR --out FILE.pkl.gz --count N --seed S
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from sqlglot.errors import SqlglotError

from sqlgen.generation.codes import with_codes
from sqlgen.generation.encode import with_hints
from sqlgen.sql.form import FormToken, form_to_sql
from sqlgen.training.corpora import HELD_OUT, Example, read_sqlite, spider_catalogs
from sqlgen.training.prepare import save_shard
from sqlgen.training.synthesis.families import FAMILIES, write
from sqlgen.training.synthesis.schemas import business_database
from sqlgen.training.synthesis.subjects import Domain, parts_of, read_domain
from sqlgen.training.synthesis.wording import slip, unmark
from sqlgen.training.synthesis.writer import Draft, Unfit

__all__ = ["business_domains", "corpus_domains", "main", "synthesize"]

# Files whose rows are those of a measuring database.
_MEASURED = re.compile(
    r"^world|concert|singer|pets|flight|tvshow|orchestra|voter|wta|poker|dog_kennel|car_1", re.I
)
MAX_ROWS = 400
MAX_STEPS = 40_000_000
BUSINESS_SHARE = 0.5


def corpus_domains(corpora: Path, rng: random.Random) -> Iterator[Domain]:
    """Domains of the databases that come with the corpora, without those kept for measuring."""
    spider = corpora / "spider"
    sources = [
        (name, *pair, spider / "database" / name / f"{name}.sqlite")
        for name, pair in spider_catalogs(spider).items()
    ]
    folder = corpora / "sample_databases"
    for path in sorted([*folder.rglob("*.sqlite"), *folder.rglob("*.db")]):
        if path.stem not in HELD_OUT and not _MEASURED.match(path.stem):
            sources.append((path.stem, *read_sqlite(path, path.stem), path))
    for name, catalog, values, path in sources:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        for part in parts_of(catalog, rng):
            domain = read_domain(name, part, values, connection, {}, rng)
            if any(e.rows > 1 for e in domain.entities):
                yield domain


def business_domains(count: int, seed: int) -> Iterator[Domain]:
    """Domains of ``count`` random business databases in memory."""
    for number in range(count):
        business = business_database(seed * 100_003 + number)
        catalog, values = read_sqlite("\n".join(business.connection.iterdump()), business.name)
        rng = random.Random(f"{seed} {number}")
        for part in parts_of(catalog, rng):
            yield read_domain(business.name, part, values, business.connection, business.nouns, rng)


def _finish(draft: Draft, rng: random.Random) -> tuple[str, dict[int, tuple[int, int]]]:
    """The question as somebody might type it, and the spans of its literals."""
    text = re.sub(r"\s+", " ", draft.text).replace(" ,", ",").strip()
    if rng.random() < 0.05:
        text = slip(text, rng)
    draw = rng.random()
    if draw < 0.72:
        text = text[:1].upper() + text[1:]
    elif draw < 0.8:
        text = text.lower()
    asks = re.match(r"(?i)(what|which|who|how|in what|in which|can you)\b", text)
    ending = rng.random()
    if asks:
        text += "?" if ending < 0.75 else "" if ending < 0.95 else "."
    else:
        text += "." if ending < 0.35 else "" if ending < 0.95 else "?"
    return unmark(with_hints(text, draft.hints))


def _resolve(draft: Draft, domain: Domain, rng: random.Random) -> Example:
    question, spans = _finish(draft, rng)
    if not 8 < len(question) < 260:
        raise Unfit("too long or short")
    context = replace(domain.context, values=domain.values.match(question))
    keys = {s.table.key for s in context.tables}
    context = replace(context, values=tuple(m for m in context.values if m.table in keys))
    form: list[FormToken] = []
    for token in draft.form:
        if isinstance(token, str) or token[0] != "lit":
            form.append(cast(FormToken, token))
            continue
        start, end = spans[token[-1]]
        cell = draft.cells[token[-1]]
        place = next(
            (
                k
                for k, m in enumerate(context.values)
                if (m.table, m.column, m.value) == cell and m.start < end and m.end > start
            ),
            None,
        )
        form.append(("q", start, end) if place is None else ("v", place))
    return Example(question, with_codes(context), tuple(form), "synthetic", domain.name)


def _useful(example: Example, draft: Draft, domain: Domain) -> bool:
    """Whether the SQL runs and says something."""
    sql = form_to_sql(example.form, example.context, example.question, "sqlite", today=draft.today)
    # Steps of the virtual machine and not seconds: the same pairs on a slower machine.
    steps = itertools.count()
    domain.connection.set_progress_handler(lambda: next(steps) > MAX_STEPS // 20_000, 20_000)
    rows = domain.connection.execute(sql).fetchmany(MAX_ROWS + 1)
    if not rows or len(rows) > MAX_ROWS:
        return False
    if all(cell is None for row in rows for cell in row):
        return False
    if len(rows) == 1 and all(cell in (None, 0) for cell in rows[0]):
        return False
    return not (
        "group" in example.form
        and "limit" not in example.form
        and "having" not in example.form
        and len(rows) < 2
    )


def synthesize(
    domains: list[Domain], count: int, seed: int, dropped: Counter[str] | None = None
) -> Iterator[tuple[str, Example]]:
    """``count`` pairs (family, example), the same for the same domains and seed."""
    rng = random.Random(seed)
    names = list(FAMILIES)
    weights = [FAMILIES[n][0] for n in names]
    groups = [[d for d in domains if d.made is made] for made in (True, False)]
    groups = [g for g in groups if g]
    seen: set[str] = set()
    done = 0
    while done < count:
        family = rng.choices(names, weights)[0]
        for _ in range(40):
            group = groups[0] if len(groups) == 1 or rng.random() < BUSINESS_SHARE else groups[1]
            domain = rng.choice(group)
            try:
                draft = write(domain, family, rng)
                if not draft.joined and rng.random() < 0.6 and any(e.parents for e in domain.entities):
                    raise Unfit("one table where more would go")
                example = _resolve(draft, domain, rng)
                if example.question.lower() in seen or not _useful(example, draft, domain):
                    raise Unfit("empty or said before")
            except (ValueError, IndexError, SqlglotError, sqlite3.Error) as error:
                if dropped is not None:
                    dropped[f"{type(error).__name__} {str(error)[:40]}"] += 1
                continue
            seen.add(example.question.lower())
            done += 1
            yield family, example
            break


def main() -> None:
    """Write a shard and say what went into it."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--corpora", type=Path, required=True)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--count", type=int, default=60_000)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--businesses", type=int, default=250)
    args = cli.parse_args()
    domains = [
        *corpus_domains(args.corpora, random.Random(args.seed)),
        *business_domains(args.businesses, args.seed),
    ]
    print(len(domains), "domains", flush=True)
    shares: Counter[str] = Counter()
    dropped: Counter[str] = Counter()

    def counted() -> Iterator[Example]:
        for family, example in synthesize(domains, args.count, args.seed, dropped):
            shares[family] += 1
            yield example

    count = save_shard(args.out, counted())
    print(count, "pairs", dict(shares.most_common()))
    print("dropped", dict(dropped.most_common(25)))


if __name__ == "__main__":
    main()
