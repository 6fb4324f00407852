"""Glossary terms and metrics: the text a domain expert would hand a newcomer."""

from __future__ import annotations

from sqlgen.knowledge.glossary import Term, load_glossary, match_terms

__all__ = ["Term", "load_glossary", "match_terms"]
