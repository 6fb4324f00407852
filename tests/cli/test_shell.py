"""The shell: piped lines, keys as prompt_toolkit sees them, and a real terminal at 80 and 40 columns."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

import sqlgen
from sqlgen.cli.present import cell_width
from sqlgen.cli.shell import HISTORY_FILE, Shell, completer_of, read_terminal
from sqlgen.config import Settings
from sqlgen.generation import ScriptedGenerator

SCRIPT = {
    "How many orders?": ["SELECT COUNT(*) AS n FROM orders"],
    "Who?": ["SELECT name, city FROM customers ORDER BY id"],
    "Totals?": ["SELECT name, SUM(total) FROM orders JOIN customers ON customers.id = orders.customer_id GROUP BY name"],
    "Two\nlines?": ["SELECT name FROM customers"],
}  # fmt: skip
Open = Callable[..., Shell]


@pytest.fixture
def open_shell(shop: str, tmp_path: Path) -> Iterator[Open]:
    opened: list[sqlgen.Database] = []

    def make(*, history: bool = True) -> Shell:
        settings = Settings(home=tmp_path / "home", history=history)
        opened.append(sqlgen.connect(shop, settings=settings, generator=ScriptedGenerator(SCRIPT)))
        return Shell(opened[-1])

    yield make
    for database in opened:
        database.close()


def type_keys(conversation: Shell, keys: str) -> int:
    """Run the shell on these keys; what is typed ends with Ctrl-D."""
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        assert isinstance(pipe, PipeInput)
        pipe.send_text(keys + "\x04")
        return conversation.run(read_terminal(conversation), interactive=True)


def test_a_conversation_is_typed(open_shell: Open, capsys: pytest.CaptureFixture[str]) -> None:
    conversation = open_shell()
    assert type_keys(conversation, "How many orders?\ronly in Oslo\r\\sql\r") == 0
    printed = capsys.readouterr().out
    assert "counts orders, only city 'Oslo'" in printed
    assert printed.count("WHERE customers.city = 'Oslo'") == 2
    assert "\n2\n" in printed


def test_a_correction_is_kept_and_answers_from_now_on(
    open_shell: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = open_shell()
    type_keys(conversation, "Who?\r\\fix SELECT name FROM customers WHERE id = 1\r")
    printed = capsys.readouterr()
    assert "corrected" in printed.err
    line = next(iter(conversation.database.history.lines(judged=True)))
    assert (line.question, line.verdict) == ("Who?", "corrected")
    assert conversation.database.ask("Who?").sql == "SELECT name FROM customers WHERE id = 1"


def test_a_correction_that_is_no_query_is_refused(
    open_shell: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = open_shell()
    type_keys(conversation, "Who?\r\\fix DROP TABLE customers\r")
    assert "rejected" in capsys.readouterr().err
    assert not list(conversation.database.history.lines(judged=True))


def test_ctrl_c_clears_the_line_and_alt_enter_begins_another(
    open_shell: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = open_shell()
    type_keys(conversation, "nonsense\x03Two\x1b\rlines?\r")
    printed = capsys.readouterr()
    assert "Cy" in printed.out
    assert "nonsense" not in printed.out + printed.err


def test_a_backslash_at_the_end_begins_another_line(
    open_shell: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    type_keys(open_shell(), "Two\\\rlines?\r")
    assert "Cy" in capsys.readouterr().out


def test_questions_are_remembered_across_shells_but_not_when_switched_off(
    open_shell: Open, tmp_path: Path
) -> None:
    type_keys(open_shell(history=False), "Who?\r")
    path = tmp_path / "home" / HISTORY_FILE
    assert not path.exists()
    type_keys(open_shell(), "Who?\r")
    assert "+Who?" in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    again = open_shell()
    type_keys(again, "\x1b[A\r")
    assert again.reply is not None
    assert again.reply.question.text == "Who?"


def completions(conversation: Shell, text: str) -> list[str]:
    found = completer_of(conversation).get_completions(Document(text, len(text)), CompleteEvent())
    return [c.text for c in found]


def test_names_and_past_questions_are_completed(open_shell: Open, tmp_path: Path) -> None:
    conversation = open_shell()
    conversation.database.knowledge.add_term("active customer", "has an order")
    conversation.ask("How many orders?")
    assert completions(conversation, "sum of tot") == ["total"]
    assert completions(conversation, "list ord") == ["orders"]
    assert completions(conversation, "how many act") == ["active customer"]
    assert "How many orders?" in completions(conversation, "how m")
    assert completions(conversation, "\\ch") == ["chart"]
    (tmp_path / "out.csv").touch()
    assert completions(conversation, f"\\export {tmp_path}/ou") == ["t.csv"]


def test_rows_are_exported(open_shell: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conversation = open_shell()
    conversation.run(["Who?", *(f"\\export {tmp_path}/rows.{kind}" for kind in ("csv", "json", "md", "xls"))])
    assert (tmp_path / "rows.csv").read_text().splitlines()[:2] == ["name,city", "Ann,Oslo"]
    assert json.loads((tmp_path / "rows.json").read_text())["row_count"] == 3
    assert (tmp_path / "rows.md").read_text().startswith("| name | city |")
    assert "cannot tell the format from .xls" in capsys.readouterr().err
    assert sorted(p.suffix for p in tmp_path.glob("rows*")) == [".csv", ".json", ".md"]
    assert conversation.run([f"\\export {tmp_path}/none/rows.csv"]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("\\sql", 2, "no answer yet"),
        ("\\chrt", 2, "nearest: 'chart'"),
        ("\\pick 3", 2, "no answer yet"),
        ("why is that?", 4, "abstained"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    line: str, code: int, words: str, open_shell: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_shell().run([line, "Who?"]) == code
    printed = capsys.readouterr()
    assert words in printed.err
    assert "Ann" in printed.out


@pytest.fixture
def spawn(shop: str, tmp_path: Path) -> Iterator[Callable[[int], pexpect.spawn[str]]]:
    program = tmp_path / "scripted.py"
    program.write_text(
        "import sys, sqlgen.generation\nfrom sqlgen.generation import ScriptedGenerator\n"
        f"sqlgen.generation.load_generator = lambda name='shipped': ScriptedGenerator({SCRIPT!r})\n"
        "from sqlgen.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    started: list[pexpect.spawn[str]] = []

    def start(columns: int) -> pexpect.spawn[str]:
        child: pexpect.spawn[str] = pexpect.spawn(
            sys.executable,
            [str(program), "shell", "--db", shop],
            env={**os.environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"},
            dimensions=(40, columns),
            encoding="utf-8",
            timeout=30,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def screen(text: str) -> list[str]:
    """What a terminal would show of it, near enough: no escape sequences, the last writing of each line."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][0-9A-B]?|\x1b\][^\x07]*\x07", "", text)
    return [line.split("\r")[-1] for line in plain.replace("\r\n", "\n").split("\n")]


