"""Text to tree and back, within bounds: the tokenizer's counts first, then a parser that cannot stall.

The parser reads every function call by its plain name and keeps it so: what is rendered calls what was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as SqlglotDialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError, TokenError
from sqlglot.tokens import Token, TokenType  # type: ignore[attr-defined]

from sqlgen.types import Dialect

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_TOKENS",
    "Call",
    "Scan",
    "Span",
    "Statement",
    "Unreadable",
    "is_dual",
    "limit_rows",
    "nodes",
    "parse",
    "render",
    "same_tree",
    "same_words",
    "scan",
    "span_of",
]

MAX_BYTES = 100_000
"""Longest text that is read at all, in bytes of UTF-8."""
MAX_TOKENS = 12_000
"""Most tokens of one statement: about five thousand values in one IN list."""
MAX_DEPTH = 40
"""Deepest nesting of brackets and CASE, and longest run of prefix operators."""
# What sqlglot raises on odd input, its own mistakes included.
_FAULTS = (SqlglotError, ValueError, TypeError, KeyError, AttributeError, IndexError, AssertionError)

Span = tuple[int, int]


class Unreadable(Exception):
    """Text that is no statement we can read: a stable ``rule``, a sentence, a span if known."""

    def __init__(self, rule: str, message: str, span: Span | None = None) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.span = span


class _Stalled(Exception):
    """The parser went back over the same tokens too often."""


@dataclass(frozen=True, slots=True)
class Scan:
    """The tokens of a text. ``explain`` is the canonical EXPLAIN prefix, or empty; ``start`` is where the query begins."""

    text: str
    dialect: Dialect
    tokens: tuple[Token, ...]
    explain: str = ""
    start: int = 0

    def comments(self) -> Iterator[tuple[str, Span]]:
        """Every comment without its marks, with the span of the token that it hangs on."""
        for token in self.tokens:
            for comment in token.comments:
                yield comment, (self.start + token.start, self.start + token.end + 1)

    def statements(self) -> int:
        """How many statements the text holds; a trailing semicolon starts none."""
        count, inside = 0, False
        for token in self.tokens:
            if token.token_type is TokenType.SEMICOLON:
                inside = False
            elif not inside:
                count, inside = count + 1, True
        return count

    def second(self) -> Span | None:
        """Where the second statement begins."""
        ended = False
        for token in self.tokens:
            if token.token_type is TokenType.SEMICOLON:
                ended = True
            elif ended:
                return self.start + token.start, self.start + token.end + 1
        return None


@dataclass(frozen=True, slots=True)
class Call:
    """One function call as written: lower-case ``name``, ``qualifier`` if any, and whether it is read like a table."""

    name: str
    qualifier: str
    is_source: bool
    node: exp.Expr
    span: Span | None


_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END}
_PREFIX = {TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE}

_PG_OPTION = (
    r"(?:(?:VERBOSE|COSTS|SETTINGS|BUFFERS|SUMMARY|GENERIC_PLAN|MEMORY)(?:\s+(?:TRUE|FALSE|ON|OFF|0|1))?"
    r"|FORMAT\s+(?:TEXT|JSON|XML|YAML))"
)
# What may stand between EXPLAIN and the query. ANALYZE, which runs the query, stands in none.
_EXPLAIN: dict[Dialect, re.Pattern[str]] = {
    "sqlite": re.compile(r"EXPLAIN(?:\s+QUERY\s+PLAN)?", re.I),
    "duckdb": re.compile(r"EXPLAIN(?:\s*\(\s*FORMAT\s+(?:TEXT|JSON)\s*\))?", re.I),
    "postgres": re.compile(
        rf"EXPLAIN(?:\s*\(\s*{_PG_OPTION}(?:\s*,\s*{_PG_OPTION})*\s*\)|\s+VERBOSE)?", re.I
    ),
    "mysql": re.compile(
        r"EXPLAIN(?:\s+(?:EXTENDED|PARTITIONS)|\s+FORMAT\s*=\s*(?:JSON|TRADITIONAL|TREE))?", re.I
    ),
}


def scan(text: str, dialect: Dialect) -> Scan:
    """Tokenize ``text``; raises Unreadable for what no statement may be: too long, too deep, not tokens at all.

    >>> scan("SELECT 1; -- done", "sqlite").statements()
    1
    """
    if not text.strip():
        raise Unreadable("empty", "there is no statement")
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise Unreadable("too_long", f"the statement is longer than {MAX_BYTES:,} bytes")
    for bad in re.finditer("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]", text):
        name = "a NUL byte" if bad.group() == "\0" else f"the control character {bad.group()!a}"
        raise Unreadable("control_character", f"{name} stands in the statement", bad.span())
    lead = _EXPLAIN[dialect].match(text.lstrip())
    if lead is not None:
        start = len(text) - len(text.lstrip()) + lead.end()
        if re.match(r"\s+\w|\s*\(", text[start:]):
            inner = _tokens(text[start:], dialect)
            prefix = " ".join(lead.group().upper().split())
            return Scan(text, dialect, inner, explain=prefix, start=start)
    return Scan(text, dialect, _tokens(text, dialect))


def _tokens(text: str, dialect: Dialect) -> tuple[Token, ...]:
    try:
        tokens = _reader(dialect).tokenize(text)
    except (TokenError, SqlglotError) as error:
        raise Unreadable("syntax", f"not readable as {dialect}: {_first_line(error)}") from None
    if not tokens:
        raise Unreadable("empty", "there is no statement, only comments")
    if len(tokens) > MAX_TOKENS:
        raise Unreadable("too_long", f"the statement has more than {MAX_TOKENS:,} words and signs")
    depth = run = 0
    for index, token in enumerate(tokens):
        kind = token.token_type
        span = (token.start, token.end + 1)
        run = run + 1 if kind in _PREFIX else 0
        if kind in _OPENING:
            depth += 1
        elif kind in _CLOSING:
            depth = max(0, depth - 1)
        if depth > MAX_DEPTH or run > MAX_DEPTH:
            raise Unreadable("too_deep", f"the statement nests deeper than {MAX_DEPTH} levels", span)
        if dialect in ("postgres", "duckdb"):
            _refuse_unicode_escape(tokens, index)
        if kind is TokenType.NUMBER and index + 1 < len(tokens):
            following = tokens[index + 1]
            if following.start == token.end + 1 and following.token_type is TokenType.VAR:
                raise Unreadable("syntax", f"the number {token.text} runs into the word behind it", span)
    return tuple(tokens)


def _refuse_unicode_escape(tokens: list[Token], index: int) -> None:
    token = tokens[index]
    escaped = token.token_type is TokenType.UNICODE_STRING
    if not escaped and token.text in ("u", "U") and index + 2 < len(tokens):
        sign, quoted = tokens[index + 1], tokens[index + 2]
        escaped = (
            sign.token_type is TokenType.AMP
            and quoted.token_type in (TokenType.IDENTIFIER, TokenType.STRING)
            and token.end + 1 == sign.start
            and sign.end + 1 == quoted.start
        )
    if escaped:
        raise Unreadable(
            "unicode_escape",
            "U& escapes hide what a name is; write the name itself",
            (token.start, token.end + 1),
        )


class Statement:
    """One parsed statement. The tree stays inside this package; rules see kinds, calls and names."""

    __slots__ = ("_calls", "_kinds", "_parts", "_types", "dialect", "tree")

    def __init__(self, tree: exp.Expr, dialect: Dialect) -> None:
        self.tree = tree
        self.dialect: Dialect = dialect
        self._kinds: dict[str, Span | None] | None = None
        self._calls: list[Call] = []
        self._types: list[exp.DataType] = []
        self._parts: list[exp.Expr] = []

    @property
    def root(self) -> str:
        """The kind of the outermost node, such as ``Select``."""
        return type(self.tree).__name__

    @property
    def kinds(self) -> dict[str, Span | None]:
        """Every kind of node in the tree, with the place of its first one where known."""
        if self._kinds is None:
            self._read()
        return self._kinds or {}

    @property
    def calls(self) -> list[Call]:
        """Every call of a function that goes by its name."""
        if self._kinds is None:
            self._read()
        return self._calls

    def copied(self) -> Statement:
        """A statement of its own with an equal tree: what changes one leaves the other alone."""
        return Statement(_copy(self.tree), self.dialect)

    @property
    def parts(self) -> list[exp.Expr]:
        """Every node as it was when it was first asked for."""
        if self._kinds is None:
            self._read()
        return self._parts

    def _read(self) -> None:
        kinds: dict[str, Span | None] = {}
        self._parts = list(nodes(self.tree))
        for node in self._parts:
            name = type(node).__name__
            if kinds.get(name) is None:
                kinds[name] = span_of(node)
            if isinstance(node, (exp.Anonymous, exp.AnonymousAggFunc)):
                self._calls.append(_call(node))
            elif isinstance(node, exp.DataType):
                self._types.append(node)
        self._kinds = kinds

    def data_types(self) -> Iterator[tuple[str, str, list[int]]]:
        """The types that are cast to: (kind, text, sizes), for example ("VARCHAR", "VARCHAR(10)", [10])."""
        if self._kinds is None:
            self._read()
        for node in self._types:
            sizes: list[int] = []
            for part in node.find_all(exp.DataTypeParam):
                plain = part.name.isdigit() and len(part.name) < 19
                sizes.append(int(part.name) if plain else 2**63)
            for value in node.args.get("values") or []:
                if isinstance(value, exp.Literal) and value.name.isdigit():
                    sizes.append(int(value.name))
            kind = node.this.name if isinstance(node.this, exp.DType) else type(node.this).__name__
            plain = kind != "USERDEFINED" and not node.expressions and not node.args.get("values")
            yield kind, kind if plain else node.sql(dialect=self.dialect), sizes

    def modifiers(self) -> list[str]:
        """Words between SELECT and its list, such as SQL_CALC_FOUND_ROWS."""
        words: list[str] = []
        for node in self.parts:
            if not isinstance(node, exp.Select):
                continue
            words += [str(m) for m in node.args.get("operation_modifiers") or []]
            if node.args.get("kind"):
                words.append(str(node.args["kind"]))
        return words


def nodes(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Every node under ``tree``, itself first, without recursion."""
    stack: list[exp.Expr] = [tree]
    push, expression = stack.append, exp.Expr
    while stack:
        node = stack.pop()
        yield node
        for value in node.args.values():
            if value is None or value is False or value is True or value.__class__ is str:
                continue
            if isinstance(value, expression):
                push(value)
            elif value.__class__ is list:
                for item in value:
                    if isinstance(item, expression):
                        push(item)


