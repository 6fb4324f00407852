"""The ablation's rows as figures with intervals, a table for a README, a plot, and a page that holds both."""

from __future__ import annotations

import html
import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlgen.eval.metrics import wilson
from sqlgen.eval.modes import MODES, Mode
from sqlgen.eval.page import STYLE
from sqlgen.eval.report import write_text

__all__ = ["figures_of", "plot_of", "table_of", "write_ablation"]

Row = Mapping[str, Any]
Figure = dict[str, Any]
# Title, and which rows count.
_GROUPS: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    ("before", lambda row: row["phase"] == "before"),
    ("the same, after", lambda row: row["kind"] in ("same", "old words")),
    ("renamed columns", lambda row: row["kind"] in ("old words", "renamed")),
    ("the added table", lambda row: row["kind"] == "added"),
    ("new values", lambda row: row["kind"] == "values"),
    ("all after", lambda row: row["phase"] == "after"),
)
_MEANING = (
    "Right answers in percent, 95 % intervals in brackets, before and after columns were renamed, a table was added and "
    "cells got new values; nothing was trained again. Base: the general model over the schema as it stood before; "
    "retrieval-only: the general model with retrieval; finetune-only: an adapter of the domain over the schema as it stood "
    "before; hybrid: the adapter with retrieval. No adapter saw a question it was asked, or one with the same statement."
)
_PLOT_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.small{font-size:10px}.paper{fill:#fff}.grid{stroke:#ddd}"
    ".whisker{stroke:#222}@media(prefers-color-scheme:dark){text{fill:#eee}.paper{fill:#16181b}.grid{stroke:#444}"
    ".whisker{stroke:#eee}}"
)
_COLOURS: dict[Mode, str] = {
    "base": "#9aa5b1",
    "retrieval-only": "#4c8bf5",
    "finetune-only": "#e8a33d",
    "hybrid": "#2e9e6b",
}


def figures_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Shares of right answers by mode and group, what went stale, and what hybrid is ahead of each other mode.

    Intervals are 95 %: Wilson's for shares, Bonett and Price's (2012) for differences on the same questions. Both
    hold where a mode is right on all questions or on none.
    """
    shares: dict[str, dict[str, Figure]] = {}
    ahead: dict[str, dict[str, Figure]] = {}
    hybrid = MODES.index("hybrid")
    for title, counts in _GROUPS:
        table = list(_by_question([row for row in rows if counts(row)]).values())
        if not table:
            continue
        shares[title] = {
            mode: _figure(len(table), sum(r[n] for r in table), wilson(sum(r[n] for r in table), len(table)))
            for n, mode in enumerate(MODES)
        }
        ahead[title] = {}
        for n, mode in enumerate(MODES[:hybrid]):
            won, lost = (sum(r[a] > r[b] for r in table) for a, b in ((hybrid, n), (n, hybrid)))
            ahead[title][mode] = _figure(len(table), won - lost, _paired(won, lost, len(table)))
    before = _by_question([r for r in rows if r["phase"] == "before"])
    after = _by_question([r for r in rows if r["kind"] in ("same", "old words")])
    stale = {
        mode: {
            "right_before": sum(row[n] for row in before.values()),
            "wrong_after": sum(row[n] and not after[key][n] for key, row in before.items() if key in after),
        }
        for n, mode in enumerate(MODES)
    }
    return {"shares": shares, "hybrid_ahead": ahead, "stale": stale}


def _by_question(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[int, ...]]:
    """Right or not by mode, of the questions that were asked in all modes and whose gold runs."""
    found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for row in rows:
        if not row["gold_error"]:
            found[row["domain"], row["id"]][row["mode"]] = int(row["correct"])
    return {k: tuple(v[mode] for mode in MODES) for k, v in found.items() if len(v) == len(MODES)}


def _paired(won: int, lost: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a difference of two shares of the same questions, of which ``won`` and ``lost`` differ."""
    up, down = (won + 1) / (count + 2), (lost + 1) / (count + 2)
    half = z * math.sqrt((up + down - (up - down) ** 2) / (count + 2))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def _figure(count: int, total: int, interval: tuple[float, float]) -> Figure:
    return {
        "count": count,
        "mean": round(total / count, 4),
        "interval_95": [round(end, 4) for end in interval],
    }


def _cell(figure: Figure) -> str:
    low, high = figure["interval_95"]
    return f"{100 * figure['mean']:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def _lines(figures: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A line a mode, a column a group, in percent with intervals, below a line of titles."""
    shares = figures["shares"]
    counts = [f"{title} ({modes[MODES[0]]['count']})" for title, modes in shares.items()]
    lines = [("mode", *counts, "right before, wrong after")]
    for mode in MODES:
        stale = figures["stale"][mode]
        gone = f"{stale['wrong_after']} of {stale['right_before']}"
        lines.append((mode, *(_cell(modes[mode]) for modes in shares.values()), gone))
    return lines


def _ahead(figures: Mapping[str, Any]) -> list[tuple[str, ...]]:
    ahead = figures["hybrid_ahead"]
    rest = [(mode, *(_cell(group[mode]) for group in ahead.values())) for mode in MODES if mode != "hybrid"]
    return [("of", *ahead), *rest]


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rest])


def _html(lines: Sequence[Sequence[str]]) -> str:
    rows = (
        "<tr>" + "".join(f"<{tag}>{html.escape(cell)}" for cell in line)
        for tag, line in zip(["th"] + ["td"] * len(lines), lines, strict=False)
    )
    return _wide(f"<table>{''.join(rows)}</table>")


