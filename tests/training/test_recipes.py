"""The recipes for bigger models, on checkpoints with random weights: what they read, what they change, that they agree."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.generation import load_generator
from sqlgen.generation.scripted import ScriptedGenerator
from sqlgen.pipeline import Database
from sqlgen.training.pairs import Pair
from sqlgen.training.prompts import correction_rows, pair_rows
from sqlgen.training.rewards import WEIGHTS, Judge, Worth
from sqlgen.types import Question

pytest.importorskip("trl")
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("default")

PAIRS = [
    Pair("How many customers are there?", "SELECT COUNT(*) FROM customers", 1.0, "a"),
    Pair("Which cities do customers live in?", "SELECT DISTINCT city FROM customers", 1.0, "b"),
    Pair("What is the total of all orders?", "SELECT SUM(amount) FROM orders", 1.0, "c"),
    Pair("How much did each customer order?", "SELECT c.name, SUM(o.amount) FROM orders o JOIN customers c "
         "ON o.customer_id = c.id GROUP BY c.name", 1.0, "d"),
]  # fmt: skip
FLAGS = (
    "--use_cpu true --bf16 false --gradient_checkpointing false --report_to none --logging_steps 1 --save_strategy no "
    "--disable_tqdm true --seed 1"
).split()


@pytest.fixture
def url(tmp_path: Path) -> str:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);"
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), amount REAL);"
            "CREATE TABLE suppliers (id INTEGER PRIMARY KEY, country TEXT);"
            "INSERT INTO customers VALUES (1, 'Ann', 'Ulm'), (2, 'Bo', 'Bonn');"
            "INSERT INTO orders VALUES (1, 1, 10), (2, 1, 5), (3, 2, 7);"
            "INSERT INTO suppliers VALUES (1, 'Spain');"
        )
    connection.close()
    return f"sqlite:///{path}"


@pytest.fixture
def shop(url: str, tmp_path: Path) -> Iterator[Database]:
    wrong = ScriptedGenerator({pair.question: ["SELECT id FROM orders"] for pair in PAIRS})
    with sqlgen.connect(url, settings=Settings(home=tmp_path / "home"), generator=wrong) as database:
        yield database


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def make_start(rows: list[dict[str, Any]], out: Path) -> str:
    from sqlgen.training.recipes.small import checkpoint

    texts = [turn["content"] for row in rows for turn in [*row["prompt"], *row["completion"]]]
    checkpoint(texts * 20, out, hidden=96, layers=2, words=500)
    return str(out)


def losses(folder: Path) -> list[float]:
    history = json.loads((folder / "trainer_state.json").read_text("utf-8"))["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


def test_a_row_is_what_the_model_will_read(shop: Database, url: str) -> None:
    from sqlgen.generation.prompt import chat_prompt

    for pair, row in zip(PAIRS, pair_rows(shop, PAIRS, url), strict=True):
        context = shop.ask(pair.question).context
        assert context is not None
        assert row["prompt"] == chat_prompt(Question(pair.question, "sqlite"), context)
        assert row["db"] == url
    assert row["completion"][0]["content"].startswith("SELECT customers.name, SUM(orders.amount) FROM")


def test_pairs_that_validation_refuses_are_counted(shop: Database, url: str) -> None:
    from collections import Counter

    dropped: Counter[str] = Counter()
    assert (
        list(pair_rows(shop, [Pair("?", "SELECT salary FROM customers", 1.0, "x")], url, dropped=dropped))
        == []
    )
    assert sum(dropped.values()) == 1


def test_distractors_bring_tables_that_retrieval_left_out(tmp_path: Path) -> None:
    schema = tmp_path / "schema.sql"
    schema.write_text(
        "".join(f"CREATE TABLE ledger_{n} (id INTEGER, entry_{n} TEXT);" for n in range(60)), "utf-8"
    )
    pair = Pair("How many entries has ledger 3?", "SELECT COUNT(*) FROM ledger_3", 1.0, "a")
    with sqlgen.connect(schema_file=schema, settings=Settings(home=tmp_path)) as database:
        near, far = (list(pair_rows(database, [pair] * 4, "", distractors=share)) for share in (0.0, 1.0))
    for row, wider in zip(near, far, strict=True):
        texts = row["prompt"][-1]["content"], wider["prompt"][-1]["content"]
        assert texts[0].count("# Table: ") < texts[1].count("# Table: ") <= texts[0].count("# Table: ") + 3
        assert all("# Table: ledger_3\n" in text for text in texts)
        assert row["completion"] == wider["completion"]


def test_corrections_are_read_from_the_history_and_do_not_give_the_answer_away(
    shop: Database, url: str
) -> None:
    for pair in PAIRS[:2]:
        shop.correct(shop.history.find(shop.ask(pair.question).id), pair.sql)
    shop.reject(shop.history.find(shop.ask(PAIRS[2].question).id))
    rows = list(correction_rows(shop))
    assert {row["chosen"][0]["content"] for row in rows} == {pair.sql for pair in PAIRS[:2]}
    assert {row["rejected"][0]["content"] for row in rows} == {"SELECT id FROM orders"}
    for row in [*rows, *pair_rows(shop, PAIRS[:2], url)]:
        question = row["prompt"][-1]["content"].rpartition("Question: ")[2]
        assert f"{question.partition(chr(10))[0]} ->" not in row["prompt"][-1]["content"]


@pytest.mark.parametrize(
    ("reply", "worth"),
    [
        ("SELECT SUM(amount) FROM orders", Worth(True, True, True)),
        ("```sql\nselect sum(o.amount) as total from orders o;\n```", Worth(True, True, True)),
        ("SELECT MAX(amount) FROM orders", Worth(True, True, False)),
        ("SELECT SUM(price) FROM orders", Worth(True, False, False)),
        ("DELETE FROM orders", Worth(False, False, False)),
        ("SELECT SUM(amount FROM", Worth(False, False, False)),
        ("I don't know.", Worth(False, False, False)),
    ],
)
def test_the_reward_is_what_the_product_would_say(url: str, tmp_path: Path, reply: str, worth: Worth) -> None:
    with Judge(Settings(home=tmp_path)) as judge:
        assert judge.worth(reply, "SELECT TOTAL(amount) FROM orders", url) == worth
        assert judge.right(
            [[{"role": "assistant", "content": reply}]], ["SELECT TOTAL(amount) FROM orders"], [url]
        ) == [float(worth.right)]


@pytest.fixture
def taught(shop: Database, url: str, tmp_path: Path) -> Path:
    """A checkpoint that has learned the pairs by heart."""
    from sqlgen.training.recipes import sft

    rows = list(pair_rows(shop, PAIRS, url))
    start = make_start(rows, tmp_path / "start")
    learn = write_rows(tmp_path / "rows.jsonl", rows)
    sft.main(
        ["--model_name_or_path", start, "--rows", learn, "--output_dir", str(tmp_path / "sft"), "--max_steps", "60",
         "--per_device_train_batch_size", "4", "--learning_rate", "5e-3", *FLAGS]
    )  # fmt: skip
    return tmp_path / "sft"


def test_sft_teaches_what_hf_then_answers(shop: Database, url: str, taught: Path) -> None:
    curve = losses(taught)
    assert curve[-1] < 0.2 < 3 < curve[0]
    model = load_generator(f"hf:{taught}")
    for pair, row in zip(PAIRS, pair_rows(shop, PAIRS, url), strict=True):
        context = shop.ask(pair.question).context
        assert context is not None
        (candidate,) = model.generate(Question(pair.question, "sqlite"), context, beams=1)
        assert candidate.sql == row["completion"][0]["content"]


def test_an_adapter_is_small_packed_rows_weigh_the_same_and_only_sql_counts(
    shop: Database, url: str, tmp_path: Path
) -> None:
    from sqlgen.training.recipes import sft

    rows = list(pair_rows(shop, PAIRS, url))
    start = make_start(rows, tmp_path / "start")
    learn = write_rows(tmp_path / "rows.jsonl", rows)
    curves = []
    for name, flags in (("apart", ["--per_device_train_batch_size", "4"]), ("packed", ["--packing", "true"])):
        sft.main(
            ["--model_name_or_path", start, "--rows", learn, "--output_dir", str(tmp_path / name), "--max_steps", "2",
             "--max_length", "2048", "--use_peft", "--lora_dropout", "0", "--lora_r", "4", "--lora_target_modules", "all-linear",
             "--learning_rate", "1e-3", *flags, *FLAGS]
        )  # fmt: skip
        curves.append(losses(tmp_path / name))
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)
    assert (tmp_path / "apart" / "adapter_config.json").is_file()
    assert not (tmp_path / "apart" / "model.safetensors").exists()
    assert load_generator(f"hf:{start}+{tmp_path / 'apart'}").info.adapter == str(tmp_path / "apart")


def test_two_processes_learn_what_one_does(shop: Database, url: str, tmp_path: Path) -> None:
    """Data-parallel over gloo, at the same total batch."""
    from sqlgen.training.recipes import sft

    rows = list(pair_rows(shop, PAIRS * 2, url))
    start = make_start(rows, tmp_path / "start")
    learn = write_rows(tmp_path / "rows.jsonl", rows)

    def flags(name: str, batch: int) -> list[str]:
        return ["--model_name_or_path", start, "--rows", learn, "--output_dir", str(tmp_path / name), "--max_steps", "4",
                "--per_device_train_batch_size", str(batch), "--learning_rate", "1e-2", *FLAGS]  # fmt: skip

    sft.main(flags("one", 4))
    config = Path(sft.__file__).parent / "accelerate" / "two_cpu.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), "--main_process_port", "0",
         "-m", "sqlgen.training.recipes.sft", *flags("two", 2)],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-3)
    assert losses(tmp_path / "one")[0] - losses(tmp_path / "one")[-1] > 0.5


def test_dpo_moves_towards_the_correction(shop: Database, url: str, tmp_path: Path) -> None:
    from sqlgen.training.recipes import dpo

    start = make_start(list(pair_rows(shop, PAIRS, url)), tmp_path / "start")
    for pair in PAIRS:
        shop.correct(shop.history.find(shop.ask(pair.question).id), pair.sql)
    learn = write_rows(tmp_path / "rows.jsonl", list(correction_rows(shop)))
    dpo.main(
        ["--model_name_or_path", start, "--rows", learn, "--output_dir", str(tmp_path / "made"), "--max_steps", "8",
         "--per_device_train_batch_size", "4", "--learning_rate", "2e-3", *FLAGS]
    )  # fmt: skip
    history = json.loads((tmp_path / "made" / "trainer_state.json").read_text("utf-8"))["log_history"]
    margins = [entry["rewards/margins"] for entry in history if "rewards/margins" in entry]
    assert margins[-1] > 0.5 > abs(margins[0])


def test_grpo_earns_what_the_judge_gives(taught: Path, tmp_path: Path) -> None:
    from sqlgen.training.recipes import grpo

    grpo.main(
        ["--model_name_or_path", str(taught), "--rows", str(tmp_path / "rows.jsonl"), "--output_dir", str(tmp_path / "made"),
         "--max_steps", "2", "--per_device_train_batch_size", "8", "--num_generations", "4", "--max_completion_length", "40",
         *FLAGS]
    )  # fmt: skip
    history = json.loads((tmp_path / "made" / "trainer_state.json").read_text("utf-8"))["log_history"]
    for step in history[:2]:
        parts = [step[f"rewards/{name}/mean"] for name in ("parses", "names", "right")]
        earned = sum(weight * part for weight, part in zip(WEIGHTS, parts, strict=True))
        assert step["reward"] == pytest.approx(earned, abs=1e-4)
        assert parts[0] >= parts[1] >= parts[2] > 0
    assert (tmp_path / "made" / "model.safetensors").is_file()


def test_measured_beside_itself_a_checkpoint_earns_no_more(
    shop: Database, url: str, taught: Path, tmp_path: Path
) -> None:
    from sqlgen.training.recipes.measure import paired, sampled_rewards

    with Judge(Settings(home=tmp_path)) as judge:
        rows = list(pair_rows(shop, PAIRS, url))
        first, second = (sampled_rewards(str(taught), rows, judge, 4, seed=seed) for seed in (1, 2))
    assert first.shape == (4, 2)
    assert first[:, 1].mean() > 0
    assert paired(first[:, 0], second[:, 0])["p"] > 0.05


def test_practice_corrects_what_a_model_gets_wrong(
    shop: Database, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlgen.training.recipes import practice

    said = {pair.question: ["SELECT id FROM orders"] for pair in PAIRS} | {PAIRS[0].question: [PAIRS[0].sql]}
    monkeypatch.setattr(practice, "load_generator", lambda name: ScriptedGenerator(said))
    rows = write_rows(tmp_path / "rows.jsonl", list(pair_rows(shop, PAIRS, url)))
    out = tmp_path / "corrections.jsonl"
    practice.main(["--model", "x", "--rows", rows, "--home", str(tmp_path / "practice"), "--out", str(out)])
    found = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert sorted(row["chosen"][0]["content"] for row in found) == sorted(
        row["completion"][0]["content"] for row in list(pair_rows(shop, PAIRS, url))[1:]
    )
    assert {row["rejected"][0]["content"] for row in found} == {"SELECT id FROM orders"}


def test_the_command_writes_rows(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlgen.training import prompts

    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "home"))
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(
        "".join(json.dumps({"question": p.question, "sql": p.sql}) + "\n" for p in PAIRS), "utf-8"
    )
    flags = ["--db", url, "--distractors", "0", "--out", str(tmp_path / "rows.jsonl")]
    assert prompts.main([*flags, "--pairs", str(pairs)]) == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()]
    assert [row["gold"] for row in rows][:3] == [pair.sql for pair in PAIRS[:3]]
    assert {row["db"] for row in rows} == {url}
    assert prompts.main([*flags, "--pairs", str(tmp_path / "missing.jsonl")]) == 1
