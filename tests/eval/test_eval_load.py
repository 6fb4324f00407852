"""The service under a little load: what is counted is counted right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sqlgen.demo import build_retail
from sqlgen.eval.load import measure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def test_nothing_is_lost_and_too_much_is_refused(tmp_path: Path) -> None:
    build_retail(tmp_path / "shop.db", scale=0.01)
    (tmp_path / "sqlgen.toml").write_text("[serve]\nwaiting = 1\n")
    lines = measure(
        f"sqlite:///{tmp_path}/shop.db",
        tmp_path,
        ["How many customers are there?"],
        seconds=0.5,
        clients=2,
        workers=1,
        flood=12,
    )
    found = {what: figure for what, figure, *_ in lines}
    assert found["questions without answer"] == "0"
    assert "429" in found["status of 12 at once"]
    assert found["ended by SIGTERM in mid-load"].endswith(" 0 lost")
    assert found["exit code of the service"] == "0"
    assert not found["answered questions a second"].startswith("0.0 ")
