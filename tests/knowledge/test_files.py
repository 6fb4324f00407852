"""Files of knowledge: domain folders, dbt properties and manifests, MetricFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sqlgen.errors import UsageError
from sqlgen.knowledge import Description, Document, Term, Verified, read_knowledge

SCHEMA_YML = """
version: 2
models:
  - name: orders
    description: >
      One row per
      order.
    columns:
      - name: order_id
        description: Number of the order
        tests: [unique, not_null]
      - name: customer_id
        data_tests:
          - not_null
          - relationships: {to: ref('dim_customers'), field: customer_id}
      - name: status
        tests:
          - accepted_values: {values: [open, paid]}
  - name: dim_customers
    config: {alias: customers}
    description: Customers
sources:
  - name: raw
    tables:
      - name: pay
        identifier: payments
        description: Payments
        columns:
          - name: order_id
            tests:
              - relationships: {arguments: {to: "source('raw', 'pay')", field: id}}
exposures: []
"""
METRICS_YML = """
semantic_models:
  - name: orders_model
    model: ref('orders')
    description: Orders as the team counts them
    entities:
      - {name: order, type: primary, expr: order_id}
      - {name: customer, type: foreign, expr: customer_id}
    dimensions:
      - {name: status, type: categorical, description: State of the order}
      - {name: is_web, type: categorical, expr: "channel = 'web'"}
      - {name: ordered_at, type: time, expr: ordered_on}
    measures:
      - {name: order_total, agg: sum, expr: total, description: money, create_metric: true}
      - {name: order_count, agg: count, expr: "1"}
      - {name: buyers, agg: count_distinct, expr: customer_id}
      - {name: typical, agg: median, expr: total}
metrics:
  - name: paid_revenue
    label: Paid sales
    description: Money of paid orders
    type: simple
    type_params: {measure: order_total}
    filter: |
      {{ Dimension('order__status') }} = 'paid'
  - name: web_orders
    type: simple
    type_params: {measure: {name: order_count, filter: "{{ Dimension('order__is_web') }}"}}
    filter: ["{{ TimeDimension('order__ordered_at', 'day') }} >= '2025-01-01'"]
  - name: paid_per_web_order
    type: ratio
    type_params: {numerator: paid_revenue, denominator: {name: web_orders}}
  - name: gap
    type: derived
    type_params:
      expr: paid - web
      metrics: [{name: paid_revenue, alias: paid}, {name: web_orders, alias: web}]
  - name: growth
    type: derived
    type_params: {expr: a - b, metrics: [{name: paid_revenue, alias: a}, {name: paid_revenue, offset_window: 1 month, alias: b}]}
  - name: to_date
    type: cumulative
    type_params: {measure: order_total}
  - name: middle
    type: simple
    type_params: {measure: typical}
  - name: lost
    type: simple
    type_params: {measure: nowhere}
  - name: odd
    type: simple
    type_params: {measure: order_total}
    filter: "{{ Metric('x', ['y']) }} > 3"
  - name: circle
    type: ratio
    type_params: {numerator: circle, denominator: web_orders}
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_dbt_properties_give_descriptions_and_keys(tmp_path: Path) -> None:
    taken = read_knowledge(write(tmp_path, "schema.yml", SCHEMA_YML))
    found = {item.name: item for item in taken.items if isinstance(item, Description)}
    assert found["orders"].text == "One row per order."
    assert (found["orders.order_id"].text, found["orders.order_id"].is_key) == ("Number of the order", True)
    assert found["orders.customer_id"].refers_to == "customers.customer_id"
    assert not found["orders.customer_id"].is_key
    assert found["customers"].text == "Customers"
    assert found["payments.order_id"].refers_to == "payments.id"
    skipped = {s.what for s in taken.skipped}
    assert skipped == {"orders.status: test accepted_values", "schema.yml: exposures"}


def test_metricflow_gives_metrics_and_says_what_it_left_out(tmp_path: Path) -> None:
    taken = read_knowledge(write(tmp_path, "metrics.yml", METRICS_YML))
    metrics = {item.name: item for item in taken.items if isinstance(item, Term)}
    assert metrics["paid revenue"].sql == "SUM(CASE WHEN (orders.status = 'paid') THEN total END)"
    assert metrics["paid revenue"].synonyms == ("Paid sales",)
    assert metrics["paid revenue"].tables == ("orders",)
    web = "COUNT(CASE WHEN (orders.ordered_on >= '2025-01-01') AND (channel = 'web') THEN 1 END)"
    assert metrics["web orders"].sql == web
    assert metrics["paid per web order"].sql == f"1.0 * ({metrics['paid revenue'].sql}) / NULLIF({web}, 0)"
    assert metrics["gap"].sql == f"({metrics['paid revenue'].sql}) - ({web})"
    assert metrics["order total"].sql == "SUM(total)"
    assert set(metrics) == {"paid revenue", "web orders", "paid per web order", "gap", "order total"}
    why = {s.what: s.why for s in taken.skipped}
    assert set(why) == {f"metric {n}" for n in ("growth", "to_date", "middle", "lost", "odd", "circle")}
    assert "cumulative" in why["metric to_date"]
    assert "median" in why["metric middle"]
    assert "defined by itself" in why["metric circle"]
    descriptions = {item.name: item.text for item in taken.items if isinstance(item, Description)}
    assert descriptions == {"orders": "Orders as the team counts them", "orders.status": "State of the order"}


