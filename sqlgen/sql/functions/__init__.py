"""The functions a query may call, per dialect: data files beside this one, each naming its source.

A name that stands on no list is refused, whatever it does: the lists say what is known to be harmless.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sqlgen.types import Dialect

__all__ = ["FunctionList", "load_functions"]


@dataclass(frozen=True, slots=True)
class FunctionList:
    """What one dialect may call; all names are lower case.

    ``calls`` holds scalar, aggregate, window and set-returning names; ``types`` names types of values; ``tables`` maps
    a table function to its columns ("*" is the alias or the function's own name). ``sized`` and ``templates`` give
    the place of the argument that decides the size of the value; ``series`` maps a counting function to 1 if its
    stop is included, else 0.
    """

    calls: frozenset[str]
    aggregates: frozenset[str]
    windows: frozenset[str]
    types: frozenset[str]
    tables: Mapping[str, tuple[str, ...]]
    sized: Mapping[str, int]
    series: Mapping[str, int]
    templates: Mapping[str, int]


@cache
def load_functions(dialect: Dialect) -> FunctionList:
    """The list of one dialect, read once.

    >>> "lower" in load_functions("sqlite").calls, "load_extension" in load_functions("sqlite").calls
    (True, False)
    """
    data = tomllib.loads(files(__name__).joinpath(f"{dialect}.toml").read_text("utf-8"))
    aggregates = frozenset(data["aggregate"].split())
    windows = frozenset(data["window"].split())
    tables = {name: tuple(columns) for name, columns in data["table"].items()}
    # PostgreSQL and DuckDB let a set-returning function stand in the select list.
    in_select_list = frozenset(tables) if dialect in ("postgres", "duckdb") else frozenset()
    return FunctionList(
        calls=frozenset(data["scalar"].split()) | aggregates | windows | in_select_list,
        aggregates=aggregates,
        windows=windows,
        types=frozenset(data.get("types", "").split()),
        tables=tables,
        sized=data.get("sized", {}),
        series=data.get("series", {}),
        templates=data.get("templates", {}),
    )
