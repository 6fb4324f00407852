"""Measure: questions with known answers, asked through the same pipeline that users ask.

``run_from_options`` is what ``sqlgen eval`` calls; ``load_suite`` and ``run_suite`` are its two halves.
"""

from __future__ import annotations

from sqlgen.eval.options import run_from_options
from sqlgen.eval.report import Report, render_summary
from sqlgen.eval.runner import run_suite
from sqlgen.eval.suite import GoldQuestion, Suite, load_suite

__all__ = [
    "GoldQuestion",
    "Report",
    "Suite",
    "load_suite",
    "render_summary",
    "run_from_options",
    "run_suite",
]
