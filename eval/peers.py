"""The same work done by others: retrieval, parsing, answering without a model, and a decoder of half a billion parameters.

python -m sqlgen.eval.peers [--tables 1000] [--rounds 20] [--decoder]

Peers come from the package registry (pip install bm25s vanna premsql); one that is not installed is named and left out. All
of a kind do the same work in one run, their rounds in turns, so that load from outside meets each:

- retrieval: the ten best of ``--tables`` tables for a question. bm25s ranks words alone; sqlgen's index also compares vectors, looks
  up cell values and adds joined tables.
- parsing: one golden query. sqlglot's bare parse; sqlgen's validation, which parses, resolves every name and checks every function.
- answering without a model: all but the model of one question, the SQL being given. Vanna and PremSQL write a prompt with the whole
  DDL and take the SQL from a reply; sqlgen retrieves, validates and (``executed``) runs it.
- decoder: with ``--decoder``, ``sqlgen.eval.compare_speed``'s decoder of the Qwen2.5-0.5B shape, and one whole question beside it.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sqlgen.config import Settings
from sqlgen.eval.report import provenance

__all__ = ["in_turns", "main"]

Work = Callable[[], object]


def in_turns(work: Mapping[str, Work | str], rounds: int) -> dict[str, Any]:
    """Median, least and most milliseconds of each; a text in place of work says why it is left out.

    >>> found = in_turns({"nothing": lambda: None, "absent": "pip install absent"}, 3)
    >>> sorted(found["nothing"]), found["absent"]
    (['max', 'median', 'min'], {'left out': 'pip install absent'})
    """
    spent: dict[str, list[float]] = {name: [] for name, one in work.items() if callable(one)}
    for name in spent:
        _run(work[name])  # what is made on first use is not measured
    for _ in range(rounds):
        for name, times in spent.items():
            began = time.perf_counter()
            _run(work[name])
            times.append(1000 * (time.perf_counter() - began))
    found: dict[str, Any] = {}
    for name, one in work.items():
        if callable(one):
            times = spent[name]
            found[name] = {
                "median": round(statistics.median(times), 4), "min": round(min(times), 4), "max": round(max(times), 4)
            }  # fmt: skip
        else:
            found[name] = {"left out": one}
    return found


def _run(one: Work | str) -> None:
    assert callable(one)
    one()


def _tokens(text: str) -> int:
    return len(text) // 4 + 1


def _retrieval(tables: int, rounds: int, folder: Path) -> dict[str, Any]:
    from sqlgen.catalog import natural_name
    from sqlgen.eval.scale import make_catalog, make_questions, read_names, values_of
    from sqlgen.pipeline.model import load_embedder
    from sqlgen.retrieval import open_index

    names = read_names()
    catalog = make_catalog(names, tables=tables, columns=15 * tables)
    asked = make_questions(catalog, values_of(names), 100)
    place, embedder = folder / "peers.sqlite", load_embedder()
    with open_index(catalog, place, values=values_of(names), embedder=embedder) as index:
        ours, theirs = iter(asked * 9), iter(asked * 9)
        keys = [t.key for t in catalog.tables]
        right = {"sqlgen": 0, "bm25s": 0}

        def sqlgen_retrieves() -> list[str]:
            text, gold = next(ours)
            context = index.retrieve(text, k=10, count_tokens=_tokens)
            found = [piece.table.key for piece in context.tables]
            right["sqlgen"] += gold in found
            return found

        peer: Work | str = "pip install bm25s"
        try:
            import bm25s
        except ImportError:
            pass
        else:
            engine = bm25s.BM25()
            words = [
                [w for name in (t.name, *(c.name for c in t.columns)) for w in natural_name(name).split()]
                for t in catalog.tables
            ]
            engine.index(words, show_progress=False)

            def bm25s_retrieves() -> list[str]:
                text, gold = next(theirs)
                # A word that no table says would be an error there.
                said = [
                    w
                    for w in text.lower().replace("?", "").replace(",", "").split()
                    if w in engine.vocab_dict
                ]
                places, _ = engine.retrieve([said], k=10, show_progress=False)
                found = [keys[int(n)] for n in places[0]]
                right["bm25s"] += gold in found
                return found

            peer = bm25s_retrieves
        found = in_turns({"sqlgen": sqlgen_retrieves, "bm25s": peer}, rounds)
    for name in right:
        if "median" in found[name]:
            found[name]["found_in_ten"] = round(right[name] / (rounds + 1), 3)
    return {"tables": tables, **found}


def _parsing(rounds: int, url: str, home: Path) -> dict[str, Any]:
    import sqlglot

    import sqlgen
    from sqlgen.demo import retail_goldens
    from sqlgen.validation import validate

    golds = [g.sql for g in retail_goldens()]
    with sqlgen.connect(url, settings=Settings(home=home, history=False)) as database:
        catalog = database.catalog
    ours, theirs = iter(golds * rounds), iter(golds * rounds)
    return in_turns(
        {
            "sqlgen validates": lambda: validate(next(ours), catalog, "sqlite"),
            "sqlglot parses": lambda: sqlglot.parse_one(next(theirs), dialect="sqlite"),
        },
        rounds,
    )


def _answering(rounds: int, url: str, home: Path, ddl: Sequence[str]) -> dict[str, Any]:
    import sqlgen
    from sqlgen.demo import retail_goldens
    from sqlgen.generation import ScriptedGenerator

    golds = [g for g in retail_goldens() if g.difficulty == "easy"]
    script = ScriptedGenerator({g.question: [g.sql] for g in golds})
    with sqlgen.connect(url, settings=Settings(home=home, history=False), generator=script) as database:
        turns = {name: iter(golds * rounds) for name in ("sqlgen", "executed", "vanna", "premsql")}
        work: dict[str, Work | str] = {
            "sqlgen": lambda: database.ask(next(turns["sqlgen"]).question, execute=False),
            "sqlgen, executed": lambda: database.ask(next(turns["executed"]).question),
        }
        for name, make in (("vanna", _vanna), ("premsql", _premsql)):
            try:
                answer = make(ddl, home)
            except ImportError as error:
                work[name] = f"pip install {name} ({error})"
                continue

            def one(name: str = name, answer: Callable[[str, str], str] = answer) -> str:
                gold = next(turns[name])
                return answer(gold.question, gold.sql)

            work[name] = one
        return in_turns(work, rounds)


def _vanna(ddl: Sequence[str], _: Path) -> Callable[[str, str], str]:
    """Vanna's own way from question to SQL, over a model that replies at once and a store that holds the DDL."""
    try:
        from vanna.legacy.base.base import VannaBase
    except ImportError:
        from vanna.base import VannaBase

    class Peer(VannaBase):  # type: ignore[misc]
        reply = ""

        def log(self, message: Any, title: str = "") -> None:
            pass

        def generate_embedding(self, data: str, **kwargs: Any) -> list[float]:
            return []

        def get_similar_question_sql(self, question: str, **kwargs: Any) -> list[Any]:
            return []

        def get_related_ddl(self, question: str, **kwargs: Any) -> list[str]:
            return list(ddl)

        def get_related_documentation(self, question: str, **kwargs: Any) -> list[str]:
            return []

        def add_question_sql(self, question: str, sql: str, **kwargs: Any) -> str:
            return ""

        def add_ddl(self, ddl: str, **kwargs: Any) -> str:
            return ""

        def add_documentation(self, documentation: str, **kwargs: Any) -> str:
            return ""

        def get_training_data(self, **kwargs: Any) -> Any:
            return None

        def remove_training_data(self, id: str, **kwargs: Any) -> bool:
            return False

        def system_message(self, message: str) -> Any:
            return {"role": "system", "content": message}

        def user_message(self, message: str) -> Any:
            return {"role": "user", "content": message}

        def assistant_message(self, message: str) -> Any:
            return {"role": "assistant", "content": message}

        def submit_prompt(self, prompt: Any, **kwargs: Any) -> str:
            return f"```sql\n{self.reply}\n```"

    peer = Peer(config={"dialect": "SQLite"})

    def answer(question: str, sql: str) -> str:
        peer.reply = sql
        return str(peer.generate_sql(question))

    return answer


