"""Spans say what happened, and nothing of what was asked or found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

Open = Callable[..., Any]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def test_spans_hold_no_question_no_sql_and_no_row(opened: Open, spans: InMemorySpanExporter) -> None:
    with opened() as client:
        client.post("/ask", json={"question": "What is odd?"})
        client.post("/run", json={"sql": "SELECT 'a secret word' FROM orders"})
        client.post("/run", json={"sql": "SELECT ABS(-9223372036854775807 - id) FROM orders"})
    found = {span.name: span for span in spans.get_finished_spans() if span.name != "sqlgen.run"}
    asked = dict(found["sqlgen.ask"].attributes or {})
    assert (asked["sqlgen.status"], asked["sqlgen.rows"]) == ("answered", 4)
    runs = [dict(s.attributes or {}) for s in spans.get_finished_spans() if s.name == "sqlgen.run"]
    assert [r.get("error.type") for r in runs] == [None, "QueryFailed"]
    said = "".join(span.to_json() for span in spans.get_finished_spans())
    for secret in ("odd", "SELECT", "secret", "alert", "9223372036854775807"):
        assert secret not in said
