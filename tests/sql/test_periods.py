"""Spans of time, against a fixed reference date."""

from __future__ import annotations

from datetime import date

import pytest

from sqlgen.sql.periods import parse_between, parse_period

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
    "past month": ("2025-04-15", "2025-05-15"),
    "the past year": ("2024-05-15", "2025-05-15"),
    "year to date": ("2025-01-01", "2025-05-15"),
    "this quarter so far": ("2025-04-01", "2025-05-15"),
    "so far this week": ("2025-05-12", "2025-05-15"),
    "MTD": ("2025-05-01", "2025-05-15"),
    "tomorrow": ("2025-05-15", "2025-05-16"),
    "next week": ("2025-05-19", "2025-05-26"),
    "next 7 days": ("2025-05-14", "2025-05-21"),
    "last full month": ("2025-04-01", "2025-05-01"),
    "last 3 full months": ("2025-02-01", "2025-05-01"),
    "previous two calendar weeks": ("2025-04-28", "2025-05-12"),
    "month before last": ("2025-03-01", "2025-04-01"),
    "last couple of weeks": ("2025-05-01", "2025-05-15"),
    "trailing 12 months": ("2024-05-15", "2025-05-15"),
    "two years ago": ("2023-01-01", "2024-01-01"),
    "10 days ago": ("2025-05-04", "2025-05-05"),
    "Q3 last year": ("2024-07-01", "2024-10-01"),
    "first half of this year": ("2025-01-01", "2025-07-01"),
    "March of last year": ("2024-03-01", "2024-04-01"),
    "Q3": ("2024-07-01", "2024-10-01"),
    "H2 2024": ("2024-07-01", "2025-01-01"),
    "2024 H1": ("2024-01-01", "2024-07-01"),
    "week 1 of 2025": ("2024-12-30", "2025-01-06"),
    "2024-W10": ("2024-03-04", "2024-03-11"),
    "week of March 6, 2024": ("2024-03-04", "2024-03-11"),
    "the 1990s": ("1990-01-01", "2000-01-01"),
    "03/2024": ("2024-03-01", "2024-04-01"),
    "31.12.2024": ("2024-12-31", "2025-01-01"),
    "12/31/2024": ("2024-12-31", "2025-01-01"),
    "31/12/2024": ("2024-12-31", "2025-01-01"),
    "Monday": ("2025-05-12", "2025-05-13"),
    "Wednesday": ("2025-05-14", "2025-05-15"),
    "last Wednesday": ("2025-05-07", "2025-05-08"),
    "next Friday": ("2025-05-16", "2025-05-17"),
    "last May": ("2024-05-01", "2024-06-01"),
    "August": ("2024-08-01", "2024-09-01"),
    "May": ("2025-05-01", "2025-06-01"),
}


@pytest.mark.parametrize("text", CASES)
def test_period(text: str) -> None:
    start, end = CASES[text]
    assert parse_period(text, TODAY) == (date.fromisoformat(start), date.fromisoformat(end))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris",
        "2024-13",
        "week 60 of 2024",
        "h3 2024",
        "32.1.2024",
        "last 0 full months",
        "week of Paris",
        "week of 2024",
        "31 February 2024",
        "12",
        "last 0",
        "99999",
        "q5 2024",
    ],
)
def test_no_period(text: str) -> None:
    assert parse_period(text, TODAY) is None


def test_months_back_from_a_long_month() -> None:
    assert parse_period("last 1 months", date(2025, 3, 31)) == (date(2025, 3, 1), date(2025, 4, 1))


def test_last_month_in_january() -> None:
    assert parse_period("last month", date(2025, 1, 31)) == (date(2024, 12, 1), date(2025, 1, 1))


@pytest.mark.parametrize(
    ("first", "last", "start", "end"),
    [
        ("March", "June 2023", "2023-03-01", "2023-07-01"),
        ("Q1 2024", "Q3", "2024-01-01", "2024-10-01"),
        ("2023", "2024", "2023-01-01", "2025-01-01"),
        ("March", "April", "2025-03-01", "2025-05-01"),
        ("2024-12-30", "2025-01-02", "2024-12-30", "2025-01-03"),
    ],
)
def test_between(first: str, last: str, start: str, end: str) -> None:
    assert parse_between(first, last, TODAY) == (date.fromisoformat(start), date.fromisoformat(end))


def test_between_no_periods() -> None:
    assert parse_between("Paris", "2024", TODAY) is None
    assert parse_between("5", "7", TODAY) is None
