"""The imports go one way, and heavy libraries stay behind their doors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sqlgen

PACKAGE = Path(sqlgen.__file__).parent
ROWS = (
    {"types", "errors"},
    {"policy"},
    {"audit", "config", "files", "graphs", "journal", "lock", "trees"},
    {"sql", "catalog", "knowledge", "history", "export", "registry", "store"},
    {
        "retrieval",
        "generation",
        "validation",
        "execution",
        "enforcement",
        "drift",
        "followup",
        "presentation",
    },
    {"pipeline"},
    {"demo", "notebook", "cli"},
    {"serve"},
)
ROW = {name: number for number, names in enumerate(ROWS) for name in names}
# Reached only inside the commands that are about them.
FROM_CLI_ONLY = {"training", "eval", "schemas"}
ONLY_IN = {
    "sqlglot": {"sql"},
    "click": {"cli"},
    "rich": {"cli"},
    "prompt_toolkit": {"cli"},
    "IPython": {"notebook"},
    "fastapi": {"serve"},
    "mcp": {"serve"},
    "prometheus_client": {"serve"},
    "starlette": {"serve"},
    "uvicorn": {"cli", "serve"},
    "onnxruntime": {"graphs"},
    "tokenizers": {"generation", "graphs"},
    "sentence_transformers": {"retrieval"},
}
HUB_ONLY = {"torch", "transformers", "peft", "trl"}
DRIVERS = {"duckdb", "psycopg", "pymysql"}


def part_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def sources() -> list[Path]:
    mapped = {PACKAGE / name for name in FROM_CLI_ONLY}
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if (not mapped & set(path.parents) and path.name != "__main__.py" and path.parent != PACKAGE)
        or (path.parent == PACKAGE and path.stem in ROW)
    ]


def imported(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Full names of all modules that a file imports, type checking and functions included."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            if node.module == "sqlgen":
                yield from (f"sqlgen.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    assert part in ROW, f"{part} has no row: put it into ARCHITECTURE's order and into this test"
    for name in imported(path):
        if not name.startswith("sqlgen."):
            continue
        other = name.split(".")[1]
        if other == part:
            continue
        if other in FROM_CLI_ONLY:
            assert part in ("cli", "demo"), f"{path} imports {name}"
            assert name not in list(imported(path, top_level_only=True)), f"{path} imports {name} at the top"
        elif other in ROW and part == "cli":
            continue
        elif other in ROW:
            assert ROW[other] < ROW[part], f"{path} imports {name}"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_stay_behind_their_doors(path: Path) -> None:
    part = part_of(path)
    for name in imported(path):
        root = name.split(".")[0]
        if root in ONLY_IN:
            assert part in ONLY_IN[root], f"{path} imports {name}"
        if root in HUB_ONLY:
            assert path == PACKAGE / "generation" / "hub.py", f"{path} imports {name}"
    for name in imported(path, top_level_only=True):
        assert name.split(".")[0] not in DRIVERS | HUB_ONLY | {"sentence_transformers"}, (
            f"{path} imports {name} at the top"
        )


def test_only_validation_builds_a_validated_query() -> None:
    for path in sources():
        builds = any(
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "ValidatedQuery"
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
        )
        assert not builds or part_of(path) == "validation", path