def _copy(tree: exp.Expr) -> exp.Expr:
    """An equal tree, without comments; sqlglot's own copy takes several times as long."""
    root = tree.__class__()
    stack = [(tree, root)]
    push, expression = stack.append, exp.Expr
    while stack:
        node, twin = stack.pop()
        if node._meta is not None:
            twin._meta = node._meta.copy()
        arguments = twin.args
        for key, value in node.args.items():
            if isinstance(value, expression):
                part = value.__class__()
                part.parent, part.arg_key = twin, key
                arguments[key] = part
                push((value, part))
            elif value.__class__ is list:
                parts: list[Any] = []
                for index, item in enumerate(value):
                    if isinstance(item, expression):
                        part = item.__class__()
                        part.parent, part.arg_key, part.index = twin, key, index
                        parts.append(part)
                        push((item, part))
                    else:
                        parts.append(item)
                arguments[key] = parts
            else:
                arguments[key] = value
    return root


def span_of(node: exp.Expr) -> Span | None:
    """Where in the text a node stands, if one of its names knows."""
    for _ in range(4):
        start, end = node.meta.get("start"), node.meta.get("end")
        if start is not None and end is not None:
            return start, end + 1
        inner = node.this
        if not isinstance(inner, exp.Expr):
            return None
        node = inner
    return None


