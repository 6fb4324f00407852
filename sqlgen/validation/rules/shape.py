"""The kinds of things a query may be made of. What is not named here is refused."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.types import Dialect, Finding
from sqlgen.validation.draft import Draft

__all__ = ["shape"]

ROOTS = frozenset({"Select", "Union", "Except", "Intersect", "Values", "Subquery"})

KINDS = frozenset(
    # Queries and what they are made of.
    """Select Union Except Intersect Values Subquery With CTE From Join Where Group Having Qualify Order Ordered Limit
    Offset Fetch LimitOptions Distinct Star Alias Column Identifier Table TableAlias Lateral Unnest Window
    WindowSpec Cube Rollup GroupingSets Tuple Paren TableSample IndexTableHint TableColumn
    """
    # Literals and types.
    """Literal Null Boolean Interval Var DataType DataTypeParam HexString BitString National PseudoType CharacterSet
    IntervalSpan ColumnDef Dot Introducer
    """
    # Operators and predicates.
    """And Or Not Xor JSON EQ NEQ GT GTE LT LTE Is In Between Like ILike Glob Escape SimilarTo NullSafeEQ NullSafeNEQ RegexpLike
    RegexpILike RegexpFullMatch Exists Any All Add Sub Mul Div IntDiv Mod Pow Neg BitwiseAnd BitwiseOr BitwiseXor
    BitwiseNot BitwiseLeftShift BitwiseRightShift DPipe Collate AtTimeZone Bracket Slice Match MatchAgainst
    ArrayContainsAll ArrayContainedBy ArrayOverlaps JSONExtract JSONExtractScalar JSONBExtract JSONBExtractScalar
    JSONBContains JSONBContainsTopKey JSONBContainsAllTopKeys JSONBContainsAnyTopKeys JSONBContainedBy
    JSONBDeleteAtPath JSONPath JSONPathRoot JSONPathKey JSONPathSubscript JSONPathWildcard JSONPathSlice
    JSONPathRecursive JSONBPathExists StartsWith Overlaps Adjacent ExtendsLeft ExtendsRight Sqrt Cbrt Abs NotLike NotILike Distance
    """
    # Calls with a grammar of their own; every other call is Anonymous and goes by its name.
    """Anonymous AnonymousAggFunc Cast TryCast Case If Extract Trim Substring StrPosition Overlay GroupConcat
    CurrentDate CurrentTime CurrentTimestamp CurrentDatetime Localtime Localtimestamp Array Struct ToMap PropertyEQ
    Kwarg Lambda Comprehension IgnoreNulls RespectNulls Filter WithinGroup JSONTable JSONSchema JSONColumnDef OnCondition Convert
    CastToStrType Coalesce Max Min Map Concat Chr Soundex
    """.split()
)

# Words between SELECT and its list that change how a query runs and not what it reads. SQL_CALC_FOUND_ROWS is none:
# it leaves a count behind in the session.
_MODIFIERS = frozenset(
    """ALL STRAIGHT_JOIN HIGH_PRIORITY SQL_CACHE SQL_NO_CACHE SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT""".split()
)

# The clause in words, for what people try most.
_WORDS = {
    "Into": "SELECT INTO",
    "Lock": "a locking clause",
    "Command": "this statement",
    "Parameter": "a parameter or session variable",
    "SessionParameter": "a session variable",
    "Placeholder": "a placeholder",
    "Hint": "an optimizer hint",
    "Operator": "OPERATOR(...)",
    "CurrentUser": "CURRENT_USER",
    "SessionUser": "SESSION_USER",
    "CurrentCatalog": "CURRENT_CATALOG",
    "CurrentSchema": "CURRENT_SCHEMA",
    "CurrentRole": "CURRENT_ROLE",
    "Pivot": "PIVOT",
}


def shape(draft: Draft) -> Iterator[Finding]:
    """The root is a query, and every node is of a known kind."""
    statement = draft.statement
    pivot = draft.dialect == "duckdb" and statement.root == "Pivot"
    if statement.root not in ROOTS and not pivot:
        yield Finding(
            "not_a_query", f"{_words(statement.root)} is not a query; only SELECT, VALUES and WITH are"
        )
        return
    allowed = KINDS | _BY_DIALECT[draft.dialect]
    for kind, span in statement.kinds.items():
        if kind not in allowed:
            yield Finding("not_allowed", f"{_words(kind)} is not allowed in a query", span)
    for word in statement.modifiers():
        if word.upper() not in _MODIFIERS:
            yield Finding("not_allowed", f"{word} is not allowed in a query")


_BY_DIALECT: dict[Dialect, frozenset[str]] = {
    "sqlite": frozenset(),
    "duckdb": frozenset({"Pivot", "PivotAlias", "PositionalColumn", "UnpivotColumns"}),
    "postgres": frozenset(),
    "mysql": frozenset(),
}


def _words(kind: str) -> str:
    return _WORDS.get(kind, kind.upper() if kind in _STATEMENTS else f"`{kind}`")


_STATEMENTS = frozenset(
    """Insert Update Delete Merge Create Drop Alter Copy Set Use Show Describe Pragma Attach Detach Grant Revoke
    Transaction Commit Rollback Kill Cache Uncache Analyze Comment Install Summarize Export""".split()
)
