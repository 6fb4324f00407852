"""Material to try the recipes without a download: questions over small databases, and a checkpoint with no training.

    python -m sqlgen.training.recipes.small --corpora DATA --out SMALL

writes ``learn.jsonl`` and ``watch.jsonl`` (rows of ``sqlgen.training.prompts``), the suites ``made.jsonl`` and
``people.jsonl`` with statements that no other file has (the split of ``sqlgen train``), and ``start/``: a decoder in
the shape of Llama with random weights and a vocabulary of its own, made of ``learn.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlgen
from sqlgen.config import Settings
from sqlgen.sql.fingerprint import Unusable, fingerprint
from sqlgen.sql.form import form_to_sql
from sqlgen.training.corpora import read_sqlite
from sqlgen.training.pairs import Pair, role_of
from sqlgen.training.prompts import pair_rows
from sqlgen.training.synthesis.subjects import Domain, parts_of, read_domain
from sqlgen.training.synthesize import synthesize

__all__ = ["checkpoint", "main"]

# Of Spider's training databases: two tables, rows in both, names in words, and the shortest prompts.
DATABASES = ("student_1", "manufactory_1", "ship_1", "race_track", "climbing", "gymnast")
FAMILIES = frozenset(("list", "count", "group", "superlative", "distinct"))
LONGEST_SQL = 160
OFTEN = 20
_LINE = re.compile(r"\n[(#][^\n]*")
# What the task says is the same for every question: a small model does without.
TEMPLATE = (
    "{% for m in messages if m.role != 'system' %}{{ '<q>' if m.role == 'user' else '' }}{{ m.content }}"
    "{{ '<a>' if m.role == 'user' else '<end>' }}{% endfor %}"
)


def checkpoint(
    texts: Iterable[str], out: Path, *, hidden: int = 144, layers: int = 3, words: int = 900
) -> None:
    """Write a decoder with random weights to ``out``, with a vocabulary of byte pairs made of ``texts``.

    A line that describes a column is one word where it comes often: prompts are a quarter as long.
    """
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    texts = list(texts)
    lines = Counter(line for text in texts for line in _LINE.findall(text))
    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = decoders.ByteLevel()
    pairs.train_from_iterator(
        (_LINE.sub("", text) for text in texts),
        trainers.BpeTrainer(
            vocab_size=words,
            special_tokens=["<end>", "<pad>", "<q>", "<a>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    pairs.add_tokens([AddedToken(line, normalized=False) for line, n in lines.items() if n >= OFTEN])
    # Not in the shape of Qwen2: transformers puts a tokenizer of its own in the place of any that such a checkpoint has.
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pairs, eos_token="<end>", pad_token="<pad>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(out)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 48),
        num_key_value_heads=max(1, hidden // 48),
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(out)


def made_pairs(paths: Sequence[Path], count: int, seed: int) -> Iterator[tuple[str, Pair]]:
    """Questions with SQL written by the generator over these databases, each with the database's name."""
    domains: list[Domain] = []
    rng = random.Random(seed)
    for path in paths:
        catalog, values = read_sqlite(path, path.stem)
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        domains += [
            read_domain(path.stem, part, values, connection, {}, rng) for part in parts_of(catalog, rng)
        ]
    for family, example in synthesize(domains, count, seed):
        sql = form_to_sql(example.form, example.context, example.question, "sqlite")
        if family in FAMILIES and len(sql) <= LONGEST_SQL:
            yield example.database, _pair(example.question, sql)


def people_pairs(spider: Path, names: Sequence[str]) -> Iterator[tuple[str, Pair]]:
    """People's questions of Spider's training part over these databases."""
    for row in json.loads((spider / "train_spider.json").read_text("utf-8")):
        if row["db_id"] in names:
            try:
                yield row["db_id"], _pair(row["question"].strip(), row["query"])
            except Unusable:
                continue


def _pair(question: str, sql: str) -> Pair:
    return Pair(question, sql, 1.0, fingerprint(sql, "sqlite"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files and the checkpoint."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--corpora", type=Path, required=True)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--count", type=int, default=12_000)
    cli.add_argument("--suite", type=int, default=400, help="made questions in the suite")
    cli.add_argument("--seed", type=int, default=1)
    args = cli.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    folder = args.corpora / "spider" / "database"
    paths = [folder / name / f"{name}.sqlite" for name in DATABASES]
    parts: dict[str, dict[str, list[Pair]]] = {role: {} for role in ("learn", "watch", "made", "people")}
    for name, pair in made_pairs(paths, args.count, args.seed):
        role = role_of(pair.key)
        parts["made" if role == "gate" else role].setdefault(name, []).append(pair)
    for name, pair in people_pairs(args.corpora / "spider", DATABASES):
        role = role_of(pair.key)
        parts["people" if role == "gate" else role].setdefault(name, []).append(pair)
    for suite, most in (("made", args.suite), ("people", None)):
        lines = [
            {"id": f"{suite}-{name}-{number}", "question": pair.question, "sql": pair.sql, "db": name}
            for name, pairs in parts[suite].items()
            for number, pair in enumerate(pairs)
        ]
        random.Random(args.seed).shuffle(lines)
        _write(args.out / f"{suite}.jsonl", lines[:most])
    rows: dict[str, list[dict[str, Any]]] = {"learn": [], "watch": []}
    for name, path in zip(DATABASES, paths, strict=True):
        url = f"sqlite:///{path}"
        with sqlgen.connect(url, settings=Settings(home=args.out / "home")) as database:
            for part in rows:
                rows[part] += pair_rows(database, parts[part].get(name, []), url)
    for part, found in rows.items():
        random.Random(args.seed).shuffle(found)
        _write(args.out / f"{part}.jsonl", found)
    checkpoint(
        (turn["content"] for row in rows["learn"] for turn in [*row["prompt"][1:], *row["completion"]]),
        args.out / "start",
    )


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    print(path.name, len(rows), flush=True)


if __name__ == "__main__":
    main()
