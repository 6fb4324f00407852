"""The shipped model: ONNX int8 on the CPU, beams under the grammar, no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sqlgen.errors import ModelUnavailable
from sqlgen.generation.codes import with_codes
from sqlgen.generation.encode import Encoded, PieceCache, encode, ids_to_form, with_hints
from sqlgen.generation.grammar import END, START, Grammar, State
from sqlgen.graphs import open_graph, open_tokenizer
from sqlgen.sql.form import KEYWORDS, Inexpressible, form_to_sql
from sqlgen.types import Candidate, ModelInfo, Question, RetrievedContext

__all__ = ["EmbeddedGenerator", "shipped_path"]

Floats: TypeAlias = npt.NDArray[np.float32]

_UNANSWERABLE = KEYWORDS.index("unanswerable")
_NEVER = -20.0


def shipped_path() -> Path:
    """Where the weights that came with the package lie."""
    return Path(__file__).resolve().parent.parent / "models" / "shipped"


@dataclass(frozen=True, slots=True)
class _Beam:
    tokens: tuple[int, ...]
    logprob: float
    state: State


class EmbeddedGenerator:
    """A ``Generator`` over exported weights. Sessions are shared; calls from threads are safe."""

    def __init__(self, folder: Path, *, threads: int | None = None, verify: bool = False) -> None:
        """Load ``folder``; ModelUnavailable when something is missing, damaged or of another version.

        ``verify`` compares the files with the manifest's SHA-256 sums first, the sentence encoder's
        included, which costs some 50 ms; without it a flipped byte of a weight goes unseen.
        """
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            if manifest["format"] != 1 or manifest["keywords"] != list(KEYWORDS):
                raise ModelUnavailable(
                    f"the weights in {folder} belong to another version of sqlgen; reinstall the package"
                )
            if verify:
                sums = dict(manifest["sha256"])
                # Apart from them: an adapter belongs to the model's sums, and words do without the sentence encoder.
                if "embedder" in manifest and (folder / "embedder.onnx").exists():
                    sums["embedder.onnx"] = manifest["embedder"]
                for name, expected in sums.items():
                    with (folder / name).open("rb") as file:
                        found = hashlib.file_digest(file, "sha256").hexdigest()
                    if found != expected:
                        raise ModelUnavailable(f"{folder / name} is damaged; reinstall sqlgen")
            self._layers, self._heads = int(manifest["layers"]), int(manifest["heads"])
            self._width = int(manifest["hidden_size"]) // self._heads
            self._max_output = int(manifest["max_output"])
            self.info = ModelInfo(manifest["name"], manifest["version"], manifest.get("adapter"))
        except OSError as error:
            raise ModelUnavailable(f"no weights in {folder}; reinstall sqlgen") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ModelUnavailable(f"{folder / 'manifest.json'} is damaged; reinstall sqlgen") from error
        self._encoder = open_graph(folder / "encoder.onnx", threads)
        self._decoder = open_graph(folder / "decoder.onnx", threads)
        self._cache = PieceCache(open_tokenizer(folder / "tokenizer.json"))

    @classmethod
    def load(cls, folder: Path | None = None) -> EmbeddedGenerator:
        """The shipped weights, or those in ``folder``, compared with their sums."""
        return cls(folder or shipped_path(), verify=True)

    def count_tokens(self, text: str) -> int:
        """Word pieces of ``text``."""
        return len(self._cache.pieces(text))

    def generate(
        self, question: Question, context: RetrievedContext, *, beams: int = 4
    ) -> tuple[Candidate, ...]:
        """Candidates by log-probability, best first; SQL that two beams share comes once.

        The last one may have no SQL and the finish reason "unanswerable": its log-probability is
        that of the database not holding what was asked.
        """
        if not context.tables:
            return ()
        context = with_codes(context)
        text = with_hints(question.text, [term.hint for term in context.terms if term.hint])
        encoded = encode(text, context, self._cache)
        loose = question.dialect == "sqlite"
        grammar = Grammar(encoded, context, text, loose=loose, today=question.today)
        found: dict[str, Candidate] = {}
        done, unanswerable = self._search(encoded, grammar, beams)
        for beam in done:
            try:
                form = ids_to_form(beam.tokens, encoded)
                sql = form_to_sql(form, context, text, question.dialect, today=question.today)
            except (ValueError, Inexpressible):
                continue
            if sql not in found:
                found[sql] = Candidate(sql, beam.logprob, self.info.name, self.info.version)
        none = Candidate("", unanswerable, self.info.name, self.info.version, "unanswerable")
        return (*found.values(), none) if unanswerable > _NEVER else tuple(found.values())

    def _search(self, encoded: Encoded, grammar: Grammar, beams: int) -> tuple[list[_Beam], float]:
        """The finished beams, best first, and the log-probability that nothing answers the question."""
        ids = np.array([encoded.ids], dtype=np.int64)
        segments = np.ones_like(ids)
        segments[0, : encoded.question_end] = 0
        names = ("pointer_keys", "pointer_inputs", "cross_keys", "cross_values")
        shared = dict(
            zip(names, self._encoder.run(None, {"input_ids": ids, "segments": segments}), strict=True)
        )
        pointable = np.array([slot is not None for slot in encoded.slots])
        reach = np.concatenate([np.ones(len(KEYWORDS), dtype=np.bool_), pointable])
        past: list[Floats] = [
            np.zeros((self._layers, 1, self._heads, 0, self._width), dtype=np.float32) for _ in range(2)
        ]
        unanswerable = -np.inf
        live, done = [_Beam((START,), 0.0, State())], list[_Beam]()
        for step in range(self._max_output - 1):
            scores, *past = self._decoder.run(
                None,
                {
                    "tokens": np.array([b.tokens[-1] for b in live], dtype=np.int64),
                    "step": np.array([step], dtype=np.int64),
                    "past_keys": past[0],
                    "past_values": past[1],
                    **shared,
                },
            )
            logprobs = _log_softmax(np.where(reach, scores, -1e4))
            if step == 0:
                unanswerable = float(logprobs[0, _UNANSWERABLE])
                # The beams say what the query would be, if there were one.
                logprobs[0, _UNANSWERABLE] = -np.inf
            options: list[tuple[float, int, int]] = []
            for i, beam in enumerate(live):
                row = np.where(grammar.allowed(beam.state), logprobs[i], -np.inf)
                best = np.argpartition(-row, min(beams, len(row) - 1))[:beams]
                options += [(beam.logprob + float(row[t]), i, int(t)) for t in best if row[t] > -1e3]
            options.sort(key=lambda o: -o[0])
            grown: list[tuple[int, _Beam]] = []
            for total, i, token in options:
                beam = live[i]
                if token == END:
                    done.append(_Beam((*beam.tokens, token), total, beam.state))
                else:
                    grown.append((i, _Beam((*beam.tokens, token), total, grammar.advance(beam.state, token))))
                if len(grown) == beams:
                    break
            done.sort(key=lambda b: -b.logprob)
            if not grown or (len(done) >= beams and grown[0][1].logprob < done[beams - 1].logprob):
                break
            if done and grown[0][1].logprob < done[0].logprob - 8:
                break
            live = [b for _, b in grown]
            order = np.array([i for i, _ in grown])
            past = [p[:, order] for p in past]
        return done[:beams], unanswerable


def _log_softmax(scores: Floats) -> Floats:
    top = scores - scores.max(axis=-1, keepdims=True)
    result: Floats = top - np.log(np.exp(top).sum(axis=-1, keepdims=True))
    return result
