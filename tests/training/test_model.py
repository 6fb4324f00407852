"""The model learns, saves and loads, takes a LoRA adapter, and exports to the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from sqlgen.generation.embedded import EmbeddedGenerator, shipped_path  # noqa: E402
from sqlgen.generation.encode import PieceCache  # noqa: E402
from sqlgen.sql.form import KEYWORDS, form_to_sql  # noqa: E402
from sqlgen.training.batches import collate, encode_example  # noqa: E402
from sqlgen.training.corpora import Example  # noqa: E402
from sqlgen.training.export import export  # noqa: E402
from sqlgen.training.model import SqlgenModel  # noqa: E402
from sqlgen.training.train import accuracy, adopt, earlier_model, loss_of  # noqa: E402
from sqlgen.types import Question  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def learn(model: SqlgenModel, examples: list[Example], cache: PieceCache, steps: int) -> list[float]:
    batch = collate([row for e in examples if (row := encode_example(e, cache, 96))])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = loss_of(model, batch, "cpu")
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def test_learns_saves_loads_and_exports(
    tiny: SqlgenModel, examples: list[Example], cache: PieceCache, tmp_path: Path
) -> None:
    losses = learn(tiny, examples, cache, 150)
    assert losses[-1] < 0.05 < losses[0]
    batch = collate([row for e in examples if (row := encode_example(e, cache, 96))])
    assert accuracy(tiny, [batch], "cpu") == 1.0

    tiny.eval().save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").exists()
    loaded = SqlgenModel.from_pretrained(tmp_path / "saved").eval()
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    with torch.no_grad():
        assert torch.equal(tiny(**inputs), loaded(**inputs))

    export(loaded, tmp_path / "onnx", version="t", quantized=False)
    for graph in (*(tmp_path / "onnx").glob("*.onnx"), *shipped_path().glob("*.onnx")):
        assert b"site-packages" not in graph.read_bytes(), "the exporter's notes name paths of a machine"
    (tmp_path / "onnx" / "tokenizer.json").write_bytes((shipped_path() / "tokenizer.json").read_bytes())
    generator = EmbeddedGenerator.load(tmp_path / "onnx")
    for example in examples:
        found = generator.generate(Question(example.question, "sqlite"), example.context)
        assert found[0].sql == form_to_sql(example.form, example.context, example.question, "sqlite")
        row = encode_example(example, cache, 96)
        assert row is not None
        one = collate([row])
        with torch.no_grad():
            scores = loaded(**{k: v for k, v in one.items() if k != "labels"}).log_softmax(-1)[0]
        told = one["labels"][0] >= 0
        gold = scores[told].gather(1, one["labels"][0][told, None]).sum()
        assert np.isclose(found[0].logprob, float(gold), atol=1e-3)


def test_training_goes_on_from_a_run_and_from_what_ships(tiny: SqlgenModel, tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path / "run")
    for folder in (tmp_path / "run", shipped_path()):
        earlier = earlier_model(folder)
        fresh = SqlgenModel(earlier.config)
        adopt(fresh, earlier)
        mine, theirs = fresh.state_dict(), earlier.state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert len(theirs["keyword_embedding.weight"]) == len(KEYWORDS)


def test_takes_a_lora_adapter(
    tiny: SqlgenModel, examples: list[Example], cache: PieceCache, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft", reason="needs the train extra")
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj", "up_proj"])
    model = peft.get_peft_model(tiny, config)
    trainable = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trainable
    assert all("lora" in name for name in trainable)
    before = learn(model, examples, cache, 1)[0]
    assert learn(model, examples, cache, 40)[-1] < before
    model.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").exists()
