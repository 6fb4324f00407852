"""Suites: questions with accepted answers, and the databases they are asked of.

Five formats are read. *spider*: a JSON list of ``{"question", "query", "db_id"}``, a ``tables.json`` with
the schemas, a folder of ``<db_id>/<db_id>.sqlite``. *bird*: the same with ``SQL`` for ``query``, an
``evidence`` that belongs to the question and a ``difficulty``. *kaggledbqa*: Spider's records in a folder of
``<db_id>_test.json``. *jsonl*: one ``{"id", "question", "sql", "db"}`` per line, where
``sql`` is one text or a list of accepted ones, and ``db`` (a URL, or the name of a file in the folder of
databases) may be left out when the suite has one database. ``ordered``, ``dialects``, ``family``, ``ambiguous`` and
``evidence`` may be added, as in ``GoldQuestion``. *yaml*: a list of the same, or a mapping with ``questions`` and
what a ``suite.toml`` may say besides.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from sqlgen.catalog.naming import natural_name
from sqlgen.errors import UsageError
from sqlgen.files import read_text
from sqlgen.generation.encode import with_hints
from sqlgen.types import Catalog, Column, ColumnKind, Dialect, ForeignKey, Table

if TYPE_CHECKING:
    from sqlgen.knowledge import Term
    from sqlgen.training.names import Renaming

__all__ = [
    "GoldQuestion",
    "Suite",
    "SuiteDatabase",
    "SuiteFormat",
    "catalogs_of_tables_json",
    "load_suite",
    "suite_names",
]

SuiteFormat = Literal["spider", "bird", "kaggledbqa", "jsonl", "yaml"]
_FOLDER = Path(__file__).parent / "suites"
_SUITE_KEYS = frozenset(
    {
        "name", "title", "format", "licence", "source", "home_variable", "questions", "tables", "databases",
        "database", "glossary", "demo", "version", "sha256", "union",
    }
)  # fmt: skip
# What a file of golden questions may say besides them; its paths count from its own folder.
_YAML_KEYS = frozenset({"name", "title", "licence", "source", "version", "database", "databases", "glossary"})


@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """A question and every answer that counts as right, the preferred one first.

    ``ordered`` says whether the order of the rows counts; None leaves that to the answer's ORDER BY.
    ``dialects`` holds the answer in dialects where it has to read differently; ``family`` is the kind of
    question in one word or two, '' where nobody said. ``ambiguous`` says that the accepted answers are readings that
    mean different things.
    """

    id: str
    text: str
    db_id: str
    gold: tuple[str, ...]
    evidence: str = ""
    ordered: bool | None = None
    dialects: Mapping[str, str] = field(default_factory=dict)
    family: str = ""
    ambiguous: bool = False

    def accepted(self, dialect: Dialect) -> tuple[str, ...]:
        """The accepted answers in ``dialect``: its own wording where the suite has one."""
        return (self.dialects[dialect],) if dialect in self.dialects else self.gold

    @property
    def asked(self) -> str:
        """What the pipeline is asked: the question, and the evidence where the suite gives some."""
        return with_hints(self.text, [self.evidence]) if self.evidence else self.text


@dataclass(frozen=True, slots=True)
class SuiteDatabase:
    """One database of a suite. ``catalog`` is the suite's own description of it, if it has one.

    ``demo`` names a demo domain that is built when the suite runs; then ``url`` is empty. ``asked_url`` is
    where the model is asked when that is not where the accepted answers run: a copy under the names of
    ``renaming``. ``descriptions`` say what columns (``table.column``) mean.
    """

    id: str
    url: str = ""
    path: Path | None = None
    catalog: Catalog | None = None
    demo: str = ""
    asked_url: str = ""
    renaming: Renaming | None = None
    descriptions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suite:
    """Questions, databases and where they come from. ``files`` maps a file's role to its path.

    ``version`` is that of the questions, ``sha256`` what their file has to hash to, '' where nobody said.
    ``union`` says that all databases are asked as one catalog.
    """

    name: str
    questions: tuple[GoldQuestion, ...]
    databases: Mapping[str, SuiteDatabase]
    format: SuiteFormat = "jsonl"
    title: str = ""
    licence: str = ""
    source: str = ""
    glossary: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    version: str = ""
    sha256: str = ""
    union: bool = False

    def sample(self, limit: int | None) -> tuple[GoldQuestion, ...]:
        """At most ``limit`` questions, spread evenly over the suite, in its order.

        >>> questions = tuple(GoldQuestion(str(n), "?", "db", ()) for n in range(10))
        >>> [q.id for q in Suite("s", questions, {}).sample(4)]
        ['0', '2', '5', '7']
        """
        count = len(self.questions)
        if limit is None or limit >= count:
            return self.questions
        if limit < 1:
            raise UsageError(f"--limit {limit} leaves no question; give 1 or more")
        return tuple(self.questions[position * count // limit] for position in range(limit))

    def terms(self) -> tuple[Term, ...]:
        """The terms of the suite's glossary; none when it has no glossary."""
        from sqlgen.knowledge import load_glossary

        return () if self.glossary is None else load_glossary(self.glossary)

    def hashes(self, db_ids: Iterable[str]) -> dict[str, str]:
        """SHA-256 of every file that a run over ``db_ids`` reads, by role."""
        paths = dict(self.files)
        for db_id in db_ids:
            path = self.databases[db_id].path
            if path is not None:
                paths[f"database {db_id}"] = path
        return {role: _sha256(path) for role, path in sorted(paths.items())}

    def edition(self) -> dict[str, Any]:
        """Version of the questions, and whether their file is the one of that version; None where nobody said."""
        held = self.files.get("questions")
        known = bool(self.sha256) and held is not None
        return {
            "version": self.version or None,
            "as_versioned": _sha256(held) == self.sha256 if known and held else None,
        }


