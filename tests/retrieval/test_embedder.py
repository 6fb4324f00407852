"""The sentence encoder that ships, and a sentence-transformers model of four words."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from sqlgen.cli.commands import root
from sqlgen.config import Settings
from sqlgen.errors import ModelUnavailable
from sqlgen.generation.embedded import shipped_path
from sqlgen.pipeline import connect
from sqlgen.retrieval import GraphEmbedder, SentenceEmbedder

SHIPPED = shipped_path()


def test_the_shipped_encoder_knows_other_words_for_a_table() -> None:
    embedder = GraphEmbedder(SHIPPED)
    asked, *tables = embedder.embed(
        ["Which automobiles are red?", "cars model colour", "people name age", "invoices amount date"]
    )
    nearness = [float(asked @ table) for table in tables]
    assert nearness[0] > max(nearness[1:]) + 0.1
    assert embedder.id == GraphEmbedder(SHIPPED, threads=1).id


def test_the_id_is_the_sum_that_the_manifest_names_or_else_that_of_the_file(tmp_path: Path) -> None:
    for file in ("embedder.onnx", "tokenizer.json"):
        (tmp_path / file).symlink_to(SHIPPED / file)
    own = hashlib.sha256((SHIPPED / "embedder.onnx").read_bytes()).hexdigest()
    assert GraphEmbedder(SHIPPED).id == GraphEmbedder(tmp_path).id == f"graph-{own[:16]}"
    for text, begins in ((json.dumps({"embedder": "ab" * 32}), "ab"), ("{}", own[:2]), ("no JSON", own[:2])):
        (tmp_path / "manifest.json").write_text(text)
        assert GraphEmbedder(tmp_path).id[6:8] == begins


def test_vectors_have_length_one_whatever_else_is_embedded() -> None:
    embedder = GraphEmbedder(SHIPPED)
    texts = ["cars", "", "word " * 500, *(f"table {n} with columns" for n in range(70))]
    found = embedder.embed(texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-4)
    assert (found * np.vstack([embedder.embed([text]) for text in texts])).sum(1).min() > 0.95
    assert embedder.embed([]).shape == (0, found.shape[1])


@pytest.mark.parametrize("name", ["embedder.onnx", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_missing_or_damaged_files_are_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    for file in ("embedder.onnx", "tokenizer.json"):
        if file != name:
            (tmp_path / file).symlink_to(SHIPPED / file)
        elif content is not None:
            (tmp_path / file).write_bytes(content)
    with pytest.raises(ModelUnavailable, match=name):
        GraphEmbedder(tmp_path)


@pytest.fixture(scope="module")
def sentence_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model of four words, in which an automobile is a car."""
    torch = pytest.importorskip("torch")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    words = {"[UNK]": 0, "car": 1, "cars": 2, "automobiles": 3, "person": 4}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    rows = [[0, 0, 1], [1, 0, 0], [1, 0, 0], [2, 0.1, 0], [0, 1, 0]]
    module = StaticEmbedding(tokenizer, embedding_weights=torch.tensor(rows, dtype=torch.float32))
    folder = tmp_path_factory.mktemp("model")
    sentence_transformers.SentenceTransformer(modules=[module], device="cpu").save(str(folder))
    return folder


def test_a_sentence_transformers_model_gives_unit_vectors_and_an_id_of_its_weights(
    sentence_model: Path,
) -> None:
    embedder = SentenceEmbedder(str(sentence_model))
    found = embedder.embed(["car", "automobiles", "person"])
    assert (found.shape, found.dtype) == ((3, 3), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert found[0] @ found[1] > 0.9 > 0.1 > found[0] @ found[2]
    assert embedder.embed([]).shape == (0, 3)
    assert SentenceEmbedder(str(sentence_model)).id == embedder.id
    assert embedder.id.startswith("sentence-")


def test_the_index_is_made_with_the_embedder_of_the_settings(sentence_model: Path, tmp_path: Path) -> None:
    ddl = tmp_path / "schema.sql"
    ddl.write_text("CREATE TABLE person (name TEXT); CREATE TABLE cars (model TEXT);")
    settings = Settings(home=tmp_path / "home", embedder=str(sentence_model))
    with connect(schema_file=ddl, dialect="sqlite", settings=settings) as database:
        best = database.retrieve("automobiles").tables[0]
    assert (best.table.key, best.reason) == ("cars", "close in meaning")
    with connect(schema_file=ddl, dialect="sqlite", settings=Settings(home=tmp_path / "plain")) as database:
        status = database.refresh()
    assert str(status["embedder"]).startswith("graph-")


def test_an_embedder_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = CliRunner().invoke(
        root, ["retrieve", "--schema-file", str(_ddl(tmp_path)), "--dialect", "sqlite",
               "--embedder", str(tmp_path / "nothing"), "people"]
    )  # fmt: skip
    assert isinstance(result.exception, ModelUnavailable)
    assert f"the embedder {tmp_path / 'nothing'} cannot be loaded" in str(result.exception)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ModelUnavailable, match=r"pip install 'sqlgen\[embedder\]'"):
        SentenceEmbedder("any")


def _ddl(folder: Path) -> Path:
    path = folder / "schema.sql"
    path.write_text("CREATE TABLE person (name TEXT);")
    return path
