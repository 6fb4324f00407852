"""What may be asked: checks on what people hand in."""

from __future__ import annotations

import unicodedata
from typing import get_args

from sqlgen.config import nearest
from sqlgen.errors import UsageError
from sqlgen.types import Dialect

__all__ = ["MAX_QUESTION_BYTES", "check_dialect", "check_question"]

MAX_QUESTION_BYTES = 8192


def check_dialect(name: str) -> Dialect:
    """``name`` as a dialect; UsageError names the nearest one.

    >>> check_dialect("duckdb")
    'duckdb'
    """
    for known in get_args(Dialect):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(f"unknown dialect {name!r}; {nearest(name, get_args(Dialect))}")


def check_question(text: str) -> str:
    """The question without surrounding space; UsageError when it cannot be one.

    >>> check_question("  how many orders? ")
    'how many orders?'
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_QUESTION_BYTES:
        raise UsageError(
            f"the question has {size:,} bytes; the limit is {MAX_QUESTION_BYTES:,} (8 kB): ask in fewer words"
        )
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r" for c in text) or "\ufffd" in text:
        raise UsageError("the question holds bytes that are no text; write it in plain words, UTF-8")
    text = text.strip()
    if not text:
        raise UsageError('the question is empty; ask something like "How many orders came in last month?"')
    return text
