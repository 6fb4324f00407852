"""What a query will cost, as the engine's own planner sees it before anything runs.

PostgreSQL, MariaDB, MySQL and DuckDB tell; SQLite's planner gives no figures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Estimate", "estimate_duckdb", "estimate_mysql", "estimate_postgres", "excess"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """``rows`` of the plan's largest step, ``cost`` in the planner's own unit; None where it doesn't tell."""

    rows: float | None = None
    cost: float | None = None


def excess(estimate: Estimate, max_rows: float | None, max_cost: float | None) -> str:
    """In words, which limit an estimate is over; empty when it is within all of them.

    >>> excess(Estimate(rows=5e12), 1e6, None)
    'the planner expects 5,000,000,000,000 rows (limit 1,000,000)'
    >>> excess(Estimate(rows=5, cost=10.0), 1e6, None)
    ''
    """
    if max_rows is not None and estimate.rows is not None and estimate.rows > max_rows:
        return f"the planner expects {estimate.rows:,.0f} rows (limit {max_rows:,.0f})"
    if max_cost is not None and estimate.cost is not None and estimate.cost > max_cost:
        return f"the planner expects a cost of {estimate.cost:,.0f} (limit {max_cost:,.0f})"
    return ""


def estimate_postgres(plan: Any) -> Estimate:
    """From what ``EXPLAIN (FORMAT JSON)`` returns.

    >>> estimate_postgres([{"Plan": {"Plan Rows": 1, "Total Cost": 9.5, "Plans": [{"Plan Rows": 70}]}}])
    Estimate(rows=70.0, cost=9.5)
    """
    root = plan[0]["Plan"]
    rows = (step["Plan Rows"] for step in _objects(root) if "Plan Rows" in step)
    return Estimate(max(map(float, rows), default=None), root.get("Total Cost"))


def estimate_duckdb(run: Callable[[str], Any], sql: str) -> Estimate | None:
    """``run`` takes the EXPLAIN statement and returns its last cell; None for a query that is an EXPLAIN."""
    if sql.lstrip().upper().startswith("EXPLAIN"):
        return None
    plan = json.loads(run(f"EXPLAIN (FORMAT json) {sql}"))
    return Estimate(max((_duckdb_rows(step)[1] for step in plan), default=None))


def _duckdb_rows(step: dict[str, Any]) -> tuple[float, float]:
    """The rows that a step of DuckDB's plan hands on, and those of the largest step within it.

    >>> scan = {"extra_info": {"Estimated Cardinality": "3000"}}
    >>> _duckdb_rows({"name": "CROSS_PRODUCT", "children": [scan, scan], "extra_info": {}})
    (9000000.0, 9000000.0)
    """
    below = [_duckdb_rows(child) for child in step.get("children", ())]
    own = step.get("extra_info", {}).get("Estimated Cardinality")
    if own is not None:
        rows = float(own)
    elif step.get("name") == "CROSS_PRODUCT":
        rows = math.prod(rows for rows, _ in below)
    else:
        rows = max((rows for rows, _ in below), default=1.0)
    return rows, max([rows, *(largest for _, largest in below)])


def estimate_mysql(plan: Any) -> Estimate:
    """From what ``EXPLAIN FORMAT=JSON`` of MariaDB or MySQL returns; a join multiplies the rows of its tables.

    >>> table = {"table": {"rows": 1000, "filtered": 50}}
    >>> estimate_mysql({"query_block": {"cost": 3.5, "nested_loop": [table, {"block-nl-join": table}]}})
    Estimate(rows=500000.0, cost=3.5)
    """
    root = plan["query_block"]
    cost = root.get("cost", root.get("cost_info", {}).get("query_cost"))
    largest = 0.0
    for block in _objects(root):
        loop = block.get("nested_loop")
        for tables in [loop] if isinstance(loop, list) else [[block]]:
            kept = 1.0
            for table in tables:
                rows, share = _rows_of(table)
                largest = max(largest, kept * rows)
                kept *= rows * share
    return Estimate(largest, None if cost is None else float(cost))


def _rows_of(entry: dict[str, Any]) -> tuple[float, float]:
    """How many rows of a table are read for each row before it, and which share of them is kept."""
    for step in _objects(entry):
        rows = step.get("rows", step.get("rows_examined_per_scan"))
        if rows is not None:
            return float(rows), float(step.get("filtered", 100)) / 100
    return 1.0, 1.0


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document, outer ones first."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from _objects(value)
