"""What a database can be asked about: tables as nouns, columns with roles, links between them."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlgen.catalog.naming import natural_name
from sqlgen.sql.form import needed_tables
from sqlgen.training.corpora import Values, context_of
from sqlgen.training.synthesis.wording import people_words, plural, singular
from sqlgen.types import Catalog, Column, RetrievedContext, Table

__all__ = ["Domain", "Entity", "Field", "Link", "parts_of", "read_domain"]

MAX_TABLES = 14
MAX_PIECES = 400

_ISO = re.compile(r"(?:1[89]|20)\d\d-\d\d-\d\d(?:[ T].*)?")
_EXPANDED = {
    "qty": "quantity", "amt": "amount", "num": "number", "nbr": "number", "no": "number", "fname": "first name",
    "lname": "last name", "dob": "date of birth", "addr": "address", "desc": "description", "dept": "department",
    "emp": "employee", "cust": "customer", "prod": "product", "stu": "student", "prof": "professor", "yr": "year",
    "avg": "average", "max": "maximum", "min": "minimum", "pct": "percentage", "tel": "telephone", "mgr": "manager",
    "dname": "department name", "lastname": "last name", "firstname": "first name", "birthdate": "birth date",
    "hiredate": "hire date", "orderdate": "order date", "unitprice": "unit price", "productname": "product name",
    "companyname": "company name", "bdate": "birth date", "crs": "course", "acc": "account", "lat": "latitude",
    "postalcode": "postal code", "datetime": "date and time", "datefrom": "date from", "dateto": "date to",
}  # fmt: skip
_LABELS = ("name", "title", "full name", "company name", "label", "subject", "number")
_VERBAL = frozenset(
    "has have is are plays belongs in participates enrolled on of by to with works took treats".split()
)
_ODD = re.compile(r"\b(in|of|to|by|there|for|on|with|and|is|how|last update|modified date|update date)$")
_BRIEF = frozenset("age sex gpa fee zip day tax vat gdp job pay due end bio tag fax lot".split())
_DULL = frozenset("tbl t app dim fact ref reference data info".split())
NOT_ADDITIVE = re.compile(
    r"\b(age|rat(e|ing)|percent\w*|score|height|weight|latitude|longitude|year|rank\w*|grade|temperature|price|fee|"
    r"average|level|floor|position|speed|gpa|stars|order|sequence|version|month|day|size|number|"
    r"ratio|mpg|lat|long|maximum|minimum|discount)\b"
)
MONEY = re.compile(
    r"\b(price|cost|amount|fee|salary|budget|revenue|sales|payment|charge|balance|spend|rent|total|income|value|bonus|fare|paid)\b"
)


@dataclass(slots=True, eq=False)
class Field:
    """A column with its words, its role and what its cells look like."""

    table: int
    place: int
    column: Column
    words: str
    role: str
    rows: int
    filled: int
    distinct: int
    low: Any
    high: Any
    samples: list[Any]
    unique: bool = False

    @property
    def token(self) -> tuple[str, int, int]:
        """The pointer of a form."""
        return ("c", self.table, self.place)


@dataclass(slots=True, eq=False)
class Link:
    """``column`` of ``child`` refers to ``parent``."""

    child: Entity
    column: Field
    parent: Entity
    target: Field


@dataclass(slots=True, eq=False)
class Entity:
    """A table as a noun."""

    place: int
    table: Table
    noun: str
    rows: int
    fields: list[Field]
    verbal: bool
    key: Field | None = None
    label: list[Field] = field(default_factory=list)
    parents: list[Link] = field(default_factory=list)
    children: list[Link] = field(default_factory=list)

    @property
    def nouns(self) -> str:
        """The plural."""
        return plural(self.noun)

    def having(self, *roles: str) -> list[Field]:
        """Fields of these roles."""
        return [f for f in self.fields if f.role in roles]


@dataclass(slots=True, eq=False)
class Domain:
    """A database to ask about, or a part of one, with its open connection; ``made`` if random."""

    name: str
    catalog: Catalog
    values: Values
    connection: sqlite3.Connection
    entities: list[Entity]
    context: RetrievedContext
    made: bool = False

    def chains(self, entity: Entity, depth: int = 3) -> list[list[Link]]:
        """Ways up from ``entity`` to its parents and theirs that joins would really take."""
        found: list[list[Link]] = []
        frontier: list[list[Link]] = [[]]
        for _ in range(depth):
            longer = []
            for chain in frontier:
                here = chain[-1].parent if chain else entity
                for link in here.parents:
                    seen = {entity.place, *(x.parent.place for x in chain)}
                    if link.parent.place not in seen:
                        longer.append([*chain, link])
            found += longer
            frontier = longer
        targets = [c[-1].parent.place for c in found]
        good = []
        for chain in found:
            if targets.count(chain[-1].parent.place) > 1:
                continue
            ends = [("t", entity.place), ("t", chain[-1].parent.place)]
            if needed_tables(ends, self.context) == {entity.place, *(x.parent.place for x in chain)}:
                good.append(chain)
        return good


def _words(name: str, nouns: Mapping[tuple[str, str], str], table: str, column: str = "") -> str:
    known = nouns.get((table, column))
    if known is not None:
        return known
    words = [_EXPANDED.get(w, w) for w in re.sub(r"[^\w% ]+", " ", natural_name(name)).split()] or ["value"]
    while len(words) > 1 and words[0] in _DULL:
        words = words[1:]
    while not column and len(words) > 1 and words[-1] in ("table", "data", "tbl", "list"):
        words = words[:-1]
    return " ".join(words)


def _is_verbal(words: str) -> bool:
    return bool(_VERBAL & set(words.split())) or words.endswith(("ed", "eds", "taken", "used", "in"))


def _role(
    column: Column, words: str, stats: tuple[int, int, int, Any, Any], samples: list[Any], key: bool
) -> str:
    _, filled, distinct, low, high = stats
    last = words.split()[-1]
    if key or last in ("id", "uuid", "guid", "rowguid", "key", "ssn", "isbn") or filled == 0:
        return "key"
    if _ODD.search(words) or all(len(w) < 4 and w not in _BRIEF for w in words.split()):
        return "other"
    if column.kind == "bool":
        return "bool" if distinct == 2 else "other"
    if column.kind == "date":
        return "date" if all(isinstance(s, str) and _ISO.fullmatch(s) for s in samples) else "other"
    if column.kind == "number":
        if not isinstance(low, int | float) or not isinstance(high, int | float):
            return "other"
        if "year" in words and low > 1800 and high < 2101:
            return "year"
        return "measure" if distinct > 2 else "other"
    if column.kind != "text" or not all(isinstance(s, str) for s in samples):
        return "other"
    texts = [s.strip() for s in samples]
    if all(re.fullmatch(r"[-+\d.,:/ ]*", s) for s in texts):
        return "other"
    if sum(map(len, texts)) / len(texts) > 40 or re.search(
        r"\b(comments?|notes?|feedback|details|description|reason|remarks)$", words
    ):
        return "long"
    if any(
        w in words
        for w in ("phone", "email", "address", "url", "password", "zip", "postal", "fax", "photo", "image")
    ):
        return "text"
    if distinct <= max(12, 0.35 * filled) and distinct < filled and distinct <= 200:
        return "category"
    return "text"


def _label(entity: Entity) -> list[Field]:
    texts = [f for f in entity.fields if f.role in ("text", "category", "long")]
    people = people_words(entity.noun)
    for wanted in _LABELS:
        for f in texts:
            if f.words == wanted and not (people and wanted in ("title", "number", "subject")):
                return [f]
    first = next((f for f in texts if f.words.endswith("first name")), None)
    last = next((f for f in texts if f.words.endswith(("last name", "surname"))), None)
    if first and last:
        return [first, last]
    for f in texts:
        if f.words.endswith((" name", " title")) and f.distinct > 0.5 * f.filled:
            return [f]
    return []


def parts_of(catalog: Catalog, rng: random.Random) -> list[Catalog]:
    """The catalog, or connected parts of it when the whole would not fit a model's input."""

    def size(table: Table) -> int:
        return 4 + sum(2 + len(natural_name(c.name).split()) * 3 // 2 for c in table.columns)

    if len(catalog.tables) <= MAX_TABLES and sum(map(size, catalog.tables)) <= MAX_PIECES:
        return [catalog]
    near: dict[str, set[str]] = {t.key: set() for t in catalog.tables}
    for table in catalog.tables:
        for key in table.foreign_keys:
            if key.target in near:
                near[table.key].add(key.target)
                near[key.target].add(table.key)
    by_key = {t.key: t for t in catalog.tables}
    parts: list[Catalog] = []
    seeds = [t.key for t in catalog.tables if size(t) <= MAX_PIECES]
    rng.shuffle(seeds)
    covered: set[str] = set()
    for start in seeds:
        if start in covered:
            continue
        kept, room = [start], MAX_PIECES - size(by_key[start])
        while len(kept) < MAX_TABLES:
            fringe = sorted({n for k in kept for n in near[k] if n not in kept and size(by_key[n]) <= room})
            if not fringe:
                fringe = sorted(k for k in by_key if k not in kept and size(by_key[k]) <= room)
            if not fringe:
                break
            kept.append(rng.choice(fringe))
            room -= size(by_key[kept[-1]])
        covered |= set(kept)
        tables = tuple(t for t in catalog.tables if t.key in kept)
        parts.append(replace(catalog, tables=tables))
    return parts


def read_domain(
    name: str,
    catalog: Catalog,
    values: Values,
    connection: sqlite3.Connection,
    nouns: Mapping[tuple[str, str], str],
    rng: random.Random,
) -> Domain:
    """Look at the rows of every table and give its columns their roles."""
    keys = {t.key: {c for k in t.foreign_keys for c in k.columns} for t in catalog.tables}
    places = {t.key: i for i, t in enumerate(catalog.tables)}
    entities = []
    for i, table in enumerate(catalog.tables):
        quoted = '"' + table.name.replace('"', '""') + '"'
        rows = connection.execute(f"SELECT COUNT(*) FROM {quoted}").fetchone()[0]
        words = _words(table.name, nouns, table.name)
        noun = singular(words)
        entity = Entity(i, table, noun, rows, [], _is_verbal(words))
        for j, column in enumerate(table.columns):
            c = '"' + column.name.replace('"', '""') + '"'
            stats = connection.execute(
                f"SELECT COUNT(*), COUNT({c}), COUNT(DISTINCT {c}), MIN({c}), MAX({c}) FROM {quoted}"
            ).fetchone()
            samples = [
                r[0] for r in connection.execute(f"SELECT {c} FROM {quoted} WHERE {c} IS NOT NULL LIMIT 3000")
            ]
            samples = rng.sample(samples, min(len(samples), 40))
            said = _words(column.name, nouns, table.name, column.name)
            for prefix in (noun, plural(noun), noun.split()[-1], noun.split()[0]):
                if (
                    said.startswith(f"{prefix} ")
                    and said != f"{prefix} id"
                    and (table.name, column.name) not in nouns
                ):
                    rest = said.removeprefix(f"{prefix} ")
                    if rest.split()[0] not in ("of", "id", "date", "from", "to", "number", "code"):
                        said = rest
                        break
            key = column.primary_key or column.name in keys[table.key]
            role = _role(column, said, stats, samples, key)
            f = Field(i, j, column, said, role, stats[0], stats[1], stats[2], stats[3], stats[4], samples)
            f.unique = stats[2] == stats[0] > 0
            entity.fields.append(f)
        primary = [f for f in entity.fields if f.column.primary_key]
        entity.key = primary[0] if len(primary) == 1 else None
        entity.label = _label(entity)
        entities.append(entity)
    for entity in entities:
        singles = [k for k in entity.table.foreign_keys if len(k.columns) == 1 and k.target in places]
        for reference in singles:
            parent = entities[places[reference.target]]
            between = [k for k in singles if k.target == reference.target]
            back = [k for k in parent.table.foreign_keys if k.target == entity.table.key]
            if parent is entity or len(between) > 1 or back:
                continue
            mine = next((f for f in entity.fields if f.column.name == reference.columns[0]), None)
            theirs = next((f for f in parent.fields if f.column.name == reference.target_columns[0]), None)
            if mine and theirs:
                link = Link(entity, mine, parent, theirs)
                entity.parents.append(link)
                parent.children.append(link)
    return Domain(name, catalog, values, connection, entities, context_of(catalog), bool(nouns))
