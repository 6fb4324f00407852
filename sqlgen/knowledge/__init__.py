"""What a domain expert would tell a newcomer: terms, metrics, documents, verified queries, descriptions."""

from __future__ import annotations

from sqlgen.knowledge.base import Entry, Imported, Knowledge, Snapshot
from sqlgen.knowledge.describe import carried, describe
from sqlgen.knowledge.files import Skipped, read_knowledge
from sqlgen.knowledge.glossary import load_glossary
from sqlgen.knowledge.items import (
    Description,
    Document,
    Item,
    ItemKind,
    Term,
    Verified,
    from_body,
    kind_of,
    normal_question,
    to_body,
)
from sqlgen.knowledge.match import Named, find_named, match_documents, match_terms, similar_queries
from sqlgen.knowledge.store import Change, KnowledgeStore

__all__ = [
    "Change", "Description", "Document", "Entry", "Imported", "Item", "ItemKind", "Knowledge", "KnowledgeStore", "Named", "Skipped",
    "Snapshot", "Term", "Verified", "carried", "describe", "find_named", "from_body", "kind_of", "load_glossary", "match_documents",
    "match_terms", "normal_question", "read_knowledge", "similar_queries", "to_body",
]  # fmt: skip
