"""``sqlgen shell``: a conversation with a database, at a terminal or line by line from a pipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sqlgen.cli.shared import (
    EXIT_CODES,
    LIMIT_REACHED,
    connected,
    db_option,
    example,
    say,
    schema_options,
)
from sqlgen.errors import SqlgenError, UsageError
from sqlgen.types import Dialect, Rejection

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

    from sqlgen.pipeline import Database, Reply

__all__ = ["Shell", "completer_of", "read_terminal", "shell"]

HISTORY_FILE = "shell_history"
_MOST_PAST = 200
_HELP = r"""Ask in plain words; go on with "only in Germany", "by month instead", "just the top 3".

\sql          the SQL of the last answer
\why          what it reads as, assumes and rests on
\chart        the last answer as a chart
\fix SQL      the right SQL: it answers this question from now on (\fix alone: edit the last SQL)
\right        the last answer is right
\wrong        the last answer is wrong
\pick N       go on with the N-th of the readings offered
\export FILE  the rows to FILE: .csv, .json or .md
\new          forget the conversation
\help         this
\quit         leave (also Ctrl-D)

Alt-Enter, or \ at the end of a line, begins another line. Tab completes names and past questions."""


@click.command(epilog=example("sqlgen shell --db sqlite:///shop.db", "sqlgen shell < questions.txt"))
@db_option
@schema_options
@click.option("--model", metavar="NAME", help="Which model writes the SQL.")
@click.option("--max-rows", type=int, metavar="N", help="Rows at most (1000).")
@click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="Seconds a query may run (30).")
@click.option("--today", metavar="DATE", help='The day that "last month" refers to (today).')
def shell(db: str | None, schema_file: Path | None, dialect: Dialect | None, **options: Any) -> int:
    """Ask one question after the other; each may go on from the one before.

    With stdin from a pipe or a file, every line is a question or a command, and the exit code is the first that
    is not 0.
    """
    with connected(db, schema_file, dialect, options) as database:
        conversation = Shell(database)
        if not sys.stdin.isatty():
            return conversation.run(_lines())
        try:
            import prompt_toolkit  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "at a terminal the shell needs prompt_toolkit: pip install 'sqlgen[shell]'; from a pipe it does not"
            ) from error
        database.warm()
        return conversation.run(read_terminal(conversation), interactive=True)


class Shell:
    """A conversation: takes lines, prints answers, remembers the last one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.reply: Reply | None = None
        self.draft = ""
        self._commands: dict[str, Callable[[str], int]] = {
            "sql": self._sql,
            "why": self._why,
            "chart": self._chart,
            "fix": self._fix,
            "right": lambda _: self._judge("right"),
            "wrong": lambda _: self._judge("wrong"),
            "pick": self._pick,
            "export": self._export,
            "new": self._new,
            "help": self._help,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The commands, without their backslash."""
        return (*self._commands, "quit")

    def run(self, lines: Iterable[str], *, interactive: bool = False) -> int:
        r"""Take lines until they end or ``\quit``; the first exit code that is not 0, for a person always 0."""
        first = 0
        for line in lines:
            text = line.strip()
            if not text:
                continue
            if text.lower() in (r"\quit", r"\q", r"\exit"):
                break
            try:
                code = self.take(text)
            except SqlgenError as error:
                from sqlgen.cli import present

                print(f"error: {present.one_line(str(error))}", file=sys.stderr)
                code = error.exit_code
            except KeyboardInterrupt:
                if not interactive:
                    raise
                say("interrupted")
                code = 130
            sys.stdout.flush()
            first = first or code
        return 0 if interactive else first

    def take(self, text: str) -> int:
        """One question or command; its exit code."""
        if not text.startswith("\\"):
            return self.ask(text)
        name, _, rest = text[1:].partition(" ")
        command = self._commands.get(name.lower())
        if command is None:
            from sqlgen.config import nearest

            raise UsageError(f"no command \\{name}; {nearest(name, self.names)}; \\help lists them")
        return command(rest.strip())

    def ask(self, text: str) -> int:
        """Answer a question that may go on from the last answer."""
        return self._show(self.database.ask(text) if self.reply is None else self.reply.ask(text))

    def _show(self, reply: Reply) -> int:
        from sqlgen.cli import terminal

        if reply.status != "answered":
            terminal.print_unanswered(reply)
            return EXIT_CODES[reply.status]
        self.reply = reply
        terminal.print_answer(reply, reading=True)
        if reply.alternatives:
            say(r"\pick 1 or \pick 2 settles it")
        print()
        return LIMIT_REACHED if reply.result is not None and reply.result.truncated else 0

    def _last(self) -> Reply:
        if self.reply is None:
            raise UsageError("there is no answer yet; ask something first")
        return self.reply

    def _sql(self, _: str) -> int:
        from sqlgen.cli import terminal

        terminal.print_sql(self._last().sql)
        return 0

    def _why(self, _: str) -> int:
        from sqlgen.cli import terminal

        terminal.print_why(self._last())
        return 0

    def _chart(self, _: str) -> int:
        from sqlgen.cli import terminal

        terminal.print_chart(self._last())
        return 0

    def _fix(self, sql: str) -> int:
        reply = self._last()
        if not sql:
            if not sys.stdin.isatty():
                raise UsageError(r"give the right SQL: \fix SELECT …")
            self.draft = rf"\fix {reply.sql}"
            return 0
        outcome = reply.correct(sql)
        if isinstance(outcome, Rejection):
            say("rejected: " + "; ".join(f.message for f in outcome.findings))
            return EXIT_CODES["rejected"]
        say("corrected: this question is answered so from now on")
        question = reply.question
        return self._show(self.database.ask(question.text, history=question.history))

    def _judge(self, verdict: str) -> int:
        reply = self._last()
        if verdict == "right":
            reply.accept()
        else:
            reply.reject()
        say(f"{verdict}: {reply.question.in_full or reply.question.text}")
        return 0

    def _pick(self, number: str) -> int:
        from sqlgen.cli import terminal

        picked = self._last().pick(int(number) if number.isdigit() else 0)
        self.reply = picked
        terminal.print_answer(picked, reading=True)
        return 0

    def _export(self, name: str) -> int:
        reply = self._last()
        if reply.result is None:
            raise UsageError("the last answer has no rows to export")
        if not name:
            raise UsageError(r"give a file: \export orders.csv")
        path = Path(name.strip("\"'")).expanduser()
        text = _exported(reply, path.suffix.lower())
        # Written beside it and put in its place, so that nothing is left half-written.
        beside = path.with_name(f".{path.name}.part")
        try:
            beside.write_text(text, "utf-8", newline="")
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        say(f"{len(reply.result.rows):,} rows in {path}")
        return 0

    def _new(self, _: str) -> int:
        self.reply = None
        return 0

    def _help(self, _: str) -> int:
        print(_HELP)
        return 0


def _exported(reply: Reply, suffix: str) -> str:
    from sqlgen.cli import present

    assert reply.result is not None
    names, rows = [c.name for c in reply.result.columns], reply.result.rows
    if suffix == ".csv":
        return present.csv_text(names, rows)
    if suffix == ".md":
        return present.markdown_text(names, rows)
    if suffix == ".json":
        return present.json_text(reply.to_dict()) + "\n"
    raise UsageError(
        f"cannot tell the format from {suffix or 'no suffix'}; end the name in .csv, .json or .md"
    )


def _lines() -> Iterator[str]:
    r"""Lines of stdin; one that ends in \ goes on in the next."""
    held = ""
    for raw in sys.stdin.buffer:
        try:
            line = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UsageError("a line on stdin is not UTF-8 text") from error
        if line.endswith("\\"):
            held += line[:-1] + "\n"
            continue
        yield held + line
        held = ""
    if held:
        yield held


def read_terminal(conversation: Shell) -> Iterator[str]:
    """Lines that a person types, with history and completion; Ctrl-C clears a line, Ctrl-D ends."""
    session = _session(conversation)
    print(r"Ask in plain words; \help for more, \quit or Ctrl-D to leave.")
    while True:
        draft, conversation.draft = conversation.draft, ""
        prompt = "ask> " if conversation.reply is None else "and> "
        try:
            yield session.prompt(prompt, default=draft)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _session(conversation: Shell) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.lexers import DynamicLexer, PygmentsLexer, SimpleLexer
    from pygments.lexers.sql import SqlLexer

    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    def ends_in_backslash() -> bool:
        return bool(session.default_buffer.document.text_before_cursor.endswith("\\"))

    @keys.add("enter", filter=Condition(ends_in_backslash))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.delete_before_cursor()
        event.current_buffer.insert_text("\n")

    home = conversation.database.history.path.parent
    history: History = InMemoryHistory()
    if conversation.database.keeps_history:
        home.mkdir(parents=True, exist_ok=True)
        path = home / HISTORY_FILE
        path.touch(mode=0o600)
        history = FileHistory(str(path))
    sql, plain = PygmentsLexer(SqlLexer), SimpleLexer()
    session: PromptSession[str] = PromptSession(
        history=history,
        completer=completer_of(conversation),
        complete_while_typing=False,
        key_bindings=keys,
        lexer=DynamicLexer(lambda: sql if session.default_buffer.text.startswith("\\fix") else plain),
        prompt_continuation="  … ",
        enable_open_in_editor=False,
    )
    return session


def completer_of(conversation: Shell) -> Completer:
    """Completes commands, names of tables, columns and terms, and at the start of a line past questions."""
    from prompt_toolkit.completion import Completer, Completion, PathCompleter
    from prompt_toolkit.document import Document

    from sqlgen.knowledge import Term

    database = conversation.database
    catalog = database.catalog
    names = {table.name: "table" for table in catalog.tables}
    for table in catalog.tables:
        names |= {column.name: "column" for column in table.columns if column.name not in names}
    for entry in database.knowledge.entries():
        if isinstance(entry.item, Term):
            names[entry.item.name] = "metric" if entry.item.is_metric else "term"
    lines = database.history.lines(limit=_MOST_PAST, database=database.identity)
    past = list(dict.fromkeys(line.question for line in lines))
    paths = PathCompleter(expanduser=True)

    class Names(Completer):
        """What may stand at the cursor."""

        def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
            before = document.text_before_cursor
            command = re.match(r"\\(\w*)$", before)
            if command:
                for name in conversation.names:
                    if name.startswith(command[1].lower()):
                        yield Completion(name, start_position=-len(command[1]), display_meta="command")
                return
            if before.startswith("\\export "):
                held = before.removeprefix("\\export ").lstrip()
                yield from paths.get_completions(Document(held, len(held)), event)
                return
            word = re.search(r"\w*$", before)
            typed = word[0] if word else ""
            if before.strip() and not before.startswith("\\"):
                for question in past:
                    if question.lower().startswith(before.lower()) and question.lower() != before.lower():
                        yield Completion(question, start_position=-len(before), display_meta="asked before")
            if not typed:
                return
            for name in sorted(names, key=str.casefold):
                if name.casefold().startswith(typed.casefold()):
                    yield Completion(name, start_position=-len(typed), display_meta=names[name])

    return Names()
