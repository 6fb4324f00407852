"""Run one query that nothing checked against a SQLite file opened for reading, as a process of its own.

``python -I read_sqlite.py FILE MAX_ROWS < query`` prints ``{"columns", "rows", "truncated"}`` or
``{"error"}``. A process can be killed where SQLite cannot be interrupted. Only an evaluation uses this,
for the queries of its own suite that the validation refuses.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from typing import Any
from urllib.parse import quote


def main() -> None:
    """Read the query from stdin, print one JSON document."""
    path, max_rows = sys.argv[1], int(sys.argv[2])
    connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    try:
        cursor = connection.execute(sys.stdin.read())
        rows = cursor.fetchmany(max_rows + 1)
    except sqlite3.Error as error:
        print(json.dumps({"error": str(error)}))
        return
    finally:
        connection.close()
    columns = [column[0] for column in cursor.description or ()]
    cells = [[_cell(value) for value in row] for row in rows[:max_rows]]
    print(json.dumps({"columns": columns, "rows": cells, "truncated": len(rows) > max_rows}))


def _cell(value: Any) -> Any:
    return {"bytes": value.hex()} if isinstance(value, bytes) else value


if __name__ == "__main__":
    main()
