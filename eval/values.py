"""Whether the cells matched in questions are those that the gold SQL names, spelt right and misspelt.

python -m sqlgen.eval.values --questions FILE --databases DIR [--per-database N] [--shown N]

A match is right when the gold SQL of its question holds the value as a literal. Matches are counted by how they came:
spelt (also inflected, in another case, or a country's adjective) and guessed (misspelt, or initials). Every question
whose literal it spells is asked a second time with a typo in that literal, in every word of five letters and more.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlgen.types import ValueMatch

__all__ = ["literals", "main", "misspelt"]

_LITERAL = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_LONG_WORD = re.compile(r"[^\W\d_]{5,}")
_GUESSED = 0.6


def literals(sql: str) -> set[str]:
    """The strings of a query, lower case, without wildcards; numbers are none.

    >>> sorted(literals("SELECT a FROM t WHERE b = 'Oslo' AND c LIKE \\"%Rock%\\" AND d = '12'"))
    ['oslo', 'rock']
    """
    found = ((a or b).strip("% ").lower() for a, b in _LITERAL.findall(sql))
    return {text for text in found if text and not text.replace(".", "", 1).isdigit()}


def misspelt(text: str, rng: random.Random) -> str:
    """The text with one letter swapped, lost, doubled or changed in every word of five letters and more.

    >>> misspelt("New York", random.Random(1)), misspelt("United Kingdom", random.Random(1)) != "United Kingdom"
    ('New York', True)
    """

    def spoil(match: re.Match[str]) -> str:
        word = match.group()
        at = rng.randrange(1, len(word) - 1)
        way = rng.randrange(4)
        if way == 0 and word[at] != word[at + 1]:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if way == 1:
            return word[:at] + word[at + 1 :]
        if way == 2:
            return word[: at + 1] + word[at:]
        return word[:at] + rng.choice("aeiourstn".replace(word[at].lower(), "")) + word[at + 1 :]

    return _LONG_WORD.sub(spoil, text)


def _questions(path: Path, per_database: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    by_database: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in json.loads(path.read_text("utf-8")):
        by_database[item["db_id"]].append(item)
    rng = random.Random(0)
    for name, items in by_database.items():
        rng.shuffle(items)
        yield name, items[:per_database]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement and print it as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m sqlgen.eval.values", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--databases", type=Path, required=True, help="DIR/<db_id>/<db_id>.sqlite")
    parser.add_argument("--per-database", type=int, default=20)
    parser.add_argument("--shown", type=int, default=0, help="print so many guessed matches to stderr")
    options = parser.parse_args(arguments)
    from sqlgen.catalog import ValueReader, load_catalog, open_engine
    from sqlgen.retrieval import Index, open_index

    counts: Counter[str] = Counter()
    rng = random.Random(0)
    shown = 0

    def ask(index: Index, question: str, gold: set[str], kind: str) -> set[str]:
        nonlocal shown
        context = index.retrieve(question, token_budget=10**6, count_tokens=lambda text: len(text) // 4 + 1)
        for match in context.values:
            how = "guessed" if match.score <= _GUESSED else "spelt"
            right = match.value.lower() in gold
            counts[f"{kind} {how} {'right' if right else 'wrong'}"] += 1
            if how == "guessed" and shown < options.shown:
                shown += 1
                _show(question, match, right)
        return {match.value.lower() for match in context.values}

    for name, items in _questions(options.questions, options.per_database):
        engine = open_engine(str(options.databases / name / f"{name}.sqlite"))
        catalog = load_catalog(engine)
        with (
            tempfile.TemporaryDirectory() as folder,
            open_index(catalog, Path(folder) / "i.sqlite", values=ValueReader(engine)) as index,
        ):
            for item in items:
                gold, question = literals(item["query"]), item["question"]
                counts["questions"] += 1
                found = ask(index, question, gold, "as asked")
                spelt = [text for text in gold & found if text in question.lower()]
                counts["as asked literals"] += len(gold)
                counts["as asked found"] += len(gold & found)
                for text in spelt:
                    at = question.lower().index(text)
                    wrong = misspelt(question[at : at + len(text)], rng)
                    if wrong.lower() == text:
                        continue
                    spoilt = question[:at] + wrong + question[at + len(text) :]
                    found = ask(index, spoilt, gold, "misspelt")
                    counts["misspelt literals"] += 1
                    counts["misspelt found"] += text in found
                    if text not in found and options.shown:
                        print(f"MISSED: {wrong!r} for {text!r}", file=sys.stderr)
        engine.dispose()
    print(json.dumps(_report(counts), indent=1))
    return 0


def _show(question: str, match: ValueMatch, right: bool) -> None:
    said = question[match.start : match.end]
    mark = "right" if right else "WRONG"
    print(
        f"{mark}: {said!r} -> {match.value!r} ({match.table}.{match.column}) in {question!r}", file=sys.stderr
    )


def _report(counts: Counter[str]) -> dict[str, Any]:
    report: dict[str, Any] = {"questions": counts["questions"]}
    for kind in ("as asked", "misspelt"):
        literals_, found = counts[f"{kind} literals"], counts[f"{kind} found"]
        report[kind] = {
            "literals": literals_,
            "found": round(found / max(1, literals_), 3),
            "matches": {
                how: {verdict: counts[f"{kind} {how} {verdict}"] for verdict in ("right", "wrong")}
                for how in ("spelt", "guessed")
            },
        }
    return report


if __name__ == "__main__":
    sys.exit(main())
