"""Names as people would say them."""

from __future__ import annotations

import pytest

from sqlgen.catalog.naming import Hearer, natural_name, short_forms


@pytest.mark.parametrize(
    ("identifier", "said"),
    [
        ("CustAddr", "customer address"),
        ("EMP_DOB", "employee date of birth"),
        ("num_of_seasons", "number of seasons"),
        ("shippingaddress", "shipping address"),
        ("custs", "customers"),
        ("releasedate", "release date"),
        ("tbl_Prod", "table product"),
        ("mfr_desc", "manufacturer description"),
    ],
)
def test_short_and_run_together_names_are_written_out(identifier: str, said: str) -> None:
    assert natural_name(identifier) == said


@pytest.mark.parametrize(
    "identifier",
    [
        "invoice",
        "highest",
        "playlist",
        "warehouse",
        "gym",
        "html",
        "ssl",
        "sec",
        "rev",
        "st",
        "cat",
        "mpg",
        "é",
        "日本",
    ],
)
def test_words_and_what_stands_for_several_stay(identifier: str) -> None:
    assert natural_name(identifier) == identifier


@pytest.mark.parametrize(
    "identifier", ["", "_", "___", "a" * 5000, "x" * 63, "1", "9lives", "\u202eabc", "🙂"]
)
def test_odd_identifiers_stay_readable(identifier: str) -> None:
    assert natural_name(identifier) == identifier.lower()


def test_a_question_settles_what_a_short_form_stands_for() -> None:
    assert Hearer("How many states are there?").name("st_no") == "state number"
    assert Hearer("Which streets are longest?").name("st_no") == "street number"
    assert Hearer("Which state has most streets?").name("st_no") == "st number"
    assert Hearer("List all concerts.").name("cncrt") == "concert"
    assert Hearer("List all concerts.").name("cat") == "cat"
    assert Hearer("").name("cncrt") == "cncrt"


def test_short_forms_are_short_and_no_form_is_listed_twice_for_a_word() -> None:
    for word, ways in short_forms().items():
        assert len(set(ways)) == len(ways), word
        assert all(len(way) < len(word) for way in ways), word
