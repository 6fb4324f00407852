"""Descriptions and keys that people know, as comments and keys of the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sqlgen.knowledge.items import Description
from sqlgen.types import Catalog, ForeignKey, Table

__all__ = ["carried", "describe"]


def describe(catalog: Catalog, descriptions: Iterable[Description]) -> Catalog:
    """The catalog with descriptions where the database has no comment, and with the keys that it lacks.

    Names match without regard to case; what names no table or column here is left alone.

    >>> from sqlgen.types import Column
    >>> shop = Catalog("sqlite", (Table("Orders", (Column("id", "INT", "number"),)),))
    >>> described = describe(shop, [Description("orders.id", "number of the order", is_key=True)])
    >>> described.tables[0].columns[0].comment, described.tables[0].columns[0].primary_key
    ('number of the order', True)
    """
    known = {d.name.casefold(): d for d in descriptions}
    if not known:
        return catalog
    names = {name: table for table in catalog.tables for name in _names(table)}
    return replace(catalog, tables=tuple(_described(table, known, names) for table in catalog.tables))


def carried(
    descriptions: Iterable[Description],
    catalog: Catalog,
    tables: Mapping[str, str],
    columns: Mapping[tuple[str, str], str],
) -> list[Description]:
    """The descriptions of what has another name now, under that name.

    ``tables`` maps old keys to new ones, ``columns`` (old key, old name) to new names. What has its old name still, or
    again, is left out.

    >>> from sqlgen.types import Column
    >>> shop = Catalog("sqlite", (Table("sales", (Column("status", "TEXT", "text"),)),))
    >>> said = [Description("orders.state", "open or paid")]
    >>> carried(said, shop, {"orders": "sales"}, {("orders", "state"): "status"})[0].name
    'sales.status'
    """
    there = {name for table in catalog.tables for name in _names(table)}
    there |= {f"{n}.{c.name}".casefold() for t in catalog.tables for n in _names(t) for c in t.columns}
    moved = {old.casefold(): new for old, new in tables.items()}
    renamed = {f"{key}.{old}".casefold(): new for (key, old), new in columns.items()}
    found = []
    for said in descriptions:
        name = said.name.casefold()
        if name in there:
            continue
        table, _, column = said.name.rpartition(".")
        if name in moved:
            found.append(replace(said, name=moved[name]))
        elif name in renamed or table.casefold() in moved:
            place = moved.get(table.casefold(), table)
            found.append(replace(said, name=f"{place}.{renamed.get(name, column)}"))
    return found


def _names(table: Table) -> set[str]:
    return {table.key.casefold(), table.name.casefold()}


def _described(table: Table, known: Mapping[str, Description], names: Mapping[str, Table]) -> Table:
    own = _names(table)
    about = next((known[name] for name in own if name in known), None)
    has_key = any(column.primary_key for column in table.columns)
    columns, keys = [], list(table.foreign_keys)
    for column in table.columns:
        said = next(
            (known[f"{n}.{column.name}".casefold()] for n in own if f"{n}.{column.name}".casefold() in known),
            None,
        )
        if said is not None:
            if said.refers_to and not any(column.name in key.columns for key in keys):
                place, _, there = said.refers_to.rpartition(".")
                target = names.get(place.casefold())
                found = (
                    next((c for c in target.columns if c.name.casefold() == there.casefold()), None)
                    if target
                    else None
                )
                if target is not None and found is not None:
                    keys.append(ForeignKey((column.name,), target.key, (found.name,), inferred=True))
            column = replace(
                column,
                comment=column.comment or said.text,
                primary_key=column.primary_key or (said.is_key and not has_key),
            )
        columns.append(column)
    comment = table.comment or (about.text if about else "")
    return replace(table, comment=comment, columns=tuple(columns), foreign_keys=tuple(keys))
