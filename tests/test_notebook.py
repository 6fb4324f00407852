"""%ask in IPython's own shell, in this process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import altair
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from sqlgen.generation import ScriptedGenerator

SCRIPT = {
    "How many orders?": ["SELECT COUNT(*) AS n FROM orders"],
    "Orders by city?": ["SELECT city, COUNT(*) AS n FROM orders GROUP BY city"],
    "Two\nlines?": ["SELECT id FROM orders WHERE id > 1"],
    "Markup?": ["SELECT city FROM orders WHERE id = 3"],
}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "shop one.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, city TEXT);"
            "INSERT INTO orders VALUES (1, 'Oslo'), (2, 'Rome'), (3, '<script>alert(1)</script>'), (4, 'Oslo');"
        )
    monkeypatch.setattr("sqlgen.generation.load_generator", lambda _="shipped": ScriptedGenerator(SCRIPT))
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "home"))
    return f"sqlite:///{path}"


@pytest.fixture
def shell(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("SQLGEN_DB", url)
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "sqlgen")
    yield made
    made.run_line_magic("unload_ext", "sqlgen")
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, cell: str) -> tuple[Any, Any]:
    with capture_output() as captured:
        done = shell.run_cell(cell)
    return done, captured


def test_a_question_becomes_an_answer_and_a_frame(shell: InteractiveShell) -> None:
    done, _ = run(shell, "%ask How many orders?")
    assert done.result.result.rows == ((4,),)
    assert shell.user_ns["answer"] is done.result
    assert shell.user_ns["frame"].to_dict("list") == {"n": [4]}
    run(shell, "%ask --name in_oslo only in Oslo")
    assert shell.user_ns["in_oslo"]["n"].tolist() == [2]
    run(shell, "%ask --new Orders by city?")
    assert len(shell.user_ns["frame"]) == 3


def test_a_cell_holds_a_question_of_several_lines(shell: InteractiveShell) -> None:
    done, _ = run(shell, "%%ask --name rows\nTwo\nlines?")
    assert [row[0] for row in done.result.result.rows] == [2, 3, 4]
    assert shell.user_ns["rows"].shape == (3, 1)


def test_the_answer_shows_its_table_sql_and_chart(shell: InteractiveShell) -> None:
    done, captured = run(shell, "%ask Orders by city?")
    chart = captured.outputs[0].data
    assert chart["application/vnd.vegalite.v6+json"]["mark"]["type"] == "bar"
    altair.Chart.from_dict(chart["application/vnd.vegalite.v6+json"])
    assert chart["application/vnd.vegalite.v5+json"]["$schema"].endswith("v5.json")
    assert "█" in chart["text/plain"]
    shown, _ = shell.display_formatter.format(done.result)
    assert "<table>" in shown["text/html"]
    assert "GROUP BY city" in shown["text/html"]
    assert "counts orders by city" in shown["text/plain"]


def test_markup_in_cells_is_text(shell: InteractiveShell) -> None:
    done, _ = run(shell, "%ask Markup?")
    page = done.result._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%ask", "the question is empty"),
        ("%ask --colour red How many orders?", "no option --colour"),
        ("%ask --name 2x How many orders?", "no name for a variable"),
        ("%ask --db sqlite:////nowhere/none.db How many orders?", "none.db"),
        ("%ask --db", "needs a value"),
    ],
)
def test_a_mistake_is_one_line_and_loses_nothing(cell: str, words: str, shell: InteractiveShell) -> None:
    run(shell, "%ask How many orders?")
    done, captured = run(shell, cell)
    assert done.error_in_exec is not None
    assert words in str(done.error_in_exec)
    assert "Traceback" not in captured.stdout + captured.stderr
    done, _ = run(shell, "%ask only in Oslo")
    assert done.result.result.rows == ((2,),)


def test_a_reason_is_declined_in_words(shell: InteractiveShell) -> None:
    run(shell, "%ask How many orders?")
    done, _ = run(shell, "%ask why so few?")
    assert done.result.status == "abstained"
    assert "not why" in done.result._repr_html_()


def test_another_database_is_named_in_quotes(shell: InteractiveShell, url: str) -> None:
    done, _ = run(shell, f'%ask --db "{url}" How many orders?')
    assert done.result.result.rows == ((4,),)
