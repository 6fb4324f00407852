"""What a database holds: tables, columns, keys, comments and a bounded sample of values.

The names load on first use, so that ``import sqlgen.catalog`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlgen.catalog.connect import dialect_of, masked_url, open_engine
    from sqlgen.catalog.freshness import SchemaWatch
    from sqlgen.catalog.infer import infer_foreign_keys
    from sqlgen.catalog.introspect import ValueReader, distinct_values, load_catalog, schema_fingerprint
    from sqlgen.catalog.naming import natural_name
    from sqlgen.catalog.views import read_views

__all__ = [
    "SchemaWatch",
    "ValueReader",
    "dialect_of",
    "distinct_values",
    "infer_foreign_keys",
    "load_catalog",
    "masked_url",
    "natural_name",
    "open_engine",
    "read_views",
    "schema_fingerprint",
]

_HOME = {
    "SchemaWatch": "freshness",
    "ValueReader": "introspect",
    "dialect_of": "connect",
    "distinct_values": "introspect",
    "infer_foreign_keys": "infer",
    "load_catalog": "introspect",
    "masked_url": "connect",
    "natural_name": "naming",
    "open_engine": "connect",
    "read_views": "views",
    "schema_fingerprint": "introspect",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
