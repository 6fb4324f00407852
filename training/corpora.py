"""Public text-to-SQL corpora as training examples: a catalog, value matches and a form each.

The corpora are files of the original data sets (see MODEL_CARD.md for licences). What is marked
for measuring is never read here: HELD_OUT names the databases of Spider's development split.
"""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot.errors import SqlglotError

from sqlgen.generation.codes import with_codes
from sqlgen.generation.encode import with_hints
from sqlgen.retrieval.values import choose_matches, normalise_value, question_ngrams
from sqlgen.sql.form import FormToken, Inexpressible, form_to_sql, tree_to_form
from sqlgen.types import (
    Catalog,
    Column,
    ColumnKind,
    ForeignKey,
    RetrievedContext,
    Table,
    TableSlice,
    ValueMatch,
)

__all__ = [
    "HELD_OUT",
    "Example",
    "Values",
    "bird_catalogs",
    "bird_examples",
    "context_of",
    "kept_back",
    "read_sqlite",
    "spider_catalogs",
    "spider_examples",
    "synsql_examples",
    "triage_examples",
    "wikisql_examples",
]

HELD_OUT = frozenset(
    "battle_death car_1 concert_singer course_teach cre_Doc_Template_Mgt dog_kennels "
    "employee_hire_evaluation flight_2 museum_visit network_1 orchestra pets_1 poker_player "
    "real_estate_properties singer student_transcripts_tracking tvshow voter_1 world_1 wta_1".split()
)


def kept_back(database: str) -> bool:
    """Whether a training database is of the three in ten that the sentence encoder is measured with, not trained on.

    >>> [name for name in ("college_2", "flight_1", "hospital_1") if kept_back(name)]
    ['flight_1']
    """
    return zlib.crc32(database.encode()) % 10 < 3


_DATE = re.compile(r"(?:1[89]|20)\d\d-\d\d-\d\d(?:[ T].*)?")


@dataclass(frozen=True, slots=True)
class Example:
    """One question over a context, and the form that answers it."""

    question: str
    context: RetrievedContext
    form: tuple[FormToken, ...]
    source: str
    database: str


class Values:
    """Cells by normal form: {normal form: [(table key, column, value), …]}."""

    def __init__(self) -> None:
        self.cells: dict[str, list[tuple[str, str, str]]] = {}

    def add(self, table: str, column: str, value: str) -> None:
        """Remember a cell, if its text can be looked up at all."""
        form = normalise_value(value)
        if form:
            self.cells.setdefault(form, []).append((table, column, value))

    def match(self, question: str) -> tuple[ValueMatch, ...]:
        """The cells that ``question`` mentions."""
        hits = [
            (*cell, start, end)
            for gram, start, end in question_ngrams(question)
            for cell in self.cells.get(gram, ())
        ]
        return choose_matches(hits, question)


def _kind(declared: str, numeric: int, dated: int, seen: int) -> ColumnKind:
    text = declared.lower()
    if seen and dated == seen:
        return "date"
    if any(w in text for w in ("date", "time", "year")) and "int" not in text and text != "year":
        return "date"
    if "bool" in text or text == "bit":
        return "bool"
    if any(w in text for w in ("int", "real", "num", "dec", "floa", "doub", "money", "year")):
        return "number"
    if any(w in text for w in ("char", "text", "clob", "string")) or not text:
        return "number" if not text and seen and numeric == seen else "text"
    return "other"