def _premsql(ddl: Sequence[str], home: Path) -> Callable[[str, str], str]:
    """PremSQL's own way from prompt to SQL, over a model that replies at once."""
    from premsql.generators.base import Text2SQLGeneratorBase

    logging.getLogger("[GENERATOR]").setLevel(logging.ERROR)

    class Peer(Text2SQLGeneratorBase):  # type: ignore[misc]
        reply = ""

        @property
        def load_client(self) -> Any:
            return None

        @property
        def load_tokenizer(self) -> Any:
            return None

        @property
        def model_name_or_path(self) -> Any:
            return "none"

        def generate(self, data_blob: Any, *args: Any, **kwargs: Any) -> str:
            return str(self.postprocess(f"{data_blob['prompt']}{self.reply}"))

    peer = Peer(experiment_name="peers", type="test", experiment_folder=str(home / "premsql"))
    schema = "\n\n".join(ddl)

    def answer(question: str, sql: str) -> str:
        peer.reply = sql
        return str(
            peer.generate(
                {"prompt": f"# Database and Table Schema:\n{schema}\n\n# Question: {question}\n\n# SQL:\n"}
            )
        )

    return answer


def _decoder(rounds: int, url: str, home: Path) -> dict[str, Any]:
    import sqlgen
    from sqlgen.demo import retail_goldens
    from sqlgen.eval.compare_speed import random_decoder

    generate, parameters = random_decoder()
    asked = iter([g.question for g in retail_goldens()] * rounds)
    with sqlgen.connect(url, settings=Settings(home=home, history=False)) as database:
        work: dict[str, Work | str] = {
            "sqlgen, a whole question": lambda: database.ask(next(asked)),
            "decoder": generate,
        }
        return {"parameters": parameters, **in_turns(work, max(3, rounds // 4))}


def _versions() -> dict[str, str]:
    found = {}
    for name in ("bm25s", "sqlglot", "transformers", "vanna", "premsql"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every kind of work and print one JSON document."""
    cli = argparse.ArgumentParser(prog="python -m sqlgen.eval.peers", description=__doc__.split("\n\n")[0])
    cli.add_argument("--tables", type=int, default=1000)
    cli.add_argument("--rounds", type=int, default=20)
    cli.add_argument(
        "--decoder", action="store_true", help="half a billion parameters; needs the extra 'train'"
    )
    args = cli.parse_args(arguments)
    from sqlgen.demo import build_retail
    from sqlgen.demo.domain import read_file

    with tempfile.TemporaryDirectory(prefix="sqlgen-peers-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        build_retail(folder / "shop.sqlite", scale=0.1)
        url, home = f"sqlite:///{folder / 'shop.sqlite'}", folder / "home"
        ddl = [f"{s.strip()};" for s in read_file("retail", "schema.sql").split(";") if "CREATE TABLE" in s]
        document: dict[str, Any] = {
            "retrieval_ms": _retrieval(args.tables, args.rounds, folder),
            "parsing_ms": _parsing(args.rounds, url, home),
            "answering_without_a_model_ms": _answering(args.rounds, url, home, ddl),
        }
        if args.decoder:
            document["decoder_ms"] = _decoder(args.rounds, url, home)
    document |= {"peers": _versions(), "provenance": provenance({})}
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
