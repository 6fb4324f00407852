"""Suites are read whole or refused with the place that is wrong."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sqlgen.cli import main
from sqlgen.errors import UsageError
from sqlgen.eval import run_from_options, run_suite
from sqlgen.eval.suite import load_suite, suite_names
from sqlgen.generation import ScriptedGenerator
from sqlgen.types import Candidate, Question, RetrievedContext

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
    suite = load_suite("spider")
    assert len(suite.questions) == 12
    assert suite.edition() == {"version": "1.0", "as_versioned": False}


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


def test_golden_questions_in_yaml(
    tmp_path: Path, spider_files: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "golden.yaml"
    path.write_text(
        f"""
name: cars
version: 3
licence: ours
databases: {spider_files.databases}
questions:
- id: count
  question: How many cars are there?
  sql:
  - SELECT count(*) FROM car
  - SELECT count(id) FROM car
  db: garage
- question: List the authors
  sql: SELECT name FROM author
  db: library
  family: list
"""
    )
    suite = load_suite(str(path))
    assert (suite.name, suite.version, suite.licence, suite.format) == ("cars", "3", "ours", "yaml")
    assert [(q.id, len(q.gold), q.family) for q in suite.questions] == [("count", 2, ""), ("2", 1, "list")]
    assert suite.edition() == {"version": "3", "as_versioned": None}
    out = tmp_path / "out.xml"
    code = main(["eval", str(path), "--junit", str(out), "--fail-under", "0", "--format", "json"])
    figures = json.loads(capsys.readouterr().out)
    assert (code, figures["count"], figures["suite"]) == (0, 2, "cars")
    assert figures["provenance"]["suite"]["version"] == "3"
    assert 'name="count: How many cars are there?"' in out.read_text()


def test_a_list_in_yaml_and_one_database(tmp_path: Path, spider_files: Any) -> None:
    path = tmp_path / "golden.yml"
    path.write_text("- {question: How many cars, sql: SELECT count(*) FROM car}\n")
    url = f"sqlite:///{spider_files.databases}/garage/garage.sqlite"
    suite = load_suite(str(path), db=url)
    assert (suite.name, suite.questions[0].id, suite.questions[0].db_id) == ("golden", "1", "garage")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("questions: [", "is not valid YAML"),
        ("just a text", "has to be a list of questions"),
        ("questions: []\ncolour: red", "unknown key 'colour'"),
        ("- 7", "question 1: not an object"),
        ("- {question: q, db: garage}", "question 1: 'sql' has to be a text or a list"),
        ("- {question: q, sql: [], db: garage}", "question 1: 'sql' has to be a text or a list"),
        (
            "database: nowhere.db\nglossary: absent.toml\nquestions: [{question: q, sql: SELECT 1}]",
            "the glossary of",
        ),
        ("[]", "holds no question"),
    ],
)
def test_what_is_wrong_in_a_yaml_file(text: str, message: str, tmp_path: Path, spider_files: Any) -> None:
    path = tmp_path / "golden.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_suite(str(path), databases=None if "glossary" in text else spider_files.databases)


def test_kaggledbqa_asks_what_is_meant_for_testing(spider_files: Any, tmp_path: Path) -> None:
    record = {"db_id": "garage", "question": "How many cars?", "query": "SELECT count(*) FROM car", "sql": {}}
    examples = tmp_path / "examples"
    examples.mkdir()
    write(examples / "garage_test.json", json.dumps([record, record]))
    write(examples / "garage_fewshot.json", json.dumps([record]))
    suite = load_suite(
        "kaggledbqa", questions=examples, tables=spider_files.tables, databases=spider_files.databases
    )
    assert [q.id for q in suite.questions] == ["garage-0", "garage-1"]
    assert suite.databases["garage"].catalog is not None
    one = load_suite("mine", questions=examples / "garage_fewshot.json", databases=spider_files.databases)
    assert (one.format, len(one.questions)) == ("spider", 1)


@pytest.mark.parametrize("star", [["*"], []])
def test_kaggledbqa_descriptions_are_knowledge_where_retrieval_takes_part(
    spider_files: Any, tmp_path: Path, star: list[str]
) -> None:
    record = {"db_id": "garage", "question": "How strong are the cars?", "query": "SELECT power FROM car"}
    questions = write(tmp_path / "garage_test.json", json.dumps([record]))
    entries = json.loads(spider_files.tables.read_text("utf-8"))
    garage = next(e for e in entries if e["db_id"] == "garage")
    garage["column_descriptions"] = [*star, "", "", "", "", "", "kilowatts of the engine"]
    tables = write(tmp_path / "tables.json", json.dumps(entries))
    suite = load_suite("kaggledbqa", questions=questions, tables=tables, databases=spider_files.databases)
    assert suite.databases["garage"].descriptions == {"car.power": "kilowatts of the engine"}
    seen: list[str] = []

    class Reader(ScriptedGenerator):
        def generate(
            self, question: Question, context: RetrievedContext, *, beams: int = 4
        ) -> tuple[Candidate, ...]:
            seen.extend(c.comment for t in context.tables for c in t.table.columns)
            return super().generate(question, context, beams=beams)

    script = Reader({record["question"]: [record["query"]]})
    assert run_suite(suite, generator=script).outcomes[0].correct
    assert "kilowatts of the engine" in seen
    seen.clear()
    run_suite(suite, generator=script, mode="base")
    assert not any(seen)
    garage["column_descriptions"] = ["", "kilowatts of the engine"]
    write(tables, json.dumps(entries))
    short = load_suite("kaggledbqa", questions=questions, tables=tables, databases=spider_files.databases)
    assert not short.databases["garage"].descriptions


def test_bird_levels_are_reported(spider_files: Any, tmp_path: Path) -> None:
    record = {
        "db_id": "garage",
        "question": "Cars?",
        "SQL": "SELECT model FROM car",
        "difficulty": "moderate",
    }
    questions = write(tmp_path / "dev.json", json.dumps([record]))
    (question,) = load_suite(
        "bird", questions=questions, databases=spider_files.databases, tables=spider_files.tables
    ).questions
    assert (question.family, question.evidence) == ("moderate", "")


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_says_version_licence_and_source(name: str) -> None:
    settings = tomllib.loads((SUITES / name / "suite.toml").read_text("utf-8"))
    assert settings["name"] == name
    assert all(str(settings[key]).strip() for key in ("title", "version", "licence", "source"))
    readme = (SUITES / name / "README.md").read_text("utf-8")
    assert f"sqlgen eval {name}" in readme
    if "home_variable" not in settings:
        # The hash in the file is that of the questions that lie beside it, or nobody can say what was measured.
        assert load_suite(name).edition() == {"version": settings["version"], "as_versioned": True}


def test_questions_of_another_version_are_refused_unless_named(tmp_path: Path, spider_files: Any) -> None:
    questions = write(
        tmp_path / "q.jsonl", {"question": "Cars?", "sql": "SELECT model FROM car", "db": "garage"}
    )
    toml = tmp_path / "suite.toml"
    toml.write_text(
        f'name = "own"\nversion = "2"\nquestions = "q.jsonl"\nsha256 = "{64 * "0"}"\ndatabases = "{spider_files.databases}"\n'
    )
    with pytest.raises(UsageError, match="is not version 2 of suite 'own'"):
        load_suite(str(toml))
    toml.write_text(toml.read_text().replace(64 * "0", hashlib.sha256(questions.read_bytes()).hexdigest()))
    assert load_suite(str(toml)).edition()["as_versioned"] is True


def test_a_suite_of_one_catalog(spider_files: Any) -> None:
    suite = load_suite("spider_union", **spider_files.options)
    assert suite.union
    figures = run_from_options("spider_union", **spider_files.options, generator=ScriptedGenerator({}))
    assert figures["kind"] == "union"
    with pytest.raises(UsageError, match="one catalog"):
        run_from_options(
            "spider_union", **spider_files.options, perturb="typos", generator=ScriptedGenerator({})
        )
