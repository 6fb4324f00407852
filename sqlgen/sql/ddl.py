"""A catalog from DDL text alone: CREATE TABLE and VIEW, keys, comments; no database is touched.

The text is cut into statements by sqlglot's tokens. Only those that shape tables are parsed, so a dump full
of functions, grants and inserts reads as well as a clean schema file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as SqlglotDialect
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.tokens import Token, TokenType  # type: ignore[attr-defined]

from sqlgen.errors import SchemaFileError
from sqlgen.types import Catalog, Column, ColumnKind, Dialect, ForeignKey, Table

__all__ = ["catalog_from_ddl", "views_of_ddl"]

MAX_DDL_CHARS = 20_000_000

_DEFAULT_SCHEMA = {"sqlite": "main", "duckdb": "main", "postgres": "public", "mysql": ""}
_OTHER_STATEMENTS = frozenset(
    str.split("""SELECT WITH INSERT UPDATE DELETE REPLACE MERGE DROP TRUNCATE GRANT REVOKE SET RESET USE BEGIN
    START COMMIT ROLLBACK END PRAGMA ANALYZE VACUUM REINDEX ATTACH DETACH LOCK UNLOCK COPY DO CALL EXPLAIN
    DESCRIBE SHOW LOAD INSTALL CHECKPOINT CLUSTER REFRESH SECURITY REASSIGN NOTIFY LISTEN DECLARE DELIMITER
    IMPORT EXPORT RENAME OPTIMIZE CREATE ALTER COMMENT SAVEPOINT RELEASE VALUES CHANGE FLUSH DISCARD ABORT
    PREPARE EXECUTE DEALLOCATE GO IF ELSE RETURN OPEN FETCH CLOSE LEAVE ITERATE REPEAT WHILE LOOP CASE SIGNAL
    WHEN""")
)
_TABLE_MODIFIERS = frozenset(
    str.split("""OR REPLACE TEMP TEMPORARY UNLOGGED GLOBAL LOCAL FOREIGN EXTERNAL TRANSIENT STRICT ALGORITHM
    UNDEFINED MERGE TEMPTABLE DEFINER SQL SECURITY INVOKER MATERIALIZED RECURSIVE FORCE""")
)
_COLUMN_CONSTRAINTS = frozenset(
    str.split("""CONSTRAINT PRIMARY NOT NULL UNIQUE CHECK DEFAULT COLLATE REFERENCES GENERATED AS COMMENT
    AUTO_INCREMENT ON CHARACTER CHARSET KEY INVISIBLE VISIBLE VIRTUAL STORED PERSISTENT STORAGE COMPRESSION
    USING AUTOINCREMENT""")
)
_TABLE_CONSTRAINTS = frozenset(
    str.split("CONSTRAINT PRIMARY FOREIGN UNIQUE CHECK KEY INDEX FULLTEXT SPATIAL EXCLUDE LIKE PERIOD")
)
_ROUTINES = frozenset(("TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE"))
_TOKEN_PLACE = re.compile(r"(\d+):(\d+)")
_COPY_BLOCK = re.compile(r"^COPY [^;]*FROM stdin[^;]*;\n.*?^\\\.$", re.IGNORECASE | re.DOTALL | re.MULTILINE)
_PSQL_COMMAND = re.compile(r"^\\.*$", re.MULTILINE)
_DELIMITER_BLOCK = re.compile(
    r"^[ \t]*DELIMITER[ \t]+(?!;[ \t]*$)\S+[ \t]*$.*?^[ \t]*DELIMITER[ \t]+;[ \t]*$",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)


@dataclass(slots=True)
class _Draft:
    """A table while statements about it come in. Names are as the engine would store them."""

    name: str
    schema: str | None
    is_view: bool = False
    comment: str = ""
    columns: list[Column] = field(default_factory=list)
    primary_key: list[str] = field(default_factory=list)
    foreign_keys: list[tuple[tuple[str, ...], str | None, str, tuple[str, ...]]] = field(default_factory=list)
    query: exp.Expr | None = None
    view_columns: list[str] = field(default_factory=list)
    token: Token | None = None


def catalog_from_ddl(text: str, dialect: Dialect) -> Catalog:
    """Read a schema file: tables, views, column types, keys and comments, and nothing else in it.

    Understood are CREATE TABLE (also AS SELECT and LIKE), CREATE VIEW, CREATE TYPE AS ENUM, ALTER TABLE that
    adds, drops or renames columns or adds keys, COMMENT ON, and inline COMMENT. Keys to tables that the text
    does not define are left out. There are no rows, so there are no extremes or estimates, and values only of
    enumerations.

    Raises ``SchemaFileError`` with line and column (from 1) where a statement does not parse, and
    without them when the text is no SQL or defines no table.

    >>> text = "CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE b (a_id INT REFERENCES a)"
    >>> catalog = catalog_from_ddl(text, "duckdb")
    >>> catalog.tables[1].foreign_keys[0]
    ForeignKey(columns=('a_id',), target='a', target_columns=('id',), inferred=False)
    >>> catalog_from_ddl("CREATE TABLE a (id INT; DROP x y))", "sqlite")
    Traceback (most recent call last):
    sqlgen.errors.SchemaFileError: line 1, column 16: this parenthesis is never closed
    """
    text = text.removeprefix("\ufeff")
    _refuse_no_text(text)
    try:
        return _Reading(text, dialect).catalog()
    except RecursionError:
        raise SchemaFileError(
            "the schema file is nested too deeply to be read; simplify its expressions"
        ) from None


def views_of_ddl(text: str, dialect: Dialect) -> dict[str, str]:
    """The query of every view that a schema file creates, by table key; of a file that ``catalog_from_ddl`` reads.

    >>> views_of_ddl("CREATE TABLE a (id INT); CREATE VIEW b AS SELECT id FROM a", "sqlite")
    {'b': 'SELECT id FROM a'}
    """
    reading = _Reading(text.removeprefix("\ufeff"), dialect)
    reading.catalog()
    return {
        Table(draft.name, (), draft.schema).key: draft.query.sql(dialect)
        for draft in reading.drafts.values()
        if draft.is_view and draft.query is not None
    }


def _refuse_no_text(text: str) -> None:
    if len(text) > MAX_DDL_CHARS:
        raise SchemaFileError(
            f"the schema file has more than {MAX_DDL_CHARS:,} characters; dump the schema without data"
        )
    head = text[:20_000]
    odd = sum(
        1
        for c in head
        if c == "\ufffd" or 0xDC80 <= ord(c) <= 0xDCFF or (ord(c) < 32 and c not in "\t\n\r\f\v")
    )
    if "\x00" in text or odd > 0.02 * len(head):
        raise SchemaFileError("the schema file is not text; give the SQL that creates the tables, in UTF-8")
    if not text.strip():
        raise SchemaFileError("the schema file is empty; give the SQL that creates the tables")


def _blank(match: re.Match[str]) -> str:
    return "\n" * match.group().count("\n")


class _Reading:
    """One pass over one text."""

    def __init__(self, text: str, dialect: Dialect) -> None:
        if dialect == "postgres":
            text = _PSQL_COMMAND.sub(_blank, _COPY_BLOCK.sub(_blank, text))
        elif dialect == "mysql":
            text = _DELIMITER_BLOCK.sub(_blank, text)
        elif dialect == "sqlite":
            text = re.sub(r"^\.\w+.*$", _blank, text, flags=re.MULTILINE)
        self.text = text
        self.dialect = dialect
        self.sqlglot = SqlglotDialect.get_or_raise(dialect)
        self.drafts: dict[tuple[str | None, str], _Draft] = {}
        self.own_types: dict[str, tuple[ColumnKind, tuple[str, ...]]] = {}
        self.type_words: dict[str, str] = {}

    def catalog(self) -> Catalog:
        for tokens in self._statements():
            self._read(tokens)
        if not self.drafts:
            raise SchemaFileError(
                f"the schema file defines no table; give CREATE TABLE statements of {self.dialect}"
            )
        for draft in self.drafts.values():
            if draft.query is not None:
                self._fill_from_query(draft)
        tables = tuple(self._table(draft) for draft in self.drafts.values() if draft.columns)
        if not tables:
            raise SchemaFileError("no table in the schema file has a column that could be read")
        fingerprint = hashlib.blake2b(
            repr(tables).encode("utf-8", "backslashreplace"), digest_size=16
        ).hexdigest()
        return Catalog(self.dialect, tables, f"ddl:{fingerprint}")

    # cutting into statements

    def _statements(self) -> Iterator[list[Token]]:
        try:
            tokens = self.sqlglot.tokenize(self.text)
        except TokenError as error:
            raise self._token_error(error) from None
        statement: list[Token] = []
        in_routine = False
        for token in [*tokens, None]:
            if token is not None and token.token_type != TokenType.SEMICOLON:
                statement.append(token)
                continue
            if statement and in_routine:
                in_routine = statement[-1].text.upper() != "END"
            elif statement:
                if _opens_routine(statement):
                    in_routine = True
                else:
                    yield statement
            statement = []

    def _token_error(self, error: TokenError) -> SchemaFileError:
        place = _TOKEN_PLACE.search(str(error))
        line, column = (int(place.group(1)), int(place.group(2))) if place else self._open_quote()
        if line is None:
            return SchemaFileError("the schema file cannot be read: a quote or comment is never closed")
        return SchemaFileError(
            f"line {line}, column {column}: a quote or comment that opens near here is never closed",
            line,
            column,
        )

    def _open_quote(self) -> tuple[int | None, int | None]:
        """Where the last quote opens that nothing closes; close enough for a person to find it."""
        position, opened = 0, None
        pattern = re.compile(
            r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|['\"`]|/\*", re.DOTALL
        )
        for match in pattern.finditer(self.text):
            if match.group() in ("'", '"', "`", "/*"):
                opened = match.start()
                break
        if opened is None:
            return None, None
        position = opened
        before = self.text[:position]
        return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1

    # one statement

    def _read(self, tokens: Sequence[Token]) -> None:
        first = next(iter(_words(tokens[:1])), "")
        if first == "CREATE":
            what, at = _created(tokens)
            if what == "TABLE":
                self._create_table(tokens, at)
            elif what == "VIEW":
                self._create_view(tokens)
            elif what in ("TYPE", "DOMAIN"):
                self._create_type(tokens, at)
        elif first == "ALTER":
            words = _words(tokens[1:3])
            if words[:1] == ["TABLE"] or words == ["FOREIGN", "TABLE"]:
                self._alter(tokens)
        elif first == "COMMENT":
            if len(tokens) > 2 and tokens[2].text.upper() in ("TABLE", "COLUMN", "VIEW", "MATERIALIZED"):
                self._comment(tokens)
        elif first not in _OTHER_STATEMENTS and not first.startswith("\\"):
            raise self._error(tokens[0], f"{_shown(tokens[0])} does not begin an SQL statement")

    def _parse(self, tokens: Sequence[Token]) -> exp.Expr:
        try:
            parsed = self.sqlglot.parser().parse(list(tokens), self.text)
        except ParseError as error:
            raise self._parse_error(error, tokens[0]) from None
        tree = parsed[0] if parsed else None
        if tree is None:
            raise self._error(tokens[0], "this statement cannot be read")
        return tree

    def _parse_error(self, error: ParseError, first: Token) -> SchemaFileError:
        found = error.errors[0] if error.errors else {}
        line, column = found.get("line"), found.get("col")
        what = re.sub(r"\s*but got <Token.*", "", str(found.get("description") or "syntax error")).rstrip(
            ". "
        )
        highlight = str(found.get("highlight") or "")
        if line is None or column is None:
            return self._error(first, what)
        column = max(1, int(column) - len(highlight) + 1)
        near = f" near {highlight[:40]!r}" if highlight else ""
        return SchemaFileError(f"line {line}, column {column}: {what}{near}", int(line), column)

    def _error(self, token: Token, what: str) -> SchemaFileError:
        line, column = _place(token)
        return SchemaFileError(f"line {line}, column {column}: {what}", line, column)

    def _create_table(self, tokens: Sequence[Token], at: int) -> None:
        opened = next((i for i in range(at, len(tokens)) if tokens[i].token_type == TokenType.L_PAREN), None)
        query_at = next(
            (
                i
                for i in range(at, len(tokens))
                if tokens[i].token_type == TokenType.ALIAS and (opened is None or i < opened)
            ),
            None,
        )
        if query_at is not None or opened is None or tokens[opened - 1].text.upper() == "FROM":
            tree = self._parse(tokens)
            comment = ""
        else:
            closed = self._closing(tokens, opened)
            rest = tokens[closed + 1 :]
            depth = sum(
                (t.token_type == TokenType.L_PAREN) - (t.token_type == TokenType.R_PAREN) for t in rest
            )
            if depth < 0:
                extra = next(t for t in rest if t.token_type == TokenType.R_PAREN)
                raise self._error(extra, "a parenthesis is closed that was never opened")
            # what follows the columns (engine, storage, WITHOUT ROWID, partitions) is not ours to understand
            tree = self._parse(self._with_plain_types(tokens, opened, closed))
            comment = _table_comment(rest)
        if not isinstance(tree, exp.Create):
            raise self._error(tokens[at], "this CREATE TABLE statement cannot be read")
        draft = self._draft(tree, tokens[0])
        if draft is None:
            return
        draft.comment = comment or draft.comment
        schema = tree.this
        if isinstance(schema, exp.Schema):
            for part in schema.expressions:
                self._table_part(draft, part)
        if isinstance(tree.expression, exp.Query) and not draft.columns:
            draft.query = tree.expression

    def _closing(self, tokens: Sequence[Token], opened: int) -> int:
        depth = 0
        for i in range(opened, len(tokens)):
            if tokens[i].token_type == TokenType.L_PAREN:
                depth += 1
            elif tokens[i].token_type == TokenType.R_PAREN:
                depth -= 1
                if depth == 0:
                    return i
        raise self._error(tokens[opened], "this parenthesis is never closed")

    def _create_view(self, tokens: Sequence[Token]) -> None:
        tree = self._parse(tokens)
        if not isinstance(tree, exp.Create):
            raise self._error(tokens[0], "this CREATE VIEW statement cannot be read")
        draft = self._draft(tree, tokens[0])
        if draft is None:
            return
        draft.is_view = True
        draft.query = tree.expression
        if isinstance(tree.this, exp.Schema):
            draft.view_columns = [self._name(part.find(exp.Identifier)) for part in tree.this.expressions]
        draft.comment = _comment_property(tree)

    def _draft(self, tree: exp.Create, token: Token) -> _Draft | None:
        """A draft under the new name; None for a second CREATE ... IF NOT EXISTS, and for a partition."""
        table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        if not isinstance(table, exp.Table) or not table.name:
            raise self._error(token, "this CREATE statement names no table")
        if tree.find(exp.PartitionedOfProperty):
            return None
        schema, name = self._table_name(table)
        key = (schema, self._fold(name))
        if key in self.drafts and tree.args.get("exists"):
            return None
        draft = _Draft(name, schema, token=token, comment=_comment_property(tree))
        self.drafts[key] = draft
        return draft

    def _table_part(self, draft: _Draft, part: exp.Expr) -> None:
        if isinstance(part, exp.ColumnDef):
            self._column(draft, part)
        elif isinstance(part, exp.Identifier | exp.Column):
            # SQLite: a column without a type
            draft.columns.append(self._untyped(self._name(part.find(exp.Identifier))))
        elif isinstance(part, exp.Constraint):
            for inner in part.expressions:
                self._table_part(draft, inner)
        elif isinstance(part, exp.LikeProperty):
            source = self._known(part.this)
            if source is not None:
                draft.columns.extend(replace(c, primary_key=False) for c in source.columns)
        elif isinstance(part, exp.PrimaryKey):
            draft.primary_key = [self._name(e.find(exp.Identifier)) for e in part.expressions]
        elif isinstance(part, exp.ForeignKey):
            columns = tuple(self._name(e.find(exp.Identifier)) for e in part.expressions)
            self._reference(draft, columns, part.args.get("reference"))

    def _with_plain_types(self, tokens: Sequence[Token], opened: int, closed: int) -> list[Token]:
        """Note every column's type words as written; in SQLite, which takes any words, put TEXT there."""
        self.type_words = {}
        kept = list(tokens[: opened + 1])
        at = opened + 1
        while at < closed:
            end, depth = at, 0
            while end < closed and not (depth == 0 and tokens[end].token_type == TokenType.COMMA):
                depth += (tokens[end].token_type == TokenType.L_PAREN) - (
                    tokens[end].token_type == TokenType.R_PAREN
                )
                end += 1
            part = tokens[at:end]
            stop, depth = 1, 0
            while stop < len(part):
                word = (
                    part[stop].text.upper().split(" ")[0] if part[stop].token_type != TokenType.STRING else ""
                )
                if (
                    depth == 0
                    and word in _COLUMN_CONSTRAINTS
                    and (word != "CHARACTER" or (self.dialect == "mysql" and stop > 1))
                ):
                    break
                depth += (part[stop].token_type == TokenType.L_PAREN) - (
                    part[stop].token_type == TokenType.R_PAREN
                )
                stop += 1
            is_column = bool(part) and (
                part[0].token_type == TokenType.IDENTIFIER
                or part[0].text.upper().split(" ")[0] not in _TABLE_CONSTRAINTS
            )
            if is_column and stop > 1:
                words = self.text[part[1].start : part[stop - 1].end + 1]
                self.type_words[part[0].text] = re.sub(r"\s+", " ", words)
                if self.dialect == "sqlite":
                    first = part[1]
                    plain = Token(TokenType.TEXT, "TEXT", first.line, first.col, first.start, first.end)
                    part = [part[0], plain, *part[stop:]]
            kept.extend(part)
            kept.extend(tokens[end : end + 1] if end < closed else [])
            at = end + 1
        kept.append(tokens[closed])
        return kept

    def _create_type(self, tokens: Sequence[Token], at: int) -> None:
        words = [t.text.upper() for t in tokens]
        if "AS" not in words[at:] or len(tokens) < at + 4:
            return
        after = words.index("AS", at)
        name = self._fold(tokens[after - 1].text)
        if words[after + 1] == "ENUM":
            labels = tuple(t.text for t in tokens[after + 2 :] if t.token_type == TokenType.STRING)
            self.own_types[name] = ("text", labels)
        elif words[at] == "DOMAIN":
            self.own_types[name] = (_kind(_data_type(words[after + 1], self.dialect), self.dialect), ())

    def _untyped(self, name: str) -> Column:
        return Column(name, "", "other")

    def _column(self, draft: _Draft, definition: exp.ColumnDef) -> None:
        name = self._name(definition.this)
        kind = definition.args.get("kind")
        words = self.type_words.get(definition.this.name, "" if kind is None else kind.sql(self.dialect))
        is_loose = self.dialect == "sqlite" and kind is not None
        column_kind = _sqlite_kind(words) if is_loose else _kind(kind, self.dialect)
        values = tuple(e.name for e in kind.expressions) if _is_enum(kind) and kind is not None else ()
        own = self.own_types.get(self._fold(words.rpartition(".")[2].strip('"')))
        if own is not None:
            column_kind, values = own
        comment, nullable, primary = "", True, False
        for constraint in definition.args.get("constraints") or ():
            inner = constraint.kind
            if isinstance(inner, exp.CommentColumnConstraint):
                comment = inner.this.name
            elif isinstance(inner, exp.NotNullColumnConstraint):
                nullable = bool(inner.args.get("allow_null"))
            elif isinstance(inner, exp.PrimaryKeyColumnConstraint):
                primary = True
                draft.primary_key.append(name)
            elif isinstance(inner, exp.Reference):
                self._reference(draft, (name,), inner)
        column = Column(name, words, column_kind, comment, nullable and not primary, primary, values)
        draft.columns = [c for c in draft.columns if self._fold(c.name) != self._fold(name)]
        draft.columns.append(column)

    def _reference(self, draft: _Draft, columns: tuple[str, ...], reference: exp.Expr | None) -> None:
        if not isinstance(reference, exp.Reference):
            return
        target = reference.this
        target_columns: tuple[str, ...] = ()
        if isinstance(target, exp.Schema):
            target_columns = tuple(self._name(e.find(exp.Identifier)) for e in target.expressions)
            target = target.this
        if isinstance(target, exp.Table):
            schema, name = self._table_name(target)
            if schema is None and not target.db and draft.schema is not None:
                schema = draft.schema if (draft.schema, self._fold(name)) in self.drafts else None
            draft.foreign_keys.append((columns, schema, name, target_columns))

    def _alter(self, tokens: Sequence[Token]) -> None:
        self.type_words = {}
        words = set(_words(tokens[2:]))
        if not words & {"ADD", "DROP", "RENAME"} or words & {"ATTACH", "OWNER", "TRIGGER", "SEQUENCE"}:
            return
        if not words & {"PRIMARY", "FOREIGN", "COLUMN", "REFERENCES"} and "CONSTRAINT" in words:
            return
        if "PRIMARY" in words and "USING" in words:
            return
        tree = self._parse(tokens)
        if not isinstance(tree, exp.Alter):
            return
        draft = self._known(tree.this)
        if draft is None:
            return
        for action in tree.args.get("actions") or ():
            if isinstance(action, exp.ColumnDef):
                self._column(draft, action)
            elif isinstance(action, exp.AddConstraint):
                for part in action.expressions:
                    self._table_part(draft, part)
            elif isinstance(action, exp.Drop) and str(action.args.get("kind") or "").upper() == "COLUMN":
                dropped = self._fold(self._name(action.find(exp.Identifier)))
                draft.columns = [c for c in draft.columns if self._fold(c.name) != dropped]
            elif isinstance(action, exp.RenameColumn):
                old = self._fold(self._name(action.this.find(exp.Identifier)))
                new = self._name(action.args["to"].find(exp.Identifier))
                draft.columns = [
                    replace(c, name=new) if self._fold(c.name) == old else c for c in draft.columns
                ]

    def _comment(self, tokens: Sequence[Token]) -> None:
        tree = self._parse(tokens)
        if not isinstance(tree, exp.Comment):
            return
        comment = tree.expression.name if isinstance(tree.expression, exp.Literal) else ""
        target = tree.this
        if str(tree.args.get("kind") or "").upper() == "COLUMN" and isinstance(target, exp.Column):
            table = exp.Table(this=target.args.get("table"), db=target.args.get("db"))
            draft = self._known(table)
            if draft is None:
                return
            name = self._fold(self._name(target.this))
            draft.columns = [
                replace(c, comment=comment) if self._fold(c.name) == name else c for c in draft.columns
            ]
        elif isinstance(target, exp.Table):
            draft = self._known(target)
            if draft is not None:
                draft.comment = comment

    # names

    def _name(self, identifier: exp.Expr | None) -> str:
        if not isinstance(identifier, exp.Identifier):
            return "" if identifier is None else identifier.name
        if self.dialect == "postgres" and not identifier.args.get("quoted"):
            return identifier.name.lower()
        return identifier.name

    def _fold(self, name: str) -> str:
        """PostgreSQL has folded already; MySQL folds columns but not tables: folding finds both."""
        return name if self.dialect == "postgres" else name.lower()

    def _table_name(self, table: exp.Table) -> tuple[str | None, str]:
        name = self._name(table.this)
        schema = self._name(table.args.get("db")) if table.args.get("db") else None
        return (None if schema in (None, "", _DEFAULT_SCHEMA[self.dialect]) else schema), name

    def _known(self, table: exp.Expr | None) -> _Draft | None:
        if isinstance(table, exp.Schema):
            table = table.this
        if not isinstance(table, exp.Table):
            return None
        schema, name = self._table_name(table)
        return self.drafts.get((schema, self._fold(name)))

    # finishing

    def _fill_from_query(self, draft: _Draft) -> None:
        """Name and type the columns of a view; a query that sqlglot cannot resolve gives its names alone."""
        query = draft.query
        if not isinstance(query, exp.Query):
            return
        # a nested mapping of one depth: schema, table, column -> type
        schema: dict[str, Any] = {}
        default = _DEFAULT_SCHEMA[self.dialect] or "default"
        for other in self.drafts.values():
            if other is not draft and other.columns:
                typed = {c.name: c.type or "TEXT" for c in other.columns}
                schema.setdefault(other.schema or default, {})[other.name] = typed
        try:
            tree = annotate_types(
                qualify(
                    query.copy(),
                    schema=schema,
                    db=default,
                    dialect=self.dialect,
                    validate_qualify_columns=False,
                    quote_identifiers=False,
                ),
                schema=schema,
                dialect=self.dialect,
            )
        except SqlglotError:
            tree = query
        selects = tree.selects if isinstance(tree, exp.Query) else []
        for number, projection in enumerate(selects):
            name = projection.alias_or_name
            if number < len(draft.view_columns):
                name = draft.view_columns[number]
            if not name or name == "*" or isinstance(projection, exp.Star):
                continue
            kind = projection.type
            is_known = isinstance(kind, exp.DataType) and kind.this not in (
                exp.DataType.Type.UNKNOWN,
                exp.DataType.Type.NULL,
            )
            words = kind.sql(None if self.dialect == "sqlite" else self.dialect) if is_known and kind else ""
            draft.columns.append(Column(name, words, _kind(kind if is_known else None, self.dialect)))
        if not draft.columns:
            draft.columns = [self._untyped(name) for name in draft.view_columns]

    def _table(self, draft: _Draft) -> Table:
        primary = {self._fold(name) for name in draft.primary_key}
        columns = tuple(
            replace(c, primary_key=True, nullable=False) if self._fold(c.name) in primary else c
            for c in draft.columns
        )
        own = {self._fold(c.name): c.name for c in columns}
        keys = []
        for source, schema, name, to in draft.foreign_keys:
            target = self.drafts.get((schema, self._fold(name)))
            if target is None:
                continue
            wanted = to or tuple(target.primary_key)
            theirs = {self._fold(c.name): c.name for c in target.columns}
            if len(wanted) != len(source) or not all(self._fold(c) in theirs for c in wanted):
                continue
            if not all(self._fold(c) in own for c in source):
                continue
            target_key = Table(target.name, (), schema=target.schema).key
            key = ForeignKey(
                tuple(own[self._fold(c)] for c in source),
                target_key,
                tuple(theirs[self._fold(c)] for c in wanted),
            )
            if key not in keys:
                keys.append(key)
        return Table(draft.name, columns, draft.schema, tuple(keys), draft.comment, draft.is_view)