@pytest.mark.parametrize("columns", [80, 40])
def test_on_a_terminal(columns: int, spawn: Callable[[int], pexpect.spawn[str]]) -> None:
    child = spawn(columns)
    child.expect("ask>")
    child.send("Totals?\r")
    child.expect("confidence")
    shown = child.before or ""
    child.expect("and>")
    child.send("\\chart\r")
    child.expect("█")
    shown += (child.before or "") + "█"
    child.expect("and>")
    shown += child.before or ""
    assert "99.00" in shown
    assert "adds up total" in shown
    assert "\x1b[31m" not in shown.replace("\\x1b[31m", "")
    assert all(cell_width(line) <= columns for line in screen(shown)), screen(shown)
    child.send("half a li\x03")
    child.expect("and>")
    # Keys that arrive while one prompt ends and the next begins are lost, as in any terminal: press again.
    for _ in range(30):
        child.sendeof()
        if child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=1) == 0:
            break
    child.close()
    assert child.exitstatus == 0


def test_without_the_extra_a_terminal_is_told_and_a_pipe_works(
    run: Callable[..., object], shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    class Stdin(io.TextIOWrapper):
        terminal = True

        def isatty(self) -> bool:
            return self.terminal

    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    monkeypatch.setattr(sys, "stdin", Stdin(io.BytesIO(b"Who?\n")))
    outcome = run("shell", "--db", shop)
    assert outcome.code == 2  # type: ignore[attr-defined]
    assert "sqlgen[shell]" in outcome.err  # type: ignore[attr-defined]
    monkeypatch.setattr(Stdin, "terminal", False)
    assert "Ann" in run("shell", "--db", shop).out  # type: ignore[attr-defined]


def test_lines_from_a_pipe(run: Callable[..., object], shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    class Piped(io.TextIOWrapper):
        def isatty(self) -> bool:
            return False

    def piped(text: str) -> object:
        monkeypatch.setattr(sys, "stdin", Piped(io.BytesIO(text.encode())))
        return run("shell", "--db", shop)

    outcome = piped("How many orders?\n\nonly in Oslo\\\n?\n\\sql\n")
    assert outcome.code == 0, outcome  # type: ignore[attr-defined]
    assert outcome.out.count("Oslo") >= 2  # type: ignore[attr-defined]
    assert "ask>" not in outcome.out  # type: ignore[attr-defined]
    outcome = piped("Margin?\nWho?\n\\quit\nNever asked\n")
    assert outcome.code == 3  # type: ignore[attr-defined]
    assert "Ann" in outcome.out  # type: ignore[attr-defined]
    assert "Never" not in outcome.err  # type: ignore[attr-defined]
