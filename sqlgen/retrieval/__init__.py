"""What the model needs to see of a database for one question, found in an index beside it."""

from sqlgen.retrieval.embedder import Embedder, GraphEmbedder, SentenceEmbedder
from sqlgen.retrieval.index import Index, SharedStore, default_index_path, open_index, read_status
from sqlgen.retrieval.store import Budget

__all__ = [
    "Budget",
    "Embedder",
    "GraphEmbedder",
    "Index",
    "SentenceEmbedder",
    "SharedStore",
    "default_index_path",
    "open_index",
    "read_status",
]
