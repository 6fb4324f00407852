"""An answer as HTML for a notebook: SQL, table, reading. Everything that came from a database is escaped."""

from __future__ import annotations

from html import escape
from typing import Any

from sqlgen.presentation.figures import figure
from sqlgen.types import Answer, OutputColumn

__all__ = ["answer_html"]

_MOST_ROWS = 50
_PLAIN = OutputColumn("", "", "other", "dimension")


def answer_html(answer: Answer) -> str:
    """The answer as HTML without scripts or styles of its own.

    >>> from sqlgen.types import ModelInfo, Question
    >>> question = Question("<b>?", "sqlite")
    >>> "&lt;b&gt;?" in answer_html(Answer(question, "abstained", "", "sqlite", ModelInfo("m", "1"), "i", message="no <i>"))
    True
    """
    parts = [f"<p><strong>{escape(answer.question.text)}</strong></p>"]
    if answer.status != "answered":
        return f"<div>{parts[0]}<p>{answer.status}: {escape(answer.message)}</p></div>"
    if answer.reading:
        parts.append(f"<p>{escape(answer.reading)}</p>")
    parts.append(f"<pre><code>{escape(answer.sql)}</code></pre>")
    if answer.choice:
        parts.append(f"<p>{escape(answer.choice)}</p>")
    if answer.alternatives:
        for alternative in answer.alternatives:
            names = [c.name for c in alternative.result.columns]
            parts.append(f"<h4>{escape(alternative.label)}</h4>")
            parts.append(_table(names, alternative.result.rows, ()))
    elif answer.result is not None:
        parts.append(_table([c.name for c in answer.result.columns], answer.result.rows, answer.columns))
    notes = [*answer.assumptions, *(w.message for w in answer.warnings), answer.message]
    said = "".join(f"<li>{escape(note)}</li>" for note in notes if note)
    if said:
        parts.append(f"<ul>{said}</ul>")
    parts.append(f"<p><small>confidence {answer.confidence:.2f}</small></p>")
    return f"<div>{''.join(parts)}</div>"


def _table(names: list[str], rows: tuple[tuple[Any, ...], ...], columns: tuple[OutputColumn, ...]) -> str:
    known = columns if len(columns) == len(names) else (_PLAIN,) * len(names)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{escape(_text(cell, c))}</td>" for cell, c in zip(row, known, strict=True))
        + "</tr>"
        for row in rows[:_MOST_ROWS]
    )
    more = f"<p>{_MOST_ROWS} of {len(rows):,} rows shown</p>" if len(rows) > _MOST_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _text(cell: Any, column: OutputColumn) -> str:
    if cell is None:
        return "NULL"
    return figure(cell, column) or str(cell)
