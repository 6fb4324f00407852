"""Fine-tune a small MiniLM to bring questions near the tables and columns that their SQL reads.

    python -m sqlgen.training.sentences --corpora data --out FOLDER --batches 400

Pairs come from the training questions of Spider, Spider-Syn and BIRD. A batch asks questions of a few databases that
resemble one another against all their tables and against columns of those that are read: the tables that are easily
mistaken are the ones told apart. Three databases of ten are kept back, to measure with. FOLDER holds an ONNX graph
in int8, for ``--embedder FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertModel

from sqlgen.config import Settings
from sqlgen.eval.retrieval import open_union, union_catalog
from sqlgen.eval.suite import load_suite
from sqlgen.retrieval import open_index
from sqlgen.training.corpora import HELD_OUT, bird_catalogs, kept_back
from sqlgen.training.export import name_embedder, write_graph
from sqlgen.training.prepare import base_model_path
from sqlgen.types import Catalog

__all__ = ["Corpus", "Encoder", "Pair", "export", "main", "read_corpora", "train"]

Floats = npt.NDArray[np.float32]
_LONGEST = 64
_DIMENSIONS = 128
_SCALE = 20.0
_ALIKE, _ANY, _QUESTIONS, _COLUMNS = 5, 4, 12, 120
_TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Pair:
    """A question, and the numbers of the tables and columns in its corpus that its SQL reads."""

    question: str
    database: str
    tables: tuple[int, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What an index embeds of tables and columns, whose tables they are, and what was asked of them."""

    tables: list[str]
    columns: list[str]
    owner: list[int]
    databases: dict[str, list[int]]
    pairs: list[Pair]


class Encoder(nn.Module):
    """MiniLM's first layers, the mean over the words, and a matrix to fewer dimensions."""

    def __init__(self, base: Path, layers: int) -> None:
        super().__init__()
        self.base = base
        self.bert = BertModel.from_pretrained(base, add_pooling_layer=False)
        self.bert.encoder.layer = self.bert.encoder.layer[:layers]
        self.bert.config.num_hidden_layers = layers
        self.bert.embeddings.requires_grad_(False)
        self.projection = nn.Linear(self.bert.config.hidden_size, _DIMENSIONS, bias=False)
        self.tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        self.tokenizer.enable_padding()
        self.tokenizer.enable_truncation(_LONGEST)

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """The mean over the words of each text; those of a length go through together, as padding costs as much."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = [order[i : i + _TOGETHER] for i in range(0, len(order), _TOGETHER)]
        rows = torch.cat([self._pooled([texts[i] for i in part]) for part in parts])
        return rows[torch.tensor(order).argsort()]

    def _pooled(self, texts: list[str]) -> Tensor:
        encoded = self.tokenizer.encode_batch(texts)
        ids = torch.tensor([e.ids for e in encoded])
        mask = torch.tensor([e.attention_mask for e in encoded])
        with torch.autocast("cpu", torch.bfloat16):
            hidden: Tensor = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask[..., None].float()
        return (hidden.float() * weights).sum(1) / weights.sum(1)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors."""
        return functional.normalize(self.projection(self.pooled(texts)), dim=1)


def train(
    encoder: Encoder, corpora: Sequence[Corpus], *, batches: int, seed: int = 0
) -> Iterator[tuple[int, float]]:
    """Train on so many batches; gives (questions seen, mean loss) every 20."""
    chance = random.Random(seed)
    with torch.no_grad():
        pooled = [encoder.pooled(corpus.tables).numpy() for corpus in corpora]
    _turn(encoder.projection, np.concatenate(pooled))
    shown = [_alike(corpus, rows) for corpus, rows in zip(corpora, pooled, strict=True)]
    groups = [[p for p in corpus.pairs if not kept_back(p.database)] for corpus in corpora]
    asked = [_by_database(pairs) for pairs in groups]
    matrices = [p for p in encoder.bert.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "lr": 1e-4}, {"params": encoder.projection.parameters(), "lr": 5e-4}],
        weight_decay=0.01,
    )
    peaks = [group["lr"] for group in optimizer.param_groups]
    seen, losses = 0, []
    for batch in range(batches):
        spent = (batch + 1) / (batches + 1)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * min(1.0, spent / 0.05, (1 - spent) / 0.7)
        k = chance.choices(range(len(corpora)), [len(pairs) for pairs in groups])[0]
        loss, count = _batch_loss(encoder, corpora[k], asked[k], shown[k], chance)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += count
        losses.append(loss.item())
        if len(losses) == 20:
            yield seen, sum(losses) / len(losses)
            losses.clear()


