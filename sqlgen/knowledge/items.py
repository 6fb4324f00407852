"""What people can add: terms and metrics, documents, verified queries, descriptions of tables and columns."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from sqlgen.errors import UsageError

__all__ = [
    "Description",
    "Document",
    "Item",
    "ItemKind",
    "Term",
    "Verified",
    "from_body",
    "item_id",
    "kind_of",
    "normal_question",
    "to_body",
]

ItemKind = Literal["term", "metric", "document", "query", "description"]

# Words that can go without the question meaning something else.
_IDLE = frozenset(
    "a an the please kindly just show me give tell list display find get us can could would you i want need to see know "
    "what which is are was were be do does did there".split()
)
_WORD = re.compile(r"\d+(?:[.,:/-]\d+)*|\w+|[<>=%+]|(?<!\w)-(?=\d)")


@dataclass(frozen=True, slots=True)
class Term:
    """A name that people use, what it means, and its SQL if it has one.

    ``sql`` is an expression (a metric), a condition, or a query that lists the rows meant. ``tables``
    begins with the table whose rows it is about; ``filters`` are conditions on a metric's rows.
    """

    name: str
    definition: str
    synonyms: tuple[str, ...] = ()
    is_metric: bool = False
    sql: str = ""
    source: str = "glossary"
    tables: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    dialects: tuple[tuple[str, str], ...] = ()

    def sql_for(self, dialect: str) -> str:
        """The SQL in ``dialect``."""
        return dict(self.dialects).get(dialect, self.sql)


@dataclass(frozen=True, slots=True)
class Document:
    """A text in Markdown, cited by its headings."""

    name: str
    text: str
    source: str = "documents"


@dataclass(frozen=True, slots=True)
class Verified:
    """A question, other wordings of it, and the SQL that somebody vouched for."""

    question: str
    sql: str
    wordings: tuple[str, ...] = ()
    source: str = "verified"


@dataclass(frozen=True, slots=True)
class Description:
    """What a table (``name`` is its name) or a column (``table.column``) means.

    ``refers_to`` is the column that it is a foreign key to, ``is_key`` says that it identifies the row.
    """

    name: str
    text: str
    source: str = "descriptions"
    refers_to: str = ""
    is_key: bool = False

    @property
    def says(self) -> str:
        """Its text; where it has none, what it knows of keys.

        >>> Description("orders.customer_id", "", refers_to="customers.id").says, Description("orders.id", "", is_key=True).says
        ('refers to customers.id', 'identifies the row')
        """
        return self.text or (f"refers to {self.refers_to}" if self.refers_to else "identifies the row")


Item: TypeAlias = Term | Document | Verified | Description
_TYPES: Mapping[ItemKind, type[Any]] = {
    "term": Term,
    "metric": Term,
    "document": Document,
    "query": Verified,
    "description": Description,
}


def kind_of(item: Item) -> ItemKind:
    """The kind under which an item is listed.

    >>> kind_of(Term("revenue", "…", is_metric=True)), kind_of(Document("Handbook", "…"))
    ('metric', 'document')
    """
    if isinstance(item, Term):
        return "metric" if item.is_metric else "term"
    if isinstance(item, Document):
        return "document"
    return "query" if isinstance(item, Verified) else "description"


@lru_cache(maxsize=20_000)
def normal_question(text: str) -> tuple[str, ...]:
    """The words of a question without case, punctuation and words that change nothing.

    >>> normal_question("Which customers are in Oslo?") == normal_question("show me the customers in OSLO")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = _WORD.findall(folded)
    return tuple(word for word in words if word not in _IDLE) or tuple(words)


def item_id(item: Item) -> str:
    """The id of an item: the same name of the same kind is the same item.

    >>> item_id(Term("Open order", "…")), item_id(Term("Umsatz €", "…", is_metric=True))
    ('term:open-order', 'metric:umsatz-c010844b')
    """
    kind = kind_of(item)
    if isinstance(item, Verified):
        words = " ".join(normal_question(item.question))
        return f"query:{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    name = " ".join(unicodedata.normalize("NFKC", item.name).casefold().split())
    keep = r"[^a-z0-9_.]+" if kind == "description" else r"[^a-z0-9]+"
    slug = re.sub(keep, "-", name).strip("-")[:60]
    # What the slug lost still tells two names apart.
    if slug != re.sub(r"\s", "-", name):
        slug = f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".strip("-")
    return f"{kind}:{slug}"


def to_body(item: Item) -> str:
    """The item as JSON."""
    return json.dumps(asdict(item), ensure_ascii=False, sort_keys=True)


def from_body(kind: str, body: str | Mapping[str, Any]) -> Item:
    """The item of a JSON text or object; UsageError when it is none."""
    try:
        raw = dict(json.loads(body) if isinstance(body, str) else body)
        made = _TYPES[kind]  # type: ignore[index]
        known = {f.name for f in fields(made)}
        for name in ("synonyms", "tables", "filters", "wordings"):
            if name in raw:
                raw[name] = tuple(map(str, raw[name]))
        if "dialects" in raw:
            pairs = raw["dialects"].items() if isinstance(raw["dialects"], Mapping) else raw["dialects"]
            raw["dialects"] = tuple((str(a), str(b)) for a, b in pairs)
        if unknown := set(raw) - known:
            raise UsageError(f"a {kind} has no {min(unknown)!r}; it has {', '.join(sorted(known))}")
        if made is Term:
            raw["is_metric"] = kind == "metric" or bool(raw.get("is_metric"))
        item: Item = made(**raw)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"no {kind} that can be read: {error}") from error
    return item