def suite_names() -> tuple[str, ...]:
    """The suites that come with the package, sorted."""
    return tuple(sorted(path.parent.name for path in _FOLDER.glob("*/suite.toml")))


def load_suite(
    name: str,
    *,
    format: SuiteFormat | None = None,
    questions: str | Path | None = None,
    tables: str | Path | None = None,
    databases: str | Path | None = None,
    db: str | None = None,
) -> Suite:
    """The suite called ``name``, or the one in the file ``name``; the paths given override its own.

    ``db`` is the URL of the one database of a *jsonl* suite. Raises UsageError that names the file and the
    line where a suite is not what it should be.
    """
    settings: dict[str, Any] = {"name": name}
    given = questions is not None
    packaged = _FOLDER / name / "suite.toml" if name in suite_names() else None
    if packaged is not None:
        settings = _read_toml(packaged)
    elif questions is None:
        if not Path(name).is_file():
            known = ", ".join(suite_names())
            raise UsageError(f"no suite and no file {name!r}; suites: {known}; or give --questions FILE")
        if Path(name).suffix == ".toml":
            settings = _read_toml(Path(name))
        else:
            questions, settings = name, {"name": Path(name).stem}
    home = _home(settings, packaged)
    found = {
        "questions": questions or _place(settings, "questions", home),
        "tables": tables or _place(settings, "tables", home),
        "databases": databases or _place(settings, "databases", home),
        "glossary": _place(settings, "glossary", home),
    }
    paths = {role: Path(path).expanduser() for role, path in found.items() if path is not None}
    chosen = format or settings.get("format") or _guess_format(paths.get("questions"))
    if chosen not in get_args(SuiteFormat):
        raise UsageError(f"unknown suite format {chosen!r}; known: {', '.join(get_args(SuiteFormat))}")
    if "questions" not in paths:
        variable = settings.get("home_variable")
        hint = f", or set {variable} to the folder that holds it" if variable else ""
        raise UsageError(f"suite {settings['name']!r} needs its data: give --questions FILE{hint}")
    for role, path in paths.items():
        if not path.exists():
            raise UsageError(f"no file {path} (the {role} of suite {settings['name']!r})")
    if chosen == "yaml":
        records, more = _read_yaml(paths["questions"])
        if name == str(paths["questions"]):
            settings = {"name": Path(name).stem}
            settings.update(more)
        else:
            settings = {**more, **settings}
        home = home or paths["questions"].parent
        for role in ("databases", "glossary"):
            if role not in paths and (place := _place(more, role, home)) is not None:
                if not place.exists():
                    raise UsageError(f"no file {place} (the {role} of {paths['questions']})")
                paths[role] = place
    about = {key: str(settings.get(key, "")) for key in ("title", "licence", "source", "version")}
    glossary = paths.get("glossary")
    files = {role: path for role, path in paths.items() if path.is_file()}
    if chosen in ("jsonl", "yaml"):
        one = _one_database(settings, db, home)
        read = records if chosen == "yaml" else _read_jsonl(paths["questions"])
        golds = tuple(_questions_of(read, one))
        known_databases = _databases_of_jsonl(golds, one, paths.get("databases"))
    else:
        if "databases" not in paths:
            raise UsageError(
                f"suite {settings['name']!r} needs --databases DIR, the folder of <db_id>/<db_id>.sqlite"
            )
        if chosen == "kaggledbqa":
            golds = tuple(_read_kaggle(paths["questions"]))
        else:
            golds = tuple(_read_spider(paths["questions"], bird=chosen == "bird"))
        catalogs = catalogs_of_tables_json(paths["tables"]) if "tables" in paths else {}
        told = _descriptions(paths["tables"]) if "tables" in paths else {}
        known_databases = {
            db_id: replace(place, descriptions=told.get(db_id, {}))
            for db_id, place in _databases_of_spider(golds, paths["databases"], catalogs).items()
        }
    if not golds:
        raise UsageError(f"{paths['questions']} holds no question")
    sha256 = str(settings.get("sha256", ""))
    fixed = sha256 and not given and not settings.get("home_variable") and paths["questions"].is_file()
    if fixed and _sha256(paths["questions"]) != sha256:
        raise UsageError(
            f"{paths['questions']} is not version {about['version']} of suite {settings['name']!r}: its SHA-256 differs; "
            "give it with --questions to measure on it all the same"
        )
    return Suite(
        str(settings["name"]),
        golds,
        known_databases,
        cast(SuiteFormat, chosen),
        **about,
        glossary=glossary,
        files=files,
        sha256=sha256,
        union=bool(settings.get("union", False)),
    )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    unknown = sorted(set(settings) - _SUITE_KEYS)
    if unknown:
        raise UsageError(f"{path}: unknown key {unknown[0]!r}; known: {', '.join(sorted(_SUITE_KEYS))}")
    settings.setdefault("name", path.parent.name if path.name == "suite.toml" else path.stem)
    if not settings.get("home_variable"):
        settings["_folder"] = path.parent
    return settings