def manifest(**more: Any) -> dict[str, Any]:
    return {
        "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"},
        "nodes": {
            "model.shop.orders": {
                "resource_type": "model", "name": "orders", "alias": "orders", "unique_id": "model.shop.orders",
                "description": "All orders",
                "columns": {
                    "order_id": {"name": "order_id", "description": "Its number"},
                    "customer_id": {"name": "customer_id", "description": ""},
                },
            },
            "model.shop.c": {
                "resource_type": "model", "name": "dim_c", "alias": "customers", "unique_id": "model.shop.c",
                "description": "", "columns": {},
            },
            "test.1": {
                "resource_type": "test", "column_name": "order_id", "attached_node": "model.shop.orders",
                "test_metadata": {"name": "unique", "kwargs": {"column_name": "order_id"}}, "depends_on": {"nodes": ["model.shop.orders"]},
            },
            "test.2": {
                "resource_type": "test", "column_name": "order_id",
                "test_metadata": {"name": "not_null", "kwargs": {}}, "depends_on": {"nodes": ["model.shop.orders"]},
            },
            "test.3": {
                "resource_type": "test", "column_name": "customer_id",
                "test_metadata": {"name": "relationships", "kwargs": {"to": "ref('dim_c')", "field": "id"}},
                "depends_on": {"nodes": ["model.shop.c", "model.shop.orders"]},
            },
        },
        "sources": {},
        **more,
    }  # fmt: skip


def test_a_manifest_gives_the_same_as_its_properties(tmp_path: Path) -> None:
    raw = manifest(
        semantic_models={
            "s": {
                "name": "o", "model": "ref('orders')", "node_relation": {"alias": "orders"},
                "entities": [{"name": "order", "type": "primary", "expr": "order_id"}],
                "dimensions": [{"name": "status", "type": "categorical"}],
                "measures": [{"name": "amount", "agg": "sum", "expr": "total"}],
            }
        },
        metrics={
            "m": {
                "name": "open_amount", "type": "simple", "label": "Open", "description": "still open",
                "type_params": {"measure": {"name": "amount", "filter": None}},
                "filter": {"where_filters": [{"where_sql_template": "{{ Dimension('order__status') }} = 'open'"}]},
            }
        },
    )  # fmt: skip
    taken = read_knowledge(write(tmp_path, "manifest.json", json.dumps(raw)))
    found = {item.name: item for item in taken.items if isinstance(item, Description)}
    assert (found["orders.order_id"].text, found["orders.order_id"].is_key) == ("Its number", True)
    assert found["orders.customer_id"].refers_to == "customers.id"
    (metric,) = [item for item in taken.items if isinstance(item, Term)]
    assert metric.sql == "SUM(CASE WHEN (orders.status = 'open') THEN total END)"
    assert taken.skipped == []


def test_metrics_of_older_manifests(tmp_path: Path) -> None:
    raw = manifest(
        metrics={
            "m": {
                "name": "paid", "model": "ref('orders')", "calculation_method": "sum", "expression": "total",
                "filters": [{"field": "status", "operator": "=", "value": "'paid'"}], "label": "Paid", "description": "",
            },
            "n": {"name": "n", "model": "ref('orders')", "type": "count", "sql": "order_id", "filters": []},
        }
    )  # fmt: skip
    taken = read_knowledge(write(tmp_path, "manifest.json", json.dumps(raw)))
    metrics = {item.name: item.sql for item in taken.items if isinstance(item, Term)}
    assert metrics == {"paid": "SUM(CASE WHEN (status = 'paid') THEN total END)", "n": "COUNT(order_id)"}


def test_a_domain_folder_is_read_whole(tmp_path: Path) -> None:
    write(
        tmp_path,
        "glossary.toml",
        '[[terms]]\nname = "churn"\ndefinition = "left"\nsql = "c.left_on IS NOT NULL"',
    )
    write(tmp_path, "descriptions.toml", '[orders]\ndescription = "Orders"\n[orders.columns]\nid = "Number"')
    write(
        tmp_path, "queries.jsonl", '{"question": "How many?", "sql": "SELECT 1", "wordings": ["count"]}\n\n'
    )
    write(tmp_path, "documents/a.md", "# Handbook\ntext")
    write(tmp_path, "golden.jsonl", '{"question": "measured", "sql": "SELECT 2"}')
    write(tmp_path, "README.md", "# Not knowledge")
    items = read_knowledge(tmp_path).items
    assert [type(i) for i in items] == [Term, Description, Description, Verified, Document]
    assert "measured" not in str(items)


def test_the_shipped_domains_are_readable() -> None:
    schemas = Path(__file__).resolve().parents[2] / "schemas"
    for name in ("retail", "subscriptions"):
        items = read_knowledge(schemas / name).items
        assert sum(isinstance(i, Term) for i in items) >= 15
        assert sum(isinstance(i, Description) for i in items) >= 60


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yml", "a: [", "not valid YAML"),
        ("a.yml", "- 1", "no dbt properties"),
        ("a.yml", "x: 1", "none of models"),
        ("a.json", "{", "not JSON"),
        ("a.json", "{}", "no dbt manifest"),
        ("a.toml", "= 1", "not valid TOML"),
        ("a.toml", "x = 1", "neither terms"),
        ("a.toml", '[[terms]]\nname = "x"', "without name or definition"),
        ("a.jsonl", '{"question": 1, "sql": "x"}', "line 1"),
        ("a.jsonl", '{"question": "q", "sql": "x"}\nnope', "line 2"),
        ("a.md", "  ", "is empty"),
        ("a.xlsx", "x", "no known kind"),
    ],
)
def test_bad_files_are_named_with_what_is_wrong(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        read_knowledge(write(tmp_path, name, text))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_knowledge(tmp_path / "nowhere.yml")
    (tmp_path / "b.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_knowledge(tmp_path / "b.md")
    with pytest.raises(UsageError, match="holds no knowledge"):
        read_knowledge(tmp_path)
