"""Gold is right on every metric, with its columns turned round too; what is wrong is told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqlgen.eval import load_suite
from sqlgen.eval.proof import answered_with, main, prove
from sqlgen.sql.turned import turned


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a, b FROM t", "SELECT b, a FROM t"),
        ("SELECT a, b FROM t UNION SELECT c, d FROM u", "SELECT b, a FROM t UNION SELECT d, c FROM u"),
        ("SELECT a, b FROM (SELECT a, b FROM t)", "SELECT b, a FROM (SELECT a, b FROM t)"),
        ("SELECT a FROM t", "SELECT a FROM t"),
        ("SELECT a, b FROM t ORDER BY 1", "SELECT a, b FROM t ORDER BY 1"),
        ("SELECT a, count(*) FROM t GROUP BY 1", "SELECT a, count(*) FROM t GROUP BY 1"),
        ("no SQL (", "no SQL ("),
    ],
)
def test_columns_turned_round(sql: str, expected: str) -> None:
    assert turned(sql) == expected


def test_gold_and_turned_gold_are_right_on_every_metric(
    spider_files: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for db_id in ("library", "garage"):
        (tmp_path / db_id).mkdir()
        shutil.copy(spider_files.databases / db_id / f"{db_id}.sqlite", tmp_path / db_id / "again.sqlite")
    options = [f"--{role}={path}" for role, path in spider_files.options.items()]
    assert main([*options, "--test-suite", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    for run in ("gold", "turned"):
        shares = {k: v for k, v in found[run].items() if isinstance(v, float)}
        assert len(shares) == 5
        assert set(shares.values()) == {1.0}
    assert found["turned"]["changed"] == 2


def test_what_falls_short_is_listed(spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    report = answered_with(suite, lambda sql: "SELECT count(*) FROM author" if "author" in sql else sql)
    assert 0 < sum(o.correct for o in report.outcomes) < 12
    # The same text asked of two databases, or twice of one, keeps its own answers.
    twice = [suite.questions[0], suite.questions[1]] * 2
    doubled = replace(suite, questions=tuple(replace(q, id=str(n)) for n, q in enumerate(twice)))
    assert prove(doubled)["passed"]
