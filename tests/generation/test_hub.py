"""Checkpoints with random weights, saved and loaded as real ones are, and what the grammar makes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqlgen.config import Settings
from sqlgen.errors import ModelUnavailable, UsageError
from sqlgen.generation import load_generator
from sqlgen.generation.constraint import sql_grammar
from sqlgen.generation.prompt import chat_prompt
from sqlgen.types import (
    Catalog,
    Column,
    ForeignKey,
    Question,
    RetrievedContext,
    Table,
    TableSlice,
    ValidatedQuery,
    ValueMatch,
)
from sqlgen.validation import validate

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
llguidance = pytest.importorskip("llguidance")
from_tokenizer = pytest.importorskip("llguidance.hf").from_tokenizer

CUSTOMERS = Table(
    "customers",
    (
        Column("id", "INTEGER", "number", primary_key=True),
        Column("name", "TEXT", "text", comment="as on\nthe invoice", values=("Ann", "Bo")),
        Column("order", "TEXT", "text"),
        Column("active", "BOOLEAN", "bool"),
    ),
)
ORDERS = Table(
    "orders",
    (
        Column("id", "INTEGER", "number", primary_key=True),
        Column("customer_id", "INTEGER", "number"),
        Column("amount", "REAL", "number"),
        Column("placed", "DATE", "date"),
    ),
    foreign_keys=(ForeignKey(("customer_id",), "customers", ("id",)),),
)
LINES = Table(
    "order_lines",
    (Column("order_id", "INTEGER", "number"), Column("Unit price", "REAL", "number")),
    foreign_keys=(ForeignKey(("order_id",), "orders", ("id",)),),
)
ALONE = Table("notes", (Column("body", "TEXT", "text"),))
TABLES = (CUSTOMERS, ORDERS, LINES, ALONE)
CONTEXT = RetrievedContext(
    tuple(TableSlice(table, 1.0, "") for table in TABLES), (ValueMatch("customers", "name", "O'Neil", 0, 6),)
)
QUESTION = Question("How much did O'Neil order?", "sqlite")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(folder: Path, *, chat: bool = True) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([turn["content"] for turn in chat_prompt(QUESTION, CONTEXT)] * 2, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|endoftext|>")
    if chat:
        tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 2048}  # fmt: skip


def make_model(folder: Path, kind: str, vocabulary: int) -> None:
    ids = {"pad_token_id": 0, "eos_token_id": 0, "bos_token_id": 0}
    if kind == "t5gemma":
        half = transformers.T5GemmaModuleConfig(**SMALL, **ids, vocab_size=vocabulary, head_dim=16)
        config = transformers.T5GemmaConfig(
            encoder=half, decoder=replace_config(half), vocab_size=vocabulary, **ids
        )
        model: Any = transformers.T5GemmaForConditionalGeneration(config)
    elif kind == "qwen2":
        model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SMALL, **ids, vocab_size=vocabulary))
    elif kind == "gemma2":
        config = transformers.Gemma2Config(**SMALL, **ids, vocab_size=vocabulary, head_dim=16)
        model = transformers.Gemma2ForCausalLM(config)
    else:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, **ids, vocab_size=vocabulary))
    model.save_pretrained(folder)


def replace_config(config: Any) -> Any:
    return type(config)(**config.to_dict())


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr("sqlgen.generation.hub._MAX_OUTPUT", 256)
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen2")
    make_model(folder, "qwen2", len(make_tokenizer(folder)))
    return folder


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gemma2", "t5gemma"])
def test_every_shape_writes_valid_queries(kind: str, tmp_path: Path) -> None:
    make_model(tmp_path, kind, len(make_tokenizer(tmp_path, chat=kind != "llama")))
    generator = load_generator(f"hf:{tmp_path}")
    catalog = Catalog("sqlite", TABLES)
    for beams in (1, 3):
        candidates = generator.generate(QUESTION, CONTEXT, beams=beams)
        assert 1 <= len(candidates) <= beams
        for candidate in candidates:
            assert isinstance(validate(candidate.sql, catalog, "sqlite"), ValidatedQuery), candidate.sql
            assert candidate.logprob < 0
        assert [c.logprob for c in candidates] == sorted((c.logprob for c in candidates), reverse=True)
    assert generator.info.name == str(tmp_path)
    assert generator.count_tokens("customers") < generator.count_tokens("customers orders amounts")


def test_without_the_grammar_random_weights_write_no_query(checkpoint: Path) -> None:
    generator = load_generator(f"hf:{checkpoint}?constrain=off")
    assert generator.generate(QUESTION, CONTEXT, beams=1) == ()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_is_loaded_and_changes_what_is_written(checkpoint: Path, tmp_path: Path) -> None:
    import peft

    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path)
    generator = load_generator(f"hf:{checkpoint}+{tmp_path}")
    assert generator.info.adapter == str(tmp_path)
    plain = load_generator(f"hf:{checkpoint}").generate(QUESTION, CONTEXT, beams=1)
    assert generator.generate(QUESTION, CONTEXT, beams=1) != plain


def test_the_chat_template_is_respected(checkpoint: Path) -> None:
    from sqlgen.generation.hub import chat_text

    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    text = chat_text(tokenizer, replace(QUESTION, history=(("before?", "SELECT 1"),)), CONTEXT)
    assert text.startswith("<|im_start|>system")
    assert text.endswith("<|im_start|>assistant\n")
    assert "<|im_start|>assistant\nSELECT 1<|im_end|>" in text


def test_the_prompt_shows_what_the_model_needs_and_one_line_each() -> None:
    text = chat_prompt(QUESTION, CONTEXT)[-1]["content"]
    assert "(name:TEXT, as on the invoice, examples: [Ann, Bo])" in text
    assert "orders.customer_id = customers.id" in text
    assert "customers.name = 'O''Neil'" in text


def damaged(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not a tensor in sight")


def unknown_shape(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "abacus"}))


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


@pytest.mark.parametrize("harm", [damaged, unknown_shape, no_weights, no_tokenizer])
def test_a_damaged_checkpoint_is_one_line(harm: Any, tmp_path: Path) -> None:
    make_model(tmp_path, "llama", len(make_tokenizer(tmp_path)))
    harm(tmp_path)
    with pytest.raises(ModelUnavailable, match="cannot load") as caught:
        load_generator(f"hf:{tmp_path}")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("name", ["/nowhere/at/all", "sqlgen/no-such-model", "not a name"])
def test_a_missing_checkpoint_is_one_line(name: str) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        load_generator(f"hf:{name}")
    assert "\n" not in str(caught.value)


def test_without_a_network_the_command_ends_soon_with_7(tmp_path: Path) -> None:
    schema = tmp_path / "schema.sql"
    schema.write_text("CREATE TABLE orders (id INTEGER PRIMARY KEY);")
    surroundings = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "sqlgen", "ask", "--schema-file", str(schema), "--model", "hf:a/b", "orders?"],
        env={**surroundings, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path),
             "SQLGEN_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert done.stderr.strip().count("\n") == 0, done.stderr
    assert "a/b" in done.stderr


@pytest.mark.parametrize(
    "name", ["hf:", "hf:a?size=7b", "hf:a?quantize=1bit", "cascade:shipped", "cascade@2:a,b"]
)
def test_a_name_of_a_wrong_form_is_wrong_usage(name: str) -> None:
    with pytest.raises(UsageError):
        load_generator(name)


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb", "postgres", "mysql"])
def test_whatever_the_grammar_allows_passes_validation(checkpoint: Path, dialect: Any) -> None:
    """Random weights, sampled: every statement parses and passes, and none needs more than its tokens.

    ``SQLGEN_TEST_GENERATIONS`` says how many for each dialect, 40 at a time; every 40 have other weights.
    """
    from sqlgen.generation.hub import GrammarProcessor

    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    config = transformers.AutoConfig.from_pretrained(checkpoint)
    inner = from_tokenizer(tokenizer, n_vocab=config.vocab_size)
    catalog = Catalog(dialect, TABLES)
    wanted = int(os.environ.get("SQLGEN_TEST_GENERATIONS", "40"))
    made, different = 0, set[str]()
    while made < wanted:
        torch.manual_seed(made)
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        processor = GrammarProcessor(inner, sql_grammar(CONTEXT, dialect), 1, tokenizer.eos_token_id)
        with torch.inference_mode():
            out = model.generate(
                torch.full((min(40, wanted - made), 1), 5), do_sample=True, top_k=0, max_new_tokens=900,
                pad_token_id=0, eos_token_id=0, logits_processor=[processor],
            )  # fmt: skip
        for row in out:
            text = tokenizer.decode(row[1:], skip_special_tokens=True)
            outcome = validate(text, catalog, dialect)
            assert isinstance(outcome, ValidatedQuery), (text, outcome)
            different.add(text)
        made += len(out)
        print(f"{dialect}: {made} made and valid, {len(different)} different", flush=True)
    assert len(different) > made / 2


@pytest.mark.parametrize(
    ("sql", "allowed"),
    [
        ("SELECT COUNT(*) FROM orders", True),
        ("SELECT name FROM customers WHERE name = 'O''Neil'", True),
        ("SELECT customers.name, SUM(orders.amount) FROM customers JOIN orders ON customers.id = "
         "orders.customer_id GROUP BY customers.name ORDER BY SUM(orders.amount) DESC LIMIT 5", True),
        ("SELECT c.name FROM customers AS c JOIN orders AS o ON o.customer_id = c.id WHERE o.amount > 10.5", True),
        ("SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)", True),
        ("SELECT SUM(order_lines.`Unit price`) FROM order_lines JOIN orders ON order_lines.order_id = orders.id "
         "WHERE CAST(STRFTIME('%Y', orders.placed) AS INTEGER) = 2024", True),
        ("SELECT `order` FROM customers WHERE active = 1", True),
        ("SELECT salary FROM customers", False),
        ("SELECT amount FROM customers", False),
        ("SELECT COUNT(*) FROM invoices", False),
        ("SELECT customers.name FROM orders JOIN order_lines ON orders.id = order_lines.order_id", False),
        ("SELECT c.name FROM customers", False),
        ("SELECT name FROM customers WHERE orders.amount > 3", False),
        ("SELECT customers.name, notes.body FROM customers", False),
        ("DELETE FROM orders", False),
        ("SELECT name FROM customers; DROP TABLE customers", False),
    ],
)  # fmt: skip
def test_what_the_grammar_lets_through(checkpoint: Path, sql: str, allowed: bool) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    inner = from_tokenizer(tokenizer, n_vocab=len(tokenizer))
    grammar = llguidance.LLMatcher.grammar_from_lark(sql_grammar(CONTEXT, "sqlite"))
    matcher = llguidance.LLMatcher(inner, grammar, log_level=0)
    tokens = tokenizer(sql)["input_ids"]
    assert (matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()) is allowed
    if allowed:
        assert isinstance(validate(sql, Catalog("sqlite", TABLES), "sqlite"), ValidatedQuery)


def test_a_grammar_of_fifty_tables_stays_within_the_default_limits(checkpoint: Path) -> None:
    tables = [Table("t0", (Column("id", "INTEGER", "number"),))]
    for k in range(1, 50):
        key = ForeignKey(("up",), f"t{(k - 1) // 3}", ("id",))
        names = ("id", "up", *(f"c{k}_{j}" for j in range(8)))
        tables.append(
            Table(f"t{k}", tuple(Column(n, "INTEGER", "number") for n in names), foreign_keys=(key,))
        )
    context = RetrievedContext(tuple(TableSlice(table, 1.0, "") for table in tables))
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    inner = from_tokenizer(tokenizer, n_vocab=len(tokenizer))
    grammar = llguidance.LLMatcher.grammar_from_lark(sql_grammar(context, "sqlite"))
    matcher = llguidance.LLMatcher(inner, grammar, log_level=0)
    sql = "SELECT COUNT(*), COUNT(*), MAX(t49.c49_3) FROM t16 JOIN t49 ON t49.up = t16.id WHERE t16.c16_1 > 5"
    for token in tokenizer(sql)["input_ids"]:
        matcher.compute_bitmask()
        assert matcher.consume_token(token), matcher.get_error()


def test_settings_name_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    import sqlgen

    schema = tmp_path / "schema.sql"
    schema.write_text("CREATE TABLE orders (id INTEGER PRIMARY KEY, amount REAL);")
    settings = Settings(model=f"hf:{checkpoint}", home=tmp_path, beams=1)
    with sqlgen.connect(schema_file=schema, settings=settings) as db:
        reply = db.ask("the amount of all orders")
    assert reply.status == "answered"
    assert reply.model.name == str(checkpoint)
    assert reply.candidates[0][1] == "allow"
