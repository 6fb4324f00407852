"""Knowledge as files: a domain folder, dbt projects and manifests, MetricFlow semantic models.

What cannot be taken over is reported with its reason; nothing is dropped in silence.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlgen.errors import UsageError
from sqlgen.files import read_text
from sqlgen.knowledge.glossary import load_glossary
from sqlgen.knowledge.items import Description, Document, Item, Term, Verified

__all__ = ["Skipped", "Taken", "folder_files", "read_knowledge"]

_GLOSSARIES = ("glossary.toml", "metrics.toml")
_REFERENCE = re.compile(
    r"(?:ref|source)\(\s*(?:['\"][^'\"]*['\"]\s*,\s*)?['\"]([^'\"]+)['\"]"
    r"\s*(?:,\s*v(?:ersion)?\s*=\s*\S+)?\)"
)
_JINJA = re.compile(
    r"\{\{\s*(Dimension|TimeDimension|Entity)\(\s*['\"]([^'\"]+)['\"][^)]*\)(?:\.\w+\([^)]*\))?\s*\}\}"
)
_MODELS = ("models", "seeds", "snapshots")
_AGGREGATES = {
    "sum": "SUM({0})",
    "min": "MIN({0})",
    "max": "MAX({0})",
    "average": "AVG({0})",
    "avg": "AVG({0})",
    "count": "COUNT({0})",
    "count_distinct": "COUNT(DISTINCT {0})",
    "sum_boolean": "SUM(CASE WHEN {0} THEN 1 ELSE 0 END)",
}


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something of a file that was not taken over, and why."""

    what: str
    why: str


@dataclass(slots=True)
class Taken:
    """What was found in files: the items, and what was left out with the reasons."""

    items: list[Item] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, what: str, why: str) -> None:
        """Note that ``what`` was left out."""
        self.skipped.append(Skipped(what, why))


def folder_files(folder: Path) -> list[Path]:
    """The files of a domain folder that hold knowledge; golden questions are for measuring and stay out."""
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {folder}; give one with glossary.toml, queries.jsonl or documents/"
        )
    found = [folder / name for name in (*_GLOSSARIES, "descriptions.toml", "queries.jsonl")]
    documents = folder / "documents"
    return [*(p for p in found if p.is_file()), *sorted(documents.glob("*.md")), *_dbt_files(folder)]


def _dbt_files(folder: Path) -> list[Path]:
    if not (folder / "dbt_project.yml").is_file():
        return []
    return sorted(p for pattern in ("*.yml", "*.yaml") for p in (folder / "models").rglob(pattern))


def read_knowledge(path: Path) -> Taken:
    """What a file or a domain folder holds; UsageError naming the file when it can't be read.

    TOML: terms and metrics, or descriptions of tables. JSONL: verified queries. Markdown: a document. YAML: dbt properties,
    MetricFlow semantic models and metrics. JSON: a dbt manifest.
    """
    taken = Taken()
    if path.is_dir():
        files = folder_files(path)
        if not files:
            raise UsageError(
                f"{path} holds no knowledge; expected glossary.toml, queries.jsonl, documents/ or a dbt project"
            )
        project = _Project()
        for file in files:
            if file.suffix in (".yml", ".yaml"):
                project.add_properties(_yaml(file), file.name)
            else:
                _read_file(file, taken)
        project.finish(taken)
        return taken
    _read_file(path, taken)
    return taken


def _read_file(path: Path, taken: Taken) -> None:
    suffix = path.suffix.lower()
    if suffix == ".toml":
        _read_toml(path, taken)
    elif suffix == ".jsonl":
        _read_queries(path, taken)
    elif suffix in (".md", ".markdown"):
        taken.items.append(document_of(path))
    elif suffix in (".yml", ".yaml"):
        project = _Project()
        project.add_properties(_yaml(path), path.name)
        project.finish(taken)
    elif suffix == ".json":
        _read_manifest(path, taken)
    else:
        raise UsageError(
            f"{path} is of no known kind; give .toml, .jsonl, .md, .yml (dbt, MetricFlow), manifest.json or a folder"
        )


