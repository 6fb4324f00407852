"""One folder per domain, data only: DDL, descriptions, glossary, golden questions."""
