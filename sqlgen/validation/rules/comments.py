"""Comments that a server would execute, and hints, are refused in every dialect."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["comments"]


def comments(draft: Draft) -> Iterator[Finding]:
    """``/*! .. */`` and ``/*M! .. */`` are code to MySQL and MariaDB; ``/*+ .. */`` speaks to planners."""
    for comment, span in draft.scan.comments():
        if comment.startswith(("!", "M!", "m!")):
            yield Finding("executable_comment", "an executable comment /*! ... */ is not allowed", span)
        elif comment.startswith("+"):
            yield Finding("hint", "an optimizer hint /*+ ... */ is not allowed", span)
