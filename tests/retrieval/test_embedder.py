"""The static embedder, on a vocabulary of four words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from sqlgen.errors import ModelUnavailable
from sqlgen.retrieval import StaticEmbedder


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
