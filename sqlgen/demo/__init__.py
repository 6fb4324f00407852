"""Demo databases: seeded generators, a loader for the four engines, and golden questions.

Data about a domain lives in ``schemas/<domain>/`` as plain files. Rows are built once and are the same on
every engine and every platform. The shop (``retail``) is what ``sqlgen demo`` asks.
"""

from __future__ import annotations

import os
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sqlgen.config import Settings
from sqlgen.demo.domain import Domain, GlossaryTerm, GoldenQuestion, Progress, read_file
from sqlgen.demo.draw import END_DATE, START_DATE
from sqlgen.demo.load import build, is_current
from sqlgen.demo.retail import RETAIL, generate_rows
from sqlgen.demo.subscriptions import SUBSCRIPTIONS
from sqlgen.errors import ConfigError

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = [
    "DOMAINS",
    "END_DATE",
    "RETAIL",
    "START_DATE",
    "SUBSCRIPTIONS",
    "Domain",
    "GlossaryTerm",
    "GoldenQuestion",
    "build_domain",
    "build_retail",
    "demo_path",
    "ensure_demo",
    "generate_rows",
    "retail_descriptions",
    "retail_glossary",
    "retail_goldens",
    "tour",
]

DOMAINS: Mapping[str, Domain] = MappingProxyType({d.name: d for d in (RETAIL, SUBSCRIPTIONS)})


def retail_goldens() -> tuple[GoldenQuestion, ...]:
    """All golden questions of the shop, in the order of the file.

    >>> len(retail_goldens()) >= 80
    True
    """
    return RETAIL.goldens()


def retail_glossary() -> tuple[GlossaryTerm, ...]:
    """The shop's terms and metrics.

    >>> next(term.kind for term in retail_glossary() if term.name == "return rate")
    'query'
    """
    return RETAIL.glossary()


def retail_descriptions() -> dict[str, tuple[str, dict[str, str]]]:
    """Table name to its description and the descriptions of its columns.

    >>> retail_descriptions()["orders"][1]["order_date"]
    'Day the order was placed'
    """
    return RETAIL.descriptions()


def tour() -> tuple[str, ...]:
    """The ids of the golden questions that ``sqlgen demo`` shows, in order."""
    return tuple(tomllib.loads(read_file("retail", "tour.toml"))["questions"])


def build_domain(
    name: str,
    target: Path | str | sa.Engine,
    *,
    seed: int = 7,
    scale: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write the domain called ``name``, one of ``DOMAINS``, as ``build_retail`` does the shop."""
    build(DOMAINS[name], target, seed=seed, scale=scale, progress=progress)


def build_retail(
    target: Path | str | sa.Engine,
    *,
    seed: int = 7,
    scale: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write the demo shop: into a file (Path), or into an empty database (Engine or SQLAlchemy URL).

    A path ending in ``.duckdb`` becomes a DuckDB file, any other a SQLite file. A file appears whole or
    not at all, and only an earlier demo database is replaced. A database server must not have any of
    the tables yet; SQLite, DuckDB and PostgreSQL roll back when the load breaks off, MySQL has its
    tables dropped unless the process is killed.

    ``seed`` and ``scale`` are those of ``generate_rows``; ``progress`` is called as (done, total, what)
    with rows for done and total. Raises UsageError when the target cannot be used, DatabaseError when
    the engine refuses.

    >>> import sqlite3, tempfile
    >>> from contextlib import closing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     build_retail(Path(folder, "shop.sqlite"), scale=0.01)
    ...     with closing(sqlite3.connect(Path(folder, "shop.sqlite"))) as shop:
    ...         shop.execute("SELECT MIN(signup_date) < MAX(order_date) FROM customers, orders").fetchone()
    (1,)
    """
    build(RETAIL, target, seed=seed, scale=scale, progress=progress)


def _can_hold(folder: Path) -> bool:
    """True when ``folder`` exists, or can be made, and takes a new file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _private_temporary_folder() -> Path:
    """A folder under the system's temporary one that belongs to this user alone."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"sqlgen-{user}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        # Somebody else may have made it first to feed us a database of theirs.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077:
            return folder
        if os.name == "nt" and stat.S_ISDIR(found.st_mode):
            return folder
    return Path(tempfile.mkdtemp(prefix="sqlgen-"))


def demo_path(home: Path | None = None) -> Path:
    """Where the demo database is kept: under ``home``, ``SQLGEN_HOME`` or the user's data folder.

    Where the user's data folder cannot be written, a private temporary folder serves. Raises
    ConfigError when a folder that was asked for cannot hold it.
    """
    default = Settings().home
    asked = home or (Path(os.environ["SQLGEN_HOME"]) if os.environ.get("SQLGEN_HOME") else None)
    path = (asked or default) / "demo" / "retail.sqlite"
    if is_current(RETAIL, path) or _can_hold(path.parent):
        return path
    if asked is not None and asked != default:
        raise ConfigError(
            f"cannot write the demo database in {path.parent}; set SQLGEN_HOME to another folder"
        )
    return _private_temporary_folder() / "retail.sqlite"


def ensure_demo(progress: Progress | None = None, *, home: Path | None = None) -> Path:
    """The path of the demo database, built first when it is absent or of another version.

    ``progress`` is called as (done, total, what).
    """
    path = demo_path(home)
    if not is_current(RETAIL, path):
        build_retail(path, progress=progress)
    return path
