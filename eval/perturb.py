"""A suite made harder in one way: the same questions and answers, asked otherwise or of other names.

``abbreviate`` and ``drop-keys`` ask the model about a copy of each SQLite database, with shortened
names or without its foreign keys; the accepted answers run on the original, and names in the
model's SQL are turned back before they are shown. ``typos`` and ``synonyms`` change the questions
and leave what the accepted answers quote as it is. ``ambiguous`` keeps of a column's name what another column of
its table says as well ("signup date" becomes "date" beside a birth date); either reading counts as right, and
questions without such a column are left out. The same seed makes the same suite.
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from sqlgen.catalog import load_catalog, natural_name, open_engine
from sqlgen.errors import UsageError
from sqlgen.eval.suite import GoldQuestion, Suite, SuiteDatabase
from sqlgen.training.names import Renaming, rename_tables
from sqlgen.training.slips import Spoken, make_typos, reword
from sqlgen.types import Catalog

__all__ = ["Perturbation", "copy_database", "perturb_suite", "restore_names"]

Perturbation = Literal["abbreviate", "synonyms", "typos", "drop-keys", "ambiguous"]

_LITERAL = re.compile(r"'((?:[^']|'')*)'|\"([^\"]*)\"|(?<![\w.])(\d+(?:\.\d+)?)")
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"((?:[^\"]|\"\")*)\"|`([^`]*)`|([A-Za-z_]\w*)")
_TYPOS_PER_WORDS = 6


def perturb_suite(suite: Suite, kind: Perturbation, *, seed: int = 0, home: Path) -> Suite:
    """The suite with its questions, or copies of its databases in ``home``, changed.

    Raises UsageError for a kind that is not known, and where a database that has to be copied is
    no SQLite file.
    """
    if kind not in get_args(Perturbation):
        raise UsageError(f"unknown perturbation {kind!r}; known: {', '.join(get_args(Perturbation))}")
    named = replace(suite, name=f"{suite.name} ({kind}, seed {seed})")
    if kind == "typos":
        return replace(named, questions=tuple(_mistyped(q, seed) for q in suite.questions))
    if kind == "ambiguous":
        tables = {db_id: _catalog(place, home) for db_id, place in _asked(suite).items()}
        made = tuple(m for q in suite.questions if (m := _ambiguous(q, tables[q.db_id])) is not None)
        if not made:
            raise UsageError(f"no question of {suite.name!r} names a column that could be taken for another")
        return replace(named, questions=made)
    if kind == "synonyms":
        words = {db_id: _words(_catalog(place, home)) for db_id, place in _asked(suite).items()}
        return replace(named, questions=tuple(_reworded(q, words[q.db_id], seed) for q in suite.questions))
    places = {db_id: _copied(place, kind, f"{seed} {db_id}", home) for db_id, place in _asked(suite).items()}
    # A glossary speaks of the names that are gone.
    glossary = None if kind == "abbreviate" else suite.glossary
    return replace(named, databases={**suite.databases, **places}, glossary=glossary)


def _asked(suite: Suite) -> dict[str, SuiteDatabase]:
    return {q.db_id: suite.databases[q.db_id] for q in suite.questions}


# --- questions ---------------------------------------------------------------------------------------------


def _quoted(question: GoldQuestion) -> list[tuple[int, int]]:
    """Where the question says a literal of an accepted answer."""
    spans: list[tuple[int, int]] = []
    lowered = question.text.lower()
    for sql in question.gold:
        for match in _LITERAL.finditer(sql):
            text = next(g for g in match.groups() if g is not None).strip("%").lower()
            spans += [m.span() for m in re.finditer(re.escape(text), lowered)] if text else []
    return spans


def _mistyped(question: GoldQuestion, seed: int) -> GoldQuestion:
    rng = random.Random(f"{seed} {question.id}")
    spoken = Spoken(question.text, _quoted(question))
    make_typos(spoken, rng, max(1, len(spoken.words()) // _TYPOS_PER_WORDS))
    return replace(question, text=spoken.text)


def _reworded(question: GoldQuestion, words: Collection[str], seed: int) -> GoldQuestion:
    spoken = Spoken(question.text, _quoted(question))
    reword(spoken, words, random.Random(f"{seed} {question.id}"))
    return replace(question, text=spoken.text)


def _ambiguous(question: GoldQuestion, catalog: Catalog) -> GoldQuestion | None:
    """The question with one name said so shortly that two columns of a table fit, and both answers; None without one."""
    lowered = question.text.lower()
    said = {m[3].lower() for sql in question.gold for m in _TOKEN.finditer(sql) if m[3]}
    owners: dict[str, set[str]] = {}
    for table in catalog.tables:
        for column in table.columns:
            owners.setdefault(column.name.lower(), set()).add(table.name.lower())
    for table in catalog.tables:
        if table.name.lower() not in said:
            continue
        for column in table.columns:
            name = natural_name(column.name)
            head = name.rpartition(" ")[2]
            # A name that another table of the query has as well can't be exchanged without reading the query.
            if head == name or len(head) < 3 or column.name.lower() not in said:
                continue
            if len(owners[column.name.lower()] & said) > 1:
                continue
            others = [
                c
                for c in table.columns
                if c.name != column.name
                and c.kind == column.kind
                and natural_name(c.name).rpartition(" ")[2] == head
                and c.name.lower() not in said
                and len(owners[c.name.lower()] & said) == 1
            ]
            match = re.search(rf"\b{re.escape(name)}(s?)\b", lowered)
            if not others or match is None:
                continue
            text = question.text[: match.start()] + head + match[1] + question.text[match.end() :]
            readings = [_exchanged(sql, column.name, c.name) for sql in question.gold for c in others]
            return replace(question, text=text, gold=(*question.gold, *readings), dialects={}, ambiguous=True)
    return None


def _exchanged(sql: str, old: str, new: str) -> str:
    return _TOKEN.sub(lambda m: new if m[3] and m[3].lower() == old.lower() else m[0], sql)


def _words(catalog: Catalog) -> set[str]:
    names = [n for t in catalog.tables for n in (t.name, *(c.name for c in t.columns))]
    return {word.rstrip("s") for name in names for word in natural_name(name).split() if len(word) > 2}


# --- databases ---------------------------------------------------------------------------------------------


def _url(place: SuiteDatabase, home: Path) -> str:
    from sqlgen.eval.runner import suite_url

    return suite_url(place, home)


def _catalog(place: SuiteDatabase, home: Path) -> Catalog:
    engine = open_engine(_url(place, home))
    try:
        return load_catalog(engine)
    finally:
        engine.dispose()


def _copied(place: SuiteDatabase, kind: Perturbation, seed: str, home: Path) -> SuiteDatabase:
    url = _url(place, home)
    path = Path(url.removeprefix("sqlite:///").partition("?")[0])
    if not url.startswith("sqlite:///") or not path.is_file():
        raise UsageError(f"--perturb {kind} copies SQLite files; database {place.id!r} is none")
    renaming = Renaming()
    if kind == "abbreviate":
        catalog = _catalog(place, home)
        renaming = rename_tables(catalog.tables, random.Random(seed), abbreviations=0.8)
    target = home / kind / f"{place.id}.sqlite"
    target.parent.mkdir(parents=True, exist_ok=True)
    copy_database(path, target, renaming, keys=kind != "drop-keys")
    return replace(place, asked_url=f"sqlite:///{target.absolute()}", renaming=renaming)


def copy_database(source: Path, target: Path, renaming: Renaming, *, keys: bool = True) -> None:
    """A SQLite file with the rows, types and primary keys of ``source`` under new names.

    Foreign keys are declared again where ``keys``; views, indices and collations stay behind.
    """
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(target, isolation_level=None)) as db:
        db.execute("ATTACH DATABASE ? AS old", (str(source.absolute()),))
        db.execute("BEGIN")
        tables = [
            row[0]
            for row in db.execute(
                "SELECT name FROM old.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
            )
        ]
        spelled = {name.lower(): name for name in tables}
        for table in tables:
            db.execute(_create(db, table, spelled, renaming, keys=keys))
            db.execute(
                f"INSERT INTO main.{_quote(renaming.tables.get(table, table))} SELECT * FROM old.{_quote(table)}"
            )
        db.execute("COMMIT")


def _create(
    db: sqlite3.Connection, table: str, spelled: Mapping[str, str], renaming: Renaming, *, keys: bool
) -> str:
    """The CREATE TABLE of a table under its new names."""
    info = db.execute(f"PRAGMA old.table_info({_quote(table)})").fetchall()
    parts = [
        f"{_quote(renaming.columns.get((table, name), name))} {declared}{' NOT NULL' if needed else ''}"
        for _, name, declared, needed, _, _ in info
    ]
    primary = sorted((row[5], row[1]) for row in info if row[5])
    if primary:
        parts.append(f"PRIMARY KEY ({_list(table, [name for _, name in primary], renaming)})")
    found: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, _, parent, child, wanted, *_ in db.execute(f"PRAGMA old.foreign_key_list({_quote(table)})"):
        found.setdefault(number, []).append((spelled.get(parent.lower(), ""), child, wanted))
    own = {row[1].lower(): row[1] for row in info}
    for rows in found.values() if keys else ():
        parent = rows[0][0]
        theirs = {
            r[1].lower(): r[1] for r in db.execute(f"PRAGMA old.table_info({_quote(parent)})").fetchall()
        }
        mine = [own.get(child.lower(), "") for _, child, _ in rows]
        named = [theirs.get(wanted.lower(), "") for _, _, wanted in rows if wanted]
        if not parent or not all(mine) or not all(named):
            continue
        columns = f" ({_list(parent, named, renaming)})" if len(named) == len(rows) else ""
        parts.append(
            f"FOREIGN KEY ({_list(table, mine, renaming)}) "
            f"REFERENCES {_quote(renaming.tables.get(parent, parent))}{columns}"
        )
    return f"CREATE TABLE main.{_quote(renaming.tables.get(table, table))} ({', '.join(parts)})"


def _list(table: str, names: Collection[str], renaming: Renaming) -> str:
    return ", ".join(_quote(renaming.columns.get((table, name), name)) for name in names)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# --- the way back ------------------------------------------------------------------------------------------


def restore_names(sql: str, renaming: Renaming) -> str:
    """SQL over a renamed copy with the original names, where a new name stands for one old name.

    >>> restore_names("SELECT nm FROM cust WHERE nm = 'nm'", Renaming({"customer": "cust"}, {("customer", "name"): "nm"}))
    "SELECT name FROM customer WHERE name = 'nm'"
    """
    old: dict[str, set[str]] = {}
    for new, name in _pairs(renaming):
        old.setdefault(new.lower(), set()).add(name)

    def back(match: re.Match[str]) -> str:
        said = next((g for g in match.groups() if g is not None), None)
        names = old.get(said.lower(), set()) if said is not None else set()
        if len(names) != 1:
            return match[0]
        (name,) = names
        return name if re.fullmatch(r"[A-Za-z_]\w*", name) and match[3] else _quote(name)

    return _TOKEN.sub(back, sql)


def _pairs(renaming: Renaming) -> Iterator[tuple[str, str]]:
    yield from ((new, old) for old, new in renaming.tables.items())
    yield from ((new, old) for (_, old), new in renaming.columns.items())
