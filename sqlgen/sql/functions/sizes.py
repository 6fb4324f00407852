"""How large a value a call could build, as far as its literals tell.

Columns count as values of ordinary size, so that ``repeat('*', rating)`` passes and ``repeat('x', 1e9)`` does not.
"""

from __future__ import annotations

import re

from sqlglot import exp

from sqlgen.sql.functions import FunctionList, load_functions
from sqlgen.sql.parse import Call, nodes
from sqlgen.types import Dialect

__all__ = ["MAX_ROWS_OF_SERIES", "MAX_SIZE", "magnitude", "oversized", "text_size"]

MAX_SIZE = 1_000_000
"""Most characters or elements that one call may build."""
MAX_ROWS_OF_SERIES = 1_000_000
"""Most rows that a counting function may return."""

_COLUMN = 1_000.0
_TEXT = 1_000.0
_TOO_MUCH = 1e30


def magnitude(node: exp.Expr | None, depth: int = 0) -> float:
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
        return magnitude(node.this, depth + 1)
    if isinstance(node, (exp.Add, exp.Sub)):
        return magnitude(node.this, depth + 1) + magnitude(node.expression, depth + 1)
    if isinstance(node, exp.Mul):
        return min(magnitude(node.this, depth + 1) * magnitude(node.expression, depth + 1), _TOO_MUCH)
    if isinstance(node, (exp.Div, exp.IntDiv)):
        divisor = node.expression
        low = magnitude(divisor, depth + 1) if isinstance(divisor, exp.Literal) else 1.0
        return min(magnitude(node.this, depth + 1) / (low or 1.0), _TOO_MUCH)
    if isinstance(node, exp.Mod):
        return min(magnitude(node.this, depth + 1), magnitude(node.expression, depth + 1))
    if isinstance(node, (exp.Null, exp.Boolean)):
        return 1.0
    if isinstance(node, (exp.Pow, exp.BitwiseLeftShift)):
        base, power = magnitude(node.this, depth + 1), magnitude(node.expression, depth + 1)
        return (
            _TOO_MUCH
            if power > 20 or base > 1e6
            else float((2.0 if isinstance(node, exp.BitwiseLeftShift) else base) ** power) * max(1.0, base)
        )
    if isinstance(node, (exp.Case, exp.If)):
        parts = [i.args.get("true") for i in node.args.get("ifs") or []] + [
            node.args.get("default"),
            node.args.get("true"),
            node.args.get("false"),
        ]
        return max((magnitude(p, depth + 1) for p in parts if p is not None), default=_TOO_MUCH)
    if isinstance(node, exp.Array):
        size = 1.0
        for item in node.expressions:
            size = min(size * max(1.0, magnitude(item, depth + 1)), _TOO_MUCH)
        return size
    if isinstance(node, exp.Anonymous):
        name, args = node.name.lower(), node.expressions
        if name in ("pow", "power"):
            low, high = (magnitude(a, depth + 1) for a in [*args, None, None][:2])
            return _TOO_MUCH if high > 20 or low > 1e6 else float(low**high)
        if name in ("exp", "unicode", "ascii", "ord", "crc32", "hash", "conv", "unhex", "strtol"):
            return _TOO_MUCH
        if name in _COUNTING:
            return _COLUMN
        if name in _KEEPING:
            return max((magnitude(a, depth + 1) for a in args), default=_TOO_MUCH)
        if name == "mod" and len(args) == 2:
            return min(magnitude(args[0], depth + 1), magnitude(args[1], depth + 1))
        if name in ("least", "min") and len(args) > 1:
            return min(magnitude(a, depth + 1) for a in args)
        if name in ("sum", "total"):
            return 1_000.0 * magnitude(args[0], depth + 1) if args else _TOO_MUCH
        return _TOO_MUCH
    if isinstance(node, (exp.Extract, exp.StrPosition)):
        return _COLUMN
    if isinstance(node, exp.Subquery):
        query = node.unnest()
        if isinstance(query, exp.Select) and len(query.selects) == 1:
            return magnitude(query.selects[0], depth + 1)
    if isinstance(node, exp.Window):
        return magnitude(node.this, depth + 1)
    return _TOO_MUCH


_COUNTING = frozenset(
    """length char_length character_length len octet_length count row_number rank dense_rank ntile instr locate strpos
    position day month year hour minute second quarter week dayofweek dayofmonth dayofyear weekday datediff date_diff
    timestampdiff date_part strftime julianday sign cardinality array_length json_array_length json_length
    jsonb_array_length length_grapheme strlen levenshtein field find_in_set bit_count""".split()
)
_KEEPING = frozenset(
    """abs round floor ceil ceiling trunc truncate min max avg greatest coalesce ifnull nullif sqrt ln log log10 log2
    cbrt lag lead first_value last_value median any_value to_number int4 int8 numeric float8 mode""".split()
)


