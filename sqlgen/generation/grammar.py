"""What may come next: an automaton over forms, with types.

A ``Grammar`` knows one encoded input; a ``State`` is a stack of expectations (LL(1), so one token
decides what to expand). Every completed sequence parses as a form: pointers only at tables and
columns of the input, sums only over numbers, numbers compared with numbers, dates with spans of time
where the question names one, set operations and subqueries with fitting numbers of columns.
Source of the idea: PICARD (Scholak et al. 2021).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from sqlgen.generation.encode import Encoded
from sqlgen.sql.form import (
    AGGREGATES,
    COMPARISONS,
    DATE_PARTS,
    KEYWORDS,
    NUMBERS,
    SET_OPERATIONS,
    is_number,
)
from sqlgen.sql.periods import parse_period
from sqlgen.types import RetrievedContext

__all__ = ["END", "START", "Grammar", "State", "accepts"]

Mask: TypeAlias = npt.NDArray[np.bool_]
Symbol: TypeAlias = "str | tuple[str, object]"

_WORD = {word: k for k, word in enumerate(KEYWORDS)}
START, END = _WORD["<s>"], _WORD["</s>"]
_ARITHMETIC = ("+", "-", "*", "/")
_TEXT_TESTS = ("like", "not_like", "contains", "not_contains", "starts", "ends")
_ORDER_TESTS = ("<", ">", "<=", ">=")
_NUMERIC_PARTS = tuple(part for part in DATE_PARTS if not part.startswith("by_"))
_MAX_DEPTH = 3
# Where a span of time can begin, so that few spans are tried.
_PERIOD_START = re.compile(
    r"\d|q[1-4]\b|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|the |this |current |last |previous |prior |past |"
    r"first |second |third |fourth |today|yesterday|year |month ",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class State:
    """Expectations (top last), the kind of the last expression, where an open span began.

    ``counts`` holds the number of items of each open query's first core, None where a star
    makes it unknown; ``aggregates`` says for each open query whether an aggregate may stand here.
    """

    stack: tuple[Symbol, ...] = ("end", "query")
    kind: str = "text"
    opened: int = -1
    counts: tuple[int | None, ...] = ()
    aggregates: tuple[bool, ...] = ()
    grouped: tuple[bool, ...] = ()


class Grammar:
    """The automaton for one input. Masks are over keywords, then input positions.

    ``loose`` allows sums over text columns, as SQLite does, whose columns have no fixed type.
    """

    def __init__(self, encoded: Encoded, context: RetrievedContext, question: str, *, loose: bool) -> None:
        self.size = len(KEYWORDS) + len(encoded.slots)
        base = len(KEYWORDS)
        self.slots = encoded.slots
        self.tables, self.values, self.spans, self.numeric_spans = (self._none() for _ in range(4))
        self.columns = {k: self._none() for k in ("text", "number", "date", "bool", "other")}
        self.kinds: dict[int, str] = {}
        self.number_runs: dict[int, int] = {}
        self.period_spans, self.period_ends = self._none(), dict[int, set[int]]()
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
        if loose:
            self.summable = self.summable | self.columns["text"]
        self._mark_numbers(encoded, question)
        self._mark_periods(encoded, question)

    def _none(self) -> Mask:
        return np.zeros(self.size, dtype=np.bool_)

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

    def _mark_periods(self, encoded: Encoded, question: str) -> None:
        base, end, today = len(KEYWORDS), encoded.question_end - 1, date.today()
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
        """A mask of these keywords."""
        mask = self._none()
        mask[[_WORD[w] for w in words]] = True
        return mask

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
        for symbol in reversed(state.stack):
            first, nullable = self._first(symbol, state)
            mask |= first
            if not nullable:
                break
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
            action = state.stack[-1][1]
            state = replace(state, stack=state.stack[:-1])
            if action == "close":
                state = replace(
                    state,
                    counts=state.counts[:-1],
                    aggregates=state.aggregates[:-1],
                    grouped=state.grouped[:-1],
                )
            elif action in ("no aggregates", "aggregates"):
                state = replace(state, aggregates=(*state.aggregates[:-1], action == "aggregates"))
            else:
                state = replace(state, kind=str(action))
        return state

    def _first(self, symbol: Symbol, state: State) -> tuple[Mask, bool]:
        name, detail = symbol if isinstance(symbol, tuple) else (symbol, None)
        if name == "word":
            return self.words(str(detail)), False
        if name == "do":
            return self._none(), True
        if name == "items":
            seen, wanted = cast("tuple[int, int | None]", detail)
            if wanted is not None and seen >= wanted:
                return self._none(), True
            mask = self._expr_first(state)
            if wanted is None:
                mask = mask | self.tables
                if seen == 0:
                    mask = mask | self.words("*")
            elif seen == 0 and wanted == 0:
                mask = self.tables | self.words("*")
            return mask, seen > 0 and (wanted is None or seen >= wanted)
        if name in ("val", "values"):
            return self._value_first(str(detail)), name == "values"
        if name == "operand":
            mask = self._value_first(str(detail))
            if len(state.counts) < _MAX_DEPTH:
                mask = mask | self.words("[")
            if detail == "number":
                mask = (
                    mask | self.summable | (self.words(*AGGREGATES) if state.aggregates[-1] else self._none())
                )
            return mask | self.columns.get(str(detail), self._none()), False
        return self._plain_first(name, state)

    def _plain_first(self, name: str, state: State) -> tuple[Mask, bool]:
        nested = len(state.counts) < _MAX_DEPTH
        if name == "end":
            return self.words("</s>"), False
        if name in ("query", "core", "core1"):
            return self.words("select"), False
        if name == "tail":
            return self.words(*SET_OPERATIONS) if nested else self._none(), True
        if name == "distinct?":
            return self.words("distinct"), True
        if name == "from?":
            return self.words("from"), True
        if name in ("source", "sources"):
            return self.tables | self.words("via"), name == "sources"
        if name == "key":
            return self.any_column, False
        if name in ("where?", "group?", "order?", "limit?"):
            return self.words(name[:-1]), True
        if name == "having?":
            return (self.words("having") if state.grouped[-1] else self._none()), True
        if name == "expr":
            return self._expr_first(state), False
        if name in ("groups", "orders"):
            return self._expr_first(state), True
        if name in ("arithmetic", "inner arithmetic"):
            return (self.words(*_ARITHMETIC) if state.kind in ("number", "other") else self._none()), True
        if name == "number":
            return self.summable | self.words("{"), False
        if name == "term":
            mask = self.summable | self.words("{", *_NUMERIC_PARTS)
            return (mask | self.words(*AGGREGATES) if state.aggregates[-1] else mask), False
        if name == "count of":
            return self.any_column | self.words("*", "distinct"), False
        if name == "sum of":
            return self.summable | self.words("distinct", "{"), False
        if name == "extreme of":
            return self.any_column | self.words("{"), False
        if name == "column":
            return self.any_column, False
        if name == "dated":
            text = self.columns["text"] if self.loose else self._none()
            return self.columns["date"] | self.columns["other"] | text, False
        if name == "test":
            return self.words(*self._tests(state)), False
        if name in ("cond", "pred"):
            mask = self._expr_first(state) | self.words("(")
            return (mask | self.words("exists", "not_exists") if nested else mask), False
        if name == "more":
            return self.words("and", "or"), True
        if name == "direction":
            return self.words("asc", "desc"), False
        if name == "members":
            mask = self._value_first(state.kind)
            return (mask | self.words("[") if nested else mask), False
        raise AssertionError(name)

    def _tests(self, state: State) -> tuple[str, ...]:
        tests: tuple[str, ...] = ("=", "!=", "in", "not_in", "is_null", "not_null", *_ORDER_TESTS, "between")
        if state.kind in ("text", "other") or self.loose:
            tests += _TEXT_TESTS
        return tests

    def _expr_first(self, state: State) -> Mask:
        mask: Mask = self.any_column | self.words(*DATE_PARTS, "{")
        if not state.aggregates or state.aggregates[-1]:
            mask = mask | self.words(*AGGREGATES)
        return mask

    def _value_first(self, kind: str) -> Mask:
        if kind == "number":
            return self.numeric_spans | self.words(*NUMBERS)
        if kind == "date":
            return self.period_spans if self.period_ends else self.spans | self.values
        return self.spans | self.values | self.words(*NUMBERS)

    def _expand(self, state: State, symbol: Symbol, token: int) -> State:
        name, detail = symbol if isinstance(symbol, tuple) else (symbol, None)
        word = KEYWORDS[token] if token < len(KEYWORDS) else ""

        def push(*symbols: Symbol) -> State:
            return replace(state, stack=(*state.stack, *reversed(symbols)))

        if name in ("word", "end", "distinct?", "direction", "key"):
            return state
        if name == "query":
            state = replace(
                state,
                counts=(*state.counts, detail if isinstance(detail, int) else 0),
                aggregates=(*state.aggregates, True),
                grouped=(*state.grouped, False),
            )
            wanted = detail if isinstance(detail, int) else None
            return push(*self._core(wanted), ("tail", None), ("do", "close"))
        if name == "core":
            state = replace(
                state, aggregates=(*state.aggregates[:-1], True), grouped=(*state.grouped[:-1], False)
            )
            return push(*self._core(detail if isinstance(detail, int) else None))
        if name == "tail":
            return push(("core", state.counts[-1]), ("tail", None))
        if name == "items":
            return self._item(state, cast("tuple[int, int | None]", detail), token, word)
        if name == "from?":
            return push("source", "sources")
        if name in ("source", "sources"):
            rest: tuple[Symbol, ...] = ("sources",) if name == "sources" else ()
            return push("key", *rest) if word == "via" else push(*rest)
        if name == "where?":
            return push(("do", "no aggregates"), "pred", "more", ("do", "aggregates"))
        if name == "group?":
            state = replace(state, grouped=(*state.grouped[:-1], True))
            return push(("do", "no aggregates"), "expr", "groups", ("do", "aggregates"))
        if name == "groups":
            return self._prim(push("arithmetic", "groups"), token, word)
        if name == "having?":
            return push("pred", "more")
        if name == "order?":
            return push("expr", "direction", "orders")
        if name == "orders":
            return self._prim(push("arithmetic", "direction", "orders"), token, word)
        if name == "limit?":
            return push(("val", "number"))
        if name == "expr":
            return self._prim(push("arithmetic"), token, word)
        if name in ("term", "column", "dated"):
            return self._prim(state, token, word)
        if name == "number":
            return self._inner(state, token, word)
        if name == "arithmetic":
            return push("term", ("do", "number"), "arithmetic")
        if name == "inner arithmetic":
            return push("number", ("do", "number"), "inner arithmetic")
        if name == "count of":
            return (
                push("column")
                if word == "distinct"
                else self._prim(state, token, word)
                if not word
                else state
            )
        if name in ("sum of", "extreme of"):
            return push("number") if word == "distinct" else self._inner(state, token, word)
        if name in ("cond", "pred"):
            if word == "(":
                return push("pred", "more", ("word", ")"))
            if word in ("exists", "not_exists"):
                return push(("word", "["), ("query", None), ("word", "]"))
            return self._prim(push("arithmetic", "test"), token, word)
        if name == "more":
            return push("pred", "more")
        if name == "test":
            return self._test(state, word)
        if name in ("val", "values"):
            return self._value(push(symbol) if name == "values" else state, str(detail), token)
        if name == "members":
            if word == "[":
                return push(("query", 1), ("word", "]"))
            return self._value(push(("values", state.kind)), state.kind, token)
        if name == "operand":
            return self._operand(state, str(detail), token, word)
        raise AssertionError(name)

    def _core(self, wanted: int | None) -> tuple[Symbol, ...]:
        return (
            "distinct?",
            ("items", (0, wanted)),
            "from?",
            "where?",
            "group?",
            "having?",
            "order?",
            "limit?",
        )

    def _item(self, state: State, detail: tuple[int, int | None], token: int, word: str) -> State:
        seen, wanted = detail
        whole = word == "*" or (token >= len(KEYWORDS) and bool(self.tables[token]))
        if wanted is None:
            before = state.counts[-1]
            counts = (*state.counts[:-1], None if whole or before is None else before + 1)
            state = replace(state, counts=counts)
        rest: Symbol = ("items", (seen + 1, wanted))
        if whole:
            return state if word == "*" else replace(state, stack=(*state.stack, rest))
        return self._prim(replace(state, stack=(*state.stack, rest, "arithmetic")), token, word)

    def _prim(self, state: State, token: int, word: str) -> State:
        def push(*symbols: Symbol) -> State:
            return replace(state, stack=(*state.stack, *reversed(symbols)))

        if token in self.kinds:
            return replace(state, kind=self.kinds[token])
        if word == "count":
            return push("count of", ("do", "number"))
        if word in ("sum", "avg"):
            return push("sum of", ("do", "number"))
        if word in ("min", "max"):
            return push("extreme of")
        if word in DATE_PARTS:
            return push("dated", ("do", "text" if word.startswith("by_") else "number"))
        if word == "{":
            return push("term", ("do", "number"), "arithmetic", ("word", "}"), ("do", "number"))
        raise AssertionError(word)

    def _inner(self, state: State, token: int, word: str) -> State:
        """A number inside an aggregate, where no further aggregate may stand."""
        if word != "{":
            return self._prim(state, token, word)
        symbols: tuple[Symbol, ...] = (
            "number",
            ("do", "number"),
            "inner arithmetic",
            ("word", "}"),
            ("do", "number"),
        )
        return replace(state, stack=(*state.stack, *reversed(symbols)))

    def _test(self, state: State, word: str) -> State:
        def push(*symbols: Symbol) -> State:
            return replace(state, stack=(*state.stack, *reversed(symbols)))

        kind = state.kind
        if word in ("is_null", "not_null"):
            return state
        if word == "between":
            return push(("val", kind), ("val", kind))
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
            return replace(state, stack=(*state.stack, ("word", "]"), ("query", 1)))
        if token in self.kinds or word in AGGREGATES:
            return self._prim(replace(state, stack=(*state.stack, "arithmetic")), token, word)
        return self._value(state, kind, token)


def accepts(grammar: Grammar, tokens: Sequence[int]) -> bool:
    """Whether the output ids (from START to END) are a sentence of the grammar."""
    state = State()
    for token in tokens[1:]:
        if not grammar.allowed(state)[token]:
            return False
        state = grammar.advance(state, token)
    return not state.stack
