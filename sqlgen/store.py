"""What a connection keeps on disk: one folder per database, with the catalog last read.

Every file is written beside its place and then moved there, so that a crash leaves the old or the new one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlgen.errors import ConfigError
from sqlgen.files import write_whole
from sqlgen.types import Catalog, Column, ForeignKey, Table

__all__ = ["read_catalog", "store_folder", "write_catalog"]

_VERSION = 1
_log = logging.getLogger(__name__)


def store_folder(home: Path, name: str, identity: str) -> Path:
    """The folder of the database that ``identity`` tells apart; made when absent.

    ``name`` only makes the folder recognisable to a person. Raises ConfigError when it cannot be made.
    """
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "database"
    folder = home / "databases" / f"{readable}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the folder {folder} ({error.strerror}); set SQLGEN_HOME to one that can be written"
        ) from error
    return folder


def write_catalog(path: Path, catalog: Catalog) -> None:
    """Keep ``catalog`` at ``path``, in one move; a folder that cannot be written costs only the next reading."""
    text = json.dumps({"version": _VERSION, "catalog": asdict(catalog)}, ensure_ascii=True, default=str)
    try:
        write_whole(path, f"{_digest(text)}\n{text}")
    except OSError as error:
        _log.warning("the catalog %s cannot be written (%s); it is kept in memory", path, error.strerror)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_catalog(path: Path, fingerprint: str | None) -> Catalog | None:
    """The catalog kept at ``path``; None when it is absent, damaged, or of another fingerprint or version.

    Without a ``fingerprint`` any catalog will do.
    """
    try:
        digest, _, text = path.read_text("ascii").partition("\n")
        if digest != _digest(text):
            return None
        document = json.loads(text)
        if document["version"] != _VERSION or fingerprint not in (None, document["catalog"]["fingerprint"]):
            return None
        return _catalog(document["catalog"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _catalog(raw: dict[str, Any]) -> Catalog:
    return Catalog(**{**raw, "tables": tuple(map(_table, raw["tables"])), "skipped": tuple(raw["skipped"])})


def _table(raw: dict[str, Any]) -> Table:
    columns = tuple(Column(**{**c, "values": tuple(c["values"])}) for c in raw["columns"])
    keys = tuple(
        ForeignKey(tuple(k["columns"]), k["target"], tuple(k["target_columns"]), k["inferred"])
        for k in raw["foreign_keys"]
    )
    return Table(**{**raw, "columns": columns, "foreign_keys": keys})
