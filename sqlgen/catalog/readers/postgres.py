"""PostgreSQL: pg_class, pg_attribute, pg_constraint and their comments."""

from __future__ import annotations

from sqlgen.catalog.kinds import kind_of_type
from sqlgen.catalog.readers.common import Run, Structure, TableBuilder, assemble, digest
from sqlgen.types import Column, ColumnKind

__all__ = ["fingerprint", "read", "revision"]

# partitions are read through their parent; what an extension owns is not the user's data
_RELATIONS = """pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                AND d.objid = c.oid AND d.deptype = 'e')"""

# Below this number everything is PostgreSQL's own: no table of a user, and most rows of a small database's catalog.
_FIRST_OF_USERS = 16384
_SOURCES = {
    "pg_class": f"oid >= {_FIRST_OF_USERS}",
    "pg_attribute": f"attrelid >= {_FIRST_OF_USERS} AND attnum > 0",
    "pg_constraint": f"oid >= {_FIRST_OF_USERS}",
    "pg_description": f"objoid >= {_FIRST_OF_USERS}",
    "pg_namespace": "true",
    "pg_enum": "true",
}
_CATEGORIES: dict[str, ColumnKind] = {"N": "number", "S": "text", "E": "text", "B": "bool"}


def read(run: Run) -> Structure:
    """Tables, views, materialised views and foreign tables that the user may select from.

    A table of the default schema (the first of ``search_path``) has no schema name. Columns without the right
    to SELECT are left out; tables without any readable column are skipped and named.
    """
    default = run("SELECT coalesce(current_schema(), 'public')")[0][0]
    builders: dict[int, TableBuilder] = {}
    unreadable: dict[int, str] = {}
    relkinds: dict[int, str] = {}
    for oid, schema, name, relkind, rows, comment, usage in run(
        "SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, c.reltuples::bigint, "
        "obj_description(c.oid, 'pg_class'), has_schema_privilege(n.oid, 'USAGE') "
        f"FROM {_RELATIONS} ORDER BY n.nspname, c.oid"
    ):
        own_schema = None if schema == default else schema
        builder = TableBuilder(
            name, own_schema, comment or "", relkind in ("v", "m"), rows if rows > 0 else None
        )
        if usage:
            builders[oid] = builder
        else:
            unreadable[oid] = f"{schema}.{name}"
        relkinds[oid] = relkind
    attributes: dict[int, dict[int, str]] = {}
    primary: dict[int, list[int]] = {}
    foreign: list[tuple[int, list[int], int, list[int]]] = []
    for owner, kind, columns, target, target_columns in run(
        "SELECT conrelid::bigint, contype::text, conkey::int[], confrelid::bigint, confkey::int[] "
        "FROM pg_catalog.pg_constraint WHERE contype IN ('p', 'f') AND conparentid = 0 "
        "ORDER BY conrelid, contype DESC, conkey"
    ):
        if kind == "p":
            primary[owner] = columns
        else:
            foreign.append((owner, columns, target, target_columns))
    labels: dict[int, tuple[str, ...]] = {
        oid: tuple(names)
        for oid, names in run(
            "SELECT enumtypid::bigint, array_agg(enumlabel::text ORDER BY enumsortorder) "
            "FROM pg_catalog.pg_enum GROUP BY enumtypid"
        )
    }
    for oid, number, name, words, base, category, type_oid, not_null, comment, allowed in run(
        "SELECT a.attrelid::bigint, a.attnum::int, a.attname::text, format_type(a.atttypid, a.atttypmod), "
        "CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END, t.typcategory::text, "
        "a.atttypid::bigint, a.attnotnull, col_description(a.attrelid, a.attnum), "
        "has_column_privilege(a.attrelid, a.attnum, 'SELECT') FROM pg_catalog.pg_attribute a "
        "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
        f"WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN (SELECT c.oid FROM {_RELATIONS}) "
        "ORDER BY a.attrelid, a.attnum"
    ):
        builder_or_none = builders.get(oid)
        if builder_or_none is None or not allowed:
            continue
        attributes.setdefault(oid, {})[number] = name
        kind = kind_of_type(base or words)
        if kind == "other":
            kind = _CATEGORIES.get(category, "other")
        is_key = number in primary.get(oid, ())
        builder_or_none.columns.append(
            Column(name, words, kind, comment or "", not not_null, is_key, labels.get(type_oid, ()))
        )
    for oid, numbers in primary.items():
        names = attributes.get(oid, {})
        if oid in builders and all(n in names for n in numbers):
            builders[oid].primary_key = [names[n] for n in numbers]
    for owner, columns, target, target_columns in foreign:
        ours, theirs = attributes.get(owner, {}), attributes.get(target, {})
        if owner not in builders or target not in builders:
            continue
        if all(n in ours for n in columns) and all(n in theirs for n in target_columns):
            to = builders[target]
            pairs = tuple(ours[n] for n in columns), tuple(theirs[n] for n in target_columns)
            builders[owner].foreign_keys.append((pairs[0], to.schema, to.name, pairs[1]))
    skipped = [f"table {name!r}: no permission on its schema" for name in unreadable.values()]
    for builder in builders.values():
        if not builder.columns:
            full = builder.name if builder.schema is None else f"{builder.schema}.{builder.name}"
            skipped.append(f"table {full!r}: no permission to select, or no column")
    readable = sorted(
        (b for b in builders.values() if b.columns), key=lambda b: (b.schema is not None, b.schema or "")
    )
    structure = assemble(readable, skipped, fold_case=False)
    keys = {(t.schema, t.name): t.key for t in structure.tables}
    for oid, number in run(
        "SELECT i.indrelid::bigint, i.indkey[0]::int FROM pg_catalog.pg_index i "
        "JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam "
        "WHERE i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree' AND i.indkey[0] > 0"
    ):
        builder_or_none = builders.get(oid)
        if builder_or_none is not None and number in attributes.get(oid, {}):
            key = keys.get((builder_or_none.schema, builder_or_none.name))
            if key is not None:
                structure.indexed.add((key, attributes[oid][number]))
    for oid, builder in builders.items():
        key = keys.get((builder.schema, builder.name))
        if key is not None and relkinds[oid] in ("r", "p", "m"):
            structure.row_order[key] = "tablesample"
    return structure


