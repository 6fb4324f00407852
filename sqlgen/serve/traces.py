"""Spans for OpenTelemetry where it is installed: names of stages and outcomes, never a question, SQL or a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlgen.types import Answer

__all__ = ["describe", "span"]

Note = Callable[[str, Any], None]


@contextmanager
def span(name: str) -> Iterator[Note]:
    """A span around the block; what it hands out notes an attribute. Without OpenTelemetry nothing happens."""
    try:
        from opentelemetry import trace
    except ImportError:
        yield lambda name, value: None
        return
    # An error's message may quote a value, so that only its kind is kept.
    with trace.get_tracer("sqlgen").start_as_current_span(
        name, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current.set_attribute
        except BaseException as error:
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(trace.StatusCode.ERROR)
            raise


def describe(note: Note, answer: Answer) -> None:
    """Note what came of a question."""
    note("sqlgen.status", answer.status)
    note("sqlgen.model", f"{answer.model.name} {answer.model.version}")
    if answer.result is not None:
        note("sqlgen.rows", len(answer.result.rows))
    for stage, ms in answer.timings_ms.items():
        note(f"sqlgen.{stage}_ms", round(ms, 1))