def read_sqlite(source: Path | str, name: str) -> tuple[Catalog, Values]:
    """Catalog and cells of a SQLite file, or of DDL text, as the run time would introspect them."""
    values = Values()
    tables = []
    target = f"file:{source}?mode=ro" if isinstance(source, Path) else ":memory:"
    with closing(sqlite3.connect(target, uri=True)) as db:
        if isinstance(source, str):
            db.executescript(source)
        db.text_factory = lambda raw: raw.decode(errors="replace")
        names = [
            row[0]
            for row in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
            )
        ]
        quoted = {n: '"' + n.replace('"', '""') + '"' for n in names}
        spelled = {n.lower(): n for n in names}
        info = {n: db.execute(f"PRAGMA table_info({quoted[n]})").fetchall() for n in names}
        for table in names:
            columns = []
            for _, column, declared, notnull, _, pk in info[table]:
                cells = [
                    r[0]
                    for r in db.execute(
                        f'SELECT DISTINCT "{column}" FROM {quoted[table]} WHERE "{column}" IS NOT NULL LIMIT 5000'
                    )
                ]
                texts = [c for c in cells if isinstance(c, str)]
                dated = sum(1 for c in texts[:200] if _DATE.fullmatch(c))
                numeric = len(cells) - len(texts)
                kind = _kind(declared, numeric, dated, len(cells[:200]))
                if kind in ("text", "other"):
                    for cell in texts:
                        values.add(table, column, cell)
                columns.append(
                    Column(column, declared, kind, nullable=not notnull, primary_key=bool(pk),
                           values=tuple(texts[:20]))
                )  # fmt: skip
            keys: dict[int, list[Any]] = {}
            for row in db.execute(f"PRAGMA foreign_key_list({quoted[table]})"):
                keys.setdefault(row[0], []).append(row)
            foreign = []
            own = {c.name.lower(): c.name for c in columns}
            for rows in keys.values():
                parent = spelled.get(rows[0][2].lower())
                if parent is None:
                    continue
                theirs = {c[1].lower(): c[1] for c in info[parent]}
                primary = [c[1] for c in info[parent] if c[5]]
                pairs = [
                    (own.get(r[3].lower()), theirs.get(r[4].lower()) if r[4] else next(iter(primary), None))
                    for r in rows
                ]
                if all(a and b for a, b in pairs):
                    foreign.append(
                        ForeignKey(tuple(str(a) for a, _ in pairs), parent, tuple(str(b) for _, b in pairs))
                    )
            tables.append(Table(table, tuple(columns), foreign_keys=tuple(foreign)))
    return Catalog("sqlite", tuple(tables), name), values


def context_of(catalog: Catalog, values: tuple[ValueMatch, ...] = ()) -> RetrievedContext:
    """The whole catalog as a context."""
    return RetrievedContext(tuple(TableSlice(t, 1.0, "") for t in catalog.tables), values)


def spider_catalogs(root: Path) -> dict[str, tuple[Catalog, Values]]:
    """Catalogs and cells of Spider's training databases, keys completed from tables.json."""
    found = {}
    for entry in json.loads((root / "tables.json").read_text()):
        name = entry["db_id"]
        path = root / "database" / name / f"{name}.sqlite"
        if name in HELD_OUT or not path.exists():
            continue
        catalog, values = read_sqlite(path, name)
        found[name] = (_complete_keys(catalog, entry), values)
    return found


def _complete_keys(catalog: Catalog, entry: dict[str, Any]) -> Catalog:
    tables = {t.name.lower(): t for t in catalog.tables}
    extra: dict[str, list[ForeignKey]] = {}
    columns, names = entry["column_names_original"], entry["table_names_original"]
    for a, b in entry["foreign_keys"]:
        owner, target = (tables.get(names[columns[x][0]].lower()) for x in (a, b))
        if owner is None or target is None:
            continue
        mine = next((c.name for c in owner.columns if c.name.lower() == columns[a][1].lower()), None)
        theirs = next((c.name for c in target.columns if c.name.lower() == columns[b][1].lower()), None)
        known = any(k.target == target.key and k.columns == (mine,) for k in owner.foreign_keys)
        if mine and theirs and not known:
            extra.setdefault(owner.key, []).append(ForeignKey((mine,), target.key, (theirs,)))
    return replace(
        catalog,
        tables=tuple(
            replace(t, foreign_keys=(*t.foreign_keys, *extra[t.key])) if t.key in extra else t
            for t in catalog.tables
        ),
    )


def _example(
    question: str, sql: str, catalog: Catalog, values: Values, source: str, name: str
) -> Example | str:
    context = with_codes(context_of(catalog, values.match(question)))
    try:
        form = tree_to_form(sqlglot.parse_one(sql, dialect="sqlite"), context, question)
        form_to_sql(form, context, question, "sqlite")
    except (Inexpressible, SqlglotError, RecursionError, AttributeError) as error:
        return str(error).split("'")[0][:40] or type(error).__name__
    return Example(question, context, tuple(form), source, name)


def spider_examples(
    rows: Iterable[dict[str, Any]],
    catalogs: dict[str, tuple[Catalog, Values]],
    source: str,
    skipped: Counter[str] | None = None,
) -> Iterator[Example]:
    """Examples of rows in Spider's form (db_id, question, query); held-out databases never pass."""
    for row in rows:
        name = row["db_id"]
        if name in HELD_OUT or name not in catalogs:
            continue
        catalog, values = catalogs[name]
        question = row.get("SpiderSynQuestion") or row["question"]
        example = _example(question.strip(), row["query"], catalog, values, source, name)
        if isinstance(example, str):
            if skipped is not None:
                skipped[example] += 1
        else:
            yield example


