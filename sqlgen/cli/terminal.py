"""Answers for a person: coloured on a terminal, plain text in a pipe or a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlgen.cli.present import break_lines, cell_text, cell_width, is_number, one_line, plain_table, safe_text
from sqlgen.types import Answer, Citation, OutputColumn, Rejection, RetrievedContext, ValidatedQuery

if TYPE_CHECKING:
    from rich.console import Console

    from sqlgen.execution.login import LoginReport

__all__ = [
    "aside",
    "heading",
    "print_answer",
    "print_chart",
    "print_context",
    "print_explanation",
    "print_login",
    "print_pairs",
    "print_rows",
    "print_sql",
    "print_unanswered",
    "print_verdict",
    "print_why",
]

_NARROWEST_COLUMN = 6
_MOST_BESIDE = 20


def _console() -> Console | None:
    """A console when stdout is a terminal, else None."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    return Console(highlight=False, emoji=False, markup=False)


def _line(text: str, style: str = "") -> None:
    console = _console()
    if console is None:
        print(text)
    else:
        console.print(text, style=style or None)


def heading(text: str) -> None:
    """A question of the tour."""
    _line(one_line(text), "bold cyan")


def aside(text: str) -> None:
    """A line that may be passed over."""
    _line(one_line(text), "dim")


def print_answer(answer: Answer, *, chart: bool = False, reading: bool = False) -> None:
    """SQL, result, citations, confidence and timings; with ``chart`` bars, with ``reading`` the query in words."""
    if reading and answer.reading:
        _line(one_line(answer.reading), "italic")
        print()
    print_sql(answer.sql)
    print()
    result = answer.result
    if answer.alternatives:
        _print_alternatives(answer)
        print()
    elif result is not None:
        print_rows([column.name for column in result.columns], result.rows, answer.columns)
        count = len(result.rows)
        shown = f"({count} row{'' if count == 1 else 's'})"
        is_cut = any(note.rule in ("rows", "bytes") for note in result.notes)
        if is_cut:
            shown = f"(the first {count} rows; more exist: --max-rows N)"
        _line(shown, "yellow" if is_cut else "dim")
        print()
        if chart:
            print_chart(answer)
            print()
    if reading:
        for assumption in answer.assumptions:
            _line(f"assumes  {one_line(assumption)}", "dim")
    _print_notes(answer)


def _print_notes(answer: Answer) -> None:
    """What the answer rests on, its notes and warnings, and how sure the model is."""
    rests = _rests_on(answer.citations)
    if rests:
        _line(f"rests on  {rests}", "dim")
    for finding in answer.findings:
        if finding.rule != "rows":
            _line(f"note  {one_line(finding.message)}", "yellow")
    for warning in answer.warnings:
        _line(f"warning  {one_line(warning.message)}", "yellow")
    if answer.message:
        _line(f"note  {one_line(answer.message)}", "yellow")
    _line(_footer(answer), "dim")


def _print_alternatives(answer: Answer) -> None:
    """The answers to two readings, side by side where the terminal is wide enough, and the question between them."""
    _line(f"It could mean two things: {one_line(answer.choice)}", "bold yellow")
    console = _console()
    blocks = []
    for number, alternative in enumerate(answer.alternatives, start=1):
        rows = alternative.result.rows[: _MOST_BESIDE if console else None]
        text = plain_table([c.name for c in alternative.result.columns], rows)
        more = len(alternative.result.rows) - len(rows)
        text += f"… {more:,} more rows\n" if more > 0 else ""
        blocks.append(f"{number}. {one_line(alternative.label)}\n{text}")
    widths = [max(map(cell_width, block.splitlines())) for block in blocks]
    room = console.width if console else 80
    if sum(widths) + 4 > room:
        for block in blocks:
            _line(block)
        return
    left, right = (block.splitlines() for block in blocks)
    for i in range(max(len(left), len(right))):
        beside = left[i] if i < len(left) else ""
        padded = beside + " " * (widths[0] - cell_width(beside))
        _line(f"{padded}    {right[i] if i < len(right) else ''}".rstrip())