def _by_database(pairs: Iterable[Pair]) -> dict[str, list[Pair]]:
    asked: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        asked[pair.database].append(pair)
    return asked


@torch.no_grad()
def _turn(projection: nn.Linear, pooled: Floats) -> None:
    """Let the projection begin with the directions in which the tables differ most."""
    centred = pooled - pooled.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    projection.weight.copy_(torch.tensor(axes[:, ::-1][:, :_DIMENSIONS].T.copy()))


def _alike(corpus: Corpus, pooled: Floats) -> dict[str, list[str]]:
    """Of each database that is trained on those that resemble it most."""
    names = [name for name in corpus.databases if not kept_back(name)]
    means = np.stack([pooled[corpus.databases[name]].mean(0) for name in names]) - pooled.mean(0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return {
        name: [names[i] for i in np.argsort(-row)[: 2 * _ALIKE]]
        for name, row in zip(names, means @ means.T, strict=True)
    }


def _batch_loss(
    encoder: Encoder,
    corpus: Corpus,
    asked: dict[str, list[Pair]],
    alike: dict[str, list[str]],
    chance: random.Random,
) -> tuple[Tensor, int]:
    names = list(asked)
    first = chance.choices(names, [len(asked[name]) for name in names])[0]
    near = [name for name in alike[first] if name in asked and name != first]
    databases = {first, *chance.sample(near, min(len(near), _ALIKE - 1)), *chance.sample(names, _ANY)}
    pairs = [
        p for name in sorted(databases) for p in chance.sample(asked[name], min(_QUESTIONS, len(asked[name])))
    ]
    tables = sorted({t for name in databases for t in corpus.databases[name]})
    read = {t for pair in pairs for t in pair.tables}
    gold = {c for pair in pairs for c in pair.columns}
    others = [c for c, t in enumerate(corpus.owner) if t in read and c not in gold]
    gold = set(chance.sample(sorted(gold), min(len(gold), _COLUMNS)))
    columns = sorted(gold | set(chance.sample(others, min(len(others), max(0, _COLUMNS - len(gold))))))
    questions = encoder([pair.question for pair in pairs])
    loss = _contrast(
        questions, encoder([corpus.tables[t] for t in tables]), tables, [p.tables for p in pairs]
    )
    loss = loss + 0.5 * _contrast(
        questions, encoder([corpus.columns[c] for c in columns]), columns, [p.columns for p in pairs]
    )
    return loss, len(pairs)


def _contrast(
    questions: Tensor, texts: Tensor, numbers: Sequence[int], gold: Sequence[Iterable[int]]
) -> Tensor:
    """The mean cross entropy of each right text against all wrong ones."""
    place = {number: i for i, number in enumerate(numbers)}
    right = torch.zeros(len(questions), len(texts))
    for row, wanted in zip(right, gold, strict=True):
        row[[place[n] for n in wanted if n in place]] = 1
    scores = _SCALE * questions @ texts.T
    wrong = scores.masked_fill(right > 0, -1e9).logsumexp(1, keepdim=True)
    each = torch.logaddexp(scores, wrong) - scores
    count = right.sum(1)
    return ((each * right).sum(1) / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


def read_corpora(root: Path) -> list[Corpus]:
    """Spider's databases but those of its development split, with people's synonyms, and BIRD's."""
    spider = root / "spider"
    suite = load_suite(
        "spider",
        format="spider",
        questions=spider / "train_spider.json",
        tables=spider / "tables.json",
        databases=spider / "database",
    )
    suite = replace(suite, databases={n: p for n, p in suite.databases.items() if n not in HELD_OUT})
    asked = [(q.text, q.gold[0], q.db_id) for q in suite.questions]
    synonyms = json.loads((root / "spider_syn" / "train.json").read_text())
    asked += [(q["SpiderSynQuestion"], q["query"], q["db_id"]) for q in synonyms]
    found = []
    with tempfile.TemporaryDirectory() as home:
        texts = _Texts()
        opened = open_union(suite, suite.databases, Settings(home=Path(home)), embedder=texts)
        catalogs = {name: (catalog, index.catalog) for name, catalog, index, _ in opened}
        union = next(iter(catalogs.values()))[1]
        found.append(_corpus(union, texts.seen, asked))
    bird = bird_catalogs(root / "bird_train")
    rows = json.loads((root / "bird_train" / "train.json").read_text())
    union, texts = union_catalog(bird.items()), _Texts()
    with tempfile.TemporaryDirectory() as home, open_index(union, Path(home) / "bird.sqlite", embedder=texts):
        found.append(
            _corpus(union, texts.seen, [(row["question"], row["SQL"], row["db_id"]) for row in rows])
        )
    return found


class _Texts:
    """An ``Embedder`` that only looks at what an index embeds: all tables, then all columns."""

    id = "texts"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def embed(self, texts: Sequence[str]) -> Floats:
        self.seen += texts
        return np.zeros((len(texts), 1), dtype=np.float32)


def _corpus(union: Catalog, texts: list[str], asked: Iterable[tuple[str, str, str]]) -> Corpus:
    """A question counts when its SQL names a table; a column of such a table is read when the SQL names it."""
    databases: dict[str, list[int]] = defaultdict(list)
    for number, table in enumerate(union.tables):
        databases[table.schema or ""].append(number)
    first = [0, *accumulate(len(table.columns) for table in union.tables)]
    pairs = []
    for question, sql, database in asked:
        words = {word.lower() for word in re.findall(r"\w+", re.sub(r"'[^']*'", " ", sql))}
        sources = {name.lower() for name in re.findall(r"\b(?:from|join)\s+[`\"\[]?(\w+)", sql, re.I)}
        tables = [t for t in databases.get(database, ()) if union.tables[t].name.lower() in sources]
        columns = [
            first[t] + k
            for t in tables
            for k, column in enumerate(union.tables[t].columns)
            if column.name.lower() in words
        ]
        if tables:
            pairs.append(Pair(question, database, tuple(tables), tuple(columns)))
    owner = [t for t, table in enumerate(union.tables) for _ in table.columns]
    count = len(union.tables)
    return Corpus(texts[:count], texts[count:], owner, dict(databases), pairs)


class _Graph(nn.Module):
    """Ids and mask to unit vectors, as it is exported."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.bert = encoder.bert
        # The exporter turns a Linear without a bias into a graph whose shapes the quantiser refuses.
        self.register_buffer("matrix", encoder.projection.weight.detach().T.contiguous())

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask[..., None].float()
        mean = (hidden * weights).sum(1) / weights.sum(1)
        return functional.normalize(mean @ self.matrix, dim=1)


def export(encoder: Encoder, out: Path) -> None:
    """Write embedder.onnx, in int8, and tokenizer.json; a manifest that lies there already gets its sum."""
    out.mkdir(parents=True, exist_ok=True)
    ids = torch.randint(5, 1000, (3, 17))
    count, length = (
        torch.export.Dim("count", min=1, max=4096),
        torch.export.Dim("length", min=2, max=_LONGEST),
    )
    write_graph(
        _Graph(encoder),
        (ids, torch.ones_like(ids)),
        ["input_ids", "attention_mask"],
        ["vectors"],
        ({0: count, 1: length}, {0: count, 1: length}),
        out / "embedder.onnx",
    )
    (out / "tokenizer.json").write_bytes((encoder.base / "tokenizer.json").read_bytes())
    name_embedder(out)


def main() -> None:
    """Train and export."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--corpora", type=Path, required=True)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--layers", type=int, default=6)
    cli.add_argument("--batches", type=int, default=400, help="of about 100 questions")
    cli.add_argument("--threads", type=int, default=1)
    args = cli.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    encoder = Encoder(base_model_path(), args.layers)
    for seen, loss in train(encoder, read_corpora(args.corpora), batches=args.batches):
        print(f"{seen} questions, loss {loss:.4f}", flush=True)
    export(encoder.eval(), args.out)


if __name__ == "__main__":
    main()
