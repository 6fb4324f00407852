"""``kill -9`` at twenty points of training, import, promotion and rollback: what answers stays whole, and all can be repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the train extra")

# One process imports torch and forks, so that twenty kills cost seconds and not minutes.
SCRIPT = """
import json, os, random, signal, sys, time
from pathlib import Path

import torch

torch.set_num_threads(1)

from sqlgen.generation.embedded import shipped_path
from sqlgen.registry import ADAPTER_FILE, Registry
from sqlgen.sql.form import KEYWORDS
from sqlgen.training import adapt as training
from sqlgen.training.corpora import Example
from sqlgen.training.logs.ingest import import_log
from sqlgen.training.logs.store import LogStore
from sqlgen.training.model import SqlgenConfig, SqlgenModel
from sqlgen.types import Column, RetrievedContext, Table, TableSlice

folder = Path(sys.argv[1])
base = ("m", "1")
log = folder / "log.jsonl"
log.write_text("".join(json.dumps({"sql": f"SELECT a{n} FROM t"}) + "\\n" for n in range(1000)))
table = Table("books", (Column("id", "INT", "number", primary_key=True), Column("title", "TEXT", "text")))
context = RetrievedContext((TableSlice(table, 1.0, ""),))
example = Example("all the titles", context, ("select", ("c", 0, 1)), "x", "x")
sizes = {
    "vocab_size": 30522, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 512,
}

tokenizer = training.Tokenizer.from_file(str(shipped_path() / "tokenizer.json"))


class Loaded:
    from_file = staticmethod(lambda path: tokenizer)


def tiny(path):
    torch.manual_seed(0)
    return SqlgenModel(
        SqlgenConfig(keywords=len(KEYWORDS), hidden_size=24, decoder_layers=1, decoder_heads=2, decoder_ff=48, encoder=sizes)
    )


training.load_exported = tiny
training.Tokenizer = Loaded


def work(seed):
    registry = Registry(folder / "models")
    checkpoint = folder / "runs" / f"{seed}.pt"
    recipe = training.Recipe(rank=2, alpha=4, batch=2, passes=1, replay=0.0, seed=seed, threads=1)
    with registry.scratch() as made:
        training.adapt(
            shipped_path(), [(example, 1.0)] * 10, [example], [], made / ADAPTER_FILE, recipe=recipe, checkpoint=checkpoint
        )
        (made / "weights").mkdir()
        (made / "weights" / "manifest.json").write_text("{}")
        entry = registry.add(made, {"base": {"name": base[0], "version": base[1]}})
    checkpoint.unlink(missing_ok=True)
    registry.promote(entry.id, base)
    with LogStore(folder / "logs.sqlite") as store:
        import_log(store, log, format="jsonl", dialect="sqlite", wait_s=5)
    if seed % 2:
        registry.rollback()


def run(seed, kill_after=None):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(seed)
            status = 0
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def check():
    registry = Registry(folder / "models")
    current = registry.current()
    for entry in registry.entries():
        assert training.changes_of(entry.folder / ADAPTER_FILE)
        assert (entry.weights / "manifest.json").exists()
    assert current is None or current in registry.entries()
    return current


began = time.monotonic()
assert run(0) == 0
whole = time.monotonic() - began
(folder / "logs.sqlite").unlink()
chance = random.Random(5)
killed = resumed = number = 0
while killed < 20 and number < 40:
    number += 1
    before = check()
    status = run(number, kill_after=chance.uniform(0.02, 1.0) * whole)
    killed += os.WIFSIGNALED(status)
    if not os.WIFSIGNALED(status):
        whole *= 0.8  # the machine is less busy than it was
    after = check()
    made = {entry.id for entry in Registry(folder / "models").entries()}
    assert after is None or after.id in made
    resumed += (folder / "runs" / f"{number}.pt").exists()
    if number % 8 == 0:
        assert run(number) == 0, "the command can be repeated"
        assert not (folder / "runs" / f"{number}.pt").exists()
        check()
assert run(100) == 0
with LogStore(folder / "logs.sqlite") as store:
    counts = store.status()
print(json.dumps({"killed": killed, "resumed": resumed, "status": counts, "adapter": check().id}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_twenty_kills_leave_what_answers_whole(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["killed"] >= 15
    assert (found["status"]["statements"], found["status"]["runs"]) == (1000, 1000)
