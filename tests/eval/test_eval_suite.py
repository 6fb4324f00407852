"""Suites are read whole or refused with the place that is wrong."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sqlgen.errors import UsageError
from sqlgen.eval.suite import load_suite, suite_names

SUITES = Path(__file__).parents[2] / "eval" / "suites"


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


def test_spider_format(spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    assert (suite.name, suite.format, suite.licence) == ("spider", "spider", "CC BY-SA 4.0")
    assert [q.text for q in suite.questions] == [text for _, text, _, _ in spider_files.asked]
    assert [q.id for q in suite.questions] == [str(n) for n in range(12)]
    assert set(suite.databases) == {"library", "garage"}
    assert suite.databases["garage"].url.startswith("sqlite:////")
    assert set(suite.hashes(["garage"])) == {"database garage", "questions", "tables"}


def test_spider_home_comes_from_the_environment(spider_files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--questions FILE, or set SPIDER_HOME"):
        load_suite("spider")
    monkeypatch.setenv("SPIDER_HOME", str(spider_files.questions.parent))
    assert len(load_suite("spider").questions) == 12


def test_a_file_of_questions_in_spiders_format_is_enough(spider_files: Any) -> None:
    suite = load_suite("mine", **spider_files.options)
    assert (suite.name, suite.format, len(suite.questions)) == ("mine", "spider", 12)


def test_bird_format(spider_files: Any, tmp_path: Path) -> None:
    record = {
        "question_id": 7,
        "db_id": "garage",
        "question": "How many fast cars are there?",
        "evidence": "fast means power > 100",
        "SQL": "SELECT count(*) FROM car WHERE power > 100",
    }
    questions = write(tmp_path / "bird.json", json.dumps([record]))
    suite = load_suite("bird", format="bird", questions=questions, databases=spider_files.databases)
    (question,) = suite.questions
    assert (question.id, question.gold) == ("7", ("SELECT count(*) FROM car WHERE power > 100",))
    assert question.asked == "How many fast cars are there? | fast means power > 100"


def test_jsonl_format(spider_files: Any, tmp_path: Path) -> None:
    path = write(
        tmp_path / "golden.jsonl",
        {"id": "a", "question": "How many cars?", "sql": "SELECT count(*) FROM car", "db": "garage"},
        "",
        {
            "id": "b",
            "question": "Models?",
            "sql": ["SELECT model FROM car", "SELECT DISTINCT model FROM car"],
            "db": "garage",
            "ordered": True,
            "dialects": {"mysql": "SELECT `model` FROM car"},
        },
    )
    one, two = load_suite(str(path), databases=spider_files.databases).questions
    assert one.gold == ("SELECT count(*) FROM car",)
    assert one.ordered is None
    assert two.ordered is True
    assert len(two.accepted("sqlite")) == 2
    assert two.accepted("mysql") == ("SELECT `model` FROM car",)


def test_jsonl_with_one_database(spider_files: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "golden.jsonl", {"question": "How many?", "sql": "SELECT count(*) FROM car"})
    with pytest.raises(UsageError, match="line 1: no 'db'; name one there or give --db URL"):
        load_suite(str(path))
    url = f"sqlite:///{spider_files.databases}/garage/garage.sqlite"
    suite = load_suite(str(path), db=url)
    assert suite.questions[0].db_id == "garage"
    assert suite.databases["garage"].url == url


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "line 1: not valid JSON"),
        (["[]"], "line 1: not an object"),
        ([{"question": "q", "db": "garage"}], "line 1: 'sql' has to be a text or a list of texts"),
        ([{"question": "", "sql": "SELECT 1", "db": "garage"}], "line 1: 'question' has to be a text"),
        (
            ["", {"id": 1, "question": "q", "sql": "SELECT 1", "db": "garage", "ordered": "yes"}],
            "line 2: 'ordered' has to be true or false",
        ),
        (2 * [{"id": "x", "question": "q", "sql": "SELECT 1", "db": "garage"}], "line 2: a second question"),
        ([{"question": "q", "sql": "SELECT 1", "db": "nowhere"}], "no database 'nowhere'"),
        ([""], "holds no question"),
    ],
)
def test_what_is_wrong_in_a_jsonl_file(
    lines: list[object], message: str, spider_files: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "golden.jsonl", *lines)
    with pytest.raises(UsageError, match=message):
        load_suite(str(path), databases=spider_files.databases)


def test_what_is_missing_is_named(spider_files: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no suite and no file 'nothing'; suites: .*spider"):
        load_suite("nothing")
    with pytest.raises(UsageError, match=r"no file .*absent\.json"):
        load_suite("spider", **{**spider_files.options, "questions": tmp_path / "absent.json"})
    with pytest.raises(UsageError, match="needs --databases DIR"):
        load_suite("mine", questions=spider_files.questions)
    with pytest.raises(UsageError, match="unknown suite format 'xml'"):
        load_suite("mine", format="xml", questions=spider_files.questions)  # type: ignore[arg-type]
    tables = write(tmp_path / "tables.json", json.dumps([{"db_id": "garage"}]))
    with pytest.raises(UsageError, match=r"not in Spider's tables\.json format"):
        load_suite("spider", **{**spider_files.options, "tables": tables})


def test_a_sample_is_spread_over_the_suite(spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    assert [q.id for q in suite.sample(3)] == ["0", "4", "8"]
    assert suite.sample(None) == suite.sample(99) == suite.questions
    with pytest.raises(UsageError, match="leaves no question"):
        suite.sample(0)


def test_every_packaged_suite_says_what_it_is() -> None:
    assert {"retail", "spider"} <= set(suite_names())
    for name in suite_names():
        settings = tomllib.loads((SUITES / name / "suite.toml").read_text("utf-8"))
        assert settings["name"] == name
        assert settings["licence"]
        assert settings["source"]
        assert (SUITES / name / "README.md").read_text("utf-8").startswith("# ")


def test_the_retail_suite_has_its_questions() -> None:
    suite = load_suite("retail")
    assert len(suite.questions) >= 60
    assert suite.databases["retail"].demo == "retail"
    assert suite.glossary is not None


def test_a_suite_of_ones_own(tmp_path: Path, spider_files: Any) -> None:
    write(tmp_path / "golden.jsonl", {"question": "How many?", "sql": "SELECT count(*) FROM car"})
    database = spider_files.databases / "garage" / "garage.sqlite"
    path = write(
        tmp_path / "mine.toml", 'questions = "golden.jsonl"', 'format = "jsonl"', f'database = "{database}"'
    )
    suite = load_suite(str(path))
    assert (suite.name, suite.databases["garage"].path) == ("mine", database)
    with pytest.raises(UsageError, match="unknown key 'question'"):
        load_suite(str(write(tmp_path / "bad.toml", 'question = "golden.jsonl"')))
