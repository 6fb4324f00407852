"""Spans of time, against a fixed reference date."""

from __future__ import annotations

from datetime import date

import pytest

from sqlgen.sql.periods import parse_period

TODAY = date(2025, 5, 14)

CASES = {
    "2024": ("2024-01-01", "2025-01-01"),
    "the year 2024": ("2024-01-01", "2025-01-01"),
    "March 2024": ("2024-03-01", "2024-04-01"),
    "dec. 2024": ("2024-12-01", "2025-01-01"),
    "2024-12": ("2024-12-01", "2025-01-01"),
    "2024-02-29": ("2024-02-29", "2024-03-01"),
    "2024-02-29 10:00": ("2024-02-29", "2024-03-01"),
    "March 5, 2024": ("2024-03-05", "2024-03-06"),
    "5th of March 2024": ("2024-03-05", "2024-03-06"),
    "Q4 2024": ("2024-10-01", "2025-01-01"),
    "2024 Q1": ("2024-01-01", "2024-04-01"),
    "third quarter of 2024": ("2024-07-01", "2024-10-01"),
    "second half of 2024": ("2024-07-01", "2025-01-01"),
    "today": ("2025-05-14", "2025-05-15"),
    "yesterday": ("2025-05-13", "2025-05-14"),
    "this month": ("2025-05-01", "2025-06-01"),
    "last month": ("2025-04-01", "2025-05-01"),
    "last quarter": ("2025-01-01", "2025-04-01"),
    "previous year": ("2024-01-01", "2025-01-01"),
    "this week": ("2025-05-12", "2025-05-19"),
    "last 30 days": ("2025-04-15", "2025-05-15"),
    "past three months": ("2025-02-15", "2025-05-15"),
    "August": ("2024-08-01", "2024-09-01"),
    "May": ("2025-05-01", "2025-06-01"),
}


@pytest.mark.parametrize("text", CASES)
def test_period(text: str) -> None:
    start, end = CASES[text]
    assert parse_period(text, TODAY) == (date.fromisoformat(start), date.fromisoformat(end))


@pytest.mark.parametrize(
    "text", ["", "Paris", "2024-13", "31 February 2024", "12", "last 0", "99999", "q5 2024"]
)
def test_no_period(text: str) -> None:
    assert parse_period(text, TODAY) is None


def test_months_back_from_a_long_month() -> None:
    assert parse_period("last 1 months", date(2025, 3, 31)) == (date(2025, 3, 1), date(2025, 4, 1))


def test_last_month_in_january() -> None:
    assert parse_period("last month", date(2025, 1, 31)) == (date(2024, 12, 1), date(2025, 1, 1))