def _call(node: exp.Expr) -> Call:
    named = node.this
    name = named.name if isinstance(named, exp.Expr) else str(named)
    quoted = isinstance(named, exp.Identifier) and named.quoted
    parent, qualifier, is_source = node.parent, "", False
    if isinstance(parent, exp.Dot) and parent.expression is node:
        left = parent.this
        if isinstance(left, exp.Identifier):
            qualifier = left.name.lower() if not left.quoted else left.name
        elif isinstance(left, exp.Dot) and all(isinstance(p, exp.Identifier) for p in left.flatten()):
            qualifier = left.sql()
        parent = parent.parent
    if isinstance(parent, (exp.Table, exp.Lateral)) and parent.this is not None:
        is_source = True
        if parent.args.get("db") is not None:
            # sqlglot puts '' where a name has an empty part.
            parts = [p for p in (parent.args.get("catalog"), parent.args["db"]) if p is not None]
            qualifier = ".".join(p.name if isinstance(p, exp.Expr) else str(p) for p in parts) or "."
    return Call(name if quoted else name.lower(), qualifier, is_source, node, span_of(node))


def parse(scanned: Scan) -> Statement:
    """The tree of the scanned statement; raises Unreadable where there is none."""
    tokens = [t for t in scanned.tokens if t.token_type is not TokenType.SEMICOLON]
    text = scanned.text[scanned.start :]
    parser = _parser_class(scanned.dialect)(
        dialect=_reader(scanned.dialect), error_level=ErrorLevel.IMMEDIATE
    )
    parser.spare = 20 * len(tokens) + 20_000
    try:
        trees = parser.parse(tokens, text)
    except _Stalled:
        raise Unreadable("too_deep", "the statement nests in a way that takes too long to read") from None
    except ParseError as error:
        raise Unreadable(
            "syntax", f"not readable as {scanned.dialect}: {_first_line(error)}", _error_span(error, scanned)
        ) from None
    except _FAULTS as error:
        # No tree, so no statement.
        raise Unreadable("syntax", f"not readable as {scanned.dialect}: {_first_line(error)}") from None
    if len(trees) != 1 or trees[0] is None:
        raise Unreadable("syntax", "not readable as one statement")
    return Statement(_plain_strings(trees[0], scanned), scanned.dialect)


