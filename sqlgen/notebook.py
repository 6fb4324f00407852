"""Questions in a notebook: ``%load_ext sqlgen``, then ``%ask``; needs the extra ``notebook``."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from sqlgen.errors import SqlgenError, UsageError

if TYPE_CHECKING:
    from sqlgen.pipeline import Database, Reply

__all__ = ["Conversation", "load_ipython_extension", "unload_ipython_extension"]

_USAGE = "usage: %ask [--db URL] [--new] [--name FRAME] QUESTION"
_V5 = "https://vega.github.io/schema/vega-lite/v5.json"
_ALOUD = re.compile(r"(\s*(?:\w+\s*=\s*)?)%ask\s+(.*\?)\s*$")
_HELD = "_sqlgen_conversation"


class Conversation:
    """What one notebook asks: its database, opened once, and the last answer, from which ``%ask`` goes on."""

    def __init__(self, database: Database | None = None) -> None:
        self._database = database
        self._url: str | None = None
        self.reply: Reply | None = None

    def ask(self, text: str, *, db: str | None = None, new: bool = False) -> Reply:
        """Answer ``text``; another ``db`` or ``new`` begins a conversation anew."""
        if self._database is None or (db is not None and db != self._url):
            from sqlgen.pipeline import connect

            opened = connect(db)
            self.close()
            self._database, self._url = opened, db
        reply = self._database.ask(text) if new or self.reply is None else self.reply.ask(text)
        if reply.status == "answered" or new:
            self.reply = reply
        return reply

    def close(self) -> None:
        """Give the database back."""
        if self._database is not None:
            self._database.close()
        self._database = self.reply = self._url = None


def load_ipython_extension(shell: Any) -> None:
    """Give an IPython shell ``%ask`` and ``%%ask``; ``%load_ext sqlgen`` calls it."""
    conversation = Conversation()
    setattr(shell, _HELD, conversation)

    def ask(line: str, cell: str | None = None) -> Reply | None:
        return _ask(shell, conversation, line, cell)

    ask.__doc__ = f"""Ask a database in plain words; the answer's rows become a DataFrame.

    {_USAGE}

    ``answer`` is the answer, ``frame`` (or FRAME) its rows. The question may go on from the one before: "only in Germany".
    As ``%%ask`` the cell holds the question.
    """
    if _asked_aloud not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(_asked_aloud)
    shell.register_magic_function(ask, magic_kind="line_cell", magic_name="ask")


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away and give the database back."""
    shell.magics_manager.magics["line"].pop("ask", None)
    shell.magics_manager.magics["cell"].pop("ask", None)
    if _asked_aloud in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(_asked_aloud)
    held: Conversation | None = getattr(shell, _HELD, None)
    if held is not None:
        held.close()


def _asked_aloud(lines: list[str]) -> list[str]:
    """Lines with ``%ask …?`` as calls: to IPython a question mark at the end asks for help."""
    if lines and lines[0].startswith("%%"):
        return lines
    return [
        f"{m[1]}get_ipython().run_line_magic('ask', {m[2]!r})\n" if (m := _ALOUD.match(line)) else line
        for line in lines
    ]


def _ask(shell: Any, conversation: Conversation, line: str, cell: str | None) -> Reply | None:
    from IPython.core.error import UsageError as Misuse
    from IPython.display import publish_display_data

    try:
        options, text = _parsed(line)
        question = text if cell is None else f"{text}\n{cell}".strip()
        reply = conversation.ask(question, db=options["db"], new=options["new"])
        shell.user_ns["answer"] = reply
        if reply.result is not None:
            shell.user_ns[options["name"]] = reply.to_pandas()
    except SqlgenError as error:
        raise Misuse(str(error)) from error
    chart = reply.chart()
    if chart is not None:
        publish_display_data(_chart_bundle(reply, chart))
    return reply


def _parsed(line: str) -> tuple[dict[str, Any], str]:
    """The options at the beginning of the line, and the rest as it was written."""
    options: dict[str, Any] = {"db": None, "new": False, "name": "frame"}
    rest = line.strip()
    while rest.startswith("--"):
        word, _, rest = rest.partition(" ")
        rest = rest.strip()
        name = word[2:]
        if name not in options:
            raise UsageError(f"no option {word}; {_USAGE}")
        if name == "new":
            options["new"] = True
            continue
        try:
            value = shlex.split(rest)[0]
        except (ValueError, IndexError) as error:
            raise UsageError(f"{word} needs a value; {_USAGE}") from error
        quoted = rest[:1] in "'\""
        options[name] = value
        rest = rest[len(value) + (2 if quoted else 0) :].strip()
    if not str(options["name"]).isidentifier():
        raise UsageError(f"{options['name']!r} is no name for a variable")
    return options, rest


def _chart_bundle(reply: Reply, chart: dict[str, Any]) -> dict[str, Any]:
    """A chart for every front end that shows Vega-Lite by itself, and as bars for those that don't."""
    from sqlgen.presentation import bar_lines

    assert reply.result is not None
    lines = bar_lines(reply.result, reply.columns)
    return {
        "application/vnd.vegalite.v6+json": chart,
        "application/vnd.vegalite.v5+json": {**chart, "$schema": _V5},
        "text/plain": "\n".join(lines) or "a chart (this front end shows no Vega-Lite)",
    }