def _home(settings: Mapping[str, Any], packaged: Path | None) -> Path | None:
    variable = settings.get("home_variable")
    if variable:
        named = os.environ.get(variable)
        return Path(named).expanduser() if named else None
    folder = settings.get("_folder")
    return Path(folder) if folder is not None else packaged


def _place(settings: Mapping[str, Any], role: str, home: Path | None) -> Path | None:
    text = settings.get(role)
    if not isinstance(text, str):
        return None
    if text.startswith("schemas:"):
        return _schemas_folder() / text.removeprefix("schemas:")
    return home / text if home is not None else None


def _schemas_folder() -> Path:
    # The two folders are neighbours, in the source tree and where they are installed.
    return Path(__file__).resolve().parent.parent / "schemas"


def _guess_format(questions: Path | None) -> str:
    if questions is None or questions.suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    if questions.suffix in (".yaml", ".yml"):
        return "yaml"
    return "kaggledbqa" if questions.is_dir() else "spider"


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is not valid JSON: {error}") from error


def _text(record: Mapping[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where}: {key!r} has to be a text")
    return value.strip()


def _read_spider(path: Path, *, bird: bool) -> Iterator[GoldQuestion]:
    records = _read_json(path)
    if not isinstance(records, list):
        raise UsageError(f"{path} has to be a JSON list of questions")
    for position, record in enumerate(records):
        where = f"{path}, question {position}"
        if not isinstance(record, dict):
            raise UsageError(f"{where}: not an object")
        sql = _text(record, "SQL" if bird else "query", where)
        name = record.get("question_id", position) if bird else position
        evidence = str(record.get("evidence") or "").strip() if bird else ""
        yield GoldQuestion(
            str(name),
            _text(record, "question", where),
            _text(record, "db_id", where),
            (sql,),
            evidence,
            family=str(record.get("difficulty") or "") if bird else "",
        )


def _read_kaggle(place: Path) -> Iterator[GoldQuestion]:
    """Spider's records, one file a database: those for testing where a folder has such, ids told apart by the file."""
    files = [place] if place.is_file() else sorted(place.glob("*_test.json")) or sorted(place.glob("*.json"))
    for path in files:
        for question in _read_spider(path, bird=False):
            yield replace(question, id=f"{path.stem.removesuffix('_test')}-{question.id}")


def _read_yaml(path: Path) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    """The questions of a YAML file, each with its place, and what the file says besides them."""
    import yaml

    try:
        document = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    more: dict[str, Any] = {}
    if isinstance(document, dict):
        more = {str(key): value for key, value in document.items() if key != "questions"}
        unknown = sorted(set(more) - _YAML_KEYS)
        if unknown:
            raise UsageError(
                f"{path}: unknown key {unknown[0]!r}; known: questions, {', '.join(sorted(_YAML_KEYS))}"
            )
        document = document.get("questions")
    if not isinstance(document, list):
        raise UsageError(f"{path} has to be a list of questions, or a mapping with 'questions'")
    return [(f"{path}, question {n}", record) for n, record in enumerate(document, 1)], more


def _read_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    """The records of a file of JSON lines, each with its place."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            yield where, json.loads(line)
        except json.JSONDecodeError as error:
            raise UsageError(f"{where}: not valid JSON: {error}") from error


def _questions_of(records: Iterable[tuple[str, Any]], one: SuiteDatabase | None) -> Iterator[GoldQuestion]:
    seen: set[str] = set()
    for where, record in records:
        if not isinstance(record, dict):
            raise UsageError(f"{where}: not an object")
        accepted = record.get("sql")
        texts = [accepted] if isinstance(accepted, str) else accepted
        if (
            not isinstance(texts, list)
            or not texts
            or not all(isinstance(t, str) and t.strip() for t in texts)
        ):
            raise UsageError(f"{where}: 'sql' has to be a text or a list of texts")
        name = str(record.get("id", where.rpartition(" ")[2]))
        if name in seen:
            raise UsageError(f"{where}: a second question with the id {name!r}")
        seen.add(name)
        if one is None and "db" not in record:
            raise UsageError(f"{where}: no 'db'; name one there or give --db URL")
        db_id = one.id if one is not None else _text(record, "db", where)
        evidence = str(record.get("evidence") or "").strip()
        golds = tuple(text.strip() for text in texts)
        ordered, dialects = record.get("ordered"), record.get("dialects") or {}
        ambiguous = record.get("ambiguous", False)
        if not isinstance(ambiguous, bool):
            raise UsageError(f"{where}: 'ambiguous' has to be true or false")
        if not (ordered is None or isinstance(ordered, bool)):
            raise UsageError(f"{where}: 'ordered' has to be true or false")
        if not isinstance(dialects, dict) or not all(isinstance(v, str) for v in dialects.values()):
            raise UsageError(f"{where}: 'dialects' has to map dialects to SQL")
        text = _text(record, "question", where)
        family = str(record.get("family") or "")
        yield GoldQuestion(name, text, db_id, golds, evidence, ordered, dialects, family, ambiguous)


def _one_database(settings: Mapping[str, Any], db: str | None, home: Path | None) -> SuiteDatabase | None:
    if db is not None:
        return SuiteDatabase(_readable_name(db), db, _sqlite_path(db))
    if settings.get("demo"):
        return SuiteDatabase(str(settings["demo"]), demo=str(settings["demo"]))
    if settings.get("database"):
        text = str(settings["database"])
        if "://" in text:
            return SuiteDatabase(_readable_name(text), text, _sqlite_path(text))
        path = (home or Path()) / text
        return SuiteDatabase(path.stem, _sqlite_url(path), path)
    return None


def _readable_name(url: str) -> str:
    return url.rpartition("/")[2].partition("?")[0].partition(".")[0] or "database"


def _sqlite_path(url: str) -> Path | None:
    text = url.removeprefix("sqlite:///").partition("?")[0]
    return Path(text) if url.startswith("sqlite:///") and Path(text).is_file() else None


def _sqlite_url(path: Path) -> str:
    return f"sqlite:///{path.absolute()}"


def _databases_of_jsonl(
    golds: Iterable[GoldQuestion], one: SuiteDatabase | None, folder: Path | None
) -> dict[str, SuiteDatabase]:
    if one is not None:
        return {one.id: one}
    found: dict[str, SuiteDatabase] = {}
    for db_id in dict.fromkeys(gold.db_id for gold in golds):
        if "://" in db_id:
            found[db_id] = SuiteDatabase(db_id, db_id, _sqlite_path(db_id))
        elif folder is not None:
            found[db_id] = _database_file(db_id, folder, None)
        else:
            raise UsageError(f"database {db_id!r} is no URL; give --databases DIR, the folder that holds it")
    return found


def _databases_of_spider(
    golds: Iterable[GoldQuestion], folder: Path, catalogs: Mapping[str, Catalog]
) -> dict[str, SuiteDatabase]:
    asked = list(dict.fromkeys(gold.db_id for gold in golds))
    found = {db_id: _database_file(db_id, folder, catalogs.get(db_id)) for db_id in asked}
    for db_id, catalog in catalogs.items():
        path = folder / db_id / f"{db_id}.sqlite"
        if db_id not in found and path.is_file():
            found[db_id] = SuiteDatabase(db_id, _sqlite_url(path), path, catalog)
    return found


def _database_file(db_id: str, folder: Path, catalog: Catalog | None) -> SuiteDatabase:
    for path in (folder / db_id / f"{db_id}.sqlite", folder / f"{db_id}.sqlite", folder / f"{db_id}.db"):
        if path.is_file():
            return SuiteDatabase(db_id, _sqlite_url(path), path, catalog)
    raise UsageError(f"no database {db_id!r} in {folder}; looked for {db_id}/{db_id}.sqlite")


_KINDS: dict[str, ColumnKind] = {"text": "text", "number": "number", "time": "date", "boolean": "bool"}


def catalogs_of_tables_json(path: Path) -> dict[str, Catalog]:
    """Spider's ``tables.json`` as catalogs by ``db_id``: tables, columns, keys."""
    catalogs: dict[str, Catalog] = {}
    for entry in _read_json(path):
        try:
            catalogs[entry["db_id"]] = _catalog_of_entry(entry)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise UsageError(f"{path} is not in Spider's tables.json format: {error!r}") from error
    return catalogs


def _descriptions(path: Path) -> dict[str, dict[str, str]]:
    """What a ``tables.json`` says of columns in ``column_descriptions``, by ``db_id``, as KaggleDBQA's does.

    There is one a column, that of ``*`` left out or not, as a text or with the number of its table before it; where
    they are more or fewer nobody can say which column is meant.
    """
    found: dict[str, dict[str, str]] = {}
    for entry in _read_json(path):
        columns = [(owner, name) for owner, name in entry["column_names_original"] if owner >= 0]
        told = [one[-1] if isinstance(one, list) else one for one in entry.get("column_descriptions") or ()]
        told = (
            told[len(entry["column_names_original"]) - len(columns) :] if len(told) > len(columns) else told
        )
        found[entry["db_id"]] = {
            f"{entry['table_names_original'][owner]}.{name}": text.strip()
            for (owner, name), text in zip(columns, told, strict=False)
            if len(told) == len(columns) and isinstance(text, str) and text.strip()
        }
    return found


def _catalog_of_entry(entry: Mapping[str, Any]) -> Catalog:
    names: list[str] = entry["table_names_original"]
    columns: list[list[Column]] = [[] for _ in names]
    keys: list[list[ForeignKey]] = [[] for _ in names]
    # A composite primary key is a list inside the list.
    primary = {i for key in entry["primary_keys"] for i in (key if isinstance(key, list) else [key])}
    originals: list[tuple[int, str]] = [(owner, name) for owner, name in entry["column_names_original"]]
    for number, ((owner, name), kind) in enumerate(zip(originals, entry["column_types"], strict=True)):
        if owner >= 0:
            words = entry["column_names"][number][1]
            comment = words if words != natural_name(name) else ""
            column = Column(name, kind, _KINDS.get(kind, "other"), comment, primary_key=number in primary)
            columns[owner].append(column)
    for source, target in entry["foreign_keys"]:
        (owner, column_name), (target_owner, target_column) = originals[source], originals[target]
        keys[owner].append(ForeignKey((column_name,), names[target_owner], (target_column,)))
    tables = tuple(
        Table(name, tuple(columns[i]), foreign_keys=tuple(keys[i])) for i, name in enumerate(names)
    )
    return Catalog("sqlite", tables)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