def _error_span(error: ParseError, scanned: Scan) -> Span | None:
    if not error.errors:
        return None
    at = error.errors[0]
    line, column, marked = at.get("line"), at.get("col"), at.get("highlight")
    if not isinstance(line, int) or not isinstance(column, int):
        return None
    lines = scanned.text[scanned.start :].splitlines(keepends=True)
    end = scanned.start + sum(len(row) for row in lines[: line - 1]) + column
    return max(0, end - len(marked or " ")), end


def _first_line(error: Exception) -> str:
    text = re.sub("\x1b\\[[0-9;]*m", "", str(error)).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:200].rstrip(". ")


_UNUSUAL = {TokenType.RAW_STRING, TokenType.HEREDOC_STRING}
_SIMPLE_ESCAPES = {"\\": "\\", "'": "'", "n": "\n", "t": "\t", "r": "\r", '"': '"'}


def _plain_strings(tree: exp.Expr, scanned: Scan) -> exp.Expr:
    """Write E'..' and $$..$$ as ordinary literals, so that no later reading can differ."""
    escaped = [t for t in scanned.tokens if t.token_type is TokenType.BYTE_STRING]
    if not escaped and not any(t.token_type in _UNUSUAL for t in scanned.tokens):
        return tree
    values: dict[str, set[str]] = {}
    for token in escaped:
        raw = scanned.text[scanned.start + token.start : scanned.start + token.end + 1]
        body = raw[raw.index("'") + 1 : -1].replace("''", "'")
        parts = re.split(r"\\(.)", body, flags=re.S)
        if any(c not in _SIMPLE_ESCAPES for c in parts[1::2]):
            raise Unreadable(
                "escape_string", "this escape in E'...' is not supported; write the character itself"
            )
        value = "".join(_SIMPLE_ESCAPES[p] if i % 2 else p for i, p in enumerate(parts))
        values.setdefault(token.text, set()).add(value)
    for node in list(nodes(tree)):
        if isinstance(node, exp.ByteString) and scanned.dialect in ("postgres", "duckdb"):
            found = values.get(node.name, set())
            if len(found) != 1:
                raise Unreadable(
                    "escape_string", "this E'...' literal is not supported; write an ordinary one"
                )
            node.replace(exp.Literal.string(next(iter(found))))
        elif isinstance(node, exp.RawString):
            node.replace(exp.Literal.string(node.name))
    return tree


