"""What a general language model reads: the retrieved tables in the M-Schema manner, and the question.

One table after the other: its name and comment, each column with type, key, comment and example values, then the
foreign keys, the cells that the question seems to mention, the definitions and the verified queries. Training and
run time share these functions.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Literal, TypedDict

from sqlgen.types import Column, Dialect, Question, RetrievedContext, Table

__all__ = ["Message", "chat_prompt", "describe_schema", "sql_of_reply"]

_ENGINES: dict[Dialect, str] = {
    "sqlite": "SQLite",
    "duckdb": "DuckDB",
    "postgres": "PostgreSQL",
    "mysql": "MySQL",
}
_EXAMPLES = 3
_MAX_EXAMPLE = 40
_MAX_COMMENT = 160
_FENCE = re.compile(r"```(?:\w+[ \t]*\n)?(.*?)(?:```|\Z)", re.DOTALL)
_THOUGHT = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
_QUERY = re.compile(r"\s*\(*\s*(?:SELECT|WITH|VALUES|EXPLAIN|FROM|TABLE)\b", re.IGNORECASE)


class Message(TypedDict):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


def chat_prompt(question: Question, context: RetrievedContext) -> list[Message]:
    """The turns that a chat model gets: the task, the earlier turns, the schema with the question."""
    engine = _ENGINES[question.dialect]
    task = (
        f"You write one read-only {engine} query that answers the question from the tables given. "
        "Use only their tables and columns. With more than one table write each column as table.column. "
        "Reply with the SQL alone: no explanation, no comment, no column alias."
    )
    turns: list[Message] = [{"role": "system", "content": task}]
    for asked, sql in question.history:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": sql}]
    today = question.today or date.today()
    text = f"{describe_schema(context)}\n\nToday: {today.isoformat()}\nQuestion: {_line(question.text, None)}\nSQL:"
    turns.append({"role": "user", "content": text})
    return turns


def describe_schema(context: RetrievedContext) -> str:
    """The context as text, best table first.

    >>> from sqlgen.types import TableSlice
    >>> shop = Table("orders", (Column("id", "INTEGER", "number", primary_key=True),), comment="one per sale")
    >>> print(describe_schema(RetrievedContext((TableSlice(shop, 1.0, ""),))))
    # Table: orders, one per sale
    [
    (id:INTEGER, primary key)
    ]
    """
    blocks = [_describe_table(piece.table) for piece in context.tables]
    keys = [
        " and ".join(
            f"{piece.table.key}.{own} = {key.target}.{other}"
            for own, other in zip(key.columns, key.target_columns, strict=True)
        )
        for piece in context.tables
        for key in piece.table.foreign_keys
    ]
    values = [f"{m.table}.{m.column} = {_literal(m.value)}" for m in context.values]
    terms = [f"{term.name}: {_line(term.hint or term.text)}" for term in context.terms]
    queries = [f"{_line(q.question)} -> {_line(q.sql, None)}" for q in context.queries]
    for title, lines in (
        ("Foreign keys", keys),
        ("Values that the question may mean", values),
        ("Definitions", terms),
        ("Verified queries", queries),
    ):
        if lines:
            blocks.append("\n".join([f"# {title}", *dict.fromkeys(lines)]))
    return "\n".join(blocks)


def sql_of_reply(text: str) -> str:
    """The query in what a model replied, "" when there is none.

    >>> sql_of_reply("Here you are:\\n```sql\\nSELECT 1;\\n```"), sql_of_reply("I am sorry, I can't.")
    ('SELECT 1', '')
    """
    text = _THOUGHT.sub("", text)
    fenced = _FENCE.search(text)
    sql = (fenced.group(1) if fenced else text).strip()
    sql = sql.removeprefix("SQL:").strip().removesuffix(";").strip()
    return sql if _QUERY.match(sql) else ""


def _describe_table(table: Table) -> str:
    comment = f", {_line(table.comment)}" if table.comment else ""
    columns = ",\n".join(_describe_column(column) for column in table.columns)
    return f"# Table: {table.key}{comment}\n[\n{columns}\n]"


def _describe_column(column: Column) -> str:
    parts = [f"{column.name}:{column.type.upper() or column.kind.upper()}"]
    if column.primary_key:
        parts.append("primary key")
    if column.comment:
        parts.append(_line(column.comment))
    if column.values:
        shown = ", ".join(_line(value, _MAX_EXAMPLE) for value in column.values[:_EXAMPLES])
        parts.append(f"examples: [{shown}]")
    elif column.minimum is not None and column.maximum is not None:
        parts.append(f"from {_line(str(column.minimum))} to {_line(str(column.maximum))}")
    return f"({', '.join(parts)})"


def _literal(value: str) -> str:
    return "'" + _line(value).replace("'", "''") + "'"


def _line(text: str, most: int | None = _MAX_COMMENT) -> str:
    """One line, so that no cell or comment can pose as a line of the prompt."""
    flat = " ".join(text.split())
    return flat if most is None or len(flat) <= most else flat[: most - 1] + "…"
