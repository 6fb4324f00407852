"""How large a value a call could build, as far as its literals tell.

Columns count as values of ordinary size, so that ``repeat('*', rating)`` passes and ``repeat('x', 1e9)`` does not; a
column of a query that builds large values itself counts as the largest of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

from sqlglot import exp

from sqlgen.sql.functions import load_functions
from sqlgen.sql.parse import Span, Statement, nodes, span_of
from sqlgen.types import Dialect

__all__ = ["JOINING", "MAX_ROWS_OF_SERIES", "MAX_SIZE", "Sizes", "is_collecting", "oversized"]

MAX_SIZE = 1_000_000
"""Most characters or elements that one call may build."""
MAX_ROWS_OF_SERIES = 1_000_000
"""Most rows that a counting function may return."""

_COLUMN = 1_000.0
_TEXT = 1_000.0
_TOO_MUCH = 1e30
_WIDEST = 1_000
# Most characters that one call may build over all rows or elements that its literals show.
_MAX_TOTAL = 20.0 * MAX_SIZE
# Longest built text that a pattern, a distance or a collecting aggregate may be given: their cost grows faster.
_MAX_COMPARED = 20_000


class Sizes:
    """Upper guesses for one dialect. ``column`` is the size of a text that comes from a column."""

    def __init__(self, dialect: Dialect, column: float = _TEXT) -> None:
        self.dialect = dialect
        self.functions = load_functions(dialect)
        self.column = column

    def magnitude(self, node: exp.Expr | None, depth: int = 0) -> float:
        """An upper guess of the absolute number that an expression gives."""
        if node is None or depth > 30:
            return _TOO_MUCH
        if isinstance(node, exp.Literal):
            try:
                return min(abs(float(node.name)), _TOO_MUCH)
            except ValueError:
                return 0.0 if node.is_string and not any(c.isdigit() for c in node.name) else _TOO_MUCH
        if isinstance(node, exp.Column):
            return _COLUMN
        if isinstance(node, (exp.Paren, exp.Neg, exp.Cast, exp.TryCast, exp.Alias)):
            return self.magnitude(node.this, depth + 1)
        if isinstance(node, (exp.Add, exp.Sub)):
            return self.magnitude(node.this, depth + 1) + self.magnitude(node.expression, depth + 1)
        if isinstance(node, exp.Mul):
            return min(
                self.magnitude(node.this, depth + 1) * self.magnitude(node.expression, depth + 1), _TOO_MUCH
            )
        if isinstance(node, (exp.Div, exp.IntDiv)):
            divisor = node.expression
            low = self.magnitude(divisor, depth + 1) if isinstance(divisor, exp.Literal) else 1.0
            return min(self.magnitude(node.this, depth + 1) / (low or 1.0), _TOO_MUCH)
        if isinstance(node, exp.Mod):
            return min(self.magnitude(node.this, depth + 1), self.magnitude(node.expression, depth + 1))
        if isinstance(node, (exp.Null, exp.Boolean)):
            return 1.0
        if isinstance(node, (exp.Pow, exp.BitwiseLeftShift)):
            base, power = self.magnitude(node.this, depth + 1), self.magnitude(node.expression, depth + 1)
            return (
                _TOO_MUCH
                if power > 20 or base > 1e6
                else float((2.0 if isinstance(node, exp.BitwiseLeftShift) else base) ** power)
                * max(1.0, base)
            )
        if isinstance(node, (exp.Case, exp.If)):
            parts = [i.args.get("true") for i in node.args.get("ifs") or []] + [
                node.args.get("default"),
                node.args.get("true"),
                node.args.get("false"),
            ]
            return max((self.magnitude(p, depth + 1) for p in parts if p is not None), default=_TOO_MUCH)
        if isinstance(node, exp.Array):
            size = 1.0
            for item in node.expressions:
                size = min(size * max(1.0, self.magnitude(item, depth + 1)), _TOO_MUCH)
            return size
        if isinstance(node, exp.Anonymous):
            name, args = node.name.lower(), node.expressions
            if name in ("pow", "power"):
                low, high = (self.magnitude(a, depth + 1) for a in [*args, None, None][:2])
                return _TOO_MUCH if high > 20 or low > 1e6 else float(low**high)
            if name in ("exp", "unicode", "ascii", "ord", "crc32", "hash", "conv", "unhex", "strtol"):
                return _TOO_MUCH
            if name in _LENGTHS:
                return self.text(args[0], depth + 1) if args else _TOO_MUCH
            if name in _COUNTING:
                return _COLUMN
            if name in _KEEPING:
                return max((self.magnitude(a, depth + 1) for a in args), default=_TOO_MUCH)
            if name == "mod" and len(args) == 2:
                return min(self.magnitude(args[0], depth + 1), self.magnitude(args[1], depth + 1))
            if name in ("least", "min") and len(args) > 1:
                return min(self.magnitude(a, depth + 1) for a in args)
            if name in ("sum", "total"):
                return 1_000.0 * self.magnitude(args[0], depth + 1) if args else _TOO_MUCH
            return _TOO_MUCH
        if isinstance(node, (exp.Extract, exp.StrPosition)):
            return _COLUMN
        if isinstance(node, exp.Subquery):
            query = node.unnest()
            if isinstance(query, exp.Select) and len(query.selects) == 1:
                return self.magnitude(query.selects[0], depth + 1)
        if isinstance(node, exp.Window):
            return self.magnitude(node.this, depth + 1)
        return _TOO_MUCH

    def text(self, node: exp.Expr | None, depth: int = 0) -> float:
        """An upper guess of the characters (or elements) that an expression builds."""
        if node is None or depth > 30:
            return _TEXT
        if isinstance(node, exp.Literal):
            return float(len(node.name)) if node.is_string else 20.0
        if isinstance(node, exp.Anonymous):
            return self.call(node.name.lower(), node.expressions, depth)
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous):
            call = node.expression
            return self.call(call.name.lower(), [node.this, *call.expressions], depth)
        if isinstance(node, (exp.DPipe, exp.Concat, exp.Add)):
            total, stack = 0.0, [node.this, node.expression]
            while stack:
                part = stack.pop()
                if isinstance(part, exp.DPipe):
                    stack += [part.this, part.expression]
                else:
                    total += self.text(part, depth + 1)
            return min(total, _TOO_MUCH)
        inner = [v for v in node.args.values() if isinstance(v, exp.Expr)]
        inner += [
            v
            for values in node.args.values()
            if isinstance(values, list)
            for v in values
            if isinstance(v, exp.Expr)
        ]
        if isinstance(node, exp.Column):
            return self.column
        if isinstance(node, (exp.Query, exp.DataType)):
            return _TEXT
        return max((self.text(v, depth + 1) for v in inner), default=_TEXT)

    def call(self, name: str, args: list[exp.Expr], depth: int = 0) -> float:
        """The same for a call of ``name``."""
        functions = self.functions
        sizes = [self.text(a, depth + 1) for a in args]
        place = functions.sized.get(name)
        if place is not None:
            count = self.magnitude(args[place], depth + 1) if place < len(args) else _TEXT
            grows = sizes[0] if name == "repeat" and sizes else 1.0
            return min(count * max(1.0, grows), _TOO_MUCH)
        if name in ("replace", "regexp_replace") and len(sizes) >= 3:
            least = sum(sizes) if name != "replace" else 0.0
            return min(max(least, sizes[0] * max(1.0, sizes[2])), _TOO_MUCH)
        if name in ("hex", "quote", "to_hex"):
            return 2.0 * sum(sizes)
        if name in functions.aggregates:
            return max(sizes, default=_TEXT)
        return max(_TEXT, sum(sizes)) if sizes else _TEXT

    def series(self, arguments: list[exp.Expr]) -> float:
        """The rows of counting from literals: (stop), (start, stop) or (start, stop, step). Dates count by their step."""
        start = arguments[0] if len(arguments) > 1 else None
        stop = arguments[1] if len(arguments) > 1 else arguments[0]
        step = arguments[2] if len(arguments) > 2 else None
        if any(_is_temporal(a) for a in arguments):
            seconds = _seconds(step)
            if seconds is None or seconds >= 3_600:
                return _COLUMN
            return _TOO_MUCH if seconds <= 0 else _span_seconds(start, stop) / seconds
        reach = self.magnitude(stop) + (self.magnitude(start) if start is not None else 0.0)
        if step is not None:
            width = self.magnitude(step)
            if isinstance(step.unnest(), (exp.Literal, exp.Neg)):
                return _TOO_MUCH if width == 0 else reach / width
        return reach

    def elements(self, node: exp.Expr | None) -> float:
        """The elements of a list, or of what a loop runs over."""
        if (
            isinstance(node, exp.Anonymous)
            and node.name.lower() in self.functions.series
            and node.expressions
        ):
            return self.series(node.expressions)
        if isinstance(node, exp.Array):
            return float(len(node.expressions))
        return self.text(node) if isinstance(node, exp.Anonymous) else _COLUMN

    def times(self, node: exp.Expr) -> float:
        """How often a value is built and kept: once per element of the loops around it and per row of an aggregate."""
        factor, below, above = 1.0, node, node.parent
        while above is not None and (not isinstance(above, exp.Query) or _is_list(above.parent)):
            if isinstance(above, exp.Comprehension) and above.this is below:
                factor *= self.elements(above.args.get("iterator"))
            elif isinstance(above, exp.Anonymous) and isinstance(below, exp.Lambda):
                factor *= self.elements(above.expressions[0])
            elif above is not node and (is_collecting(above) or isinstance(above, exp.Query)):
                factor *= _COLUMN
            below, above = above, above.parent
        return factor

    def templates(self, node: exp.Expr, *, whole: bool = True) -> list[str] | None:
        """Every text that a template may be, numbers of columns counted as ordinary; None where that cannot be told."""
        node = node.unnest() if isinstance(node, exp.Paren) else node
        if isinstance(node, exp.Literal):
            return [node.name]
        if isinstance(node, (exp.Cast, exp.TryCast)):
            return self.templates(node.this, whole=whole)
        name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
        if isinstance(node, exp.DPipe) or name in ("concat", "concat_ws"):
            parts = node.expressions if name else [node.this, node.expression]
            found = [self.templates(p, whole=False) for p in parts]
            if any(f is None for f in found):
                return None
            glue = found[0][0] if name == "concat_ws" and found[0] else ""
            texts = [f for f in found if f is not None][name == "concat_ws" :]
            return [glue.join(t) for t in product(*texts)][:200] if len(texts) < 30 else None
        choices: list[exp.Expr] | None = None
        if isinstance(node, (exp.Case, exp.If)):
            branches = node.args.get("ifs") or [node]
            choices = [b.args["true"] for b in branches] + [
                d for d in (node.args.get("default"), node.args.get("false")) if d is not None
            ]
        elif isinstance(node, exp.Coalesce) or name in ("coalesce", "ifnull", "nvl"):
            choices = [*([] if name else [node.this]), *node.expressions]
        elif name in ("iif", "if"):
            choices = node.expressions[1:]
        if choices:
            several = [self.templates(c, whole=whole) for c in choices]
            return None if any(s is None for s in several) else [t for s in several for t in s or []]
        size = self.magnitude(node)
        return None if whole or size > _WIDEST else [str(int(size))]


def _is_list(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Array) or (isinstance(node, exp.Anonymous) and node.name.lower() == "array")


def is_collecting(node: exp.Expr) -> bool:
    """True for an aggregate that keeps all its values."""
    if isinstance(node, exp.GroupConcat):
        return True
    return isinstance(node, exp.Anonymous) and node.name.lower() in _COLLECTING


_COUNTING = frozenset(
    """count row_number rank dense_rank ntile instr locate strpos
    position day month year hour minute second quarter week dayofweek dayofmonth dayofyear weekday datediff date_diff
    timestampdiff date_part strftime julianday sign levenshtein field find_in_set bit_count""".split()
)
_KEEPING = frozenset(
    """abs round floor ceil ceiling trunc truncate min max avg greatest coalesce ifnull nullif sqrt ln log log10 log2
    cbrt lag lead first_value last_value median any_value to_number int4 int8 numeric float8 mode""".split()
)
_LENGTHS = frozenset(
    """length char_length character_length len octet_length bit_length cardinality array_length json_array_length
    json_length jsonb_array_length length_grapheme strlen lengthb""".split()
)


def oversized(statement: Statement) -> Iterator[tuple[str, str, Span | None]]:
    """What is too large in a statement: ("value" | "rows" | "template" | "pattern", name, place)."""
    calls = [(c.name, _arguments(c.node, statement.dialect), c.node, c.span) for c in statement.calls]
    sizes = Sizes(statement.dialect)
    sized = sizes.functions.sized
    if statement.dialect == "duckdb" or sum(isinstance(n, exp.Select) for n in statement.parts) > 1:
        sizes.column = max(
            [_TEXT, *(sizes.call(name, arguments) for name, arguments, _, _ in calls if name in sized)]
        )
    for name, arguments, node, span in calls:
        if (fault := _call_fault(sizes, name, arguments, node)) is not None:
            yield fault, name, span
    for node in statement.parts:
        if isinstance(node, _PATTERNS) and (
            _built(sizes, node.this) > _MAX_COMPARED or _wildcards(node) > _MOST_WILDCARDS
        ):
            yield "pattern", type(node).__name__.upper(), span_of(node)
        elif isinstance(node, exp.TableSample) and any(
            isinstance(part, exp.Literal) and sizes.magnitude(part) > 10 * MAX_ROWS_OF_SERIES
            for part in node.args.values()
        ):
            yield "rows", "TABLESAMPLE", span_of(node)


def _arguments(node: exp.Expr, dialect: Dialect) -> list[exp.Expr]:
    above = node.parent
    arguments: list[exp.Expr] = node.expressions
    if dialect == "duckdb" and isinstance(above, exp.Dot) and above.expression is node:
        # x.f(y) is f(x, y)
        return [above.this, *arguments]
    return arguments


def _built(sizes: Sizes, node: exp.Expr | None) -> float:
    """The size of a text that calls build; a column is never one."""
    if node is None or isinstance(node, exp.Column):
        return 0.0
    return sizes.text(node)


def _wildcards(node: exp.Expr) -> int:
    """How many gaps of any length a literal pattern of LIKE or GLOB has; each may multiply the work."""
    pattern = node.expression
    if not isinstance(node, (exp.Like, exp.ILike, exp.Glob)) or not isinstance(pattern, exp.Literal):
        return 0
    return len(re.findall(r"[%*]+", pattern.name))


def _call_fault(sizes: Sizes, name: str, arguments: list[exp.Expr], node: exp.Expr) -> str | None:
    functions = sizes.functions
    if name == "factorial" and arguments:
        return "value" if sizes.magnitude(arguments[0]) > _WIDEST else None
    if name in functions.templates and len(arguments) > functions.templates[name]:
        template = arguments[functions.templates[name]]
        if name == "to_char":
            if _built(sizes, template) > _WIDEST:
                return "template"
        else:
            texts = sizes.templates(template)
            if texts is None or any(_too_wide(t) for t in texts):
                return "template"
    size = sizes.call(name, arguments)
    if name in functions.sized and (size > MAX_SIZE or size * sizes.times(node) > _MAX_TOTAL):
        return "value"
    if name in _GROWING:
        # Chains of replace() over columns are cleaning, not bombs, unless something in them was made large.
        inner = list(nodes(node))
        plain = any(isinstance(n, exp.Column) for n in inner) and not any(
            isinstance(n, exp.Anonymous) and n.name.lower() in functions.sized for n in inner
        )
        if size > MAX_SIZE * (1_000 if plain else 1):
            return "value"
    if name in functions.series and arguments:
        count = sizes.series(arguments)
        if count > MAX_ROWS_OF_SERIES or count * sizes.times(node) > _MAX_TOTAL:
            return "rows"
    if name in _COMPARING and sum(sizes.text(a) for a in arguments) > _MAX_COMPARED:
        return "value"
    if name in _FOLDING and len(arguments) > 1 and _doubles(arguments[1]):
        return "value" if sizes.elements(arguments[0]) > 20 else None
    return None


def _doubles(function: exp.Expr) -> bool:
    """True for a lambda that puts its first variable twice into what it makes."""
    if not isinstance(function, exp.Lambda) or not function.expressions:
        return False
    variable = function.expressions[0].name
    for node in nodes(function.this):
        joins = isinstance(node, (exp.DPipe, exp.Add, exp.Mul)) or (
            isinstance(node, exp.Anonymous) and node.name.lower() in JOINING
        )
        if joins and sum(isinstance(n, exp.Identifier) and n.name == variable for n in nodes(node)) > 1:
            return True
    return False


_GROWING = frozenset({"replace", "concat", "concat_ws", "hex", "quote", "regexp_replace", "translate"})
JOINING = frozenset({"concat", "concat_ws", "list_concat", "list_cat", "array_concat", "array_cat", "repeat"})
_FOLDING = frozenset({"reduce", "list_reduce", "array_reduce"})
_PATTERNS = (exp.Like, exp.ILike, exp.Glob, exp.SimilarTo, exp.RegexpLike, exp.RegexpILike)
# Calls whose cost grows with the product or the power of their arguments' lengths.
_MOST_WILDCARDS = 12
_COMPARING = frozenset(
    """levenshtein damerau_levenshtein editdist3 jaro_similarity jaro_winkler_similarity jaccard like glob regexp
    regexp_like""".split()
)
_COLLECTING = frozenset(
    """array_agg list string_agg listagg group_concat json_agg jsonb_agg json_group_array jsonb_group_array
    json_arrayagg json_object_agg jsonb_object_agg json_group_object jsonb_group_object json_objectagg histogram
    map""".split()
)


def _too_wide(template: str) -> bool:
    plain = re.sub(r"%%|\{\{|\}\}", "", template)
    if re.search(r"%[^a-zA-Z]*\*|\{[^{}]*\{", plain):
        return True
    marked = re.findall(r"%[^a-zA-Z%]*|\{[^}]*\}|\$\d+", template)
    return any(int(number[:12]) > _WIDEST for mark in marked for number in re.findall(r"\d+", mark))


_TEMPORAL_CALLS = frozenset(
    "now current_date date_trunc make_date make_timestamp today date timestamp to_date to_timestamp".split()
)


def _is_temporal(node: exp.Expr) -> bool:
    for part in node.walk():
        if isinstance(part, (exp.Interval, exp.CurrentDate, exp.CurrentTimestamp, exp.Localtimestamp)):
            return True
        if isinstance(part, exp.Cast) and part.to.this.name.startswith(("DATE", "TIMESTAMP", "INTERVAL")):
            return True
        if isinstance(part, exp.Anonymous) and part.name.lower() in _TEMPORAL_CALLS:
            return True
    return False


_UNIT_SECONDS = (
    ("microsec", 1e-6), ("millisec", 1e-3), ("sec", 1.0), ("min", 60.0), ("hour", 3_600.0), ("day", 86_400.0),
    ("week", 604_800.0), ("mon", 2_592_000.0), ("quarter", 7_776_000.0), ("year", 31_536_000.0),
    ("decade", 3e8), ("cent", 3e9), ("mill", 3e10),
)  # fmt: skip


def _seconds(step: exp.Expr | None) -> float | None:
    """The seconds of a literal interval, or None where it has no literal to read."""
    if step is None:
        return 86_400.0
    words = " ".join(p.name for p in step.walk() if isinstance(p, (exp.Literal, exp.Var))).lower()
    total = 0.0
    for amount, unit in re.findall(r"(-?\d+(?:\.\d+)?)\s*([a-z]+)", words):
        total += abs(float(amount[:12])) * next((s for u, s in _UNIT_SECONDS if unit.startswith(u)), 0.0)
    return total if total or any(c.isdigit() for c in words) else None


def _span_seconds(start: exp.Expr | None, stop: exp.Expr) -> float:
    years = []
    for node in (start, stop):
        found = re.search(r"\d{4,6}", node.sql()) if node is not None else None
        years.append(int(found.group()) if found else 2030)
    return (abs(years[1] - years[0]) + 1) * 31_536_000.0