def print_chart(answer: Answer) -> None:
    """The answer as bars that fit the terminal, or a line that says why there are none."""
    from sqlgen.presentation import bar_lines

    console = _console()
    width = console.width if console else 80
    ascii_only = (
        console.options.ascii_only if console else not (sys.stdout.encoding or "").lower().startswith("utf")
    )
    lines = bar_lines(answer.result, answer.columns, width, ascii_only=ascii_only) if answer.result else []
    for line in lines or ["no chart fits these columns"]:
        _line(line, "" if lines else "dim")


def _footer(answer: Answer) -> str:
    spent = " + ".join(
        f"{stage} {answer.timings_ms[stage]:.0f}"
        for stage in ("retrieve", "generate", "validate", "execute")
        if answer.timings_ms.get(stage, 0) >= 0.5
    )
    adapter = f" with {answer.model.adapter}" if answer.model.adapter else ""
    model = one_line(f"{answer.model.name} {answer.model.version}{adapter}")
    total = answer.timings_ms.get("total", 0)
    return f"confidence {answer.confidence:.2f} | {model} | {total:.0f} ms" + (f" = {spent}" if spent else "")


def _rests_on(citations: Sequence[Citation]) -> str:
    columns: dict[str, list[str]] = {c.name: [] for c in citations if c.kind == "table"}
    for citation in citations:
        if citation.kind == "column":
            table, _, column = citation.name.rpartition(".")
            columns.setdefault(table, []).append(column)
    parts = [f"{table} ({', '.join(names)})" if names else table for table, names in columns.items()]
    parts += [f"{c.source} = '{c.name}'" for c in citations if c.kind == "value"]
    parts += [f'{c.kind} "{c.name}"' for c in citations if c.kind not in ("table", "column", "value")]
    return one_line("; ".join(parts))


def print_sql(sql: str) -> None:
    """SQL, coloured on a terminal."""
    text = break_lines(safe_text(sql, keep="\n\t"))
    console = _console()
    if console is None or console.no_color or not console.is_terminal:
        print(text)
        return
    from rich.syntax import Syntax

    console.print(Syntax(text, "sql", theme="ansi_dark", background_color="default", word_wrap=True))


