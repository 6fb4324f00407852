"""Other words for the words of schemas: the table that ships beside this module, and how it is made.

    python -m sqlgen.training.synonyms --corpora DIR --out training/synonyms.json.gz

Derived from Open English WordNet (CC BY 4.0, https://en-word.net, itself derived from Princeton
WordNet) and from the names that people accepted in place of WikiSQL's column names (MIT). Only words
of the names in the training schemas have an entry. The sources were changed: pairs are ranked by
how near their vectors are, cut, and joined with a short list of our own.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlgen.catalog.naming import natural_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["build_synonyms", "load_synonyms", "main", "synonyms_of"]

LICENCE = (
    "Derived from Open English WordNet (https://en-word.net, CC BY 4.0; Princeton WordNet License) and "
    "from accepted replacements of WikiSQL's column names (MIT)."
)
MOST, NEAREST, FARTHEST = 6, 0.45, 0.6


# What people say and neither source has near enough.
_OWN = {
    "address": "location", "amount": "sum|value", "birth": "born", "capacity": "seats", "category": "group|kind",
    "city": "town|location", "client": "customer", "code": "key", "company": "firm|business|organisation",
    "cost": "price|expense", "count": "number", "country": "nation|land", "course": "class|subject",
    "customer": "client|buyer|shopper", "date": "day|time", "department": "division|unit", "discount": "rebate",
    "doctor": "physician", "duration": "length", "email": "mail", "employee": "worker|staff|personnel",
    "flight": "trip", "id": "key|identifier", "invoice": "bill", "item": "article|product", "job": "position|occupation",
    "line": "entry|row", "manager": "boss|supervisor", "member": "participant", "movie": "film",
    "name": "title|label", "number": "count", "order": "purchase", "patient": "client", "payment": "remittance",
    "person": "individual", "phone": "telephone|tel", "price": "cost|rate", "product": "item|article|good",
    "quantity": "amount|units", "rating": "score|grade", "region": "area|zone", "result": "outcome",
    "salary": "pay|wage|income", "sale": "transaction", "singer": "vocalist|artist", "size": "extent",
    "stadium": "arena|venue", "start": "begin|from", "end": "finish|to", "status": "state|condition",
    "store": "shop|outlet", "student": "pupil|learner", "supplier": "vendor|provider", "teacher": "instructor|tutor",
    "team": "squad|club", "type": "kind|category", "user": "member|account", "vehicle": "car",
    "warehouse": "depot|storage", "weight": "mass", "year": "season",
}  # fmt: skip


@lru_cache(maxsize=1)
def load_synonyms() -> Mapping[str, tuple[str, ...]]:
    """{word: other words, nearest first}, all in lower case."""
    path = Path(__file__).with_name("synonyms.json.gz")
    with gzip.open(path, "rt", encoding="utf-8") as source:
        words: dict[str, str] = json.load(source)["words"]
    return {word: tuple(others.split("|")) for word, others in words.items()}


def synonyms_of(word: str) -> tuple[str, ...]:
    """Other words for a word of a name, nearest first; none for a word that is not known.

    >>> "client" in synonyms_of("customer"), synonyms_of("qzx")
    (True, ())
    """
    return load_synonyms().get(word, ())


def build_synonyms(
    vocabulary: Mapping[str, int],
    spoken: Mapping[str, int],
    synsets: Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]],
    accepted: Mapping[tuple[str, str], int],
    embed: Callable[[list[str]], NDArray[np.float32]],
) -> dict[str, str]:
    """{word: "other|other"} for the words of ``vocabulary``.

    ``spoken`` counts the words that people write: a synonym that nobody does is left out, and so is
    one that is not near the word. ``synsets`` are (part of speech, members, members of the next wider
    ones), ``accepted`` counts replacements that people took, ``embed`` gives unit vectors.
    """
    scores: dict[tuple[str, str], float] = defaultdict(float)
    for kind, members, wider in synsets:
        for word in members:
            if word in vocabulary:
                for other in members:
                    scores[word, other] += 1.0 if kind == "n" else 0.5
                for other in wider if kind == "n" else ():
                    scores[word, other] += 0.0
    for (word, other), count in accepted.items():
        if word in vocabulary and count >= 3:
            scores[word, other] += 1.0
    pairs = [
        (word, other)
        for word, other in scores
        if spoken.get(other, 0) >= 4
        and not other.startswith(word[:-1])
        and not word.startswith(other)
        and re.fullmatch(r"[a-z]{2,}", other)
    ]
    words = sorted({w for pair in pairs for w in pair})
    place = {word: k for k, word in enumerate(words)}
    vectors = embed(words)
    near = {pair: float(vectors[place[pair[0]]] @ vectors[place[pair[1]]]) for pair in pairs}
    found: dict[str, list[tuple[float, str]]] = {}
    for pair in pairs:
        # A wider word has to be nearer than one that means the same.
        if near[pair] >= (NEAREST if scores[pair] else FARTHEST):
            score = near[pair] + 0.05 * min(3.0, scores[pair])
            found.setdefault(pair[0], []).append((-score, pair[1]))
    ranked = {word: [other for _, other in sorted(others)] for word, others in found.items()}
    for word, others in _OWN.items():
        ranked[word] = list(dict.fromkeys([*others.split("|"), *ranked.get(word, [])]))
    return {word: "|".join(others[:MOST]) for word, others in sorted(ranked.items())}


def _names(corpora: Path) -> Iterator[str]:
    """Names of tables and columns in the training schemas."""
    from sqlgen.training.corpora import HELD_OUT

    for entry in json.loads((corpora / "spider" / "tables.json").read_text()):
        if entry["db_id"] not in HELD_OUT:
            yield from entry["table_names_original"]
            yield from (name for _, name in entry["column_names_original"])
    with gzip.open(corpora / "warehouse_ddl" / "tables.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield row["table"]
            yield from re.findall(r'^\s*"?(\w+)"? [A-Z]', row["ddl"], re.M)
    for ddl in json.loads((corpora / "bird_train" / "train_schemas_ddl.json").read_text()).values():
        yield from re.findall(r"^\s*[`\"]?([\w ]+?)[`\"]? [a-zA-Z]+", ddl, re.M)


def _embed(words: list[str]) -> NDArray[np.float32]:
    """Unit vectors of all-MiniLM-L6-v2: the mean over the word pieces."""
    import torch
    from tokenizers import Tokenizer
    from transformers import BertModel

    from sqlgen.training.prepare import base_model_path

    base = base_model_path()
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    model = BertModel.from_pretrained(base, add_pooling_layer=False).eval()
    parts = []
    with torch.no_grad():
        for first in range(0, len(words), 256):
            rows = tokenizer.encode_batch(words[first : first + 256])
            mask = torch.tensor([r.attention_mask for r in rows])
            states = model(input_ids=torch.tensor([r.ids for r in rows]), attention_mask=mask)
            summed = (states.last_hidden_state * mask[:, :, None]).sum(1)
            parts.append(torch.nn.functional.normalize(summed, dim=1))
    vectors: NDArray[np.float32] = torch.cat(parts).numpy()
    return vectors


def main() -> None:
    """Write the table."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--corpora", type=Path, required=True)
    cli.add_argument("--out", type=Path, required=True)
    args = cli.parse_args()
    vocabulary = Counter(word for name in _names(args.corpora) for word in natural_name(name).split())
    vocabulary = Counter({w: n for w, n in vocabulary.items() if n >= 3 and re.fullmatch(r"[a-z]{3,}", w)})
    spoken: Counter[str] = Counter(vocabulary)
    for path in ("spider/train_spider.json", "bird_train/train.json"):
        for row in json.loads((args.corpora / path).read_text()):
            spoken.update(re.findall(r"[a-z]+", row["question"].lower()))
    accepted: Counter[tuple[str, str]] = Counter()
    for table in json.loads((args.corpora / "synonyms" / "wikisql-rpl-candidates.json").read_text()).values():
        for word, others in table["dict"].items():
            accepted.update((word.lower(), other.lower()) for other in others)

    path = args.corpora / "synonyms" / "wordnet_synsets.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = {row["id"]: row for row in map(json.loads, lines)}
    # Proper names keep their capitals and are nobody's synonym.
    members = {k: tuple(m.replace("_", " ") for m in r["members"] if m.islower()) for k, r in rows.items()}
    synsets = (
        (row["pos"], members[k], tuple(m for h in row["hypernyms"] for m in members.get(h, ())))
        for k, row in rows.items()
    )
    words = build_synonyms(vocabulary, spoken, synsets, accepted, _embed)
    text = json.dumps({"licence": LICENCE, "words": words}, separators=(",", ":"), ensure_ascii=False)
    args.out.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(len(words), "words,", args.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
