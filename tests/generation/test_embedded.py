"""The shipped model: answers, refuses damage, tells nobody."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sqlgen import graphs
from sqlgen.errors import ModelUnavailable
from sqlgen.generation import load_generator
from sqlgen.generation.embedded import EmbeddedGenerator, shipped_path
from sqlgen.types import Candidate, Column, ForeignKey, Question, RetrievedContext, Table, TableSlice

SINGERS = Table(
    "painters",
    (
        Column("painter_id", "INT", "number", primary_key=True),
        Column("name", "TEXT", "text"),
        Column("country", "TEXT", "text"),
        Column("age", "INT", "number"),
    ),
)
PAINTINGS = Table(
    "paintings",
    (
        Column("painting_id", "INT", "number", primary_key=True),
        Column("painter_id", "INT", "number"),
        Column("title", "TEXT", "text"),
        Column("price", "REAL", "number"),
    ),
    foreign_keys=(ForeignKey(("painter_id",), "painters", ("painter_id",)),),
)
CONTEXT = RetrievedContext((TableSlice(SINGERS, 1.0, ""), TableSlice(PAINTINGS, 1.0, "")))

EXPECTED = {
    "How many painters are there?": "SELECT COUNT(*) FROM painters",
    "Show the names of painters older than 40.": "SELECT name FROM painters WHERE age > 40",
    "What is the average price of all paintings?": "SELECT AVG(price) FROM paintings",
}


@pytest.fixture(scope="module")
def generator() -> EmbeddedGenerator:
    return EmbeddedGenerator.load()


def queries(candidates: tuple[Candidate, ...]) -> list[Candidate]:
    """The candidates without the one that says how likely there is no answer."""
    return [c for c in candidates if c.finish_reason != "unanswerable"]


def test_a_question_about_something_else_is_called_unanswerable(generator: EmbeddedGenerator) -> None:
    def doubt(text: str) -> float:
        last = generator.generate(Question(text, "sqlite"), CONTEXT)[-1]
        return last.logprob if last.finish_reason == "unanswerable" else -99.0

    assert doubt("What is the weather in Lisbon tomorrow?") > -0.7
    assert doubt("How many painters are there?") < -3


@pytest.mark.parametrize("question", EXPECTED)
def test_plain_questions(generator: EmbeddedGenerator, question: str) -> None:
    assert generator.generate(Question(question, "sqlite"), CONTEXT)[0].sql == EXPECTED[question]


def test_candidates_are_distinct_and_ordered(generator: EmbeddedGenerator) -> None:
    found = generator.generate(Question("Which painter has the most paintings?", "sqlite"), CONTEXT, beams=6)
    assert 1 < len(found) <= 6
    assert len({c.sql for c in found}) == len(found)
    assert [c.logprob for c in found] == sorted((c.logprob for c in found), reverse=True)
    assert found[0].model == generator.info.name


def test_dialects_differ_only_in_spelling(generator: EmbeddedGenerator) -> None:
    text = "How many painters are there?"
    for dialect in ("sqlite", "duckdb", "postgres", "mysql"):
        found = generator.generate(Question(text, dialect), CONTEXT)  # type: ignore[arg-type]
        assert found[0].sql == "SELECT COUNT(*) FROM painters"


@pytest.mark.parametrize(
    "text", ["x", "🎨🎨🎨", "\x00\x01", "word " * 2000, "'; DROP TABLE painters; --", " . "]
)
def test_any_text_gives_candidates_or_none(generator: EmbeddedGenerator, text: str) -> None:
    for candidate in queries(generator.generate(Question(text, "sqlite"), CONTEXT, beams=2)):
        assert candidate.sql.startswith(("SELECT", "WITH"))


def test_nothing_retrieved_nothing_written(generator: EmbeddedGenerator) -> None:
    assert generator.generate(Question("how many", "sqlite"), RetrievedContext(())) == ()


def test_threads_get_the_same_answers(generator: EmbeddedGenerator) -> None:
    questions = list(EXPECTED) * 6
    with ThreadPoolExecutor(6) as pool:
        found = pool.map(lambda q: generator.generate(Question(q, "sqlite"), CONTEXT)[0].sql, questions)
    assert list(found) == [EXPECTED[q] for q in questions]


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text"])
def test_damaged_weights_are_named(tmp_path: Path, name: str, damage: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_path(), folder)
    target = folder / name
    content = target.read_bytes()
    if damage == "missing":
        target.unlink()
    else:
        target.write_bytes(
            {"empty": b"", "cut": content[: len(content) // 2], "text": b"not a model"}[damage]
        )
    with pytest.raises(ModelUnavailable, match="reinstall") as caught:
        EmbeddedGenerator.load(folder)
    assert caught.value.exit_code == 7
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "embedder.onnx"])
def test_flipped_byte_is_found_by_verify(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_path(), folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelUnavailable, match=f"{name} is damaged"):
        EmbeddedGenerator(folder, verify=True)


def test_the_model_does_without_the_sentence_encoder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_path(), folder, ignore=shutil.ignore_patterns("embedder.onnx"))
    assert EmbeddedGenerator.load(folder).info.name == "sqlgen-minilm-pointer"


def test_weights_of_another_version(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_path(), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["keywords"] = manifest["keywords"][::-1]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelUnavailable, match="another version"):
        EmbeddedGenerator.load(folder)


def test_unknown_model() -> None:
    with pytest.raises(ModelUnavailable, match="no model 'nothing'"):
        load_generator("nothing")


def test_weights_fit_the_promise() -> None:
    EmbeddedGenerator(shipped_path(), verify=True)
    assert sum(p.stat().st_size for p in shipped_path().iterdir()) <= 64 * 10**6


@pytest.mark.parametrize("flags", ["fpu avx2", "fpu avx512_vnni"])
def test_processors_with_and_without_vnni_answer_alike(
    generator: EmbeddedGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    monkeypatch.setattr(graphs, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(graphs, "_has_vnni", graphs._has_vnni.__wrapped__)
    other = EmbeddedGenerator.load()
    said = other._encoder.get_session_options().get_session_config_entry("session.x64quantprecision")
    assert said == ("0" if "vnni" in flags else "1")
    for text in EXPECTED:
        question = Question(text, "sqlite")
        assert other.generate(question, CONTEXT) == generator.generate(question, CONTEXT)


def test_a_service_gives_each_run_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_threads", 2)
    assert EmbeddedGenerator.load()._decoder.get_session_options().intra_op_num_threads == 2
    graphs.use_threads(1)
    assert EmbeddedGenerator.load()._decoder.get_session_options().intra_op_num_threads == 1


def test_the_runtime_reports_to_nobody(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    script = "from sqlgen.generation import load_generator; load_generator(); import sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=Path(__file__).parents[2])
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert left == []