def render(statement: Statement) -> str:
    """Canonical SQL of the tree in its dialect, without comments.

    >>> render(parse(scan("select a  from t -- x", "sqlite")))
    'SELECT a FROM t'
    """
    try:
        text = _writer_class(statement.dialect)(
            dialect=_reader(statement.dialect),
            comments=False,
            normalize_functions=False,
            unsupported_level=ErrorLevel.IMMEDIATE,
        ).generate(_copy(statement.tree), copy=False)
    except _FAULTS as error:
        raise Unreadable(
            "not_rendered", f"cannot be written back as {statement.dialect}: {_first_line(error)}"
        ) from None
    return str(text)


def limit_rows(statement: Statement, rows: int) -> None:
    """Give the outermost query LIMIT ``rows`` unless it has a smaller one.

    >>> s = parse(scan("SELECT 1 UNION SELECT 2 ORDER BY 1", "sqlite")); limit_rows(s, 11); render(s)
    'SELECT 1 UNION SELECT 2 ORDER BY 1 LIMIT 11'
    """
    query = statement.tree
    if isinstance(query, exp.Subquery) and statement.dialect == "sqlite":
        return
    if not isinstance(query, (exp.Select, exp.SetOperation, exp.Subquery)):
        return
    limit = query.args.get("limit")
    if limit is None:
        query.set("limit", exp.Limit(expression=exp.Literal.number(rows)))
    elif isinstance(limit, exp.Limit):
        count = limit.expression
        # Any other expression is left alone: the driver stops reading at the same row.
        number = count.name if isinstance(count, exp.Literal) and not count.is_string else ""
        if number.isdigit() and (len(number) > 15 or int(number) > rows):
            limit.set("expression", exp.Literal.number(rows))


class SqlgenDuckDB(DuckDB):
    """DuckDB with the literals and the quotes that sqlglot's reading of it lacks."""

    class Tokenizer(DuckDB.Tokenizer):
        """Bytes as x'41', numbers as 0x1f, names in backquotes."""

        HEX_STRINGS: ClassVar[list[str | tuple[str, str]]] = [
            ("x'", "'"), ("X'", "'"), ("0x", ""), ("0X", ""),
        ]  # fmt: skip
        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ['"', "`"]


@cache
def _reader(dialect: Dialect) -> SqlglotDialect:
    reader: SqlglotDialect = SqlgenDuckDB() if dialect == "duckdb" else SqlglotDialect.get_or_raise(dialect)
    # 1_000 is a number to these engines' newer versions and an error to the older ones; in MySQL it is a name.
    reader.NUMBERS_CAN_BE_UNDERSCORE_SEPARATED = dialect != "mysql"
    return reader


_UTC = ("UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP")
# Calls with a grammar of their own; all others are plain names with arguments.
_GRAMMAR = {
    "CAST",
    "CHAR",
    "TRY_CAST",
    "CONVERT",
    "EXTRACT",
    "TRIM",
    "SUBSTRING",
    "POSITION",
    "OVERLAY",
    "GROUP_CONCAT",
    "STRING_AGG",
    "JSON_TABLE",
    "MATCH",
}


