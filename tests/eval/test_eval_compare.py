"""Two runs compared, a run as a page and as JUnit XML."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sqlgen.cli import main
from sqlgen.errors import UsageError
from sqlgen.eval import load_suite, run_suite
from sqlgen.eval.compare import compare_runs, mcnemar, read_predictions, render_comparison
from sqlgen.eval.junit import junit_xml
from sqlgen.eval.page import page_of
from sqlgen.eval.report import Report
from sqlgen.generation import ScriptedGenerator


def run_of(rights: list[bool]) -> dict[str, dict[str, Any]]:
    return {f"d/{n}": {"id": str(n), "question": f"q{n}", "correct": right} for n, right in enumerate(rights)}


def write_run(path: Path, rights: list[bool]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in run_of(rights).values()), "utf-8")
    return path


def test_a_planted_regression_of_three_points_is_found_and_a_rerun_is_silent() -> None:
    rng = random.Random(4)
    before = [rng.random() < 0.7 for _ in range(1034)]
    right = [n for n, r in enumerate(before) if r]
    worse = [r and n not in set(right[:31]) for n, r in enumerate(before)]
    found = compare_runs(run_of(before), run_of(worse))
    assert found["verdict"] == "worse"
    assert found["interval_95"][1] < 0
    assert len(found["lost"]) == 31
    assert compare_runs(run_of(before), run_of(before))["verdict"] == "no difference"
    assert compare_runs(run_of(worse), run_of(before))["verdict"] == "better"


def test_changes_that_balance_are_no_difference() -> None:
    before = [n % 2 == 0 for n in range(200)]
    after = list(before)
    for n in range(0, 20):
        after[n] = not after[n]
    found = compare_runs(run_of(before), run_of(after))
    assert found["verdict"] == "no difference"
    assert (len(found["lost"]), len(found["won"])) == (10, 10)
    assert "right before, wrong now: 10" in render_comparison(found, most=2)
    assert "and 8 more" in render_comparison(found, most=2)


@pytest.mark.parametrize(
    ("lost", "won", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (3, 9, 0.146)]
)
def test_the_exact_test_agrees_with_the_tables(lost: int, won: int, p: float) -> None:
    assert mcnemar(lost, won) == pytest.approx(p, abs=5e-4)
    assert mcnemar(won, lost) == mcnemar(lost, won)


def test_runs_that_share_nothing_and_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="share no question"):
        compare_runs(run_of([True]), {"d/0": {"id": "0", "question": "another", "correct": True}})
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(UsageError, match="line 1 is no prediction"):
        read_predictions(tmp_path / "bad.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UsageError, match="holds no predictions"):
        read_predictions(tmp_path / "empty.jsonl")


def test_the_command_says_worse_with_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = write_run(tmp_path / "a.jsonl", [True] * 50), write_run(tmp_path / "b.jsonl", [False] * 50)
    assert main(["eval", "compare", str(good), str(bad)]) == 0
    assert "worse" in capsys.readouterr().out
    assert main(["eval", "compare", str(good), str(bad), "--fail-under", "0"]) == 6
    assert main(["eval", "compare", str(good), str(good), "--fail-under", "0.9", "--format", "json"]) == 0
    printed = capsys.readouterr().out
    assert (
        json.loads(printed[printed.rindex("\n{") :] if "\n{" in printed else printed)["verdict"]
        == "no difference"
    )
    assert main(["eval", "compare", str(good)]) == 2
    assert main(["eval", "one", "two"]) == 2


@pytest.fixture
def half_right(spider_files: Any) -> Report:
    answers = dict(spider_files.gold_answers())
    for question in list(answers)[:6]:
        answers[question] = ["SELECT 1 AS '<script>alert(1)</script>'"]
    suite = load_suite("spider", **spider_files.options)
    questions = tuple(replace(q, text=q.text) for q in suite.questions)
    return run_suite(replace(suite, questions=questions), generator=ScriptedGenerator(answers))


class Reader(HTMLParser):
    """Which tags open and close, and what stands where a script could."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name in ("src", "href") for name, _ in attrs)


def test_the_page_shows_both_sides_of_each_failure_and_runs_nothing(half_right: Report) -> None:
    page = page_of(half_right, half_right.to_dict())
    reader = Reader()
    reader.feed(page)
    assert "script" not in reader.tags
    wrong = [o for o in half_right.outcomes if not o.correct]
    assert len(wrong) == 6
    assert reader.tags.count("details") == 6
    assert all(o.gold_rows for o in wrong if not o.gold_error)
    assert not any(o.gold_rows for o in half_right.outcomes if o.correct)
    assert reader.tags.count("svg") >= 4
    assert page.isascii() or "charset='utf-8'" in page


def test_junit_names_each_question_and_counts_failures(half_right: Report) -> None:
    odd = replace(half_right.outcomes[0], question="bad \x00 char & <tag>")
    report = replace(half_right, outcomes=(odd, *half_right.outcomes[1:]))
    root = ET.fromstring(junit_xml(report))
    cases = root.findall("./testsuite/testcase")
    assert len(cases) == len(half_right.outcomes)
    assert sum(int(s.get("failures") or 0) for s in root) == len(root.findall(".//failure")) == 6
    assert any("<tag>" in (case.get("name") or "") for case in cases)
    assert all("gold:" in (failure.text or "") for failure in root.findall(".//failure"))


def test_fail_under_and_junit_make_a_ci_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.xml"
    code = main(["eval", "retail", "--limit", "3", "--fail-under", "1", "--junit", str(out)])
    right = 1 - len(ET.parse(out).getroot().findall(".//failure")) / 3
    assert code == (0 if right == 1 else 6)
    assert main(["eval", "retail", "--limit", "1", "--fail-under", "0"]) == 0
    assert main(["eval", "retail", "--retrieval", "--junit", str(out)]) == 2
    assert main(["eval", "retail", "--retrieval", "--fail-under", "0.5"]) == 2
    capsys.readouterr()