def revision(run: Run) -> str:
    """Counts and transaction numbers of the catalog's rows on users' objects: a change of any schema changes them."""
    parts = (
        f"(SELECT count(*) || ':' || sum(xmin::text::bigint) FROM pg_catalog.{name} WHERE {condition})"
        for name, condition in _SOURCES.items()
    )
    return digest(run(f"SELECT current_schema(), {', '.join(parts)}"))


def fingerprint(run: Run) -> str:
    """A hash of columns, types, comments, keys and rights; one query."""
    return digest(
        run(
            "WITH rel AS MATERIALIZED (SELECT c.oid, n.nspname, c.relname, c.relkind, c.relacl FROM "
            f"{_RELATIONS}) SELECT current_schema(), "
            "(SELECT md5(string_agg(concat_ws(chr(9), r.oid, r.nspname, r.relname, r.relkind, r.relacl), "
            "chr(10) ORDER BY r.oid)) FROM rel r), "
            "(SELECT md5(string_agg(concat_ws(chr(9), a.attrelid, a.attnum, a.attname, a.atttypid, "
            "a.atttypmod, a.attnotnull, a.attacl), chr(10) ORDER BY a.attrelid, a.attnum)) "
            "FROM pg_catalog.pg_attribute a JOIN rel r ON r.oid = a.attrelid WHERE a.attnum > 0 "
            "AND NOT a.attisdropped), (SELECT md5(string_agg(concat_ws(chr(9), d.objoid, d.objsubid, d.description), chr(10) "
            "ORDER BY d.objoid, d.objsubid)) FROM pg_catalog.pg_description d JOIN rel r ON r.oid = d.objoid "
            "WHERE d.classoid = 'pg_catalog.pg_class'::regclass), "
            "(SELECT md5(string_agg(concat_ws(chr(9), k.oid, k.conrelid, k.conkey, k.confrelid, k.confkey), "
            "chr(10) ORDER BY k.oid)) FROM pg_catalog.pg_constraint k JOIN rel r ON r.oid = k.conrelid "
            "WHERE k.contype IN ('p', 'f'))"
        )
    )