def document_of(path: Path) -> Document:
    """A Markdown file as a document, named by its first heading, else by the file."""
    text = read_text(path)
    title = re.search(r"^#\s+(.+?)\s*#*$", text, re.M)
    if not text.strip():
        raise UsageError(f"{path} is empty")
    return Document(title.group(1) if title else path.stem, text, path.name)


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())[:200]}") from error


def _read_toml(path: Path, taken: Taken) -> None:
    try:
        raw = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    if "terms" in raw:
        taken.items += load_glossary(path)
        return
    tables = {
        name: entry for name, entry in raw.items() if isinstance(entry, dict) and "description" in entry
    }
    if not tables:
        raise UsageError(
            f"{path} holds neither terms ([[terms]]) nor descriptions ([table] with description)"
        )
    for name, entry in tables.items():
        taken.items.append(Description(name, str(entry["description"]), path.name))
        for column, text in (entry.get("columns") or {}).items():
            taken.items.append(Description(f"{name}.{column}", str(text), path.name))


def _read_queries(path: Path, taken: Taken) -> None:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            wordings = row.get("wordings", [])
            if (
                not isinstance(row["question"], str)
                or not isinstance(row["sql"], str)
                or not isinstance(wordings, list)
            ):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f'{path}, line {number} is no verified query like {{"question": "…", "sql": "…", "wordings": []}}'
            ) from error
        taken.items.append(Verified(row["question"], row["sql"], tuple(map(str, wordings)), path.name))


# -- dbt and MetricFlow --------------------------------------------------------------------------


@dataclass(slots=True)
class _Measure:
    table: str
    aggregate: str
    expression: str
    about: str


