"""The table [serve], the keys in it, and the command that makes one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import sqlgen
from sqlgen.cli import main
from sqlgen.errors import ConfigError
from sqlgen.serve.keys import LOCAL, KeyRing
from sqlgen.serve.settings import digest_of, new_key, read_serve

HASH = digest_of("k")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"wating": 3}, "nearest: 'waiting'"),
        ({"waiting": -1}, "whole number from 0"),
        ({"waiting": 1.5}, "whole number"),
        ({"port": True}, "whole number"),
        ({"cors_origins": "*"}, "list of texts"),
        ({"rate_per_minute": 0}, "number from 0.1"),
        ({"keys": ["anna"]}, "tables like"),
        ({"keys": {"an na": {"hash": HASH}}}, "is no name of a key"),
        ({"keys": {"anna": {"hash": "sqlgen_secret"}}}, "never the key itself"),
        ({"keys": {"anna": {"hash": HASH, "contxt": {}}}}, "nearest: 'context'"),
        ({"keys": {"anna": {"hash": HASH, "context": {"a b": 1}}}}, "is no name like"),
        ({"keys": {"anna": {"hash": HASH, "feedback": "no"}}}, "true or false"),
        ({"keys": {"anna": {"hash": HASH}, "bob": {"hash": HASH}}}, "same hash"),
    ],
)
def test_a_wrong_setting_is_named(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        read_serve(raw)
    assert "sqlgen_secret" not in str(error.value)


def test_keys_are_long_and_never_twice_the_same() -> None:
    made = {new_key() for _ in range(50)}
    assert len(made) == 50
    assert all(len(key) > 45 for key in made)


def test_without_keys_everybody_is_the_local_caller() -> None:
    assert KeyRing(()).find(None) is LOCAL
    assert KeyRing(read_serve({"keys": {"anna": {"hash": HASH}}}).keys).find(None) is None


def test_settings_do_not_show_what_is_in_the_table() -> None:
    assert HASH not in repr(sqlgen.Settings(serve={"keys": {"anna": {"hash": HASH}}}))


def run(*argv: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["serve", "key", *argv])
    printed = capsys.readouterr()
    return code, printed.out.strip(), printed.err


def test_a_new_key_is_shown_once_and_only_its_hash_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, key, said = run("anna", capsys=capsys)
    assert (code, "[serve.keys.anna]" in said, digest_of(key) in said) == (0, True, True)
    assert not (tmp_path / "sqlgen.toml").exists()

    (tmp_path / "sqlgen.toml").write_text("# ours\nmax_rows = 7\n\n[serve]\nwaiting = 3")
    code, key, said = run("anna", "--save", capsys=capsys)
    text = (tmp_path / "sqlgen.toml").read_text()
    assert text.startswith("# ours\nmax_rows = 7\n")
    assert key not in text
    assert tomllib.loads(text)["serve"]["keys"]["anna"]["hash"] == digest_of(key)
    assert read_serve(sqlgen.load_settings().serve).waiting == 3

    assert run("anna", "--save", capsys=capsys)[0] == 2
    assert run("bob; drop", capsys=capsys)[0] == 2
    code, other, _ = run("bob", "--save", capsys=capsys)
    found = KeyRing(read_serve(sqlgen.load_settings().serve).keys).find(other)
    assert found is not None
    assert found.name == "bob"


def test_a_file_that_cannot_take_the_lines_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = "serve = { waiting = 3 }\n"
    (tmp_path / "sqlgen.toml").write_text(before)
    code, _, said = run("anna", "--save", capsys=capsys)
    assert (code, "write the lines yourself" in said) == (2, True)
    assert (tmp_path / "sqlgen.toml").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["sqlgen.toml"]
