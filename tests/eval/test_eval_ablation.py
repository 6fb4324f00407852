"""The ablation: its domains before and after, its figures, and one tiny run from end to end."""

from __future__ import annotations

import json
import sqlite3
import tomllib
import xml.etree.ElementTree as ET
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sqlgen.errors import UsageError
from sqlgen.eval.ablation import DOMAINS, KINDS, fold_of, main, open_domain
from sqlgen.eval.ablation_report import figures_of, plot_of, table_of
from sqlgen.eval.modes import MODES
from sqlgen.eval.suite import GoldQuestion

SUITES = Path(__file__).parents[2] / "eval" / "suites"


@pytest.mark.parametrize("name", DOMAINS)
def test_every_change_renames_adds_and_brings_new_values(name: str, tmp_path: Path) -> None:
    domain = open_domain(name, tmp_path)
    told = tomllib.loads((SUITES / name / "change.toml").read_text("utf-8"))
    assert set(domain.kinds.values()) == set(KINDS)
    assert {q.id for q in domain.before.questions} < {q.id for q in domain.after.questions}
    assert domain.left_out <= 0.05 * len(domain.before.questions)
    (then,) = domain.after.databases.values()
    assert then.path is not None
    broken = []
    with closing(sqlite3.connect(then.path)) as db:
        for question in domain.after.questions:
            try:
                rows = db.execute(question.gold[0]).fetchall()
            except sqlite3.Error:
                broken.append(question.id)
                continue
            if question.id.startswith("after-"):
                assert rows, question.text
                assert rows not in ([(0,)], [(None,)]), question.text
        for place, new in told["rename"].items():
            columns = {row[1] for row in db.execute(f'PRAGMA table_info("{place.partition(".")[0]}")')}
            assert new in columns
            assert place.partition(".")[2] not in columns
    assert not broken
    folds = [fold_of(q, 2) for q in domain.before.questions]
    assert 0.3 < sum(folds) / len(folds) < 0.7


def test_what_differs_in_literals_alone_shares_a_fold() -> None:
    one, two = (GoldQuestion(n, n, "d", (f"SELECT name FROM t WHERE size > {n}",)) for n in ("1", "2"))
    assert fold_of(one, 97) == fold_of(two, 97)
    with pytest.raises(UsageError, match=r"known: museum, retail, subscriptions"):
        open_domain("nowhere", Path())


def rows_of(right: dict[str, tuple[bool, bool]], count: int = 40) -> list[dict[str, Any]]:
    """Rows in which a mode is right on all questions or on none, before and after."""
    return [
        {
            "domain": "d", "phase": phase, "mode": mode, "id": str(n), "correct": right[mode][phase == "after"],
            "kind": "" if phase == "before" else "old words" if n % 2 else "same", "gold_error": "",
        }
        for mode in MODES
        for phase in ("before", "after")
        for n in range(count)
    ]  # fmt: skip


def test_figures_say_what_is_ahead_and_what_went_stale() -> None:
    right = {
        "base": (False, False),
        "retrieval-only": (True, True),
        "finetune-only": (True, False),
        "hybrid": (True, True),
    }
    rows = rows_of(right)
    rows[0] = rows[0] | {"gold_error": "no such column"}
    figures = figures_of(rows)
    before, after = figures["shares"]["before"], figures["shares"]["all after"]
    # Wilson's interval of 39 of 39: no sample makes sure of all.
    assert before["finetune-only"] == {"count": 39, "mean": 1.0, "interval_95": [0.9103, 1.0]}
    assert after["finetune-only"]["mean"] == 0.0
    assert after["finetune-only"]["count"] == 40
    assert figures["hybrid_ahead"]["all after"]["finetune-only"]["mean"] == 1.0
    assert figures["hybrid_ahead"]["before"]["retrieval-only"]["mean"] == 0.0
    assert figures["stale"]["finetune-only"] == {"right_before": 39, "wrong_after": 39}
    assert figures["stale"]["hybrid"]["wrong_after"] == 0
    assert (
        table_of(figures)
        .splitlines()[0]
        .startswith("| mode | before (39) | the same, after (40) | renamed columns (20) |")
    )
    root = ET.fromstring(plot_of(figures))
    assert len(root.findall("{*}rect")) == 1 + len(MODES) + len(MODES) * len(figures["shares"])
    assert "prefers-color-scheme:dark" in plot_of(figures)


def test_intervals_cover_what_chance_may_do() -> None:
    rows = [row | {"correct": int(row["id"]) % 2 == 0} for row in rows_of(dict.fromkeys(MODES, (True, True)))]
    figure = figures_of(rows)["shares"]["before"]["hybrid"]
    low, high = figure["interval_95"]
    # 20 of 40: the standard error is 0.079.
    assert 0.33 < low < 0.37
    assert 0.63 < high < 0.67
    ahead = figures_of(rows)["hybrid_ahead"]["before"]["base"]
    assert ahead["mean"] == 0.0
    # Bonett and Price by hand, no question decided: 1.96 * sqrt(2 / 42 / 42) to either side.
    assert ahead["interval_95"] == [-0.066, 0.066]


def test_a_difference_is_measured_on_the_questions_that_decide_it() -> None:
    rows = rows_of(dict.fromkeys(MODES, (True, True)))
    for row in rows:
        row["correct"] = row["mode"] != "base" or int(row["id"]) >= 10
    ahead = figures_of(rows)["hybrid_ahead"]["before"]["base"]
    low, high = ahead["interval_95"]
    assert ahead["mean"] == 0.25
    # 10 won and none lost of 40: (11 - 1) / 42, and 1.96 * sqrt((12 / 42 - (10 / 42) ** 2) / 42) to either side.
    assert (low, high) == (0.0934, 0.3828)


def test_one_tiny_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlgen.training import adapt, retrain

    monkeypatch.setattr(retrain, "replay_examples", lambda seed: [])
    monkeypatch.setattr(adapt, "Recipe", partial(adapt.Recipe, batch=1, rank=2, alpha=4))
    options = [
        "--out",
        str(tmp_path),
        "--domains",
        "museum",
        "--limit",
        "6",
        "--minutes",
        "0.01",
        "--threads",
        "1",
    ]
    assert main(options) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "museum.json").read_text())
    assert {row["mode"] for row in found["rows"]} == set(MODES)
    asked = {(row["phase"], row["mode"]): 0 for row in found["rows"]}
    for row in found["rows"]:
        asked[row["phase"], row["mode"]] += 1
    assert set(asked.values()) == {6, 12}
    assert not any(row["gold_error"] for row in found["rows"])
    assert found["tables_in_fixed_schema"] < found["tables"] == 86
    assert found["update"]["retrieval_s"] < found["update"]["adapter_s"]
    # What lies in a schema that nobody told the fixed modes of is not answered by them.
    late = [
        row for row in found["rows"] if row["kind"] == "added" and row["mode"] in ("base", "finetune-only")
    ]
    assert late
    assert not any(row["correct"] for row in late)
    document = json.loads((tmp_path / "ablation.json").read_text())
    assert document["by_domain"]["museum"]["shares"] == document["shares"]
    assert "| hybrid |" in printed
    page = (tmp_path / "ablation.html").read_text()
    assert page.count("<svg") == 2
    assert "<script" not in page
    stamp = (tmp_path / "museum.json").stat().st_mtime_ns
    assert main(options) == 0
    assert (tmp_path / "museum.json").stat().st_mtime_ns == stamp
    assert capsys.readouterr().out == printed
    assert document["provenance"]["seconds"] == found["seconds"]
