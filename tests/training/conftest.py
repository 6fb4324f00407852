"""A handful of examples and a tiny model with random weights, enough to exercise every path."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from tokenizers import Tokenizer  # noqa: E402

from sqlgen.generation.embedded import shipped_path  # noqa: E402
from sqlgen.generation.encode import PieceCache  # noqa: E402
from sqlgen.sql.form import KEYWORDS  # noqa: E402
from sqlgen.training.corpora import Example  # noqa: E402
from sqlgen.training.model import SqlgenConfig, SqlgenModel  # noqa: E402
from sqlgen.types import (  # noqa: E402
    Column,
    ForeignKey,
    RetrievedContext,
    Table,
    TableSlice,
    ValueMatch,
)


@pytest.fixture(scope="session")
def cache() -> PieceCache:
    tokenizer = Tokenizer.from_file(str(shipped_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return PieceCache(tokenizer)


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    authors = Table(
        "authors",
        (
            Column("id", "INT", "number", primary_key=True),
            Column("name", "TEXT", "text"),
            Column("country", "TEXT", "text"),
            Column("born", "DATE", "date"),
        ),
    )
    books = Table(
        "books",
        (
            Column("id", "INT", "number", primary_key=True),
            Column("author_id", "INT", "number"),
            Column("title", "TEXT", "text"),
            Column("pages", "INT", "number"),
        ),
        foreign_keys=(ForeignKey(("author_id",), "authors", ("id",)),),
    )
    prizes = Table("prizes", (Column("label", "TEXT", "text"), Column("book_id", "INT", "number")))
    tables = tuple(TableSlice(t, 1.0, "") for t in (authors, books, prizes))
    plain = RetrievedContext(tables)
    peru = RetrievedContext(tables, (ValueMatch("authors", "country", "Peru", 16, 20),))
    return [
        Example("how many books are there", plain, ("select", "count", "*", "from", ("t", 1)), "x", "lib"),
        Example("titles longer than 300 pages", plain,
                ("select", ("c", 1, 2), "where", ("c", 1, 3), ">", ("q", 19, 22)), "x", "lib"),
        Example("the authors from Peru", peru, ("select", ("c", 0, 1), "where", ("c", 0, 2), "=", ("v", 0)), "x", "lib"),
        Example("who wrote most books", plain,
                ("select", ("c", 0, 1), "from", ("t", 1), "group", ("c", 0, 0), "order", "count", "*", "desc", "limit", "1"),
                "x", "lib"),
    ]  # fmt: skip


@pytest.fixture
def tiny() -> SqlgenModel:
    torch.manual_seed(0)
    encoder = {
        "vocab_size": 30522, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 512, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    config = SqlgenConfig(
        keywords=len(KEYWORDS),
        hidden_size=32,
        decoder_layers=2,
        decoder_heads=2,
        decoder_ff=64,
        dropout=0.0,
        encoder=encoder,
    )
    return SqlgenModel(config)
