"""The public suite: what must be refused is, and what must pass passes and runs on its real engine."""

from __future__ import annotations

import pytest

from sqlgen.types import Dialect, Rejection, ValidatedQuery
from sqlgen.validation import validate
from tests.validation.conftest import CATALOGS, DIALECTS, cases, line_cases

REFUSED = {
    d: cases("common_refuse.sql")
    + cases(f"{d}_refuse.sql")
    + line_cases("refuse_lines.txt", d)
    + line_cases("refuse_resources.txt", d)
    for d in DIALECTS
}
ACCEPTED = {
    d: cases("common_accept.sql") + cases(f"{d}_accept.sql") + line_cases("accept_lines.txt", d)
    for d in DIALECTS
}


def test_the_suite_is_large_enough() -> None:
    assert len({sql for suite in REFUSED.values() for _, sql in suite}) >= 1_000
    assert len({sql for suite in ACCEPTED.values() for _, sql in suite}) >= 600
    assert min(map(len, REFUSED.values())) >= 200
    assert min(map(len, ACCEPTED.values())) >= 150


@pytest.mark.parametrize("dialect", DIALECTS)
def test_refused(dialect: Dialect) -> None:
    accepted = []
    for why, sql in REFUSED[dialect]:
        verdict = validate(sql, CATALOGS[dialect], dialect)
        if isinstance(verdict, ValidatedQuery):
            accepted.append((why, verdict.sql))
        else:
            assert verdict.findings
            assert all(f.rule and f.message for f in verdict.findings)
    assert accepted == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_accepted_and_runs(dialect: Dialect, request: pytest.FixtureRequest) -> None:
    refused = []
    passed: list[tuple[str, ValidatedQuery]] = []
    for why, sql in ACCEPTED[dialect]:
        verdict = validate(sql, CATALOGS[dialect], dialect, max_rows=1000)
        if isinstance(verdict, Rejection):
            refused.append((why, verdict))
            continue
        passed.append((why, verdict))
        # Canonical text is a fixed point: what was validated validates to itself.
        again = validate(verdict.sql, CATALOGS[dialect], dialect, max_rows=1000)
        assert isinstance(again, ValidatedQuery), (why, again)
        assert (again.sql, again.tables) == (verdict.sql, verdict.tables), why
    assert refused == []
    run = request.getfixturevalue(f"{dialect}_runner")
    for why, verdict in passed:
        assert isinstance(run(verdict.sql), list), why