class _Project:
    """Properties of a dbt project, gathered from its files before metrics are worked out."""

    def __init__(self) -> None:
        self.tables: dict[str, str] = {}
        self.columns: dict[str, dict[str, Any]] = {}
        self.semantic: list[tuple[Mapping[str, Any], str]] = []
        self.metrics: list[tuple[Mapping[str, Any], str]] = []
        self.found: list[Description] = []
        self.left: list[tuple[str, str]] = []

    def add_properties(self, raw: Any, source: str) -> None:
        """The content of a properties file (version 2)."""
        if not isinstance(raw, Mapping):
            raise UsageError(
                f"{source} is no dbt properties file: a mapping with models, sources or metrics is expected"
            )
        known = {"version", *_MODELS, "sources", "semantic_models", "metrics"}
        if not known & set(raw):
            raise UsageError(
                f"{source} holds none of models, sources, seeds, snapshots, semantic_models and metrics"
            )
        for kind in _MODELS:
            for model in _maps(raw.get(kind)):
                self.add_table(
                    model,
                    str((model.get("config") or {}).get("alias") or model.get("alias") or model.get("name")),
                    source,
                )
        for place in _maps(raw.get("sources")):
            for table in _maps(place.get("tables")):
                self.add_table(table, str(table.get("identifier") or table.get("name")), source)
        self.semantic += [(m, source) for m in _maps(raw.get("semantic_models"))]
        self.metrics += [(m, source) for m in _maps(raw.get("metrics"))]
        for kind in sorted(set(raw) - known):
            self.left.append((f"{source}: {kind}", "no knowledge of this kind is kept"))

    def add_table(self, raw: Mapping[str, Any], table: str, source: str) -> None:
        """A model, seed, snapshot or source with its columns and their tests."""
        self.tables[str(raw.get("name"))] = table
        self.note(table, str(raw.get("description") or ""), source)
        columns = raw.get("columns") or []
        for column in _maps(list(columns.values()) if isinstance(columns, Mapping) else columns):
            name = f"{table}.{column.get('name')}"
            tests = [*(column.get("tests") or []), *(column.get("data_tests") or [])]
            plain = {t if isinstance(t, str) else next(iter(t), "") for t in tests}
            constraints = {str(c.get("type")) for c in _maps(column.get("constraints"))}
            refers = ""
            for test in tests:
                if isinstance(test, Mapping) and "relationships" in test:
                    refers = _relation(test["relationships"])
            is_key = {"unique", "not_null"} <= plain or "primary_key" in constraints
            self.note(name, str(column.get("description") or ""), source, refers, is_key)
            for test in sorted(plain - {"unique", "not_null", "relationships"}):
                self.left.append((f"{name}: test {test}", "says nothing about keys"))
        if raw.get("semantic_model"):
            self.left.append((f"{table}: semantic_model", "write it under semantic_models"))

    def note(self, name: str, text: str, source: str, refers: str = "", is_key: bool = False) -> None:
        """Keep a description that says something."""
        if text.strip() or refers or is_key:
            self.found.append(Description(name, " ".join(text.split()), source, refers, is_key))

    def finish(self, taken: Taken) -> None:
        """Hand over all descriptions and the metrics that an expression can say."""
        for what, why in self.left:
            taken.skip(what, why)
        for found in self.found:
            place, _, column = found.refers_to.rpartition(".")
            refers = f"{self.tables.get(place, place)}.{column}" if place else ""
            taken.items.append(replace(found, refers_to=refers))
        measures, dimensions = self._measures(taken)
        done: dict[str, tuple[str, str]] = {}
        waiting = {str(m.get("name")): (m, source) for m, source in self.metrics}

        def sql_of(name: str, trail: tuple[str, ...] = ()) -> tuple[str, str]:
            if name in done:
                return done[name]
            if name not in waiting:
                raise _Unfit(f"there is no metric {name}")
            if name in trail:
                raise _Unfit(f"it is defined by itself ({' > '.join(trail)})")
            done[name] = _metric_sql(
                waiting[name][0], measures, dimensions, self.tables, lambda n: sql_of(n, (*trail, name))
            )
            return done[name]

        for name, (metric, source) in waiting.items():
            try:
                sql, table = sql_of(name)
            except _Unfit as unfit:
                taken.skip(f"metric {name}", str(unfit))
                continue
            label = str(metric.get("label") or "")
            taken.items.append(_metric(name, label, str(metric.get("description") or ""), sql, table, source))
        for name, measure in measures.items():
            if measure.about and name not in waiting:
                taken.items.append(
                    _metric(
                        name, "", measure.about, _aggregated(measure, []), measure.table, "semantic model"
                    )
                )

    def _measures(self, taken: Taken) -> tuple[dict[str, _Measure], dict[str, str]]:
        """Measures by name, and the SQL of dimensions and entities by "entity__dimension" and by name."""
        measures: dict[str, _Measure] = {}
        names: dict[str, str] = {}
        for model, source in self.semantic:
            relation = model.get("node_relation") or {}
            referred = _reference(str(model.get("model") or ""))
            table = str(relation.get("alias") or self.tables.get(referred, referred))
            if not table:
                taken.skip(f"semantic model {model.get('name')}", "names no model")
                continue
            taken_here = (
                [Description(table, str(model["description"]), source)] if model.get("description") else []
            )
            primary = str(model.get("primary_entity") or "")
            for entity in _maps(model.get("entities")):
                said = _one_expression(entity, table)
                names[str(entity.get("name"))] = said
                if entity.get("type") == "primary":
                    primary = str(entity.get("name"))
            for dimension in _maps(model.get("dimensions")):
                said = _one_expression(dimension, table)
                names[f"{primary}__{dimension.get('name')}"] = said
                names.setdefault(str(dimension.get("name")), said)
                if dimension.get("description") and re.fullmatch(r"[\w.]+", said):
                    taken_here.append(Description(said, str(dimension["description"]), source))
            for measure in _maps(model.get("measures")):
                expression = str(
                    measure.get("expr") if measure.get("expr") is not None else measure.get("name")
                )
                about = (
                    str(measure.get("description") or measure.get("name"))
                    if measure.get("create_metric")
                    else ""
                )
                measures[str(measure.get("name"))] = _Measure(
                    table, str(measure.get("agg")), expression, about
                )
            described = {d.name for d in self.found}
            taken.items += [d for d in taken_here if d.name not in described]
        return measures, names


class _Unfit(Exception):
    """Why a metric cannot be taken over."""


def _metric(name: str, label: str, description: str, sql: str, table: str, source: str) -> Term:
    said = name.replace("_", " ")
    synonyms = (label,) if label and label.casefold() != said.casefold() else ()
    return Term(said, " ".join(description.split()) or label or said, synonyms, True, sql, source, (table,))


