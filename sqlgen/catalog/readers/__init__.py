"""One file per engine: ``read(run) -> Structure`` and ``fingerprint(run) -> str``.

Each reads the engine's own system catalog rather than SQLAlchemy's inspector, which rewrites the type words,
warns on types that it doesn't know, fails as a whole on one broken SQLite view, needs the SHOW VIEW right in
MariaDB, and does not work on DuckDB 2. The tests hold the readers to the inspector where it does work.
"""
