"""A question that goes on from the one before: what it changes of the query, or the question in full."""

from __future__ import annotations

from sqlgen.followup.turn import Turn, merged, understand

__all__ = ["Turn", "merged", "understand"]