@cache
def _parser_class(dialect: Dialect) -> Any:
    base = _reader(dialect).parser_class
    grammar = _GRAMMAR if dialect == "mysql" else _GRAMMAR - {"CHAR", "MATCH", "CONVERT", "JSON_TABLE"}

    class BoundedParser(base):  # type: ignore[misc, valid-type]
        """Plain names for calls, and an end to backtracking."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: build for name, build in base.FUNCTION_PARSERS.items() if name in grammar
        }
        # A comma stays one: SQLite reorders a, b for speed but never a CROSS JOIN b.
        JOINS_HAVE_EQUAL_PRECEDENCE: ClassVar[bool] = False
        # JOIN without a condition binds tighter than a comma, so it must not become one.
        ADD_JOIN_ON_TRUE: ClassVar[bool] = dialect in ("sqlite", "mysql")
        # VALUES is a query here, not the function of INSERT ... ON DUPLICATE KEY UPDATE.
        FUNC_TOKENS: ClassVar[set[TokenType]] = base.FUNC_TOKENS - {TokenType.VALUES}
        PRIMARY_PARSERS: ClassVar[dict[TokenType, Any]] = {
            **base.PRIMARY_PARSERS,
            TokenType.HEX_STRING: lambda self, token: self._parse_digits(exp.HexString, "0x", token),
            TokenType.BIT_STRING: lambda self, token: self._parse_digits(exp.BitString, "0b", token),
        }
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            **base.NO_PAREN_FUNCTION_PARSERS,
            **({"@": lambda self: exp.Abs(this=self._parse_bitwise())} if dialect == "postgres" else {}),
            **(dict.fromkeys(_UTC, lambda self: self._parse_utc()) if dialect == "mysql" else {}),
        }
        spare = 20_000

        def _parse_types(self, *args: Any, **options: Any) -> exp.Expr | None:
            """In SQLite the words of a type decide what a cast does, whatever type they name elsewhere."""
            start = self._index
            kind: exp.Expr | None = super()._parse_types(*args, **options)
            if dialect == "sqlite" and isinstance(kind, exp.DataType):
                words = " ".join(token.text for token in self._tokens[start : self._index])
                kind.meta["written"] = re.sub(r" ?([(),]) ?", r"\1", words).replace(",", ", ")
            return kind

        def _parse_function_call(self, *args: Any, **options: Any) -> exp.Expr | None:
            """EXISTS of VALUES, of TABLE or of a query in further brackets is no function either."""
            call: exp.Expr | None = super()._parse_function_call(*args, **options)
            if (
                isinstance(call, exp.Anonymous)
                and call.name.upper() == "EXISTS"
                and len(call.expressions) == 1
            ):
                query = call.expressions[0]
                if isinstance(query, (exp.Query, exp.Values)):
                    return exp.Exists(this=query.unnest() if isinstance(query, exp.Subquery) else query)
            return call

        def _parse_utc(self) -> exp.Expr:
            """UTC_TIMESTAMP and its like stand with or without brackets."""
            call = exp.Anonymous(this=self._prev.text)
            if self._match(TokenType.L_PAREN):
                call.set("expressions", self._parse_csv(self._parse_bitwise))
                self._match_r_paren()
            return call

        def _parse_digits(self, kind: type[exp.Expr], prefix: str, token: Token) -> exp.Expr:
            """Hexadecimal or binary digits; ``0x1f`` is a number where ``x'1f'`` is bytes, so the mark is kept."""
            digits: exp.Expr = self.expression(kind(this=token.text))
            digits.set("is_integer", self.sql[token.start : token.start + 2].lower() == prefix)
            return digits

        def _parse_interval(
            self, require_interval: bool = True, parse_function_unit: bool = True
        ) -> exp.Expr | None:
            """INTERVAL as it stands: a term behind it is no second interval, as sqlglot would have it."""
            index = self._index
            if not self._match(TokenType.INTERVAL) and require_interval:
                return None
            is_text = self._match(TokenType.STRING, advance=False)
            amount = self._parse_primary() if is_text else self._parse_term()
            if dialect == "mysql" and isinstance(amount, exp.Tuple):
                return exp.Anonymous(this="INTERVAL", expressions=amount.expressions)
            bare = isinstance(amount, exp.Column) and not amount.table and not amount.this.quoted
            if amount is None or (
                bare and self._curr and self._curr.text.upper() not in self.dialect.VALID_INTERVAL_UNITS
            ):
                self._retreat(index)
                return None
            interval: exp.Expr = self._parse_interval_span(amount, parse_function_unit=parse_function_unit)
            return interval

        def _parse_json_column_def(self) -> exp.Expr:
            """A column of JSON_TABLE, with EXISTS and what happens ON EMPTY and ON ERROR."""
            if self._match_text_seq("NESTED"):
                self._match_text_seq("PATH")
                return exp.JSONColumnDef(path=self._parse_string(), nested_schema=self._parse_json_schema())
            column = exp.JSONColumnDef(this=self._parse_id_var())
            if self._match_pair(TokenType.FOR, TokenType.ORDINALITY):
                column.set("ordinality", True)
                return column
            column.set("kind", self._parse_types(allow_identifiers=False))
            column.set("exists", bool(self._match(TokenType.EXISTS)))
            if self._match_text_seq("PATH"):
                column.set("path", self._parse_string())
                column.set("on_condition", self._parse_on_condition())
            return column

        def _parse_simplified_pivot(self, is_unpivot: bool | None = None) -> exp.Expr:
            """PIVOT and UNPIVOT may be ordered and cut: then they are read like a table."""
            pivot: exp.Expr = super()._parse_simplified_pivot(is_unpivot)
            if not self._match_set((TokenType.ORDER_BY, TokenType.LIMIT, TokenType.OFFSET), advance=False):
                return pivot
            query = exp.Select(expressions=[exp.Star()], from_=exp.From(this=exp.Subquery(this=pivot)))
            ordered: exp.Expr = self._parse_query_modifiers(query)
            return ordered

        def _warn_unsupported(self) -> None:
            """What falls back to a Command is refused with a finding; nothing is logged."""

        def _retreat(self, index: int) -> None:
            if index < self._index:
                self.spare -= self._index - index
                if self.spare < 0:
                    raise _Stalled
            super()._retreat(index)

    return BoundedParser


@cache
def _writer_class(dialect: Dialect) -> Any:
    plain = _reader(dialect).generator_class

    class base(plain):  # type: ignore[misc, valid-type]
        """Negations as people write them: NOT IN, NOT BETWEEN, NOT LIKE, IS NOT NULL, !=."""

        def not_sql(self, expression: exp.Not) -> str:
            inner = expression.this
            if isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Null):
                return f"{self.sql(inner, 'this')} IS NOT NULL"
            if isinstance(inner, exp.In | exp.Between | exp.Like | exp.ILike):
                left, text = self.sql(inner, "this"), self.sql(inner)
                if text.startswith(f"{left} "):
                    return f"{left} NOT {text[len(left) + 1 :]}"
            return str(super().not_sql(expression))

        def neq_sql(self, expression: exp.NEQ) -> str:
            return str(self.binary(expression, "!="))

        def any_sql(self, expression: exp.Any) -> str:
            inner = self.sql(expression, "this")
            return f"ANY {self.wrap(inner) if isinstance(expression.this, exp.UNWRAPPED_QUERIES) else inner}"

        def ignorenulls_sql(self, expression: exp.IgnoreNulls) -> str:
            return f"{self.sql(expression, 'this')} IGNORE NULLS"

        def respectnulls_sql(self, expression: exp.RespectNulls) -> str:
            return f"{self.sql(expression, 'this')} RESPECT NULLS"

        def currenttime_sql(self, expression: exp.CurrentTime) -> str:
            return f"CURRENT_TIME({self.sql(expression, 'this')})" if expression.this else "CURRENT_TIME"

        def hexstring_sql(self, expression: exp.HexString, binary_function_repr: str | None = None) -> str:
            return f"0x{expression.name}" if expression.args.get("is_integer") else f"x'{expression.name}'"

        def bitstring_sql(self, expression: exp.BitString) -> str:
            return f"0b{expression.name}" if expression.args.get("is_integer") else f"b'{expression.name}'"

    if dialect == "duckdb":

        class DuckDBWriter(base):
            """WITHIN GROUP as it was written: DuckDB reads it."""

            def withingroup_sql(self, expression: exp.WithinGroup) -> str:
                return f"{self.sql(expression, 'this')} WITHIN GROUP ({self.sql(expression, 'expression').strip()})"

        return DuckDBWriter
    if dialect == "sqlite":

        class SQLiteWriter(base):
            """Casts and types as they were written."""

            def cast_sql(self, expression: exp.Cast, safe_prefix: str | None = None) -> str:
                return f"CAST({self.sql(expression, 'this')} AS {self.sql(expression, 'to')})"

            def datatype_sql(self, expression: exp.DataType) -> str:
                written = expression.meta.get("written")
                return written if isinstance(written, str) else str(super().datatype_sql(expression))

        return SQLiteWriter
    if dialect != "mysql":
        return base

    class ServerWriter(base):
        """What MariaDB and MySQL both read: no REGEXP_LIKE, no JSON arrows."""

        TRANSFORMS: ClassVar[dict[type[exp.Expr], Any]] = {
            **base.TRANSFORMS,
            exp.RegexpLike: lambda self, e: self.binary(e, "REGEXP"),
            exp.JSONExtract: lambda self, e: self.func("JSON_EXTRACT", e.this, e.expression),
            exp.JSONExtractScalar: lambda self, e: (
                f"JSON_UNQUOTE({self.func('JSON_EXTRACT', e.this, e.expression)})"
            ),
        }

        def table_sql(self, expression: exp.Table, sep: str = " AS ") -> str:
            if is_dual(expression):
                return "DUAL"
            return str(super().table_sql(expression, sep))

        def jsoncolumndef_sql(self, expression: exp.JSONColumnDef) -> str:
            path = self.sql(expression, "path")
            if expression.args.get("nested_schema"):
                return f"NESTED PATH {path} {self.sql(expression, 'nested_schema')}"
            if expression.args.get("ordinality"):
                return f"{self.sql(expression, 'this')} FOR ORDINALITY"
            exists = "EXISTS " if expression.args.get("exists") else ""
            written = f"{self.sql(expression, 'this')} {self.sql(expression, 'kind')} {exists}PATH {path}"
            return f"{written} {self.sql(expression, 'on_condition')}".rstrip()

    return ServerWriter


def is_dual(table: exp.Table) -> bool:
    """True for MySQL's DUAL, the table of one row and no columns."""
    name = table.this
    return (
        isinstance(name, exp.Identifier)
        and not name.quoted
        and name.name.lower() == "dual"
        and table.args.get("db") is None
        and table.args.get("alias") is None
    )