def print_rows(
    names: Sequence[str], rows: Sequence[Sequence[Any]], columns: Sequence[OutputColumn] = ()
) -> None:
    """Rows as a table that fits the terminal; one block per row when the columns don't fit.

    On a terminal figures are written as ``columns`` say that they are meant; a pipe gets them as they are.
    """
    console = _console()
    if console is None:
        print(plain_table(names, rows), end="")
        return
    shown = [list(row) for row in rows]
    if len(columns) == len(names):
        from sqlgen.presentation import figure

        shown = [
            [figure(cell, column) or cell for cell, column in zip(row, columns, strict=True)] for row in rows
        ]
    if len(names) * (_NARROWEST_COLUMN + 3) > console.width:
        _print_blocks(console, names, shown)
        return
    from rich.box import ASCII2, SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=ASCII2 if console.options.ascii_only else SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for position, name in enumerate(names):
        cells = [row[position] for row in rows if row[position] is not None]
        right = bool(cells) and all(map(is_number, cells))
        # Numbers that wrap cannot be read, so they keep their width.
        table.add_column(
            Text(safe_text(name)), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in shown:
        table.add_row(*(Text(cell_text(cell), style="dim italic" if cell is None else "") for cell in row))
    console.print(table)


def _print_blocks(console: Console, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    heads = [safe_text(name) for name in names]
    width = min(max(map(cell_width, heads)), max(10, console.width // 3))
    for number, row in enumerate(rows, start=1):
        console.print(f"row {number}", style="bold")
        for head, cell in zip(heads, row, strict=True):
            console.print(f"  {head}{' ' * (width - cell_width(head))}  {cell_text(cell)}", overflow="fold")


def print_unanswered(answer: Answer) -> None:
    """Why there is no answer, on stderr."""
    status = "error" if answer.status == "error" else answer.status
    print(f"{status}: {one_line(answer.message)}", file=sys.stderr)
    for finding in answer.findings[1:]:
        print(f"  {finding.rule}: {one_line(finding.message)}", file=sys.stderr)


def print_explanation(answer: Answer) -> None:
    """The query in words, what was retrieved, and what became of each candidate."""
    print()
    _print_reading(answer)
    if answer.context is not None:
        print_context(answer.context)
        print()
    rows = [
        [position, round(candidate.logprob, 2), verdict, one_line(candidate.sql)]
        for position, (candidate, verdict) in enumerate(answer.candidates, start=1)
    ]
    if rows:
        print_rows(["candidate", "log p", "verdict", "SQL"], rows)


def _print_reading(answer: Answer) -> None:
    """The query in plain words, what it settles, and what each column of the result is made of."""
    if answer.reading:
        _line(f"reads as  {one_line(answer.reading)}")
    for assumption in answer.assumptions:
        _line(f"assumes  {one_line(assumption)}")
    for column in answer.columns:
        if column.sources:
            _line(one_line(f"column  {column.name} = {column.label}, from {', '.join(column.sources)}"))
    if answer.reading:
        print()


def print_why(answer: Answer) -> None:
    """What an answer reads as, assumes and rests on."""
    _print_reading(answer)
    for citation in answer.citations:
        if citation.kind not in ("table", "column"):
            _line(one_line(f"{citation.kind}  {citation.name}  ({citation.source})"), "dim")
    _print_notes(answer)


def print_context(context: RetrievedContext) -> None:
    """Retrieved tables, values and terms."""
    rows = [
        [piece.table.key, round(piece.score, 3), piece.reason, ", ".join(c.name for c in piece.table.columns)]
        for piece in context.tables
    ]
    print_rows(["table", "score", "reason", "columns"], rows)
    for match in context.values:
        _line(one_line(f"value  {match.table}.{match.column} = '{match.value}'  ({match.score:.2f})"))
    for term in context.terms:
        _line(one_line(f"{term.kind}  {term.name}: {term.text}  ({term.source})"))
    for query in context.queries:
        _line(one_line(f"query  {query.question}: {query.sql}  ({query.source})"))
    if context.omitted:
        _line(one_line(f"omitted for the token budget: {', '.join(context.omitted)}"), "yellow")
    _line(f"{context.token_count} tokens", "dim")


def print_verdict(outcome: ValidatedQuery | Rejection) -> None:
    """Allow or reject, with the reasons."""
    if isinstance(outcome, Rejection):
        _line("reject", "bold red")
        for finding in outcome.findings:
            where = f" (characters {finding.span[0]} to {finding.span[1]})" if finding.span else ""
            _line(f"  {finding.rule}: {one_line(finding.message)}{where}")
        return
    _line("allow", "bold green")
    if outcome.columns or outcome.tables:
        cited = [Citation("table", key, "", 0.0) for key in outcome.tables]
        cited += [Citation("column", name, "", 0.0) for name in outcome.columns]
        _line(f"  reads {_rests_on(cited)}")
    for finding in outcome.warnings:
        _line(f"  warning: {finding.rule}: {one_line(finding.message)}", "yellow")


def print_login(report: LoginReport) -> None:
    """What a login could do beyond reading."""
    _line(one_line(f"{report.user} on {report.server}" if report.user else report.server))
    if report.reads_only:
        _line("reads only: nothing found that goes beyond reading", "bold green")
    for risk in report.risks:
        _line(f"warning  {risk.rule}: {one_line(risk.message)}", "yellow")


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Names and values, one per line."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        _line(f"{name:<{width}}  {one_line(str(value))}")