def _metric_sql(
    metric: Mapping[str, Any],
    measures: Mapping[str, _Measure],
    dimensions: Mapping[str, str],
    tables: Mapping[str, str],
    sql_of: Callable[[str], tuple[str, str]],
) -> tuple[str, str]:
    """A metric's expression and the table that it is about; raises _Unfit."""
    method = metric.get("calculation_method") or (metric.get("type") if metric.get("sql") else None)
    if method:
        return _old_metric_sql(metric, str(method), tables)
    kind, parameters = str(metric.get("type") or "simple").lower(), metric.get("type_params") or {}
    filters = [_plain(f, dimensions) for f in _filters(metric.get("filter"))]
    if kind == "simple":
        return _measure_sql(parameters.get("measure") or metric.get("measure"), measures, dimensions, filters)
    if kind == "ratio":
        parts = []
        for side in ("numerator", "denominator"):
            given = parameters.get(side)
            if isinstance(given, Mapping) and given.get("filter"):
                raise _Unfit(f"its {side} has a filter of its own; define a metric for it")
            parts.append(sql_of(str(given.get("name") if isinstance(given, Mapping) else given)))
        if filters:
            raise _Unfit("a filter on a ratio is not supported; put it on both metrics")
        if parts[0][1] != parts[1][1]:
            raise _Unfit(f"its parts are about two tables, {parts[0][1]} and {parts[1][1]}")
        return f"1.0 * ({parts[0][0]}) / NULLIF({parts[1][0]}, 0)", parts[0][1]
    if kind == "derived":
        return _derived_sql(parameters, filters, sql_of)
    raise _Unfit(f"metrics of type {kind} are not supported")


def _derived_sql(
    parameters: Mapping[str, Any], filters: list[str], sql_of: Callable[[str], tuple[str, str]]
) -> tuple[str, str]:
    text = str(parameters.get("expr") or "")
    found: dict[str, str] = {}
    places = set()
    for part in parameters.get("metrics") or []:
        part = part if isinstance(part, Mapping) else {"name": part}
        if part.get("offset_window") or part.get("offset_to_grain") or _filters(part.get("filter")):
            raise _Unfit("it compares with another time or filters its parts")
        sql, place = sql_of(str(part.get("name")))
        found[str(part.get("alias") or part.get("name"))] = f"({sql})"
        places.add(place)
    if not found or not text or filters:
        raise _Unfit("it has no expression over metrics, or a filter of its own")
    if len(places) > 1:
        raise _Unfit(f"its parts are about several tables, {', '.join(sorted(places))}")
    said = re.sub(r"[A-Za-z_]\w*", lambda m: found.get(m.group(), m.group()), text)
    return said.replace("/", "* 1.0 /"), places.pop()


def _old_metric_sql(metric: Mapping[str, Any], method: str, tables: Mapping[str, str]) -> tuple[str, str]:
    """Metrics of dbt 1.0 to 1.5, with their own expression and filters."""
    referred = _reference(str(metric.get("model") or ""))
    if method == "derived" or not referred:
        raise _Unfit(f"metrics of type {method} are not supported")
    filters = [f"{f.get('field')} {f.get('operator')} {f.get('value')}" for f in _maps(metric.get("filters"))]
    table = tables.get(referred, referred)
    measure = _Measure(table, method, str(metric.get("expression") or metric.get("sql")), "")
    return _aggregated(measure, filters), table


def _measure_sql(
    given: Any, measures: Mapping[str, _Measure], dimensions: Mapping[str, str], filters: list[str]
) -> tuple[str, str]:
    name = str(given.get("name") if isinstance(given, Mapping) else given)
    measure = measures.get(name)
    if measure is None:
        raise _Unfit(f"its measure {name} is in no semantic model of this import")
    own = [_plain(f, dimensions) for f in _filters(given.get("filter"))] if isinstance(given, Mapping) else []
    return _aggregated(measure, [*filters, *own]), measure.table


