"""Where settings come from, and what is refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from sqlgen.config import Settings, load_settings
from sqlgen.errors import ConfigError


def test_flags_beat_environment_beats_file_beats_defaults(tmp_path: Path) -> None:
    (tmp_path / "sqlgen.toml").write_text('max_rows = 10\nbeams = 2\ntimeout_s = 1.5\nmodel = "mine"\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    settings = load_settings(
        {"beams": 8, "model": None}, cwd=inner, environ={"SQLGEN_TIMEOUT_S": "2", "SQLGEN_BEAMS": "3"}
    )
    assert (settings.max_rows, settings.timeout_s, settings.beams) == (10, 2.0, 8)
    assert settings.model == "mine"
    assert settings.token_budget == Settings().token_budget


def test_the_nearest_file_counts_and_sqlgen_config_beats_it(tmp_path: Path) -> None:
    inner = tmp_path / "a"
    inner.mkdir()
    (tmp_path / "sqlgen.toml").write_text("max_rows = 1\n")
    (inner / "sqlgen.toml").write_text("max_rows = 2\n")
    (tmp_path / "other.toml").write_text("max_rows = 3\n")
    assert load_settings(cwd=inner, environ={}).max_rows == 2
    assert load_settings(cwd=inner, environ={"SQLGEN_CONFIG": str(tmp_path / "other.toml")}).max_rows == 3


def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "sqlgen.toml").write_text('db = "sqlite:///shop.db"\nhome = "cache"\n')
    settings = load_settings(cwd=tmp_path, environ={})
    assert settings.db == f"sqlite:///{tmp_path / 'shop.db'}"
    assert settings.home == tmp_path / "cache"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_row = 5", "nearest: 'max_rows'"),
        ("max_rows = 0", "from 1 to"),
        ("max_rows = 1.5", "whole number"),
        ("max_rows = true", "whole number"),
        ("min_confidence = 2", "from 0 to 1"),
        ('today = "yesterday"', "not a date like 2025-12-31"),
        ("db = 5", "not a text"),
        ("max_rows = ", "not valid TOML"),
        ("[ask]\nmax_rows = 1", "unknown setting 'ask'"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "sqlgen.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        load_settings(cwd=tmp_path, environ={})
    assert str(path) in str(caught.value)


def test_bytes_that_are_no_text_and_a_missing_file_are_config_errors(tmp_path: Path) -> None:
    (tmp_path / "sqlgen.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_settings(cwd=tmp_path, environ={})
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings(cwd=tmp_path, environ={"SQLGEN_CONFIG": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(
    ("environ", "says"),
    [({"SQLGEN_MAXROWS": "5"}, "SQLGEN_MAX_ROWS"), ({"SQLGEN_BEAMS": "many"}, "whole number")],
)
def test_a_bad_variable_is_named(tmp_path: Path, environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_settings(cwd=tmp_path, environ=environ)


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load_settings(cwd=tmp_path, environ={"SQLGEN_DB": ""}).db is None


@pytest.mark.parametrize("text", ["today = 2025-03-01", 'today = "2025-03-01"'])
def test_the_reference_day_is_a_date_of_toml_or_its_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "sqlgen.toml").write_text(text)
    assert load_settings(cwd=tmp_path, environ={}).today == date(2025, 3, 1)