def bird_catalogs(root: Path) -> dict[str, Catalog]:
    """Catalogs of BIRD's training databases, from their DDL."""
    found = {}
    for name, ddl in json.loads((root / "train_schemas_ddl.json").read_text()).items():
        try:
            found[name] = read_sqlite(ddl, name)[0]
        except sqlite3.Error:
            continue
    return found


def bird_examples(
    root: Path, catalogs: dict[str, Catalog], skipped: Counter[str] | None = None
) -> Iterator[Example]:
    """BIRD training questions whose SQL the form can say; there are no rows, so no value matches.

    Where a question comes with evidence it comes twice: alone, and with the evidence behind it.
    """
    bad = set(json.loads((root / "train_gold_not_binding_idx.json").read_text()))
    empty = Values()
    for number, row in enumerate(json.loads((root / "train.json").read_text())):
        catalog = catalogs.get(row["db_id"])
        if catalog is None or number in bad:
            continue
        question, evidence = row["question"].strip(), row["evidence"].strip().rstrip(";")
        for text in (question, with_hints(question, [evidence])) if evidence else (question,):
            example = _example(text, row["SQL"], catalog, empty, "bird", row["db_id"])
            if isinstance(example, str):
                if skipped is not None:
                    skipped[example] += 1
            else:
                yield example


def synsql_examples(path: Path, skipped: Counter[str] | None = None) -> Iterator[Example]:
    """SynSQL's machine-written questions in many styles; the DDL stands in each prompt."""
    for row in json.loads(path.read_text()):
        ddl = ";\n".join(re.findall(r"CREATE TABLE .*?\n\)", str(row["prompt"]).replace("\\n", "\n"), re.S))
        question = " ".join(row["question"].split())
        try:
            catalog = read_sqlite(ddl, row["db_id"])[0]
        except sqlite3.Error:
            continue
        if len(question) > 400 or not catalog.tables:
            continue
        if knowledge := " ".join(row["external_knowledge"].split()):
            question = with_hints(question, [knowledge])
        example = _example(question, row["sql"], catalog, Values(), "synsql", row["db_id"])
        if isinstance(example, str):
            if skipped is not None:
                skipped[example] += 1
        else:
            yield example


def triage_examples(rows: Iterable[dict[str, Any]]) -> Iterator[Example]:
    """Questions of the triage corpus that a database can't answer, with the form that says so.

    Every second database, by a checksum of its name, is kept for measuring.
    """
    for row in rows:
        measured = zlib.crc32(row["databaseid"].encode()) % 2 == 1
        if measured or row["type"] not in ("lack data", "unanswerable by sql", "small talk"):
            continue
        tables = tuple(
            Table(name, tuple(Column(c, "TEXT", "text") for c in dict.fromkeys(columns)))
            for name, columns in row["tables"].items()
        )
        catalog = Catalog("sqlite", tables, row["databaseid"])
        yield Example(
            row["question"].strip(), context_of(catalog), ("unanswerable",), "triage", row["databaseid"]
        )


def wikisql_examples(path: Path, skipped: Counter[str] | None = None) -> Iterator[Example]:
    """WikiSQL's single-table questions, over a table made of the columns that were seen."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            names = [n for n in row["columns_seen"] if n]
            if not names or len(names) > 30 or len({n.lower() for n in names}) < len(names):
                continue
            # Half of them under their number, as the triage corpus names its tables: a style must not tell.
            number = row["table_id"]
            name = "data_table" if zlib.crc32(number.encode()) % 2 else number
            sql = re.sub(r"\bTABLE\b", f'"{name}"', row["sql"].rstrip("; "), count=1)
            columns = tuple(Column(n, "TEXT", "text") for n in names)
            catalog = Catalog("sqlite", (Table(name, columns),), number)
            quoted = sorted(names, key=len, reverse=True)
            if any(not re.fullmatch(r"\w+", n) for n in quoted):
                continue
            example = _example(row["question"].strip(), sql, catalog, Values(), "wikisql", row["table_id"])
            if isinstance(example, str):
                if skipped is not None:
                    skipped[example] += 1
            else:
                yield example
