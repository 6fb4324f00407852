"""What a wheel, a source archive and an editable install hold, built from a copy of the source tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAPPED = {
    "sqlgen": "sqlgen",
    "training": "sqlgen/training",
    "eval": "sqlgen/eval",
    "schemas": "sqlgen/schemas",
}
COPIED = (*MAPPED, "tests", ".ci")
DATA = (
    "sqlgen/py.typed",
    "sqlgen/models/shipped/encoder.onnx",
    "sqlgen/models/shipped/decoder.onnx",
    "sqlgen/models/shipped/tokenizer.json",
    "sqlgen/models/shipped/manifest.json",
    "sqlgen/schemas/retail/schema.sql",
    "sqlgen/schemas/retail/glossary.toml",
    "sqlgen/schemas/retail/golden.jsonl",
    "sqlgen/schemas/retail/tour.toml",
    "sqlgen/schemas/subscriptions/golden.jsonl",
    "sqlgen/eval/suites/spider/suite.toml",
    *(f"sqlgen/sql/functions/{dialect}.toml" for dialect in ("sqlite", "duckdb", "postgres", "mysql")),
)

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="the source tree is not here, only the tests"
)


def copy_source(to: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")
    for name in COPIED:
        shutil.copytree(ROOT / name, to / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix in (".toml", ".md", ".in", ".txt"):
            shutil.copy(path, to / path.name)
    return to


def build(source: Path, out: Path, kind: str) -> Path:
    code = f"import sys; from setuptools import build_meta as b; b.build_{kind}(sys.argv[1])"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    return build(copy_source(folder / "source"), folder / "out", "wheel")


def names_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_package_of_the_source_tree_is_listed() -> None:
    listed = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    )
    found = {
        ".".join([installed.replace("/", "."), *path.parent.relative_to(ROOT / folder).parts])
        for folder, installed in MAPPED.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert listed == found


def test_the_wheel_puts_one_name_beside_the_others(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names_of(wheel)}
    assert len(tops) == 2
    assert "sqlgen" in tops
    assert all(top == "sqlgen" or top.endswith(".dist-info") for top in tops)


def test_the_wheel_holds_all_code_the_weights_and_the_demo(wheel: Path) -> None:
    names = names_of(wheel)
    for folder, installed in MAPPED.items():
        for path in (ROOT / folder).rglob("*.py"):
            assert f"{installed}/{path.relative_to(ROOT / folder).as_posix()}" in names
    assert set(DATA) <= names
    with zipfile.ZipFile(wheel) as archive:
        assert archive.getinfo("sqlgen/models/shipped/encoder.onnx").file_size > 100_000


def test_the_wheel_declares_its_command_and_light_dependencies(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        (metadata,) = [n for n in archive.namelist() if n.endswith("METADATA")]
        assert "sqlgen = sqlgen.cli:main" in archive.read(entry).decode()
        lines = archive.read(metadata).decode().splitlines()
    core = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert len(core) <= 8
    assert not any(heavy in " ".join(core) for heavy in ("torch", "transformers", "duckdb", "psycopg"))


def test_a_source_archive_gives_the_same_wheel(tmp_path: Path, wheel: Path) -> None:
    archive = build(copy_source(tmp_path / "source"), tmp_path / "sdist", "sdist")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    assert names_of(build(source, tmp_path / "out", "wheel")) == names_of(wheel)
    assert (source / "tests" / "test_packaging.py").is_file()
    assert (source / "constraints.txt").is_file()


def install(folder: Path, wheel: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


PROBE = """
import importlib.util as u, sqlgen, sqlgen.schemas
from importlib import resources
assert all(u.find_spec(name) is None for name in ("eval", "training", "schemas", "tests"))
assert (resources.files("sqlgen.schemas") / "retail" / "tour.toml").is_file()
for name in ("sqlgen", "sqlgen.eval", "sqlgen.training", "sqlgen.sql"):
    print(u.find_spec(name).origin)
"""


def places(site: Path, cwd: Path) -> list[str]:
    """Where the parts are found by a Python that knows no other packages (-S) and no settings (-I)."""
    code = f"import site; site.addsitedir({str(site)!r})\n" + PROBE
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_an_unpacked_wheel_finds_its_parts(tmp_path: Path, wheel: Path) -> None:
    site = install(tmp_path / "site", wheel)
    parts = ("", "eval/", "training/", "sql/")
    assert places(site, tmp_path) == [str(site / "sqlgen" / f"{part}__init__.py") for part in parts]


def test_an_editable_install_finds_its_parts(tmp_path: Path) -> None:
    source = copy_source(tmp_path / "source")
    site = install(tmp_path / "site", build(source, tmp_path / "out", "editable"))
    parts = ("sqlgen/", "eval/", "training/", "sqlgen/sql/")
    assert places(site, tmp_path) == [str(source / f"{part}__init__.py") for part in parts]


def test_constraints_pin_exact_versions_and_name_no_place() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(line.count("==") == 1 and not set(line) & set("/@+ ") for line in pins)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for requirement in wanted:
        name = requirement.split(">=")[0].split("[")[0].lower()
        assert name in pinned or name == "sqlgen"
