"""The ablation's rows as figures with intervals, a table for a README, a plot, and a page that holds both."""

from __future__ import annotations

import html
import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlgen.eval.modes import MODES, Mode
from sqlgen.eval.report import write_text

__all__ = ["figures_of", "plot_of", "table_of", "write_ablation"]

Row = Mapping[str, Any]
Figure = dict[str, Any]
_RESAMPLES = 2000
_SEED = 1
# Title, and which rows count.
_GROUPS: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    ("before", lambda row: row["phase"] == "before"),
    ("after", lambda row: row["phase"] == "after"),
    ("same questions", lambda row: row["kind"] in ("same", "old words")),
    ("on renamed columns", lambda row: row["kind"] in ("old words", "renamed")),
    ("on the added table", lambda row: row["kind"] == "added"),
    ("on new values", lambda row: row["kind"] == "values"),
)
_COLOURS: dict[Mode, str] = {
    "base": "#9aa5b1",
    "retrieval-only": "#4c8bf5",
    "finetune-only": "#e8a33d",
    "hybrid": "#2e9e6b",
}


def figures_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Shares of right answers by mode and group, what went stale, and what hybrid is ahead of each other mode.

    Intervals are 95 % of a bootstrap over questions within domains (Efron and Tibshirani 1993), the same draws for every
    mode, so that differences are paired.
    """
    shares: dict[str, dict[str, Figure]] = {}
    ahead: dict[str, dict[str, Figure]] = {}
    for title, counts in _GROUPS:
        chosen = [row for row in rows if counts(row)]
        table = _by_question(chosen)
        if not table:
            continue
        draws = _draws(table)
        shares[title] = {
            mode: _figure([row[n] for row in table.values()], [_mean(table, keys, n) for keys in draws])
            for n, mode in enumerate(MODES)
        }
        hybrid = MODES.index("hybrid")
        ahead[title] = {
            mode: _figure(
                [row[hybrid] - row[n] for row in table.values()],
                [_mean(table, keys, hybrid) - _mean(table, keys, n) for keys in draws],
            )
            for n, mode in enumerate(MODES)
            if mode != "hybrid"
        }
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


def _draws(table: Mapping[tuple[str, str], Any]) -> list[list[tuple[str, str]]]:
    rng = random.Random(_SEED)
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key in table:
        groups[key[0]].append(key)
    return [
        [k for keys in groups.values() for k in rng.choices(keys, k=len(keys))] for _ in range(_RESAMPLES)
    ]


def _mean(table: Mapping[tuple[str, str], tuple[int, ...]], keys: Sequence[tuple[str, str]], n: int) -> float:
    return sum(table[key][n] for key in keys) / len(keys)


def _figure(values: Sequence[int], resampled: Sequence[float]) -> Figure:
    ordered = sorted(resampled)
    low, high = (ordered[round(q * (len(ordered) - 1))] for q in (0.025, 0.975))
    return {
        "count": len(values),
        "mean": round(sum(values) / len(values), 4),
        "interval_95": [round(low, 4), round(high, 4)],
    }


def _cell(figure: Figure) -> str:
    low, high = figure["interval_95"]
    return f"{100 * figure['mean']:.1f} ({100 * low:.0f} to {100 * high:.0f})"


def table_of(figures: Mapping[str, Any]) -> str:
    """A Markdown table: a row a mode, a column a group, in percent with intervals."""
    shares = figures["shares"]
    titles = list(shares)
    counts = [next(iter(shares[title].values()))["count"] for title in titles]
    lines = [
        "| mode | "
        + " | ".join(f"{t} ({n})" for t, n in zip(titles, counts, strict=True))
        + " | gone stale |",
        "|" + "---|" * (len(titles) + 2),
    ]
    for mode in MODES:
        stale = figures["stale"][mode]
        cells = [_cell(shares[title][mode]) for title in titles]
        lines.append(
            f"| {mode} | " + " | ".join(cells) + f" | {stale['wrong_after']} of {stale['right_before']} |"
        )
    return "\n".join(lines)


def plot_of(figures: Mapping[str, Any]) -> str:
    """Bars by group and mode with their intervals, as one SVG without scripts and fonts of its own."""
    shares = figures["shares"]
    bar, gap, left, top, high = 26, 34, 46, 40, 240
    width = left + len(shares) * (len(MODES) * bar + gap) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + high + 34}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">',
        "<title>Share of right answers by mode, before and after the schema changed</title>",
        f'<rect width="{width}" height="{top + high + 34}" fill="#fff"/>',
    ]
    for k in range(0, 101, 25):
        y = top + high * (1 - k / 100)
        parts.append(f'<path d="M{left} {y:.1f}H{width - 10}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{k} %</text>')
    for n, mode in enumerate(MODES):
        x = left + 130 * n
        parts.append(f'<rect x="{x}" y="12" width="12" height="12" fill="{_COLOURS[mode]}"/>')
        parts.append(f'<text x="{x + 17}" y="22" fill="#222">{mode}</text>')
    for group, (title, modes) in enumerate(shares.items()):
        start = left + gap / 2 + group * (len(MODES) * bar + gap)
        for n, mode in enumerate(MODES):
            figure = modes[mode]
            at = start + n * bar
            y = top + high * (1 - figure["mean"])
            low, up = (top + high * (1 - q) for q in figure["interval_95"])
            parts.append(
                f'<rect x="{at + 2:.1f}" y="{y:.1f}" width="{bar - 4}" height="{top + high - y:.1f}" fill="{_COLOURS[mode]}"/>'
                f'<path d="M{at + bar / 2:.1f} {low:.1f}V{up:.1f}" stroke="#222"/>'
                f'<text x="{at + bar / 2:.1f}" y="{up - 4:.1f}" text-anchor="middle" fill="#222" font-size="10">'
                f"{100 * figure['mean']:.0f}</text>"
            )
        middle = start + len(MODES) * bar / 2
        parts.append(
            f'<text x="{middle:.1f}" y="{top + high + 18}" text-anchor="middle" fill="#222">{html.escape(title)}</text>'
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
    lines = ["Right answers in percent, 95 % intervals in brackets.", "", table_of(figures), ""]
    lines += ["Hybrid is ahead by, in points:", ""]
    lines += [
        "| of | " + " | ".join(figures["hybrid_ahead"]) + " |",
        "|" + "---|" * (len(figures["hybrid_ahead"]) + 1),
    ]
    for mode in MODES[:-1]:
        lines.append(
            f"| {mode} | "
            + " | ".join(_cell(group[mode]) for group in figures["hybrid_ahead"].values())
            + " |"
        )
    lines += ["", "What an update costs:", ""]
    head, *body = _costs(domains)
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    for name, found in own.items():
        lines += ["", f"{name}:", "", table_of(found)]
    if errors:
        lines += ["", f"Left out, because their gold does not run: {', '.join(' '.join(e) for e in errors)}."]
    return "\n".join(lines) + "\n"


def _page(
    domains: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any],
    own: Mapping[str, Mapping[str, Any]],
    plot: str,
    about: Mapping[str, Any],
) -> str:
    def table(found: Mapping[str, Any]) -> str:
        head, _, *body = (line.strip("|").split("|") for line in table_of(found).splitlines())
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(c.strip())}" for c in row) for row in body)
        return "<table><tr>" + "".join(f"<th>{html.escape(c.strip())}" for c in head) + rows + "</table>"

    head, *body = _costs(domains)
    costs = "<table><tr>" + "".join(f"<th>{html.escape(c)}" for c in head)
    costs += "".join("<tr>" + "".join(f"<td>{html.escape(c)}" for c in row) for row in body) + "</table>"
    parts = "".join(
        f"<h3>{html.escape(name)}</h3>{table(found)}{plot_of(found)}" for name, found in own.items()
    )
    made = html.escape(json.dumps(dict(about), indent=1, ensure_ascii=False))
    return (
        "<!doctype html><html lang=en><meta charset='utf-8'><meta name=viewport content='width=device-width'>"
        "<title>What each half of the hybrid is worth</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;"
        "margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;margin:1rem 0}td,th{padding:.3rem .8rem;"
        "border-bottom:1px solid #ccc;text-align:left}svg{max-width:100%}</style>"
        "<h1>What each half of the hybrid is worth</h1><p>Right answers in percent, 95 % intervals in brackets, before "
        "and after columns were renamed, a table was added and cells got new values. Nothing was trained again.</p>"
        f"{plot}{table(figures)}<h2>What an update costs</h2>{costs}<h2>By domain</h2>{parts}"
        f"<h2>Where this comes from</h2><pre>{made}</pre></html>\n"
    )