def _words(tokens: Sequence[Token]) -> list[str]:
    """The words of tokens in upper case; sqlglot makes one token of PRIMARY KEY and the like."""
    return [w for t in tokens if t.token_type != TokenType.STRING for w in t.text.upper().split()]


def _place(token: Token) -> tuple[int, int]:
    """Line and column of a token's first character, from 1 (sqlglot counts columns at its end)."""
    return token.line, max(1, token.col - (token.end - token.start))


def _shown(token: Token) -> str:
    return repr(token.text if len(token.text) <= 40 else token.text[:40] + "…")


def _created(tokens: Sequence[Token]) -> tuple[str, int]:
    """What a CREATE statement makes (TABLE, VIEW or something else) and where that word stands."""
    for i, token in enumerate(tokens[1:30], 1):
        word = token.text.upper()
        if word in ("TABLE", "VIEW"):
            return word, i
        is_definer = token.token_type in (TokenType.EQ, TokenType.PARAMETER) or tokens[i - 1].token_type in (
            TokenType.EQ,
            TokenType.PARAMETER,
        )
        if (
            not is_definer
            and any(w not in _TABLE_MODIFIERS for w in word.split())
            and not word.startswith("@")
        ):
            return word, i
    return "", 0


def _opens_routine(tokens: Sequence[Token]) -> bool:
    """Whether a CREATE TRIGGER or the like goes on past its first semicolon."""
    if tokens[0].text.upper() != "CREATE":
        return False
    words = [t.text.upper() for t in tokens]
    return any(w in _ROUTINES for w in words[1:12]) and "BEGIN" in words and words[-1] != "END"