def same_words(scanned: Scan, text: str) -> bool:
    """True if ``text`` is the scanned statement word for word, but for AS and a LIMIT at its end.

    AS stands in ``text`` where the parser saw an alias, so it can only make another reader see the same.

    >>> same_words(scan("SELECT a b FROM t WHERE a <> 1", "sqlite"), "SELECT a AS b FROM t WHERE a != 1 LIMIT 5")
    True
    """
    old, new = _words(scanned.tokens), _words(_tokens(text, scanned.dialect))
    if len(new) == len(old) + 2 and new[-2][0] is TokenType.LIMIT and new[-1][0] is TokenType.NUMBER:
        new = new[:-2]
    return old == new


def _words(tokens: tuple[Token, ...]) -> list[tuple[TokenType, str]]:
    return [
        (kind, token.text if kind in _EXACT else "" if kind is TokenType.NEQ else token.text.lower())
        for token in tokens
        if (kind := token.token_type) is not TokenType.ALIAS and kind is not TokenType.SEMICOLON
    ]


_EXACT = {TokenType.STRING, TokenType.IDENTIFIER, TokenType.NATIONAL_STRING}


def same_tree(statement: Statement, other: Statement) -> bool:
    """True if both texts read as the same tree."""
    return bool(statement.tree == other.tree)
