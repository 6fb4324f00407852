"""What the model needs to see of a database for one question, found in an index beside it."""

from sqlgen.retrieval.embedder import Embedder, StaticEmbedder
from sqlgen.retrieval.index import Index, default_index_path, open_index
from sqlgen.retrieval.store import Budget

__all__ = ["Budget", "Embedder", "Index", "StaticEmbedder", "default_index_path", "open_index"]
