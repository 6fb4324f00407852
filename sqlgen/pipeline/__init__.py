"""A question's way through the product, and the ``Database`` that people hold in their hands.

``connect`` makes a ``Database``; its ``ask`` walks a question through all stages (``walk``). Nothing heavy is
imported before the first use.
"""

from __future__ import annotations

from sqlgen.pipeline.choose import Confirm, confidence_of
from sqlgen.pipeline.database import Database, connect
from sqlgen.pipeline.question import MAX_QUESTION_BYTES, check_dialect, check_question
from sqlgen.pipeline.reply import Reply
from sqlgen.pipeline.schema import Progress

__all__ = [
    "MAX_QUESTION_BYTES",
    "Confirm",
    "Database",
    "Progress",
    "Reply",
    "check_dialect",
    "check_question",
    "confidence_of",
    "connect",
]
