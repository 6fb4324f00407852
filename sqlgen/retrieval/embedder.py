"""Texts as vectors: the protocol, the small static embedder that ships, and any sentence-transformers model."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlgen.errors import ModelUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedder", "SentenceEmbedder", "StaticEmbedder"]

_BATCH = 4096
_SENTENCES = 64


class Embedder(Protocol):
    """Anything that turns texts into vectors. ``id`` changes whenever the vectors would."""

    @property
    def id(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rows of length one (or zero, for a text of no known words), shape (len(texts), d)."""
        ...


class StaticEmbedder:
    """The weighted mean of word-piece vectors: no model runs, a question costs microseconds.

    The folder ``path`` holds ``tokenizer.json`` and ``embedder.npz`` with the arrays ``vectors``
    (int8, V x d), ``scale`` (float32, V: what a row is multiplied with) and ``weights`` (float32,
    V: how much a word piece says). Raises ModelUnavailable when either is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        import numpy as np
        from tokenizers import Tokenizer

        file, words = path / "embedder.npz", path / "tokenizer.json"
        try:
            content = file.read_bytes()
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                self._vectors: NDArray[np.int8] = arrays["vectors"]
                scale, weights = arrays["scale"], arrays["weights"]
            vocabulary = words.read_text(encoding="utf-8")
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ModelUnavailable(
                f"the embedder in {path} cannot be read ({error}); install sqlgen again"
            ) from error
        if self._vectors.ndim != 2 or not len(scale) == len(weights) == len(self._vectors):
            raise ModelUnavailable(f"the arrays in {file} do not fit together; install sqlgen again")
        try:
            self._tokenizer = Tokenizer.from_str(vocabulary)
        except Exception as error:  # tokenizers raises nothing narrower
            raise ModelUnavailable(f"{words} cannot be read ({error}); install sqlgen again") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._weights: NDArray[np.float32] = weights.astype(np.float32)
        self._factor: NDArray[np.float32] = (scale * weights).astype(np.float32)
        self._id = "static-" + hashlib.sha256(content).hexdigest()[:16]

    @property
    def id(self) -> str:
        """The digest of the vectors."""
        return self._id

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors as float32, shape (len(texts), d); zeros for a text without word pieces."""
        import numpy as np

        width = self._vectors.shape[1]
        result = np.zeros((len(texts), width), dtype=np.float32)
        for first in range(0, len(texts), _BATCH):
            batch = self._tokenizer.encode_batch(
                list(texts[first : first + _BATCH]), add_special_tokens=False
            )
            for i, encoding in enumerate(batch, start=first):
                ids = np.asarray(encoding.ids, dtype=np.int64)
                ids = ids[ids < len(self._vectors)]
                if ids.size:
                    result[i] = self._factor[ids] @ self._vectors[ids].astype(np.float32)
        lengths = np.linalg.norm(result, axis=1, keepdims=True)
        np.divide(result, lengths, out=result, where=lengths > 0)
        return result


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
