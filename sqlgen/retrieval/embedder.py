"""Texts as vectors: the protocol, the sentence encoder that ships, and any sentence-transformers model."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlgen.errors import ModelUnavailable
from sqlgen.graphs import open_graph, open_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedder", "GraphEmbedder", "SentenceEmbedder"]

_SENTENCES = 64
_LONGEST = 64


class Embedder(Protocol):
    """Anything that turns texts into vectors. ``id`` changes whenever the vectors would."""

    @property
    def id(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rows of length one (or zero, for a text of no known words), shape (len(texts), d)."""
        ...


class GraphEmbedder:
    """The sentence encoder that ships, or one like it: an ONNX graph, no torch.

    The folder ``path`` holds ``tokenizer.json``, of a BERT, and ``embedder.onnx``, which takes ``input_ids`` and
    ``attention_mask`` (int64 [n, L]) to unit vectors. Raises ModelUnavailable when either is missing or damaged.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self._graph = open_graph(path / "embedder.onnx", threads)
        self._tokenizer = open_tokenizer(path / "tokenizer.json")
        self._tokenizer.enable_truncation(_LONGEST)
        self._width = int(self._graph.get_outputs()[0].shape[1])
        self._id = f"graph-{_sum_of(path)[:16]}"

    @property
    def id(self) -> str:
        """The digest of the graph, as the manifest beside it names it or else made here."""
        return self._id

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors as float32, shape (len(texts), d)."""
        import numpy as np

        result = np.zeros((len(texts), self._width), dtype=np.float32)
        encoded = self._tokenizer.encode_batch(list(texts))
        # Those of a length together: padding is work for nothing.
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        for first in range(0, len(order), _SENTENCES):
            part = order[first : first + _SENTENCES]
            longest = len(encoded[part[-1]])
            ids = np.zeros((len(part), longest), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, i in enumerate(part):
                ids[row, : len(encoded[i])] = encoded[i].ids
                mask[row, : len(encoded[i])] = 1
            result[part] = self._graph.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return result


def _sum_of(folder: Path) -> str:
    # What the manifest says is compared with the file where the model beside it is loaded.
    try:
        return str(json.loads((folder / "manifest.json").read_text("utf-8"))["embedder"])
    except (OSError, ValueError, KeyError, TypeError):
        return hashlib.sha256((folder / "embedder.onnx").read_bytes()).hexdigest()


class SentenceEmbedder:
    """A sentence-transformers model: a folder, or a name on its hub, which is downloaded on first use.

    Raises ModelUnavailable when the library is not installed or the model cannot be loaded. A question
    costs one pass through the model.
    """

    def __init__(self, name: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ModelUnavailable(
                f"the embedder {name} needs sentence-transformers: pip install 'sqlgen[embedder]'"
            ) from error
        try:
            self._model = SentenceTransformer(name)
        except Exception as error:  # whatever torch, the hub and the model's files raise
            reason = str(error).strip().split("\n")[0]
            raise ModelUnavailable(f"the embedder {name} cannot be loaded: {reason}") from error
        digest = hashlib.sha256(repr(self._model).encode())
        for tensor in self._model.state_dict().values():
            digest.update(tensor.float().cpu().numpy().tobytes())
        self._id = "sentence-" + digest.hexdigest()[:16]
        # A fast tokenizer must not be used by two threads at once.
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        """The digest of the model's layers and weights."""
        return self._id

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors as float32, shape (len(texts), d)."""
        import numpy as np

        if not texts:
            return np.zeros((0, self._model.get_embedding_dimension() or 0), dtype=np.float32)
        with self._lock:
            rows = self._model.encode(
                list(texts), batch_size=_SENTENCES, normalize_embeddings=True, show_progress_bar=False
            )
        return np.asarray(rows, dtype=np.float32)