def _wide(part: str) -> str:
    return f"<div class='wide'>{part}</div>"


def table_of(figures: Mapping[str, Any]) -> str:
    """A Markdown table: a row a mode, a column a group, in percent with intervals."""
    return _markdown(_lines(figures))


def plot_of(figures: Mapping[str, Any]) -> str:
    """Bars by group and mode with their intervals, as one SVG without scripts and fonts of its own, light or dark
    as its reader's page is."""
    shares = figures["shares"]
    bar, gap, left, top, high = 26, 34, 46, 40, 240
    width, whole = left + len(shares) * (len(MODES) * bar + gap) + 10, top + high + 48
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {whole}" width="{width}" role="img">',
        "<title>Share of right answers by mode, before and after the schema changed, with 95 % intervals</title>",
        f"<style>{_PLOT_STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{whole}"/>',
    ]
    for k in range(0, 101, 25):
        y = top + high * (1 - k / 100)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{width - 10}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{k} %</text>')
    for n, mode in enumerate(MODES):
        x = left + 130 * n
        parts.append(f'<rect x="{x}" y="12" width="12" height="12" fill="{_COLOURS[mode]}"/>')
        parts.append(f'<text x="{x + 17}" y="22">{mode}</text>')
    for group, (title, modes) in enumerate(shares.items()):
        start = left + gap / 2 + group * (len(MODES) * bar + gap)
        for n, mode in enumerate(MODES):
            figure = modes[mode]
            at = start + n * bar
            y = top + high * (1 - figure["mean"])
            low, up = (top + high * (1 - q) for q in figure["interval_95"])
            parts.append(
                f'<rect x="{at + 2:.1f}" y="{y:.1f}" width="{bar - 4}" height="{top + high - y:.1f}" fill="{_COLOURS[mode]}"/>'
                f'<path class="whisker" d="M{at + bar / 2:.1f} {low:.1f}V{up:.1f}"/>'
                f'<text class="small" x="{at + bar / 2:.1f}" y="{up - 4:.1f}" text-anchor="middle">'
                f"{100 * figure['mean']:.0f}</text>"
            )
        for line, text in enumerate((title, f"{modes[MODES[0]]['count']} questions")):
            parts.append(
                f'<text x="{start + len(MODES) * bar / 2:.1f}" y="{top + high + 18 + 15 * line}" '
                f'text-anchor="middle">{html.escape(text)}</text>'
            )
    return "".join(parts) + "</svg>\n"


def write_ablation(folder: Path, domains: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    """Write ablation.json, .md, .svg and .html into ``folder`` and return the text of ablation.md."""
    rows = [row for domain in domains for row in domain["rows"]]
    figures = figures_of(rows)
    own = {domain["domain"]: figures_of(domain["rows"]) for domain in domains}
    errors = sorted({(row["domain"], row["id"]) for row in rows if row["gold_error"]})
    document = {
        "domains": [{key: value for key, value in d.items() if key != "rows"} for d in domains],
        **figures,
        "by_domain": own,
        "gold_errors": [" ".join(pair) for pair in errors],
        "provenance": dict(about),
    }
    text = _text(domains, figures, own, errors)
    plot = plot_of(figures)
    write_text(folder / "ablation.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / "ablation.md", text)
    write_text(folder / "ablation.svg", plot)
    write_text(folder / "ablation.html", _page(domains, figures, own, plot, about))
    return text


def _costs(domains: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("domain", "tables", "first index", "retrieval sees the change", "adapter trained again")
    ]
    for domain in domains:
        cost = domain["update"]
        rows.append(
            (
                domain["domain"],
                f"{domain['tables']}, {domain['tables_in_fixed_schema']} in the fixed schema",
                f"{cost['index_s']:.2f} s",
                f"{cost['retrieval_s']:.2f} s",
                f"{cost['adapter_s']:.0f} s",
            )
        )
    return rows


def _text(
    domains: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any],
    own: Mapping[str, Mapping[str, Any]],
    errors: Sequence[tuple[str, str]],
) -> str:
    parts = [
        _MEANING,
        table_of(figures),
        "Hybrid is ahead by, in points:",
        _markdown(_ahead(figures)),
        "What an update costs:",
        _markdown(_costs(domains)),
    ]
    for name, found in own.items():
        parts += [f"{name}:", table_of(found)]
    if errors:
        parts.append(f"Left out, because their gold does not run: {', '.join(' '.join(e) for e in errors)}.")
    return "\n\n".join(parts) + "\n"


def _page(
    domains: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any],
    own: Mapping[str, Mapping[str, Any]],
    plot: str,
    about: Mapping[str, Any],
) -> str:
    parts = "".join(
        f"<h3>{html.escape(name)}</h3>{_html(_lines(found))}{_wide(plot_of(found))}"
        for name, found in own.items()
    )
    made = html.escape(json.dumps(dict(about), indent=1, ensure_ascii=False))
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>What each half of the hybrid is worth</title><style>{STYLE}</style></head>\n<body>"
        f"<h1>What each half of the hybrid is worth</h1><p>{html.escape(_MEANING)}</p>{_wide(plot)}{_html(_lines(figures))}"
        f"<h2>Hybrid is ahead by, in points</h2>{_html(_ahead(figures))}"
        f"<h2>What an update costs</h2>{_html(_costs(domains))}<h2>By domain</h2>{parts}"
        f"<h2>Provenance</h2><pre>{made}</pre></body></html>\n"
    )
