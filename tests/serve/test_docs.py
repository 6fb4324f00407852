"""docs/service.md says what the service does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sqlgen.policy import read_policy
from sqlgen.serve.settings import ServeSettings, digest_of, read_serve

Open = Callable[..., Any]
PAGE = Path(__file__).parents[2] / "docs" / "service.md"


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text("utf-8")


def test_every_url_is_described(text: str, opened: Open) -> None:
    with opened() as client:
        paths = client.get("/openapi.json").json()["paths"]
    for path in paths:
        assert f"{path}`" in text or f"{path} " in text or f"{path}?" in text, path


def test_every_setting_is_described_with_its_default(text: str) -> None:
    table = text[text.index("| key of `[serve]`") :].partition("\n\n")[0]
    for setting in fields(ServeSettings):
        if setting.name == "keys":
            continue
        row = next(line for line in table.splitlines() if f"`{setting.name}`" in line)
        value = getattr(ServeSettings(), setting.name)
        assert (
            "none" if value in (None, ()) else f"{value:g}" if isinstance(value, float) else str(value)
        ) in row


def test_the_settings_shown_can_be_read(text: str) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    raw = tomllib.loads(block.replace("sha256:…", digest_of("k")))
    (key,) = read_serve(raw["serve"]).keys
    assert (dict(key.context), key.feedback) == ({"user_region": "EU"}, False)
    assert read_policy(raw["policy"]).row_filters


def test_the_requests_shown_are_answered(text: str, opened: Open) -> None:
    import json

    bodies = re.findall(r"curl localhost:8000(\S+) .*-d '(.*)'", text)
    assert len(bodies) == 2
    with opened() as client:
        for path, body in bodies:
            assert client.post(path, json=json.loads(body)).status_code == 200
