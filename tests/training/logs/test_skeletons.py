"""What statements in a row have in common: literals and comments, in every way that servers write them."""

from __future__ import annotations

import pytest

from sqlgen.training.logs.redact import skeletons

_EITHER = (
    ("SELECT a1 FROM t2 WHERE b = 'it''s' AND c = ''", "SELECT a1 FROM t2 WHERE b = ? AND c = ?"),
    ("SELECT 1, 2.5, 3e-4, -7 FROM t", "SELECT ?, -? FROM t"),
    ("SELECT a FROM t WHERE b IN ('x', 'y,''z', 3)", "SELECT a FROM t WHERE b IN (?)"),
    ("SELECT a - b / c FROM t -- 'open", "SELECT a - b / c FROM t ?"),
    ("SELECT a /* 'open\n -- */ FROM t\n--\nWHERE b = 1", "SELECT a ? FROM t\n?\nWHERE b = ?"),
    ("SELECT col_1, 12ab FROM x1", "SELECT col_1, ?ab FROM x1"),
)
_POSTGRES = (
    (r"SELECT E'it\'s', e'\\', name'x' FROM t", "SELECT E?, e?, name? FROM t"),
    (
        'SELECT $$it\'s$$, $q$ $$ -- $q$, $1 FROM "a-1"',
        'SELECT ?, $? FROM "a-?"',
    ),
    (r"SELECT 'C:\', b FROM t", "SELECT ?, b FROM t"),
)
_MYSQL = (
    (r"""SELECT "it's", 'say \'1\'', "a ""b"" \" c" FROM `t-1`""", "SELECT ? FROM `t-?`"),
    ("SELECT $1 FROM t", "SELECT $? FROM t"),
)


@pytest.mark.parametrize(
    ("dialect", "pairs"), [("postgres", _EITHER + _POSTGRES), ("mysql", _EITHER + _MYSQL)]
)
def test_literals_and_comments_go_and_all_else_stays(
    dialect: str, pairs: tuple[tuple[str, str], ...]
) -> None:
    found = skeletons([said.encode() for said, _ in pairs], dialect)
    assert [shape.decode() for shape in found] == [shape for _, shape in pairs]