def _aggregated(measure: _Measure, filters: Iterable[str]) -> str:
    pattern = _AGGREGATES.get(measure.aggregate.lower())
    if pattern is None:
        raise _Unfit(f"the aggregation {measure.aggregate} is not supported")
    condition = " AND ".join(f"({f})" for f in filters)
    expression = measure.expression
    if measure.aggregate.lower() == "count" and expression == "*" and condition:
        expression = "1"
    return pattern.format(f"CASE WHEN {condition} THEN {expression} END" if condition else expression)


def _filters(raw: Any) -> list[str]:
    if raw is None:
        return []
    if isinstance(raw, Mapping):
        return [str(f.get("where_sql_template")) for f in _maps(raw.get("where_filters"))]
    return [str(f) for f in raw] if isinstance(raw, list) else [str(raw)]


def _plain(text: str, dimensions: Mapping[str, str]) -> str:
    """A filter with its dimensions as columns; raises _Unfit for what else a template can say."""

    def column(match: re.Match[str]) -> str:
        name = match.group(2)
        said = dimensions.get(name) or dimensions.get(
            name.rpartition("__")[2] if match.group(1) == "Entity" else name
        )
        if said is None:
            raise _Unfit(f"its filter names {name}, which is in no semantic model of this import")
        return said

    said = _JINJA.sub(column, text)
    if "{{" in said or "{%" in said:
        raise _Unfit("its filter is a template that cannot be worked out here")
    return " ".join(said.split())


def _one_expression(raw: Mapping[str, Any], table: str) -> str:
    said = str(raw.get("expr") or raw.get("name"))
    return f"{table}.{said}" if re.fullmatch(r"\w+", said) else said


def _relation(raw: Any) -> str:
    arguments = raw.get("arguments", raw) if isinstance(raw, Mapping) else {}
    table = _reference(str(arguments.get("to") or ""))
    return f"{table}.{arguments.get('field')}" if table and arguments.get("field") else ""


def _reference(text: str) -> str:
    found = _REFERENCE.search(text)
    return found.group(1) if found else ""


def _maps(raw: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in raw if isinstance(entry, Mapping)] if isinstance(raw, list) else []


def _read_manifest(path: Path, taken: Taken) -> None:
    try:
        raw = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("nodes"), dict):
        raise UsageError(f"{path} is no dbt manifest: it has no nodes")
    project = _Project()
    nodes = [*raw["nodes"].values(), *(raw.get("sources") or {}).values()]
    tables: dict[str, str] = {}
    for node in _maps(nodes):
        if node.get("resource_type") in ("model", "seed", "snapshot", "source"):
            table = str(node.get("identifier") or node.get("alias") or node.get("name"))
            tables[str(node.get("unique_id"))] = table
            project.add_table(node, table, path.name)
    keys: dict[str, set[str]] = {}
    for node in _maps(nodes):
        test = node.get("test_metadata")
        if node.get("resource_type") != "test" or not isinstance(test, Mapping):
            continue
        arguments = test.get("kwargs") or {}
        column = node.get("column_name") or arguments.get("column_name")
        places = [n for n in (node.get("depends_on") or {}).get("nodes") or [] if n in tables]
        # A relationship depends on both ends; the last one carries the test.
        about = node.get("attached_node") or (places[-1] if places else None)
        if about not in tables or not column:
            continue
        name = f"{tables[about]}.{column}"
        if test.get("name") == "relationships":
            project.found.append(Description(name, "", path.name, _relation(arguments)))
        elif test.get("name") in ("unique", "not_null"):
            keys.setdefault(name, set()).add(str(test["name"]))
    project.found += [Description(n, "", path.name, "", True) for n, tests in keys.items() if len(tests) == 2]
    project.found = _merged(project.found)
    for kind, into in (("semantic_models", project.semantic), ("metrics", project.metrics)):
        into += [(entry, path.name) for entry in _maps(list((raw.get(kind) or {}).values()))]
    project.finish(taken)


def _merged(found: Iterable[Description]) -> list[Description]:
    """One description for each name."""
    merged: dict[str, Description] = {}
    for d in found:
        old = merged.get(d.name, d)
        merged[d.name] = replace(
            old,
            text=old.text or d.text,
            refers_to=old.refers_to or d.refers_to,
            is_key=old.is_key or d.is_key,
        )
    return list(merged.values())