def _table_comment(tokens: Sequence[Token]) -> str:
    for i, token in enumerate(tokens):
        if token.text.upper() == "COMMENT":
            rest = tokens[i + 1 : i + 3]
            return next((t.text for t in rest if t.token_type == TokenType.STRING), "")
    return ""


def _comment_property(tree: exp.Create) -> str:
    found = tree.find(exp.SchemaCommentProperty)
    return found.this.name if found is not None else ""


def _is_enum(kind: exp.Expr | None) -> bool:
    return isinstance(kind, exp.DataType) and kind.this == exp.DataType.Type.ENUM


_TYPES = exp.DataType.Type
_NUMBERS = exp.DataType.NUMERIC_TYPES | {
    _TYPES.SERIAL,
    _TYPES.BIGSERIAL,
    _TYPES.SMALLSERIAL,
    _TYPES.MONEY,
    _TYPES.SMALLMONEY,
    _TYPES.YEAR,
}
_TEXTS = exp.DataType.TEXT_TYPES | {
    _TYPES.TINYTEXT,
    _TYPES.MEDIUMTEXT,
    _TYPES.LONGTEXT,
    _TYPES.ENUM,
    _TYPES.SET,
    _TYPES.UUID,
    _TYPES.NAME,
}
_DATES = exp.DataType.TEMPORAL_TYPES - {_TYPES.TIME, _TYPES.TIMETZ, _TYPES.TIME_NS}


def _kind(kind: exp.Expr | None, dialect: Dialect) -> ColumnKind:
    if not isinstance(kind, exp.DataType) or kind.this == _TYPES.ARRAY:
        return "other"
    name = kind.this
    words = kind.sql().upper()
    if name == _TYPES.BOOLEAN or (dialect == "mysql" and words in ("TINYINT(1)", "BIT(1)")):
        return "bool"
    if name in _NUMBERS:
        return "number"
    if name in _TEXTS or words.startswith(("CITEXT", "STRING")):
        return "text"
    if name in _DATES:
        return "date"
    return "other"


def _data_type(words: str, dialect: Dialect) -> exp.DataType | None:
    try:
        return exp.DataType.build(words, dialect=dialect, udt=True)
    except SqlglotError:
        return None


def _sqlite_kind(words: str) -> ColumnKind:
    """Known words first, then SQLite's affinity rules."""
    upper = words.upper()
    kind = _kind(_data_type(upper.split("(")[0], "sqlite"), "sqlite")
    if kind != "other" or not upper or "BLOB" in upper or upper.startswith(("TIME", "JSON")):
        return kind
    if "INT" in upper:
        return "number"
    return "text" if "CHAR" in upper or "CLOB" in upper or "TEXT" in upper else "number"
