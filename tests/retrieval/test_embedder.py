"""The embedders, on vocabularies of four words."""

from __future__ import annotations

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
from sqlgen.pipeline import connect
from sqlgen.retrieval import SentenceEmbedder, StaticEmbedder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "red": 1, "blue": 2, "the": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    np.savez(
        tmp_path / "embedder.npz",
        vectors=np.array([[0, 0], [100, 0], [0, 100], [50, 50]], dtype=np.int8),
        scale=np.array([1.0, 0.01, 0.02, 0.01], dtype=np.float32),
        weights=np.array([0.0, 1.0, 1.0, 0.0], dtype=np.float32),
    )
    return tmp_path


def test_the_weighted_mean_has_length_one(folder: Path) -> None:
    found = StaticEmbedder(folder).embed(["the red", "red blue", "", "unknown"])
    assert found.shape == (4, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], [1, 0])
    np.testing.assert_allclose(found[1], np.array([1, 2]) / np.sqrt(5), rtol=1e-6)
    np.testing.assert_array_equal(found[2:], 0)
    assert StaticEmbedder(folder).embed([]).shape == (0, 2)


def test_the_id_changes_with_the_vectors(folder: Path) -> None:
    before = StaticEmbedder(folder).id
    assert StaticEmbedder(folder).id == before
    with np.load(folder / "embedder.npz") as arrays:
        changed = {**arrays, "weights": np.ones(4, dtype=np.float32)}
    np.savez(folder / "embedder.npz", **changed)
    assert StaticEmbedder(folder).id != before


@pytest.mark.parametrize("name", ["embedder.npz", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, b"", b"garbage", b"PK\x03\x04 half a zip"])
def test_missing_or_damaged_files_are_named(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"install sqlgen again"):
        StaticEmbedder(folder)


def test_arrays_that_do_not_fit_are_refused(folder: Path) -> None:
    np.savez(
        folder / "embedder.npz",
        vectors=np.zeros((4, 2), dtype=np.int8),
        scale=np.ones(3, dtype=np.float32),
        weights=np.ones(4, dtype=np.float32),
    )
    with pytest.raises(ModelUnavailable, match="do not fit"):
        StaticEmbedder(folder)


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
    assert str(status["embedder"]).startswith("static-")


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
