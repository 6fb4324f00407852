"""The OpenAPI document holds: whatever fits it, and much that doesn't, is answered without a server error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Open = Callable[..., Any]


def test_no_request_makes_a_server_error(opened: Open) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    with opened() as client:
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        statuses: set[int] = set()
        for result in schema.get_all_operations():
            operation = result.ok()

            @settings(
                max_examples=12,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def call(case: Any) -> None:
                response = client.request(
                    case.method,
                    case.formatted_path,
                    params=case.query or None,
                    json=case.body if case.body.__class__.__name__ != "NotSet" else None,
                )
                assert response.status_code < 500, (case.method, case.path, case.body, response.text)
                statuses.add(response.status_code)

            call()
        assert 200 in statuses
