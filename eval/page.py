"""A run as one self-contained HTML page: figures, plots, failures side by side. No script, no other file."""

from __future__ import annotations

import html
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlgen.eval.report import Outcome, Report

__all__ = ["STYLE", "page_of"]

_EXAMPLES = 8
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #8888; --bar: #2f6f9f; --soft: #8882 }
@media (prefers-color-scheme: dark) { :root { --ink: #eee; --paper: #16181b; --bar: #6cb2e4 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem }
h2 { font-size: 1.2rem; margin-top: 2.5rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
td { overflow-wrap: anywhere }
pre { font: .85rem/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 }
details { border-bottom: 1px solid var(--line); padding: .4rem 0 }
summary { cursor: pointer }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; margin: .6rem 0 }
.pair > div { background: var(--soft); padding: .6rem; overflow-x: auto }
.wide { overflow-x: auto }
.wide td { white-space: nowrap }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif }
.axis { stroke: var(--line) }
.bar { fill: var(--bar) }
.curve { fill: none; stroke: var(--bar); stroke-width: 2 }
.whisker { stroke: var(--ink) }
"""


def page_of(report: Report, figures: Mapping[str, Any]) -> str:
    """The page of a run; ``figures`` are ``report.to_dict()``."""
    parts = [
        f"<h1>{_esc(report.suite)}</h1>",
        _head(figures),
        *(
            f"<h2>Accuracy by {name}</h2>{_bars(figures[f'by_{name}'])}"
            for name in ("difficulty", "family", "database")
            if len(figures[f"by_{name}"]) > 1
        ),
        f"<h2>Risk and coverage</h2><p>Share of wrong answers among those that are given, when only the surest are "
        f"given.</p>{_curve(figures['risk_coverage'])}",
        f"<h2>Latency</h2>{_histogram([o.latency_ms for o in report.outcomes])}",
        _failures(report.outcomes),
        f"<h2>Provenance</h2>{_tree(figures['provenance'])}",
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{_esc(report.suite)}: sqlgen eval</title><style>{STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _esc(value: object) -> str:
    return html.escape(str(value))


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _head(figures: Mapping[str, Any]) -> str:
    low, high = figures["intervals"]["execution_accuracy"]
    rows = [
        ("questions", f"{figures['count']:,}"),
        (
            "right (execution accuracy)",
            f"{_percent(figures['execution_accuracy'])} ({_percent(low)} to {_percent(high)})",
        ),
        ("the same clauses as gold", _percent(figures["exact_match"])),
        ("valid SQL", _percent(figures["valid_sql_rate"])),
        ("answered", _percent(figures["coverage"])),
        ("right among the surest 80 %", _percent(figures["accuracy_at_80_coverage"])),
        ("right on every further instance", _percent(figures["test_suite_accuracy"])),
        ("the same with DISTINCT left out", _percent(figures["test_suite_accuracy_published"])),
        ("asked which of two readings is meant", _percent(figures["readings"]["asked"])),
        ("calibration error", f"{figures['calibration']['ece']:.3f}"),
        (
            "latency, median and p95",
            f"{figures['latency_ms']['p50']:.0f} ms, {figures['latency_ms']['p95']:.0f} ms",
        ),
    ]
    return "<table>" + "".join(f"<tr><th>{k}<td>{v}" for k, v in rows if v) + "</table>"


def _bars(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Horizontal bars with 95 % intervals."""
    from sqlgen.eval.metrics import wilson

    height = 24 * len(groups) + 24
    lines = []
    for row, (name, group) in enumerate(groups.items()):
        y, count, share = 24 * row, group["count"], group["execution_accuracy"]
        low, high = wilson(round(share * count), count)
        lines.append(
            f"<text x='190' y='{y + 16}' text-anchor='end'>{_esc(name)[:28]}</text>"
            f"<rect class='bar' x='200' y='{y + 5}' width='{400 * share:.1f}' height='14'/>"
            f"<line class='whisker' x1='{200 + 400 * low:.1f}' x2='{200 + 400 * high:.1f}' y1='{y + 12}' y2='{y + 12}'/>"
            f"<text x='612' y='{y + 16}'>{_percent(share)} of {count}</text>"
        )
    lines += [
        f"<line class='axis' x1='{200 + 100 * k}' x2='{200 + 100 * k}' y1='0' y2='{height - 20}'/>"
        f"<text x='{200 + 100 * k}' y='{height - 5}' text-anchor='middle'>{25 * k} %</text>"
        for k in range(5)
    ]
    return _plot(740, height, "accuracy by group", "".join(lines))


def _plot(width: int, height: int, title: str, content: str) -> str:
    """A plot as large as it is drawn, to scroll where the page is narrower."""
    return (
        f"<div class='wide'><svg viewBox='0 0 {width} {height}' width='{width}' role='img' aria-label='{title}'>"
        f"{content}</svg></div>"
    )


def _axes(x_title: str, y_title: str, y_most: float) -> str:
    ticks = "".join(
        f"<line class='axis' x1='60' x2='640' y1='{220 - 50 * k}' y2='{220 - 50 * k}'/>"
        f"<text x='52' y='{224 - 50 * k}' text-anchor='end'>{y_most * k / 4:.0f}</text>"
        for k in range(5)
    )
    return (
        f"{ticks}<text x='350' y='258' text-anchor='middle'>{x_title}</text>"
        f"<text x='14' y='120' text-anchor='middle' transform='rotate(-90 14 120)'>{y_title}</text>"
    )


def _curve(points: Sequence[Mapping[str, float]]) -> str:
    if not points:
        return "<p>No answers.</p>"
    most = max(0.04, max(1 - p["accuracy"] for p in points))
    path = " ".join(
        f"{60 + 580 * p['coverage']:.1f},{220 - 200 * (1 - p['accuracy']) / most:.1f}" for p in points
    )
    marks = "".join(
        f"<text x='{60 + 145 * k}' y='238' text-anchor='middle'>{25 * k}</text>" for k in range(5)
    )
    axes = _axes("answered, %", "wrong, %", 100 * most)
    return _plot(660, 265, "risk over coverage", f"{axes}{marks}<polyline class='curve' points='{path}'/>")


def _histogram(times_ms: Sequence[float]) -> str:
    """Latency in bins that double."""
    if not times_ms:
        return "<p>No answers.</p>"
    bins: dict[int, int] = defaultdict(int)
    for spent in times_ms:
        bins[max(0, math.floor(2 * math.log2(max(spent, 1))))] += 1
    first, last = min(bins), max(bins)
    most = max(bins.values())
    width = 580 / (last - first + 1)
    bars = "".join(
        f"<rect class='bar' x='{60 + width * (k - first) + 1:.1f}' y='{220 - 200 * bins[k] / most:.1f}' "
        f"width='{max(1.0, width - 2):.1f}' height='{200 * bins[k] / most:.1f}'/>"
        for k in range(first, last + 1)
    )
    marks = "".join(
        f"<text x='{60 + width * (k - first):.1f}' y='238' text-anchor='middle'>{2 ** (k / 2):.0f}</text>"
        for k in range(first, last + 2)
    )
    return _plot(660, 265, "latency histogram", _axes("milliseconds", "questions", most) + bars + marks)


def _failures(outcomes: Sequence[Outcome]) -> str:
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if not outcome.correct:
            kinds[outcome.failure or "wrong"].append(outcome)
    if not kinds:
        return "<h2>Failures</h2><p>None.</p>"
    blocks = []
    for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        blocks.append(f"<h3>{_esc(kind)}: {len(found)}</h3>" + "".join(map(_example, found[:_EXAMPLES])))
    return "<h2>Failures by kind</h2>" + "".join(blocks)


def _example(outcome: Outcome) -> str:
    def side(title: str, sql: str, rows: Sequence[Sequence[str]]) -> str:
        body = "".join("<tr>" + "".join(f"<td>{_esc(c)}" for c in row) for row in rows)
        table = f"<table>{body}</table>" if rows else ""
        return f"<div><strong>{title}</strong><pre>{_esc(sql) or 'no SQL'}</pre>{table}</div>"

    note = f"<p>{_esc(outcome.message)}</p>" if outcome.message else ""
    return (
        f"<details><summary>{_esc(outcome.question)} <small>({_esc(outcome.db_id)}, confidence "
        f"{outcome.confidence:.2f})</small></summary>{note}<div class='pair'>"
        f"{side('gold', outcome.gold, outcome.gold_rows)}{side('answer', outcome.sql, outcome.rows)}</div></details>"
    )


def _tree(tree: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{_esc(key)}<td>{_tree(value) if isinstance(value, Mapping) else _esc(value)}"
        for key, value in tree.items()
    )
    return f"<table>{rows}</table>"
