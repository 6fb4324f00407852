"""Rows and answers as text: a table, JSON, CSV, Markdown. What a terminal could misread is escaped."""

from __future__ import annotations

import csv
import decimal
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from sqlgen.export import json_cell

__all__ = [
    "break_lines",
    "cell_text",
    "cell_width",
    "csv_text",
    "is_number",
    "json_text",
    "markdown_text",
    "one_line",
    "plain_table",
    "safe_text",
]

_MAX_BYTES_SHOWN = 32
_SQL_PIECE = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | [()]
    | [ ](?=(?:FROM|WHERE|GROUP[ ]BY|HAVING|WINDOW|ORDER[ ]BY|LIMIT|UNION|INTERSECT|EXCEPT
    |(?:(?:NATURAL|LEFT|RIGHT|FULL|INNER|CROSS)[ ])*(?:OUTER[ ])?JOIN)\b)""",
    re.VERBOSE,
)


def safe_text(text: str, *, keep: str = "") -> str:
    """``text`` with control, direction and surrogate characters escaped, but for those in ``keep``.

    >>> safe_text("a\\x1b[31mb"), safe_text("a\\nb"), safe_text("a\\nb", keep="\\n")
    ('a\\\\x1b[31mb', 'a\\\\nb', 'a\\nb')
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not _is_unsafe(c) else _escape(c) for c in text)


def _is_unsafe(character: str) -> bool:
    category = unicodedata.category(character)
    # Cf holds the marks that turn the direction of text; the joiners that scripts and emoji need stay.
    return category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and character not in "\u200c\u200d")


def _escape(character: str) -> str:
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    code = ord(character)
    if named is not None:
        return named
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def one_line(text: str) -> str:
    """``text`` on one line, safe to print.

    >>> one_line("no such\\n   file")
    'no such file'
    """
    return safe_text(" ".join(text.split()))


def break_lines(sql: str) -> str:
    """Canonical SQL, one clause per line; only spaces outside of quotes and parentheses change.

    >>> print(break_lines("SELECT ' FROM ' AS x FROM (SELECT 1 FROM a) AS s LEFT JOIN b ON b.y = s.y"))
    SELECT ' FROM ' AS x
    FROM (SELECT 1 FROM a) AS s
    LEFT JOIN b ON b.y = s.y
    """
    depth = 0

    def piece(match: re.Match[str]) -> str:
        nonlocal depth
        text = match.group()
        depth += {"(": 1, ")": -1}.get(text, 0)
        preceded = re.search(r"\b(?:LEFT|RIGHT|FULL|INNER|CROSS|NATURAL|OUTER)$", sql[: match.start()])
        return "\n" if text == " " and depth == 0 and not preceded else text

    return _SQL_PIECE.sub(piece, sql)


def is_number(value: Any) -> bool:
    """Whether a cell stands on the right."""
    return isinstance(value, (int, float, decimal.Decimal)) and not isinstance(value, bool)


def cell_text(value: Any) -> str:
    """A cell for a person: floats without binary noise, long bytes cut and marked.

    >>> cell_text(0.1 + 0.2), cell_text(None), cell_text(True), cell_text(1234567.0)
    ('0.3', 'NULL', 'true', '1234567.0')
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        rounded = round(value, 6)
        return repr(rounded if rounded or not value else value)
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return f"{value:f}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        cut = f"… ({len(raw)} bytes)" if len(raw) > _MAX_BYTES_SHOWN else ""
        return "0x" + raw[:_MAX_BYTES_SHOWN].hex() + cut
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return safe_text(json.dumps(json_cell(value), ensure_ascii=False))
    return safe_text(str(value))


def cell_width(text: str) -> int:
    """Columns of a terminal that ``text`` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def json_text(document: Any, *, indent: int | None = 2) -> str:
    """One JSON document, readable where stdout can say it, ASCII where it cannot."""
    text = json.dumps(document, ensure_ascii=False, indent=indent, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(document, ensure_ascii=True, indent=indent, allow_nan=False)
    return text


def csv_text(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with a header; a text that a spreadsheet would run as a formula gets a quote before it.

    >>> csv_text(["a", "b"], [["=cmd", None], ["-5", 2]])
    "a,b\\n'=cmd,\\n-5,2\\n"
    """
    lines = _CsvLines()
    # The writer quotes a cell that holds a character of its line end, so that end has both.
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow([_csv_cell(name) for name in names])
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    return lines.text()


class _CsvLines:
    """What a csv writer writes, one row a call, with plain line ends."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        self._lines.append(line.removesuffix("\r\n") + "\n")

    def text(self) -> str:
        return "".join(self._lines)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return f"{value:f}"
    value = json_cell(value)
    if isinstance(value, (dict, list)):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    value = safe_text(value, keep="\n\t\r")
    return (
        "'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r")) and not _numeric(value) else value
    )


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def markdown_text(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown.

    >>> print(markdown_text(["a|b"], [[1], [None]]), end="")
    | a\\|b |
    | ---: |
    | 1 |
    | NULL |
    """
    right = [_is_numeric_column(rows, i) for i in range(len(names))]
    lines = [
        _markdown_row(safe_text(name) for name in names),
        _markdown_row("---:" if r else "---" for r in right),
    ]
    lines += [_markdown_row(cell_text(cell) for cell in row) for row in rows]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def _is_numeric_column(rows: Sequence[Sequence[Any]], index: int) -> bool:
    cells = [row[index] for row in rows if row[index] is not None]
    return bool(cells) and all(map(is_number, cells))


def plain_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of aligned columns, nothing cut, for a pipe or a file.

    >>> print(plain_table(["name", "n"], [["Ann", 5], ["Bo", 12]]), end="")
    name   n
    ----  --
    Ann    5
    Bo    12
    """
    head = [safe_text(name) for name in names]
    body = [[cell_text(cell) for cell in row] for row in rows]
    right = [_is_numeric_column(rows, i) for i in range(len(names))]
    widths = [max([cell_width(head[i])] + [cell_width(row[i]) for row in body]) for i in range(len(names))]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for cell, width, is_right in zip(cells, widths, right, strict=True):
            pad = " " * (width - cell_width(cell))
            padded.append(pad + cell if is_right else cell + pad)
        return "  ".join(padded).rstrip()

    lines = [line(head), "  ".join("-" * width for width in widths), *map(line, body)]
    return "\n".join(lines) + "\n"
