"""Settings: defaults < sqlgen.toml < environment < flags. Read once, passed down; unknown keys are errors.

``sqlgen.toml`` is the nearest one from the working directory upwards, or the file that ``SQLGEN_CONFIG``
names. Every key may come from the environment as ``SQLGEN_<KEY>``. A relative path in the file counts
from the file's own folder.
"""

from __future__ import annotations

import difflib
import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

from sqlgen.errors import ConfigError
from sqlgen.policy import Policy, bound_values, read_policy

__all__ = ["Settings", "load_settings", "nearest", "reload_policy", "reload_serve"]

_CONFIG_FILE = "sqlgen.toml"
_PREFIX = "SQLGEN_"
_CONTEXT_PREFIX = "SQLGEN_POLICY_"
_OTHER_VARIABLES = frozenset({"SQLGEN_API_KEY", "SQLGEN_CONFIG", "SQLGEN_DEBUG"})


OnEstimate = Literal["refuse", "ask", "run"]
AuditQuestion = Literal["text", "hash"]


def _default_home() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "sqlgen"
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "sqlgen"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may set.

    ``db`` is a SQLAlchemy URL; ``home`` the folder of indexes and the demo database; ``token_budget``
    the word pieces that retrieval may spend; ``min_confidence`` (0 to 1) the confidence below which
    an answer abstains, None for the one measured with the model; ``today`` the day that "last month"
    refers to, None for the clock's; ``index_store`` the PostgreSQL database that keeps the indexes for several
    servers, None for files under ``home``; ``embedder`` a sentence-transformers model (a folder or a name on its
    hub) or a folder that ``sqlgen.training.sentences`` wrote, in place of the sentence encoder that ships;
    ``skip_values`` patterns (``table.column``, ``*`` and ``?`` allowed) of columns whose values stay out of index
    and samples; ``policy`` what may be read, and ``policy_file`` the file that it came from.

    ``max_bytes``, ``max_cell_bytes`` and ``max_memory_mib`` bound a result, one cell, and what a query may
    take of this machine. ``max_estimated_rows`` and ``max_cost`` are compared with what the planner expects
    before a query runs (None: not at all); beyond them ``on_estimate`` says to refuse, to ask, or to run it
    and say so. ``audit_log`` is a file that gets one line per question, ``audit_question`` whether that line
    holds its text or its hash. ``knowledge`` is a folder of files (a domain) that counts beside what people
    added; ``history`` whether answers and verdicts are kept under ``home``. ``serve`` is the table [serve] as it
    was written, which ``sqlgen.serve`` reads.

    >>> Settings().max_rows, Settings(timeout_s=5).timeout_s
    (1000, 5)
    """

    db: str | None = None
    model: str = "shipped"
    max_rows: int = 1000
    timeout_s: float = 30.0
    beams: int = 4
    min_confidence: float | None = None
    token_budget: int = 440
    today: date | None = None
    home: Path = field(default_factory=_default_home)
    index_store: str | None = None
    embedder: str | None = None
    skip_values: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)
    policy_file: Path | None = None
    max_bytes: int = 64 * 2**20
    max_cell_bytes: int = 2**20
    max_memory_mib: int = 384
    max_estimated_rows: float | None = None
    max_cost: float | None = None
    on_estimate: OnEstimate = "refuse"
    audit_log: Path | None = None
    audit_question: AuditQuestion = "text"
    knowledge: Path | None = None
    history: bool = True
    serve: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        secret = ("db", "index_store", "serve")
        hidden = ", ".join(f"{name}={'…' if getattr(self, name) else None}" for name in secret)
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name not in secret)
        return f"Settings({hidden}, {shown})"


def nearest(word: str, known: Iterable[str]) -> str:
    """What an error message adds about an unknown word: the nearest known one, or all of them.

    >>> nearest("max_row", ["max_rows", "db"]), nearest("zzz", ["max_rows", "db"])
    ("nearest: 'max_rows'", 'known: db, max_rows')
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"nearest: {close[0]!r}" if close else f"known: {', '.join(names)}"


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings in force: a flag that is None was not given.

    Raises ConfigError when a key is unknown, a value makes no sense, or the file cannot be read.

    >>> load_settings({"beams": 2, "db": None}, cwd=Path("/"), environ={"SQLGEN_MAX_ROWS": "7"}).max_rows
    7
    """
    environ = os.environ if environ is None else environ
    settings = Settings()
    path = _config_path(_working_folder() if cwd is None else cwd, environ)
    if path is not None:
        settings = _apply(settings, _from_file(path), f"in {path}", path.parent)
        settings = replace(settings, policy_file=path)
    settings = _apply(settings, _from_environment(environ), "in the environment", None)
    settings = replace(settings, policy=_with_context(settings.policy, environ))
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    return _apply(settings, given, "given", None)


def reload_policy(path: Path, environ: Mapping[str, str] | None = None) -> Policy:
    """The policy that the settings file at ``path`` holds now; ConfigError when it cannot be read."""
    raw = _from_file(path)
    given = {"policy": raw["policy"]} if "policy" in raw else {}
    policy = _apply(Settings(), given, f"in {path}", None).policy
    return _with_context(policy, os.environ if environ is None else environ)


def reload_serve(path: Path) -> Mapping[str, Any]:
    """The table [serve] that the settings file at ``path`` holds now; ConfigError when it cannot be read."""
    return _apply(Settings(), {"serve": _from_file(path).get("serve", {})}, f"in {path}", None).serve


def _with_context(policy: Policy, environ: Mapping[str, str]) -> Policy:
    """The policy with the values of ``SQLGEN_POLICY_<NAME>`` for the names of its row filters."""
    given = {
        name.removeprefix(_CONTEXT_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(_CONTEXT_PREFIX) and value
    }
    return replace(policy, context=bound_values({**dict(policy.context), **given})) if given else policy


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the working directory is gone; change to one that exists") from None


def _config_path(cwd: Path, environ: Mapping[str, str]) -> Path | None:
    named = environ.get("SQLGEN_CONFIG")
    if named:
        return Path(named).expanduser()
    for folder in (cwd, *cwd.parents):
        path = folder / _CONFIG_FILE
        if path.is_file():
            return path
    return None


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings in {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text; write it again as TOML") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in environ.items():
        if not name.startswith(_PREFIX) or name in _OTHER_VARIABLES:
            continue
        if name.startswith(("SQLGEN_TEST_", _CONTEXT_PREFIX)):
            continue
        key = name.removeprefix(_PREFIX).lower()
        if key not in _READERS:
            known = [_PREFIX + k.upper() for k in _READERS] + sorted(_OTHER_VARIABLES)
            raise ConfigError(f"unknown environment variable {name}; {nearest(name, known)}")
        if value:
            found[key] = value
    return found


def _apply(settings: Settings, given: Mapping[str, Any], where: str, folder: Path | None) -> Settings:
    changes: dict[str, Any] = {}
    for key, value in given.items():
        reader = _READERS.get(key)
        if reader is None:
            raise ConfigError(f"unknown setting {key!r} {where}; {nearest(key, _READERS)}")
        try:
            changes[key] = reader(value)
        except ValueError as error:
            raise ConfigError(f"setting {key!r} {where}: {error}") from None
    for key in ("home", "knowledge", "audit_log"):
        if folder is not None and key in changes:
            changes[key] = folder / changes[key]
    if folder is not None and "db" in changes:
        changes["db"] = _relative_to(folder, changes["db"])
    return replace(settings, **changes)


def _relative_to(folder: Path, url: str) -> str:
    for prefix in ("sqlite:///", "duckdb:///"):
        rest = url.removeprefix(prefix)
        if rest != url and rest and rest != ":memory:" and not Path(rest).is_absolute():
            return prefix + str(folder / rest)
    return url


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not a text")
    return value


def _number(least: float, most: float, kind: type[int] | type[float]) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        wanted = "a whole number" if kind is int else "a number"
        fault = ValueError(f"{value!r} is not {wanted} from {least:g} to {most:g}")
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise fault
        try:
            number = float(value)
        except ValueError:
            raise fault from None
        if not least <= number <= most or (kind is int and number != int(number)):
            raise fault
        return kind(number)

    return read


def _day(value: Any) -> date:
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a date like 2025-12-31") from None


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("it is a table like [serve] in sqlgen.toml")
    return value


def _switch(value: Any) -> bool:
    words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    chosen = value if isinstance(value, bool) else words.get(str(value).strip().lower())
    if chosen is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return chosen


def _patterns(value: Any) -> tuple[str, ...]:
    patterns = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(p, str) and "." in p for p in patterns):
        raise ValueError(f'{value!r} is no list of columns like ["customers.email", "*.notes"]')
    return tuple(patterns)


def _folder(value: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value).strip():
        raise ValueError(f"{value!r} is not a folder")
    return Path(value).expanduser()


def _file(value: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value).strip() or str(value).endswith(("/", os.sep)):
        raise ValueError(f"{value!r} is not a file")
    return Path(value).expanduser()


def _one_of(words: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is none of {', '.join(words)}")
        return str(value)

    return read


_READERS: dict[str, Callable[[Any], Any]] = {
    "db": _text,
    "model": _text,
    "max_rows": _number(1, 1_000_000, int),
    "timeout_s": _number(0.05, 86_400, float),
    "beams": _number(1, 16, int),
    "min_confidence": _number(0, 1, float),
    "token_budget": _number(50, 100_000, int),
    "today": _day,
    "home": _folder,
    "index_store": _text,
    "embedder": _text,
    "skip_values": _patterns,
    "policy": read_policy,
    "max_bytes": _number(1_000, 2**31, int),
    "max_cell_bytes": _number(100, 2**31, int),
    "max_memory_mib": _number(32, 2**20, int),
    "max_estimated_rows": _number(1, 1e30, float),
    "max_cost": _number(0, 1e30, float),
    "on_estimate": _one_of(get_args(OnEstimate)),
    "audit_log": _file,
    "audit_question": _one_of(get_args(AuditQuestion)),
    "knowledge": _folder,
    "history": _switch,
    "serve": _table,
}
