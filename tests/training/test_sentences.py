"""The trainer of the sentence encoder, on a BERT of one layer that knows nothing yet."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from sqlgen.pipeline.model import load_embedder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnxscript")

from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402

from sqlgen.training.corpora import kept_back  # noqa: E402
from sqlgen.training.sentences import Corpus, Encoder, Pair, export, train  # noqa: E402

WORDS = [f"{kind}{n}" for kind in ("said", "table", "column") for n in range(24)]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    words = {word: n for n, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    return tmp_path


def corpus() -> Corpus:
    """Table n is asked for as "said n", in a database of three."""
    names = [name for name in (f"db{n}" for n in range(40)) if not kept_back(name)][:8]
    return Corpus(
        [f"table{n} column{n}" for n in range(24)],
        [f"table{n} column{n}" for n in range(24)],
        list(range(24)),
        {name: [3 * k, 3 * k + 1, 3 * k + 2] for k, name in enumerate(names)},
        [Pair(f"said{n}", names[n // 3], (n,), (n,)) for n in range(24)],
    )


def test_what_is_said_for_a_table_is_learned_and_survives_the_export(base: Path, tmp_path: Path) -> None:
    taught = corpus()
    encoder = Encoder(base, 1)
    losses = [loss for _, loss in train(encoder, [taught], batches=60)]
    assert losses[-1] < losses[0] / 1.5
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text('{"name": "kept", "embedder": "that of before"}')
    export(encoder.eval(), tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["name"] == "kept"
    assert (
        manifest["embedder"] == hashlib.sha256((tmp_path / "out" / "embedder.onnx").read_bytes()).hexdigest()
    )
    embedder = load_embedder(str(tmp_path / "out"))
    assert embedder is not None
    said, tables = embedder.embed([pair.question for pair in taught.pairs]), embedder.embed(taught.tables)
    assert np.mean((said @ tables.T).argmax(1) == np.arange(24)) > 0.5
    with torch.no_grad():
        assert (encoder(taught.tables).numpy() * tables).sum(1).min() > 0.95
