"""A glossary file (TOML, a list ``terms``) and the terms that a question names."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlgen.errors import ConfigError
from sqlgen.types import TermMatch

__all__ = ["Term", "load_glossary", "match_terms"]


@dataclass(frozen=True, slots=True)
class Term:
    """A name that people use, what it means, and its SQL if it has one."""

    name: str
    definition: str
    synonyms: tuple[str, ...] = ()
    is_metric: bool = False
    sql: str = ""
    source: str = "glossary"


def load_glossary(path: Path) -> tuple[Term, ...]:
    """The terms of a file; ConfigError names the file when it cannot be read."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        return tuple(
            Term(
                name=entry["name"],
                definition=entry["definition"],
                synonyms=tuple(entry.get("synonyms", ())),
                is_metric=entry.get("kind") == "metric",
                sql=entry.get("sql", ""),
                source=path.name,
            )
            for entry in raw.get("terms", ())
        )
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the glossary {path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the glossary {path} has a term without name or definition") from error


def match_terms(question: str, terms: Iterable[Term]) -> tuple[TermMatch, ...]:
    """The terms whose name or synonym stands in the question as whole words, longest name first.

    >>> [m.name for m in match_terms("Net revenue by month", [Term("net revenue", "…"), Term("AOV", "…")])]
    ['net revenue']
    """
    found: list[tuple[int, TermMatch]] = []
    for term in terms:
        said = [n for n in (term.name, *term.synonyms) if _says(question, n)]
        if said:
            longest = max(map(len, said))
            score = 1.0 if term.name in said else 0.9
            text = f"{term.definition} SQL: {term.sql}" if term.sql else term.definition
            kind = "metric" if term.is_metric else "term"
            found.append((longest, TermMatch(kind, term.name, text, term.source, score)))  # type: ignore[arg-type]
    found.sort(key=lambda item: (-item[0], -item[1].score, item[1].name))
    return tuple(match for _, match in found)


def _says(question: str, name: str) -> bool:
    words = r"\W+".join(map(re.escape, name.split()))
    return bool(words) and re.search(rf"(?<!\w){words}s?(?!\w)", question, re.IGNORECASE) is not None
