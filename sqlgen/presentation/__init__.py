"""Answers for people: what their columns mean, the query in plain words, charts, and figures as text."""

from __future__ import annotations

from sqlgen.presentation.bars import bar_lines
from sqlgen.presentation.chart import vega_lite
from sqlgen.presentation.describe import Description, described
from sqlgen.presentation.figures import figure

__all__ = ["Description", "bar_lines", "described", "figure", "vega_lite"]
