"""What README.md and docs/ show is true of the product: commands, modules, settings, data, and the README's Python.

Pages with a test of their own run their commands there; here every command of every page is held to the command line.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import sqlgen
from sqlgen import demo
from sqlgen.cli.commands import root
from sqlgen.serve.settings import digest_of

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "examples" / "README.md",
        *(ROOT / "docs").glob("*.md"),
    ]
)


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in one of ``languages``."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)
    return [text for language, text in found if language in languages]


def commands() -> Iterator[Any]:
    """Each command of ours that a page shows, without what the shell would do with it."""
    for page in PAGES:
        for block in blocks(page, "sh", "console", "yaml", "ini"):
            for line in block.replace("\\\n", " ").splitlines():
                said = re.sub(r"^\s*(\$ |- run: |ExecStart=\S*/)", "", re.split(r"\s#\s", line)[0])
                if not re.search(r"(^|\s)(sqlgen|python -m sqlgen\S*)\s", said):
                    continue
                lexer = shlex.shlex(said, posix=True, punctuation_chars=True)
                lexer.whitespace_split, lexer.commenters = True, ""
                words: list[str] = []
                for word in [*lexer, ";"]:
                    if not set(word) <= set("&|;<>()"):
                        words.append(word)
                        continue
                    if words[:1] == ["sqlgen"] or (
                        words[:2] == ["python", "-m"] and words[2].startswith("sqlgen")
                    ):
                        yield pytest.param(words, id=f"{page.name}: {' '.join(words)}")
                    words = []


@pytest.mark.parametrize("words", [*commands()])
def test_every_command_shown_is_one(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, *argv = words
    if name == "python":
        assert importlib.util.find_spec(argv[1])
        return
    monkeypatch.setattr(click.Path, "convert", lambda _, value, *__: Path(value))
    command: click.Command = root
    context = None
    while True:
        context = command.make_context(name, argv, parent=context)
        rest = [*context._protected_args, *context.args]
        if not isinstance(command, click.Group) or not rest:
            return
        name, command, argv = command.resolve_command(context, rest)  # type: ignore[assignment]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_data_and_settings_shown_can_be_read(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)
    for block in blocks(page, "yaml"):
        yaml.safe_load(block)
    for block in blocks(page, "toml"):
        text = block.replace("sha256:…", digest_of("k"))
        tomllib.loads(text)
        (tmp_path / "sqlgen.toml").write_text(text, "utf-8")
        sqlgen.load_settings(cwd=tmp_path)


def test_the_python_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo.build_retail(tmp_path / "shop.db", scale=0.01)
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(ROOT / "README.md", "python")
    known: dict[str, Any] = {}
    exec(block, known)
    assert known["answer"].status == known["narrower"].status == "answered"
    assert known["frame"].shape[0] == len(known["answer"].result.rows)
    assert isinstance(known["verdict"], sqlgen.Rejection)
