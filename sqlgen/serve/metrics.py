"""Figures for Prometheus: counts and times, never a question, a row or the name of a key.

With ``PROMETHEUS_MULTIPROC_DIR`` set before this module is imported, all worker processes count into that folder.
"""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client import multiprocess as _multiprocess

from sqlgen.types import Answer

__all__ = ["CONTENT_TYPE_LATEST", "count_answer", "count_request", "exposition", "forget_process", "inside"]

# The library has no types for this part.
_shared: Any = _multiprocess
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_TIMES_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_requests = Counter("sqlgen_requests", "Requests answered", ["route", "method", "status"])
_request_s = Histogram("sqlgen_request_seconds", "Time to answer a request", ["route"], buckets=_TIMES_S)
_answers = Counter("sqlgen_answers", "Questions by what came of them", ["status"])
_stage_s = Histogram("sqlgen_stage_seconds", "Time of one stage of a question", ["stage"], buckets=_TIMES_S)
inside = Gauge("sqlgen_inside", "Pieces of work that run or wait", multiprocess_mode="livesum")


def count_request(route: str, method: str, status: int, duration_s: float) -> None:
    """Count one request under its route's template, never under the path as it was sent."""
    _requests.labels(route, method, str(status)).inc()
    _request_s.labels(route).observe(duration_s)


def count_answer(answer: Answer) -> None:
    """Count one answer and the time of its stages."""
    _answers.labels(answer.status).inc()
    for stage, ms in answer.timings_ms.items():
        _stage_s.labels(stage).observe(ms / 1000)


def exposition() -> bytes:
    """All figures as text, those of every worker process together."""
    if _FOLDER not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    _shared.MultiProcessCollector(registry)
    return generate_latest(registry)


def forget_process() -> None:
    """Take what this process has at the moment out of the sums; called when it ends."""
    if _FOLDER in os.environ:
        _shared.mark_process_dead(os.getpid())
