"""A glossary file (TOML, a list ``terms``): terms and metrics."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from sqlgen.errors import ConfigError
from sqlgen.knowledge.items import Term

__all__ = ["load_glossary"]


def load_glossary(path: Path) -> tuple[Term, ...]:
    """The terms of a file; ConfigError names the file when it cannot be read."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        return tuple(_term(entry, path.name) for entry in raw.get("terms", ()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the glossary {path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the glossary {path} has a term without name or definition") from error


def _term(entry: dict[str, Any], source: str) -> Term:
    return Term(
        name=entry["name"],
        definition=entry["definition"],
        synonyms=tuple(entry.get("synonyms", ())),
        is_metric=entry.get("kind") == "metric",
        sql=entry.get("sql", ""),
        source=source,
        tables=tuple(entry.get("tables", ())),
        filters=tuple(entry.get("filters", ())),
        dialects=tuple(entry.get("dialects", {}).items()),
    )
