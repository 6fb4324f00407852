"""Foreign keys from names, types and samples: what must be found, and what must not."""

from __future__ import annotations

import pytest

from sqlgen.catalog import infer_foreign_keys
from sqlgen.types import Catalog, Column, ForeignKey, Table

Range = tuple[int, int] | None


def number(name: str, *, key: bool = False, seen: Range = None) -> Column:
    low, high = seen or (None, None)
    return Column(name, "INTEGER", "number", primary_key=key, minimum=low, maximum=high)


def text(name: str, *values: str, key: bool = False) -> Column:
    return Column(name, "TEXT", "text", primary_key=key, values=values)


def inferred(*tables: Table) -> set[tuple[str, str, str, str]]:
    catalog = infer_foreign_keys(Catalog("sqlite", tables))
    return {
        (t.key, k.columns[0], k.target, k.target_columns[0])
        for t in catalog.tables
        for k in t.foreign_keys
        if k.inferred
    }


CUSTOMERS = Table("customers", (number("id", key=True), text("name")))


@pytest.mark.parametrize(
    ("target", "column", "found"),
    [
        ("customers", "customer_id", True),
        ("customers", "customerId", True),
        ("customers", "CustomerID", True),
        ("customers", "customerid", True),
        ("customers", "billing_customer_id", True),
        ("customers", "customer_key", True),
        ("Customer", "customer_id", True),
        ("tbl_customers", "customer_id", True),
        ("dim_customer", "customer_key", True),
        ("companies", "company_id", True),
        ("boxes", "box_id", True),
        ("order_lines", "order_line_id", True),
        ("customers", "customer", False),
        ("customers", "customer_name", False),
        ("customers", "customer_code", False),
        ("customers", "id", False),
        ("customers", "external_id", False),
        ("status", "status", False),
        ("customers", "customer_count", False),
    ],
)
def test_names(target: str, column: str, found: bool) -> None:
    tables = (
        Table(target, (number("id", key=True), text("name"))),
        Table("facts", (number("fact_no", key=True), number(column))),
    )
    assert inferred(*tables) == ({("facts", column, target, "id")} if found else set())


def test_primary_key_of_the_same_name() -> None:
    students = Table("people_who_learn", (number("stuid", key=True), text("lname")))
    pets = Table("has_pet", (number("stuid"), number("petid")))
    assert inferred(students, pets) == {("has_pet", "stuid", "people_who_learn", "stuid")}


def test_kinds_must_match() -> None:
    orders = Table("orders", (number("id", key=True), text("customer_id", "a")))
    assert inferred(CUSTOMERS, orders) == set()


def test_numbers_outside_the_range_of_the_target() -> None:
    customers = Table("customers", (number("id", key=True, seen=(1, 10)),))
    inside = Table("orders", (number("no", key=True), number("customer_id", seen=(2, 10))))
    outside = Table("visits", (number("no", key=True), number("customer_id", seen=(2, 11))))
    assert inferred(customers, inside, outside) == {("orders", "customer_id", "customers", "id")}


def test_a_bare_name_needs_proof() -> None:
    customers = Table("customers", (number("id", key=True, seen=(1, 10)),))
    proven = Table("orders", (number("no", key=True), number("customer", seen=(1, 9))))
    unproven = Table("visits", (number("no", key=True), number("customer")))
    assert inferred(customers, proven, unproven) == {("orders", "customer", "customers", "id")}


def test_text_outside_the_values_of_the_target() -> None:
    lands = Table("lands", (text("code", "DE", "FR", key=True),), row_estimate=2)
    cities = Table("cities", (number("no", key=True), text("land_code", "DE", "DE")))
    codes = Table("codes", (number("no", key=True), text("land_code", "XX", "YY")))
    assert inferred(lands, cities, codes) == {("cities", "land_code", "lands", "code")}


def test_two_possible_targets_mean_none() -> None:
    tables = (
        Table("customer", (number("id", key=True),)),
        Table("customers", (number("id", key=True),)),
        Table("orders", (number("no", key=True), number("customer_id"))),
    )
    assert inferred(*tables) == set()


def test_the_own_schema_wins() -> None:
    tables = (
        Table("customers", (number("id", key=True),), schema="old"),
        Table("customers", (number("id", key=True),), schema="new"),
        Table("orders", (number("no", key=True), number("customer_id")), schema="new"),
    )
    assert inferred(*tables) == {("new.orders", "customer_id", "new.customers", "id")}


def test_parent_refers_to_the_table_itself() -> None:
    tree = Table("nodes", (number("id", key=True), number("parent_id"), number("parent_node_id")))
    assert inferred(tree) == {
        ("nodes", "parent_id", "nodes", "id"),
        ("nodes", "parent_node_id", "nodes", "id"),
    }


def test_a_table_without_declared_key() -> None:
    customers = Table("customers", (number("customer_id"), text("name")))
    orders = Table("orders", (number("order_id"), number("customer_id")))
    assert inferred(customers, orders) == {("orders", "customer_id", "customers", "customer_id")}


def test_declared_keys_stay_and_views_take_no_part() -> None:
    declared = ForeignKey(("customer_id",), "customers", ("id",))
    orders = Table(
        "orders", (number("id", key=True), number("customer_id")), foreign_keys=(declared,), row_estimate=3
    )
    view = Table("recent", (number("customer_id"),), is_view=True)
    catalog = infer_foreign_keys(Catalog("sqlite", (CUSTOMERS, orders, view), "f", ("s",)))
    assert catalog == Catalog("sqlite", (CUSTOMERS, orders, view), "f", ("s",))


def test_two_bridges_to_one_table() -> None:
    flights = Table("flights", (number("no", key=True), number("from_airport_id"), number("to_airport_id")))
    airports = Table("airports", (number("id", key=True),))
    assert inferred(airports, flights) == {
        ("flights", "from_airport_id", "airports", "id"),
        ("flights", "to_airport_id", "airports", "id"),
    }
