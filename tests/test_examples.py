"""The examples run: in Streamlit, in a notebook's kernel, over HTTP, in DuckDB."""

from __future__ import annotations

import hashlib
import hmac
import re
import runpy
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.testclient import TestClient

from sqlgen import demo
from sqlgen.cli import main
from sqlgen.history import History
from sqlgen.serve.app import from_environment
from tests.conftest import listening

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
BY_MONTH = "How many orders per month in 2025?"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the demo shop as the database to ask."""
    demo.build_retail(tmp_path / "shop.db", scale=0.01)
    monkeypatch.setenv("SQLGEN_DB", f"sqlite:///{tmp_path / 'shop.db'}")
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def service(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with listening(from_environment()) as url:
        monkeypatch.setenv("SQLGEN_URL", url)
        yield url


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_streamlit(home: Path) -> None:
    testing = pytest.importorskip("streamlit.testing.v1")
    page = testing.AppTest.from_file(str(EXAMPLES / "streamlit_app.py"), default_timeout=60).run()
    page.chat_input[0].set_value(BY_MONTH).run()
    assert not page.exception
    assert len(page.dataframe[0].value) == 12
    assert "2025" in page.code[0].value
    assert page.get("arrow_vega_lite_chart") or page.get("vega_lite_chart")
    page.chat_input[0].set_value("only in Germany").run()
    assert "'Germany'" in page.code[0].value
    next(button for button in page.button if button.label == "Wrong").click().run()
    next(button for button in page.button if button.label == "New conversation").click().run()
    assert (list(page.exception), list(page.code)) == ([], [])
    history = History(home)
    assert [line.verdict for line in history.lines()] == ["wrong", None]
    history.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.usefixtures("home")
def test_notebook() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    by_month, in_germany = (
        [output.data for output in cell.outputs if "data" in output]
        for cell in notebook.cells
        if cell.source.startswith("%ask")
    )
    assert any("application/vnd.vegalite.v6+json" in data for data in by_month)
    assert any("&#x27;Germany&#x27;" in data.get("text/html", "") for data in in_germany)


@pytest.mark.usefixtures("service")
def test_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "shh")
    client = TestClient(runpy.run_path(str(EXAMPLES / "slack_webhook.py"))["app"])
    chat, said = FastAPI(), list[str]()

    @chat.post("/here")
    def receive(body: dict[str, str]) -> None:
        said.append(body["text"])

    def send(question: str, *, secret: bytes = b"shh", at: float | None = None) -> int:
        body = urlencode({"text": question, "response_url": f"{url}/here"}).encode()
        sent = str(int(at or time.time()))
        digest = hmac.new(secret, f"v0:{sent}:".encode() + body, hashlib.sha256).hexdigest()
        headers = {"x-slack-request-timestamp": sent, "x-slack-signature": f"v0={digest}"}
        status: int = client.post("/slack", content=body, headers=headers).status_code
        return status

    with listening(chat) as url:
        for question in ("How many customers are there?", "What do <!channel> sales do?", ""):
            assert send(question) == 200
        assert re.search(r"```.*\n\d+```\nconfidence \d+%", said[0], re.S), said[0]
        assert "<" not in said[1]
        assert said[2]
        assert send("x", secret=b"other") == send("x", at=time.time() - 1000) == 401
        assert client.post("/slack", content=b"text=x").status_code == 401
        assert len(said) == 3


def stand_in(kept: list[dict[str, Any]]) -> FastAPI:
    """The three calls of Superset that the example makes, as its documentation describes them."""
    app = FastAPI()

    @app.post("/api/v1/security/login")
    def login(body: dict[str, str]) -> dict[str, str]:
        if body != {"username": "admin", "password": "pw", "provider": "db"}:
            raise HTTPException(401)
        return {"access_token": "t"}

    @app.get("/api/v1/security/csrf_token/")
    def token(request: Request, response: Response) -> dict[str, str]:
        if request.headers.get("authorization") != "Bearer t":
            raise HTTPException(401)
        response.set_cookie("session", "s")
        return {"result": "c"}

    @app.post("/api/v1/dataset/", status_code=201)
    def dataset(request: Request, body: dict[str, Any]) -> dict[str, Any]:
        sent = [request.headers.get("x-csrftoken"), request.cookies.get("session")]
        if request.headers.get("authorization") != "Bearer t" or sent != ["c", "s"]:
            raise HTTPException(400)
        kept.append(body)
        return {"id": len(kept)}

    return app


@pytest.mark.usefixtures("service")
def test_superset(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    kept: list[dict[str, Any]] = []
    with listening(stand_in(kept)) as url:
        monkeypatch.setenv("SUPERSET_URL", url)
        monkeypatch.setenv("SUPERSET_USER", "admin")
        monkeypatch.setenv("SUPERSET_PASSWORD", "pw")
        monkeypatch.setattr("sys.argv", ["superset_dataset.py", "3", BY_MONTH])
        runpy.run_path(str(EXAMPLES / "superset_dataset.py"), run_name="__main__")
    (dataset,) = kept
    assert (dataset["database"], dataset["table_name"]) == (3, BY_MONTH)
    assert capsys.readouterr().out == f"{dataset['sql']}\ndataset 1\n"


def test_dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    duckdb = pytest.importorskip("duckdb")
    folder = EXAMPLES / "dbt"
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        for seed in sorted((folder / "seeds").glob("*.csv")):
            connection.execute(f"CREATE TABLE {seed.stem} AS SELECT * FROM read_csv('{seed}')")
        for model in sorted((folder / "models").glob("*.sql")):
            body = re.sub(r"\{\{ ref\('(\w+)'\) \}\}", r"\1", model.read_text("utf-8"))
            connection.execute(f"CREATE VIEW {model.stem} AS {body}")
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    block = next(b for b in re.findall(r"```sh\n(.*?)```", readme, re.S) if "dbt build" in b)
    commands = [
        shlex.split(line, comments=True)[1:] for line in block.splitlines() if line.startswith("sqlgen")
    ]
    assert [argv[0] for argv in commands] == ["knowledge", "eval"]
    places = {".": str(folder), "models/golden.jsonl": str(folder / "models" / "golden.jsonl")}
    for argv in commands:
        assert main([places.get(word, word) for word in argv]) == 0, capsys.readouterr().err
    assert main(["knowledge", "list", "--db", "duckdb:///shop.duckdb"]) == 0
    assert "Orders that count as sales" in capsys.readouterr().out
