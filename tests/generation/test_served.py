"""Many questions at once through ``transformers serve``, with a checkpoint that answers each by its number."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import time
import tracemalloc
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sqlgen.generation.http import HttpGenerator
from sqlgen.types import Column, Question, RetrievedContext, Table, TableSlice

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("openai", reason="transformers serve needs transformers[serving]")

COUNT = 64
CONTEXT = RetrievedContext((TableSlice(Table("orders", (Column("id", "INTEGER", "number"),)), 1.0, ""),))
QUESTIONS = [Question(f"q{number}", "sqlite") for number in range(COUNT)]
ANSWERS = [f"SELECT {number}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder whose layers add nothing: each word is followed by the one that ``lm_head`` names for it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("lookup")
    words = ["<end>", "<pad>", *(question.text for question in QUESTIONS), *ANSWERS]
    inner = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<end>", pad_token="<pad>"
    )
    tokenizer.chat_template = "{{ messages[-1].content.split('Question: ')[1].split()[0] }}"
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=160, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=False, bos_token_id=None, eos_token_id=0, pad_token_id=1,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(len(words), 160))
        model.lm_head.weight.zero_()
        for number in range(COUNT):
            model.lm_head.weight[2 + COUNT + number, 2 + number] = 1
            model.lm_head.weight[0, 2 + COUNT + number] = 1
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def served(checkpoint: Path) -> Iterator[HttpGenerator]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(checkpoint), "--host", "127.0.0.1",
               "--port", str(port), "--device", "cpu"]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (checkpoint / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=checkpoint)
        try:
            for _ in range(2700):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, (checkpoint / "log").read_text()
                    time.sleep(0.1)
            yield HttpGenerator(f"http://127.0.0.1:{port}", str(checkpoint), {"timeout_s": "200"})
        finally:
            server.terminate()
            server.wait(30)


def test_sixty_four_questions_at_once_get_their_own_answers_in_flat_memory(served: HttpGenerator) -> None:
    def one(question: Question) -> str:
        (candidate,) = served.generate(question, CONTEXT)
        return candidate.sql

    held = []
    tracemalloc.start()
    try:
        with ThreadPoolExecutor(COUNT) as pool:
            for _ in range(3):
                assert list(pool.map(one, QUESTIONS)) == ANSWERS
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[2] - held[1] < 100_000
