"""What may come next: an automaton over forms, with types.

A ``Grammar`` knows one encoded input; a ``State`` is a stack of expectations (LL(1), so one token
decides what to expand). Every completed sequence parses as a form: pointers only at tables and
columns of the input, sums only over numbers, numbers compared with numbers, dates with spans of time
where the question names one, matched cells only with their own column, set operations and
subqueries with fitting numbers of columns, windows only where SQL has them.
Source of the idea: PICARD (Scholak et al. 2021).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sqlgen.generation.encode import Encoded
from sqlgen.sql.form import (
    AGGREGATES,
    COMPARISONS,
    DATE_PARTS,
    ITEMS,
    KEYWORDS,
    NUMBERS,
    RANKS,
    SET_OPERATIONS,
    SHIFTS,
    SPANS,
    UNARY,
    is_number,
)
from sqlgen.sql.periods import parse_period
from sqlgen.types import RetrievedContext

__all__ = ["END", "START", "Grammar", "State", "accepts"]

Mask: TypeAlias = npt.NDArray[np.bool_]
Symbol: TypeAlias = "str | tuple[Any, ...]"

_WORD = {word: k for k, word in enumerate(KEYWORDS)}
START, END = _WORD["<s>"], _WORD["</s>"]
_ARITHMETIC = ("+", "-", "*", "/")
_TEXT_TESTS = ("like", "not_like", "contains", "not_contains", "starts", "ends")
_ORDER_TESTS = ("<", ">", "<=", ">=")
_NUMERIC_PARTS = tuple(part for part in DATE_PARTS if not part.startswith("by_"))
_NUMERIC_FUNCTIONS = ("length", "abs", "to_number", "round", *SPANS)
_TEXT_FUNCTIONS = ("lower", "upper", "left", "concat")
_MAX_DEPTH = 3
# Where a span of time can begin, so that few spans are tried.
_PERIOD_START = re.compile(
    r"\d|[qh][1-4]\b|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun|the |this |current |last |"
    r"previous |prior |past |next |coming |upcoming |following |first |second |third |fourth |today|yesterday|tomorrow|so far |"
    r"calendar |day |week |month |quarter |year |ytd|qtd|mtd|wtd|a |an |one |two |three |four |five |six |seven |eight |nine |"
    r"ten |eleven |twelve |couple |trailing |recent ",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Frame:
    """An open query: how many items it must have, what is known of them, what may stand now.

    ``kinds`` are those of the first core's items, None where a star makes them unknown; ``derived``
    those of its own derived table; ``inner`` says that a query around it can be referred to,
    ``starless`` that its items must be named; ``picked`` holds the columns that items of the core began with.
    """

    wanted: int | None = None
    kinds: tuple[str, ...] | None = ()
    first: bool = True
    aggregates: bool = True
    windows: bool = True
    grouped: bool = False
    ordered: bool = False
    limited: bool = False
    derived: tuple[str, ...] | None = None
    inner: bool = False
    starless: bool = False
    picked: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class State:
    """Expectations (top last), open queries, and what the last expression was.

    ``kind`` is its kind, ``column`` its token when it was a bare column (else -1), ``opened`` the
    token where an open span began (else -1), ``closed`` the item kinds of the query closed last.
    """

    stack: tuple[Symbol, ...] = ("end", "form")
    frames: tuple[_Frame, ...] = ()
    kind: str = "text"
    column: int = -1
    opened: int = -1
    closed: tuple[str, ...] | None = None


class Grammar:
    """The automaton for one input. Masks are over keywords, then input positions.

    ``loose`` allows sums over text columns, as SQLite does, whose columns have no fixed type.
    ``today`` is what "last month" refers to; None: the clock's day.
    """

    def __init__(
        self,
        encoded: Encoded,
        context: RetrievedContext,
        question: str,
        *,
        loose: bool,
        today: date | None = None,
    ) -> None:
        self.size = len(KEYWORDS) + len(encoded.slots)
        base = len(KEYWORDS)
        self.slots = encoded.slots
        self.tables, self.values, self.spans, self.numeric_spans = (self._none() for _ in range(4))
        self.columns = {k: self._none() for k in ("text", "number", "date", "bool", "other")}
        self.kinds: dict[int, str] = {}
        self.number_runs: dict[int, int] = {}
        self.period_spans, self.period_ends = self._none(), dict[int, set[int]]()
        self._words: dict[tuple[str, ...], Mask] = {}
        for p, slot in enumerate(encoded.slots):
            if slot is None:
                continue
            if slot[0] == "t":
                self.tables[base + p] = True
            elif slot[0] == "v":
                self.values[base + p] = True
            elif slot[0] == "c":
                kind = context.tables[slot[1]].table.columns[slot[2]].kind  # type: ignore[misc]
                self.columns[kind][base + p] = True
                self.kinds[base + p] = kind
            else:
                self.spans[base + p] = True
        self.any_column = np.logical_or.reduce(list(self.columns.values()))
        self.loose = loose
        self.summable = self.columns["number"] | self.columns["other"]
        self.dated = self.columns["date"] | self.columns["other"]
        if loose:
            self.summable = self.summable | self.columns["text"]
            self.dated = self.dated | self.columns["text"]
        self.own_values = self._values_by_column(encoded, context)
        self._mark_numbers(encoded, question)
        self._mark_periods(encoded, question, today or date.today())

    # -- what the input offers -------------------------------------------------------------------

    def _none(self) -> Mask:
        return np.zeros(self.size, dtype=np.bool_)

    def _values_by_column(self, encoded: Encoded, context: RetrievedContext) -> dict[int, Mask]:
        """For each column's token the matched cells that can be compared with it.

        Those of the column itself, of one with its name, and of one that a foreign key ties to it.
        """
        base = len(KEYWORDS)
        tied: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for piece in context.tables:
            for key in piece.table.foreign_keys:
                for mine, theirs in zip(key.columns, key.target_columns, strict=True):
                    a, b = (piece.table.key, mine), (key.target, theirs)
                    tied.setdefault(a, set()).add(b)
                    tied.setdefault(b, set()).add(a)
        cells = [(base + p, context.values[s[1]]) for p, s in enumerate(encoded.slots) if s and s[0] == "v"]
        found: dict[int, Mask] = {}
        for p, slot in enumerate(encoded.slots):
            if not cells or not slot or slot[0] != "c":
                continue
            table = context.tables[slot[1]].table
            name = table.columns[slot[2]].name  # type: ignore[misc]
            others = tied.get((table.key, name), ())
            mask = self._none()
            for token, match in cells:
                mask[token] = match.column.lower() == name.lower() or (match.table, match.column) in others
            found[base + p] = mask
        return found

    def _mark_numbers(self, encoded: Encoded, question: str) -> None:
        base = len(KEYWORDS)
        end = encoded.question_end - 1
        for first in range(1, end):
            slot = encoded.slots[first]
            for last in range(min(first + 16, end) - 1, first - 1, -1):
                tail = encoded.slots[last]
                if slot and tail and is_number(question[slot[1] : tail[2]]):  # type: ignore[misc]
                    self.numeric_spans[base + first] = True
                    self.number_runs[base + first] = base + last
                    break

    def _mark_periods(self, encoded: Encoded, question: str, today: date) -> None:
        base, end = len(KEYWORDS), encoded.question_end - 1
        for first in range(1, end):
            slot = encoded.slots[first]
            if not slot or not _PERIOD_START.match(question, slot[1]):
                continue
            for last in range(first, min(first + 9, end)):
                tail = encoded.slots[last]
                if tail and parse_period(question[slot[1] : tail[2]], today):  # type: ignore[misc]
                    self.period_spans[base + first] = True
                    self.period_ends.setdefault(base + first, set()).add(base + last)

    def words(self, *words: str) -> Mask:
        """A mask of these keywords; not to be written to."""
        mask = self._words.get(words)
        if mask is None:
            mask = self._none()
            mask[[_WORD[w] for w in words]] = True
            self._words[words] = mask
        return mask

    # -- walking ---------------------------------------------------------------------------------

    def allowed(self, state: State) -> Mask:
        """Which tokens may follow; never empty for a state that ``advance`` returned."""
        mask = self._none()
        if state.opened >= 0:
            top = state.stack[-1]
            if top == ("span", "date") and state.opened in self.period_ends:
                mask[list(self.period_ends[state.opened])] = True
            elif top == ("span", "number"):
                mask[state.opened : self.number_runs[state.opened] + 1] = True
            else:
                mask[state.opened : state.opened + 24] = True
            return mask & self.spans
        while state.stack:
            first, nullable = self._first(state.stack[-1], state)
            mask |= first
            if not nullable:
                break
            state = self._settle(replace(state, stack=state.stack[:-1]))
        return mask

    def advance(self, state: State, token: int) -> State:
        """The state after ``token``, which must be allowed."""
        if state.opened >= 0:
            return self._settle(replace(state, opened=-1, stack=state.stack[:-1]))
        while not self._first(state.stack[-1], state)[0][token]:
            state = self._settle(replace(state, stack=state.stack[:-1]))
        symbol = state.stack[-1]
        return self._settle(self._expand(replace(state, stack=state.stack[:-1]), symbol, token))

    def _settle(self, state: State) -> State:
        """Carry out the actions on top of the stack."""
        while state.stack and isinstance(state.stack[-1], tuple) and state.stack[-1][0] == "do":
            action = state.stack[-1]
            state = replace(state, stack=state.stack[:-1])
            if action[1] == "close":
                state = replace(state, closed=state.frames[-1].kinds, frames=state.frames[:-1])
            elif action[1] == "adopt":
                state = _with(state, derived=state.closed)
            elif action[1] == "flags":
                state = _with(state, aggregates=action[2], windows=action[3])
            elif action[1] == "item":
                frame = state.frames[-1]
                if frame.first and frame.kinds is not None:
                    state = _with(state, kinds=(*frame.kinds, state.kind))
            elif action[1] == "subquery":
                kinds = state.closed
                state = replace(state, kind=kinds[0] if kinds else "number", column=-1)
            else:
                state = replace(state, kind=action[1], column=-1)
        return state

    # -- first sets ------------------------------------------------------------------------------

    def _first(self, symbol: Symbol, state: State) -> tuple[Mask, bool]:
        name, detail = _split(symbol)
        if name == "word":
            return self.words(detail), False
        if name == "do":
            return self._none(), True
        if name == "items":
            return self._items_first(state, detail)
        if name in ("val", "values"):
            return self._value_first(detail, state), name == "values"
        if name == "operand":
            return self._operand_first(state, detail), False
        if name == "arg":
            return self._arg_first(state, detail), False
        if name == "named":
            return self._of_kind(str(detail)), False
        if name in ("aggregated", "flat"):
            return self._aggregated_first(state, detail, name == "flat"), False
        return self._plain_first(name, state)

    def _plain_first(self, name: str, state: State) -> tuple[Mask, bool]:
        frame = state.frames[-1] if state.frames else _Frame()
        nested = len(state.frames) < _MAX_DEPTH
        if name == "end":
            return self.words("</s>"), False
        if name == "form":
            return self.words("select", "with", "unanswerable"), False
        if name == "query":
            return self.words("select", "with") if nested else self.words("select"), False
        if name == "core":
            return self.words("select"), False
        if name == "over!":
            return self.words("over"), False
        if name == "window!":
            return self.words("over"), False
        if name == "frame order?":
            return self.words("order"), True
        if name == "tail":
            done = frame.ordered or frame.limited
            return (self._none() if done else self.words(*SET_OPERATIONS)), True
        if name in ("source", "sources"):
            return self.tables | self.words("via", "on", "other", "all"), name == "sources"
        if name == "preserved":
            return self.tables, False
        if name == "key":
            return self.any_column, False
        if name == "having?":
            return (self.words("having") if frame.grouped else self._none()), True
        if name == "top?":
            return (self.words("per") if frame.ordered and frame.first else self._none()), True
        if name == "window?":
            return (self.words("over") if frame.windows else self._none()), True
        if name == "else?":
            return self.words("else"), True
        if name in ("branch", "branches"):
            return self.words("when"), name == "branches"
        if name.endswith("?"):
            return self.words(name[:-1]), True
        if name in ("expr", "sort"):
            return self._expr_first(state), False
        if name in ("exprs", "sorts"):
            return self._expr_first(state), True
        if name == "arithmetic":
            return (self.words(*_ARITHMETIC) if state.kind in ("number", "other") else self._none()), True
        if name == "arithmetic!":
            return self.words(*_ARITHMETIC), False
        if name == "label":
            return self._expr_first(state) | self.spans | self.values | self.words(*NUMBERS), False
        if name == "default":
            return self._arg_first(state, "any") | self.spans | self.values | self.words(*NUMBERS), False
        if name == "test":
            return self.words(*self._tests(state)), False
        if name == "pred":
            mask = self._expr_first(state) | self.words("(")
            return (mask | self.words("exists", "not_exists") if nested else mask), False
        if name == "more":
            return self.words("and", "or"), True
        if name == "direction":
            return self.words("asc", "desc"), False
        if name == "members":
            mask = self._value_first(state.kind, state)
            return (mask | self.words("[") if nested else mask), False
        raise AssertionError(name)

    def _items_first(self, state: State, seen: int) -> tuple[Mask, bool]:
        wanted = state.frames[-1].wanted
        if wanted is not None and seen >= max(1, wanted):
            return self._none(), True
        mask = self._expr_first(state)
        if wanted is None and not state.frames[-1].starless:
            mask = mask | self.tables
            if seen == 0:
                mask = mask | self.words("*")
        elif wanted == 0:
            mask = self.tables | self.words("*")
        return mask, seen > 0 and wanted is None

    def _tests(self, state: State) -> tuple[str, ...]:
        tests: tuple[str, ...] = ("=", "!=", "in", "not_in", "is_null", "not_null", *_ORDER_TESTS, "between")
        if state.kind in ("text", "other") or self.loose:
            tests += _TEXT_TESTS
        return tests

    def _derived(self, state: State) -> tuple[str, ...]:
        """The kinds of the items of the innermost derived table in sight."""
        for frame in reversed(state.frames):
            if frame.derived is not None:
                return frame.derived[: len(ITEMS)]
        return ()

    def _named(self, state: State, columns: Mask, *kinds: str) -> Mask:
        """Columns of either instance, of the query around, and items of a derived table."""
        mask = columns | self.words("other")
        if state.frames[-1].inner and not state.frames[-1].windows:
            mask = mask | self.words("outer")
        items = [ITEMS[k] for k, kind in enumerate(self._derived(state)) if not kinds or kind in kinds]
        return mask | self.words(*items) if items else mask

    def _expr_first(self, state: State) -> Mask:
        frame = state.frames[-1]
        mask = self._arg_first(state, "any") | self.words(*NUMBERS) | self.numeric_spans
        return mask | self.words(*RANKS, "ntile", *SHIFTS, "share") if frame.windows else mask

    def _arg_first(self, state: State, want: str) -> Mask:
        """What an argument of a function, of kind ``want`` or "any", can begin with."""
        aggregates = state.frames[-1].aggregates
        if want == "any":
            mask = self._named(state, self.any_column) | self.words(
                *DATE_PARTS, *_NUMERIC_FUNCTIONS, *_TEXT_FUNCTIONS, "{", "case", "coalesce"
            )
            return mask | self.words(*AGGREGATES) if aggregates else mask
        if want == "number":
            mask = self._named(state, self.summable, "number", "other") | self.words(
                *_NUMERIC_PARTS, *_NUMERIC_FUNCTIONS, "{", "case", "coalesce"
            )
            return mask | self.words(*AGGREGATES) if aggregates else mask
        if want == "date":
            mask = self._named(state, self.dated, "date", "other", "text") | self.words("today")
            return mask | self.words("min", "max") if aggregates else mask
        return self._named(state, self.any_column) | self.words(*_TEXT_FUNCTIONS, "coalesce")

    def _of_kind(self, want: str) -> Mask:
        """The columns that an argument of kind ``want`` or "any" can be."""
        if want == "number":
            return self.summable
        if want == "date":
            return self.dated
        return self.columns["text"] | self.columns["other"] if want == "text" else self.any_column

    def _aggregated_first(self, state: State, word: str, flat: bool) -> Mask:
        """What an aggregate can be of; an aggregate only if a window follows."""
        want = "number" if word in ("sum", "avg") else "any"
        mask = self._arg_first(_with(state, aggregates=False), want)
        if flat:
            return mask | self.words("*") if word == "count" else mask
        if word == "count":
            mask = mask | self.words("*", "distinct")
        elif word in ("sum", "avg"):
            mask = mask | self.words("distinct")
        frame = state.frames[-1]
        return mask | self.words(*AGGREGATES) if frame.windows and frame.aggregates else mask

    def _value_first(self, kind: str, state: State) -> Mask:
        if kind == "number":
            return self.numeric_spans | self.words(*NUMBERS)
        own = self.own_values.get(state.column, self.values)
        if kind == "date":
            return self.period_spans if self.period_ends else self.spans | own
        return self.spans | own | self.words(*NUMBERS)

    def _operand_first(self, state: State, kind: str) -> Mask:
        mask = self._value_first(kind, state)
        if len(state.frames) < _MAX_DEPTH:
            mask = mask | self.words("[")
        if kind == "number":
            return mask | self._arg_first(state, "number")
        if kind == "date":
            return mask | self._arg_first(state, "date")
        mask = mask | self._named(state, self.columns.get(kind, self._none()), kind)
        return mask | self.words("min", "max") if state.frames[-1].aggregates else mask

    # -- expansion -------------------------------------------------------------------------------

    def _expand(self, state: State, symbol: Symbol, token: int) -> State:
        name, detail = _split(symbol)
        word = KEYWORDS[token] if token < len(KEYWORDS) else ""
        push = _Push(state)
        if name in ("word", "end", "direction", "key", "preserved", "distinct?", "named"):
            if token in self.kinds:
                state = replace(state, kind=self.kinds[token], column=-1)
            return state
        if name in ("form", "query"):
            wanted, inner, starless = detail or (None, False, False)
            if word == "unanswerable":
                return state
            state = replace(state, frames=(*state.frames, _Frame(wanted, inner=inner, starless=starless)))
            body: tuple[Symbol, ...] = (*self._core(), "tail", ("do", "close"))
            if word == "with":
                body = (
                    ("word", "["),
                    ("query", (None, False, True)),
                    ("word", "]"),
                    ("do", "adopt"),
                    "core",
                    "tail",
                    ("do", "close"),
                )
            return _Push(state)(*body)
        if name == "core":
            return push(*self._core())
        if name == "tail":
            frame = state.frames[-1]
            wanted = 0 if frame.kinds is None else len(frame.kinds)
            fresh = _Frame(wanted, frame.kinds, first=False, inner=frame.inner, starless=frame.starless)
            return _Push(replace(state, frames=(*state.frames[:-1], fresh)))("core", "tail")
        if name == "items":
            return self._item(state, detail, token, word)
        if name in ("source", "sources", "from?"):
            return self._source(state, name, word)
        if name == "where?":
            return push(*self._quietly(state, "pred", "more"))
        if name == "group?":
            return _Push(_with(state, grouped=True))(*self._quietly(state, "expr", "exprs"))
        if name == "having?":
            frame = state.frames[-1]
            return push(
                ("do", "flags", True, False), "pred", "more", ("do", "flags", frame.aggregates, frame.windows)
            )
        if name == "order?":
            return _Push(_with(state, ordered=True))("sort", "sorts")
        if name == "limit?":
            return _Push(_with(state, limited=True))(("val", "number"), "offset?", "top?")
        return self._inside(state, name, detail, token, word)

    def _inside(self, state: State, name: str, detail: Any, token: int, word: str) -> State:
        push = _Push(state)
        if name in ("offset?", "rows?"):
            return push(("val", "number"))
        if name == "top?":
            return push("expr", "exprs")
        if name == "expr":
            return self._prim(push("arithmetic"), token, word)
        if name == "exprs":
            return self._prim(push("arithmetic", "exprs"), token, word)
        if name == "sort":
            return self._prim(push("arithmetic", "direction"), token, word)
        if name == "sorts":
            return self._prim(push("arithmetic", "direction", "sorts"), token, word)
        if name in ("arithmetic", "arithmetic!"):
            return push(("operand", "number"), ("do", "number"), "arithmetic")
        if name == "arg":
            return self._prim(state, token, word, detail)
        if name == "aggregated":
            return self._aggregated(state, detail, token, word)
        if name == "flat":
            if word == "*":
                return state
            frame = state.frames[-1]
            flags = ("do", "flags", frame.aggregates, frame.windows)
            want = "number" if detail in ("sum", "avg") else "any"
            return self._prim(_Push(_with(state, aggregates=False, windows=False))(flags), token, word, want)
        if name in ("label", "default"):
            if token >= len(KEYWORDS) and token not in self.kinds:
                return self._value(replace(state, kind="text", column=-1), "text", token)
            if word in NUMBERS:
                return replace(state, kind="number", column=-1)
            return self._prim(push("arithmetic") if name == "label" else state, token, word)
        if name == "else?":
            return push("label")
        if name == "branch":
            return push(*self._quietly(state, "pred", "more"), ("word", "then"), "label")
        if name == "branches":
            return push(*self._quietly(state, "pred", "more"), ("word", "then"), "label", "branches")
        if name in ("window?", "window!", "over!"):
            return push(*self._window(state, name == "over!"))
        if name == "if?":
            return push(("word", "("), *self._quietly(state, "pred", "more"), ("word", ")"))
        if name == "per?":
            return push("expr", "exprs")
        if name == "frame order?":
            return push("sort", "sorts", "rows?")
        if name == "pred":
            if word == "(":
                return push("pred", "more", ("word", ")"))
            if word in ("exists", "not_exists"):
                return push(("word", "["), ("query", (None, True, False)), ("word", "]"))
            return self._prim(push("arithmetic", "test"), token, word)
        if name == "more":
            return push("pred", "more")
        if name == "test":
            return self._test(state, word)
        if name in ("val", "values"):
            return self._value(push(("values", detail)) if name == "values" else state, detail, token)
        if name == "members":
            if word == "[":
                return push(("query", (1, True, False)), ("word", "]"))
            return self._value(push(("values", state.kind)), state.kind, token)
        if name == "operand":
            return self._operand(state, detail, token, word)
        raise AssertionError(name)

    def _core(self) -> tuple[Symbol, ...]:
        return ("distinct?", ("items", 0), "from?", "where?", "group?", "having?", "order?", "limit?")

    def _quietly(self, state: State, *symbols: Symbol) -> tuple[Symbol, ...]:
        """Symbols among which neither aggregates nor windows may stand."""
        frame = state.frames[-1]
        return (("do", "flags", False, False), *symbols, ("do", "flags", frame.aggregates, frame.windows))

    def _window(self, state: State, ordered: bool) -> tuple[Symbol, ...]:
        """What follows "over"; ``ordered``: an order is a must."""
        frame = state.frames[-1]
        order: tuple[Symbol, ...] = (
            (("word", "order"), "sort", "sorts", "rows?") if ordered else ("frame order?",)
        )
        return (("word", "("), ("do", "flags", frame.aggregates, False), "per?", *order,
                ("word", ")"), ("do", "flags", frame.aggregates, frame.windows))  # fmt: skip

    def _item(self, state: State, seen: int, token: int, word: str) -> State:
        frame = state.frames[-1]
        rest: Symbol = ("items", seen + 1)
        if word == "*" or (token >= len(KEYWORDS) and bool(self.tables[token])):
            if frame.first:
                state = _with(state, kinds=None)
            return state if word == "*" else _Push(state)(rest)
        # A column that was selected already can only begin an expression.
        after = "arithmetic!" if token in frame.picked else "arithmetic"
        if token in self.kinds:
            state = _with(state, picked=frame.picked | {token})
        return self._prim(_Push(state)(after, ("do", "item"), rest), token, word)

    def _source(self, state: State, name: str, word: str) -> State:
        push = _Push(state)
        if name == "from?":
            return push("source", "sources")
        rest: tuple[Symbol, ...] = ("sources",) if name == "sources" else ()
        if word in ("via", "other"):
            return push("key", *rest)
        if word == "on":
            return push("key", "key", *rest)
        return push("preserved", *rest) if word == "all" else push(*rest)

    def _prim(self, state: State, token: int, word: str, want: str = "any") -> State:
        if token in self.kinds:
            return replace(state, kind=self.kinds[token], column=token)
        state = replace(state, column=-1)
        if word in NUMBERS or token >= len(KEYWORDS):
            # A constant alone says nothing: "1 - x".
            below = state.stack[:-1] if state.stack[-1] == "arithmetic" else state.stack
            state = replace(state, kind="number", stack=(*below, "arithmetic!"))
            return self._value(state, "number", token)
        push = _Push(state)
        if word in ITEMS:
            return replace(state, kind=self._derived(state)[ITEMS.index(word)])
        if word == "today":
            return replace(state, kind="date")
        if word in ("other", "outer"):
            return push(("named", want))
        if word in AGGREGATES:
            return push("if?", ("aggregated", word))
        if word == "case":
            return push("branch", "branches", "else?", ("word", "end"))
        if word == "coalesce":
            return push(("arg", "any"), "default")
        if word == "{":
            return push(
                ("operand", "number"), ("do", "number"), "arithmetic", ("word", "}"), ("do", "number")
            )
        if word in RANKS:
            return push("over!", ("do", "number"))
        if word == "ntile":
            return push(("val", "number"), "over!", ("do", "number"))
        if word in SHIFTS or word == "share":
            want = "any" if word in ("lag", "lead") else "number"
            window = "window?" if word == "share" else "over!"
            frame = state.frames[-1]
            quiet, back = (("do", "flags", frame.aggregates, w) for w in (False, frame.windows))
            return push(quiet, ("arg", want), back, window, ("do", "number"))
        return push(*_function(word))

    def _aggregated(self, state: State, word: str, token: int, inner: str) -> State:
        kind: tuple[Symbol, ...] = () if word in ("min", "max") else (("do", "number"),)
        push = _Push(state)
        if inner in AGGREGATES:
            return push("if?", ("flat", inner), *kind, "window!")
        if inner == "*":
            return push(*kind, "window?")
        if inner == "distinct":
            return push(("flat", "max" if word == "count" else word), *kind)
        frame = state.frames[-1]
        flags = ("do", "flags", frame.aggregates, frame.windows)
        quiet = _Push(_with(state, aggregates=False, windows=False))(flags, *kind, "window?")
        return self._prim(quiet, token, inner, "number" if word in ("sum", "avg") else "any")

    def _test(self, state: State, word: str) -> State:
        push, kind = _Push(state), state.kind
        if word in ("is_null", "not_null"):
            return state
        if word == "between":
            return (
                push(("operand", kind), ("operand", kind))
                if kind == "number"
                else push(("val", kind), ("val", kind))
            )
        if word in ("in", "not_in"):
            return push("members")
        if word in _TEXT_TESTS:
            return push(("val", "text"))
        assert word in COMPARISONS, word
        return push(("operand", kind))

    def _value(self, state: State, kind: str, token: int) -> State:
        if token >= len(KEYWORDS) and self.spans[token]:
            mark: Symbol = ("span", kind if kind in ("number", "date") else "text")
            return replace(state, opened=token, stack=(*state.stack, mark))
        return state

    def _operand(self, state: State, kind: str, token: int, word: str) -> State:
        if word == "[":
            return _Push(state)(
                ("query", (1, True, False)), ("word", "]"), ("do", "subquery"), *self._more(kind)
            )
        if token in self.kinds or (word and word not in NUMBERS):
            want = kind if kind in ("number", "date") else "any"
            return self._prim(_Push(state)(*self._more("number")), token, word, want)
        return self._value(_Push(state)(*self._more(kind)), kind, token)

    def _more(self, kind: str) -> tuple[Symbol, ...]:
        return (("do", "number"), "arithmetic") if kind == "number" else ()


class _Push:
    """``push(a, b)``: the state with a and then b expected."""

    def __init__(self, state: State) -> None:
        self.state = state

    def __call__(self, *symbols: Symbol) -> State:
        return replace(self.state, stack=(*self.state.stack, *reversed(symbols)))


def _split(symbol: Symbol) -> tuple[str, Any]:
    return (symbol[0], symbol[1]) if isinstance(symbol, tuple) else (symbol, None)


def _with(state: State, **changes: Any) -> State:
    """The state with its innermost query changed."""
    return replace(state, frames=(*state.frames[:-1], replace(state.frames[-1], **changes)))


def _function(word: str) -> tuple[Symbol, ...]:
    """What follows the name of a function: its arguments, and the kind that comes out."""
    if word in DATE_PARTS:
        return ("arg", "date"), ("do", "text" if word.startswith("by_") else "number")
    if word in SPANS:
        return ("arg", "date"), ("arg", "date"), ("do", "number")
    if word in UNARY:
        want = {"abs": "number", "to_number": "any"}.get(word, "text")
        return ("arg", want), ("do", "text" if word in ("lower", "upper") else "number")
    if word == "round":
        return ("arg", "number"), ("val", "number"), ("do", "number")
    if word == "left":
        return ("arg", "text"), ("val", "number"), ("do", "text")
    if word == "concat":
        return ("arg", "text"), ("arg", "text"), ("do", "text")
    raise AssertionError(word)


def accepts(grammar: Grammar, tokens: Sequence[int]) -> bool:
    """Whether the output ids (from START to END) are a sentence of the grammar."""
    state = State()
    for token in tokens[1:]:
        if not grammar.allowed(state)[token]:
            return False
        state = grammar.advance(state, token)
    return not state.stack