def text_size(node: exp.Expr | None, functions: FunctionList, depth: int = 0) -> float:
    """An upper guess of the characters (or elements) that an expression builds."""
    if node is None or depth > 30:
        return _TEXT
    if isinstance(node, exp.Literal):
        return float(len(node.name)) if node.is_string else 20.0
    if isinstance(node, exp.Anonymous):
        return _call_size(node.name.lower(), node.expressions, functions, depth)
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous):
        call = node.expression
        return _call_size(call.name.lower(), [node.this, *call.expressions], functions, depth)
    if isinstance(node, (exp.DPipe, exp.Concat, exp.Add)):
        total, stack = 0.0, [node.this, node.expression]
        while stack:
            part = stack.pop()
            if isinstance(part, exp.DPipe):
                stack += [part.this, part.expression]
            else:
                total += text_size(part, functions, depth + 1)
        return min(total, _TOO_MUCH)
    inner = [v for v in node.args.values() if isinstance(v, exp.Expr)]
    inner += [
        v
        for values in node.args.values()
        if isinstance(values, list)
        for v in values
        if isinstance(v, exp.Expr)
    ]
    if isinstance(node, (exp.Query, exp.Column, exp.DataType)):
        return _TEXT
    return max((text_size(v, functions, depth + 1) for v in inner), default=_TEXT)


def _call_size(name: str, args: list[exp.Expr], functions: FunctionList, depth: int) -> float:
    sizes = [text_size(a, functions, depth + 1) for a in args]
    place = functions.sized.get(name)
    if place is not None:
        count = magnitude(args[place], depth + 1) if place < len(args) else _TEXT
        grows = sizes[0] if name == "repeat" and sizes else 1.0
        return min(count * max(1.0, grows), _TOO_MUCH)
    if name == "replace" and len(sizes) == 3:
        return min(sizes[0] * max(1.0, sizes[2]), _TOO_MUCH)
    if name in ("hex", "quote", "to_hex"):
        return 2.0 * sum(sizes)
    if name in functions.aggregates:
        return max(sizes, default=_TEXT)
    return max(_TEXT, sum(sizes)) if sizes else _TEXT


def oversized(call: Call, dialect: Dialect) -> str | None:
    """What is too large about a call: "value", "rows", "template" or None."""
    functions = load_functions(dialect)
    name, arguments = call.name, call.node.expressions
    if (
        isinstance(call.node.parent, exp.Dot)
        and call.node.parent.expression is call.node
        and dialect == "duckdb"
    ):
        # x.f(y) is f(x, y)
        arguments = [call.node.parent.this, *arguments]
    if name in ("factorial", "gamma", "exp") and arguments and dialect != "mysql":
        return "value" if magnitude(arguments[0]) > _WIDEST and name == "factorial" else None
    if name in functions.templates and len(arguments) > functions.templates[name]:
        template = arguments[functions.templates[name]]
        if name == "to_char":
            if isinstance(template, exp.Literal) and len(template.name) > _WIDEST:
                return "template"
        elif not isinstance(template, exp.Literal) or _too_wide(template.name):
            return "template"
    if name in functions.sized and _call_size(name, arguments, functions, 0) > MAX_SIZE:
        return "value"
    if name in _GROWING:
        # Chains of replace() over columns are cleaning, not bombs, unless something in them was made large.
        plain = any(isinstance(n, exp.Column) for n in nodes(call.node)) and not any(
            isinstance(n, exp.Anonymous) and n.name.lower() in functions.sized for n in nodes(call.node)
        )
        if _call_size(name, arguments, functions, 0) > MAX_SIZE * (1_000 if plain else 1):
            return "value"
    if name in functions.series and arguments:
        return _series(arguments)
    if name in _QUADRATIC and sum(text_size(a, functions) for a in arguments) > 20_000:
        return "value"
    return None


_WIDEST = 1_000
_GROWING = frozenset({"replace", "concat", "concat_ws", "hex", "quote", "regexp_replace", "translate"})
_QUADRATIC = frozenset(
    {
        "levenshtein",
        "damerau_levenshtein",
        "editdist3",
        "jaro_similarity",
        "jaro_winkler_similarity",
        "jaccard",
    }
)


def _too_wide(template: str) -> bool:
    if "*" in re.sub(r"%%", "", template) and re.search(r"%[^a-zA-Z]*\*", template):
        return True
    marked = re.findall(r"%[^a-zA-Z%]*|\{[^}]*\}|\$\d+", template)
    return any(int(number[:12]) > _WIDEST for mark in marked for number in re.findall(r"\d+", mark))


def _series(arguments: list[exp.Expr]) -> str | None:
    """Counting from literals: (stop), (start, stop) or (start, stop, step). Dates count by their step."""
    start = arguments[0] if len(arguments) > 1 else None
    stop = arguments[1] if len(arguments) > 1 else arguments[0]
    step = arguments[2] if len(arguments) > 2 else None
    if any(_is_temporal(a) for a in arguments):
        seconds = _seconds(step)
        if seconds is None or seconds >= 3_600:
            return None
        span = _span_seconds(start, stop)
        return "rows" if seconds <= 0 or span / seconds > MAX_ROWS_OF_SERIES else None
    reach = magnitude(stop) + (magnitude(start) if start is not None else 0.0)
    if step is not None:
        width = magnitude(step)
        if isinstance(step.unnest() if hasattr(step, "unnest") else step, (exp.Literal, exp.Neg)):
            if width == 0:
                return "rows"
            reach /= width
    return "rows" if reach > MAX_ROWS_OF_SERIES else None


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
