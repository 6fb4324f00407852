"""Every URL of the service, in this process, over a scripted model and a real database."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import sqlgen
from sqlgen.generation.scripted import ScriptedGenerator
from sqlgen.serve.app import create_app
from sqlgen.serve.formats import ARROW
from sqlgen.serve.settings import ServeSettings, digest_of

Open = Callable[..., Any]


@pytest.fixture
def client(opened: Open) -> Iterator[TestClient]:
    with opened() as client:
        yield client


KEYS = {
    "keys": {
        "anna": {"hash": digest_of("key-of-anna"), "context": {"region": "EU"}},
        "bob": {"hash": digest_of("key-of-bob"), "context": {"region": "US"}, "feedback": False},
    }
}


# --- asking ------------------------------------------------------------------------------------------------


def test_ask_answers_as_the_command_line_does(client: TestClient) -> None:
    answer = client.post("/ask", json={"question": "How many orders?"}).json()
    assert answer["status"] == "answered"
    assert answer["rows"] == [[4]]
    assert {"sql", "columns", "citations", "candidates", "model", "timings_ms", "answer_id"} <= answer.keys()


def test_ask_without_execution_and_with_fewer_rows(client: TestClient) -> None:
    answer = client.post("/ask", json={"question": "How many orders?", "execute": False}).json()
    assert answer["sql"]
    assert answer["row_count"] is None
    cut = client.post("/ask", json={"question": "Show all orders", "max_rows": 2}).json()
    assert (cut["row_count"], cut["truncated"]) == (2, True)


def test_a_caller_gets_no_more_rows_than_the_service_allows(opened: Open) -> None:
    with opened(max_rows=3) as client:
        assert (
            client.post("/ask", json={"question": "Show all orders", "max_rows": 9}).json()["row_count"] == 3
        )
        ran = client.post("/run", json={"sql": "SELECT id FROM orders", "max_rows": 9}).json()
    assert (ran["row_count"], ran["truncated"]) == (3, True)


def test_rows_as_csv_and_arrow(client: TestClient) -> None:
    as_csv = client.post("/ask", json={"question": "What is odd?"}, headers={"accept": "text/csv"})
    assert as_csv.headers["content-type"].startswith("text/csv")
    assert as_csv.text == 'note\na\n<img src=x onerror=alert(1)>\n\'=1+1\n""\n'
    as_arrow = client.post("/ask", json={"question": "Show all orders"}, headers={"accept": ARROW})
    ipc = pytest.importorskip("pyarrow.ipc")
    table = ipc.open_stream(io.BytesIO(as_arrow.content)).read_all()
    assert table.column("total").to_pylist() == [10.5, 20, 30, 400]
    assert as_arrow.headers["x-truncated"] == "false"
    none = client.post("/ask", json={"question": "Break it"}, headers={"accept": "text/csv"})
    assert (none.status_code, none.json()["status"]) == (422, "rejected")
    assert client.post("/ask", json={"question": "x"}, headers={"accept": "image/png"}).status_code == 406


def read_events(text: str) -> list[tuple[str, Any]]:
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("event: ")]
    return [(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in blocks]


def test_stream_tells_the_stages_and_then_the_answer(client: TestClient) -> None:
    response = client.post("/ask/stream", json={"question": "How many orders?"})
    assert response.headers["content-type"].startswith("text/event-stream")
    *stages, (kind, answer) = read_events(response.text)
    told = [document["stage"] for _, document in stages]
    assert list(dict.fromkeys(told)) == ["retrieve", "generate", "validate", "execute"]
    assert (kind, answer["rows"]) == ("answer", [[4]])


def test_stream_ends_with_an_error(client: TestClient) -> None:
    ((kind, document),) = read_events(client.post("/ask/stream", json={"question": "   "}).text)
    assert (kind, document["error"]) == ("error", "UsageError")


def test_a_question_with_markup_comes_back_as_text_in_json(client: TestClient) -> None:
    response = client.post("/ask", json={"question": "<script>alert(1)</script>"})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.json()["question"] == "<script>alert(1)</script>"


# --- SQL ---------------------------------------------------------------------------------------------------


def test_check_and_run(client: TestClient) -> None:
    allowed = client.post("/check", json={"sql": "SELECT COUNT(*) FROM orders"}).json()
    assert (allowed["verdict"], allowed["tables"]) == ("allow", ["orders"])
    ran = client.post("/run", json={"sql": "SELECT COUNT(*) AS n FROM orders"}).json()
    assert (ran["status"], ran["rows"], ran["columns"][0]["name"]) == ("answered", [[4]], "n")


REFUSED = [
    "DELETE FROM orders",
    "SELECT 1; DROP TABLE orders",
    "SELECT * FROM sqlite_master",
    "PRAGMA writable_schema = 1",
    "SELECT load_extension('x')",
    "ATTACH '/etc/passwd' AS p",
    "no sql",
]


def test_what_validation_refuses_does_not_run(client: TestClient) -> None:
    for sql in REFUSED:
        assert client.post("/check", json={"sql": sql}).json()["verdict"] == "reject", sql
        ran = client.post("/run", json={"sql": sql}).json()
        assert (ran["status"], ran["rows"]) == ("rejected", []), sql
        assert ran["findings"]
    assert client.post("/run", json={"sql": "SELECT COUNT(*) FROM orders"}).json()["rows"] == [[4]]


# --- the rest ----------------------------------------------------------------------------------------------


def test_retrieve_schema_models_and_knowledge(client: TestClient) -> None:
    assert (
        client.post("/retrieve", json={"question": "orders by region", "k": 1}).json()["tables"][0]["name"]
        == "orders"
    )
    schema = client.get("/schema").json()
    assert {t["name"]: [c["name"] for c in t["columns"]] for t in schema["tables"]}["staff"] == [
        "name",
        "salary",
    ]
    assert client.get("/models").json() == {"model": "shipped", "current": None, "adapters": []}
    assert client.get("/knowledge").json() == []


def test_gate_reports_show_a_key_no_questions_of_others(opened: Open, adapter: str) -> None:
    with opened() as client:
        (shown,) = client.get("/models").json()["adapters"]
    assert (shown["id"], shown["gate"]["sets"][0]["won"][0]["question"]) == (adapter, "How many parcels?")
    with opened({"keys": {"anna": {"hash": digest_of("k")}}}, key="k") as client:
        text = client.get("/models").text
    assert '"after":0.55' in text
    assert "parcels" not in text


def test_feedback_answers_the_question_from_now_on(client: TestClient) -> None:
    first = client.post("/ask", json={"question": "How many orders?"}).json()
    right = "SELECT COUNT(*) AS all_orders FROM orders"
    said = client.post("/feedback", json={"answer_id": first["answer_id"], "sql": right}).json()
    assert said == {"answer_id": first["answer_id"], "question": "How many orders?", "verdict": "corrected"}
    second = client.post("/ask", json={"question": "How many orders?"}).json()
    assert second["columns"][0]["name"] == "all_orders"
    assert [e["kind"] for e in client.get("/knowledge").json()] == ["query"]
    history = client.get("/history").json()
    assert [(line["question"], line["verdict"]) for line in history] == [
        ("How many orders?", None),
        ("How many orders?", "corrected"),
    ]
    assert "rows" not in history[0]


def test_feedback_refuses_what_it_cannot_take(client: TestClient) -> None:
    first = client.post("/ask", json={"question": "How many orders?"}).json()["answer_id"]
    refused = client.post("/feedback", json={"answer_id": first, "sql": "DELETE FROM orders"}).json()
    assert refused["verdict"] == "rejected"
    assert client.post("/feedback", json={"answer_id": first}).status_code == 422
    assert client.post("/feedback", json={"answer_id": "0" * 32, "verdict": "right"}).status_code == 404
    assert client.post("/feedback", json={"answer_id": "last", "verdict": "right"}).status_code == 422
    assert (
        client.post("/feedback", json={"answer_id": first, "verdict": "right"}).json()["verdict"] == "right"
    )


def test_health_ready_and_metrics(client: TestClient) -> None:
    client.post("/ask", json={"question": "How many orders?"})
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    text = client.get("/metrics").text
    assert 'sqlgen_requests_total{method="POST",route="/ask",status="200"}' in text
    assert 'sqlgen_answers_total{status="answered"}' in text
    assert "How many" not in text


def test_a_database_that_is_not_there_makes_the_service_not_ready(tmp_path: Path) -> None:
    settings = sqlgen.Settings(home=tmp_path / "home", db=f"sqlite:///{tmp_path}/absent.db")
    app = create_app(partial(sqlgen.connect, settings=settings), settings, ServeSettings())
    with pytest.raises(sqlgen.ConnectionFailed), TestClient(app, base_url="http://localhost"):
        pass


def test_the_openapi_document_names_every_url(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/ask", "/ask/stream", "/check", "/run", "/retrieve", "/feedback", "/history", "/models", "/schema",
        "/knowledge", "/health", "/ready", "/metrics",
    }  # fmt: skip


def test_the_page_may_run_its_own_script_alone(client: TestClient) -> None:
    response = client.get("/")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'sha256-" in policy
    assert "unsafe" not in policy
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "http://",
        "https://",
    ):
        assert forbidden not in response.text.replace("http://www.w3.org/2000/svg", "")
    assert client.get("/docs").status_code == 404


# --- keys and policies -------------------------------------------------------------------------------------


URLS = [
    "/",
    "/ready",
    "/metrics",
    "/openapi.json",
    "/history",
    "/schema",
    "/models",
    "/knowledge",
    "/nothing",
    "/mcp",
]


def test_without_a_right_key_only_health_answers(opened: Open) -> None:
    wrong = ["Bearer ", "Bearer wrong", "Bearer key-of-ann", "Basic !!", "Bearer " + digest_of("key-of-anna")]
    with opened(KEYS) as client:
        for headers in [{}, *({"authorization": header} for header in wrong)]:
            for url in URLS:
                response = client.get(url, headers=headers)
                assert response.status_code == 401, (url, headers)
                assert "Basic" in response.headers["www-authenticate"]
            for url in ("/ask", "/ask/stream", "/check", "/run", "/retrieve", "/feedback", "/mcp"):
                body = {"question": "How many orders?"}
                assert client.post(url, json=body, headers=headers).status_code == 401, (url, headers)
        assert client.get("/health").status_code == 200


def test_a_browser_may_give_the_key_as_a_password(opened: Open) -> None:
    with opened(KEYS) as client:
        assert client.get("/", auth=("anybody", "key-of-anna")).status_code == 200
        assert client.get("/", auth=("key-of-anna", "")).status_code == 401


def test_each_key_sees_its_own_rows_answers_and_schema(opened: Open, policy: Mapping[str, object]) -> None:
    with opened(KEYS, policy=policy) as client:
        anna, bob = ({"authorization": f"Bearer key-of-{name}"} for name in ("anna", "bob"))
        ours = client.post("/ask", json={"question": "How many orders?"}, headers=anna).json()
        theirs = client.post("/ask", json={"question": "How many orders?"}, headers=bob).json()
        assert (ours["rows"], theirs["rows"]) == ([[3]], [[1]])
        assert [line["user"] for line in client.get("/history", headers=anna).json()] == ["anna"]
        stolen = {"answer_id": theirs["answer_id"], "verdict": "wrong"}
        assert client.post("/feedback", json=stolen, headers=anna).status_code == 404
        mine = {"answer_id": theirs["answer_id"], "verdict": "right"}
        refused = client.post("/feedback", json=mine, headers=bob)
        assert (refused.status_code, "feedback" in refused.json()["message"]) == (422, True)
        staff = next(t for t in client.get("/schema", headers=anna).json()["tables"] if t["name"] == "staff")
        assert [c["name"] for c in staff["columns"]] == ["name"]


WIDENING = [
    "SELECT id FROM orders WHERE region = 'US' OR 1 = 1",
    "SELECT id FROM (SELECT * FROM orders WHERE region = 'US') AS orders",
    "WITH o AS (SELECT * FROM orders) SELECT id FROM o WHERE region <> 'EU' OR TRUE",
    "SELECT a.id FROM orders AS a CROSS JOIN orders AS b WHERE a.id = b.id",
    'SELECT id FROM main."orders"',
    "SELECT id FROM orders -- ) WHERE region = 'US'",
    "SELECT id FROM orders UNION ALL SELECT id FROM orders WHERE region = 'US'",
    "SELECT MAX(id) FROM orders WHERE EXISTS (SELECT 1 FROM orders WHERE total > 100)",
    "WITH orders AS (SELECT 4 AS id, 'EU' AS region) SELECT id FROM main.orders",
    "SELECT id FROM orders WHERE region = :region",
]


def test_no_sql_widens_a_row_filter(opened: Open, policy: Mapping[str, object]) -> None:
    with opened(KEYS, policy=policy, key="key-of-anna") as client:
        answered = 0
        for sql in WIDENING:
            ran = client.post("/run", json={"sql": sql}).json()
            assert {row[0] for row in ran["rows"]} <= {1, 2, 3, None}, ran
            answered += ran["status"] == "answered"
        assert answered > 5


def test_neither_question_nor_header_nor_body_widens_a_row_filter(
    opened: Open, policy: Mapping[str, object]
) -> None:
    with opened(KEYS, policy=policy, key="key-of-anna") as client:
        answer = client.post("/ask", json={"question": "Orders of the US?"}).json()
        assert [row[0] for row in answer["rows"]] == [1, 2, 3]
        headers = {
            "x-policy-context": '{"region": "US"}',
            "sqlgen-policy-region": "US",
            "region": "US",
            "x-user": "bob",
        }
        counted = client.post(
            "/ask?region=US&user=bob", json={"question": "How many orders?"}, headers=headers
        )
        assert counted.json()["rows"] == [[3]]
        body = {"question": "How many orders?", "policy_context": {"region": "US"}}
        assert client.post("/ask", json=body).status_code == 422
        assert client.post("/ask", json={"question": "Who earns what?"}).json()["status"] == "rejected"


def test_a_correction_of_one_is_filtered_for_the_other(opened: Open, policy: Mapping[str, object]) -> None:
    with opened(KEYS, policy=policy) as client:
        anna, bob = ({"authorization": f"Bearer key-of-{name}"} for name in ("anna", "bob"))
        first = client.post("/ask", json={"question": "How many orders?"}, headers=anna).json()["answer_id"]
        body = {"answer_id": first, "sql": "SELECT COUNT(id) FROM orders"}
        assert client.post("/feedback", json=body, headers=anna).json()["verdict"] == "corrected"
        answer = client.post("/ask", json={"question": "How many orders?"}, headers=bob).json()
        assert (answer["model"]["name"], answer["rows"]) == ("verified query", [[1]])
        assert "'EU'" not in json.dumps(client.get("/knowledge", headers=bob).json())


def test_knowledge_about_closed_columns_is_not_shown(opened: Open, policy: Mapping[str, object]) -> None:
    with opened() as client:
        first = client.post("/ask", json={"question": "Who earns what?"}).json()["answer_id"]
        client.post("/feedback", json={"answer_id": first, "verdict": "right"})
        assert len(client.get("/knowledge").json()) == 1
    with opened(KEYS, policy=policy, key="key-of-anna") as client:
        assert client.get("/knowledge").json() == []


def test_keys_are_taken_up_and_taken_away_while_the_service_runs(
    shop: str, generator: ScriptedGenerator, tmp_path: Path
) -> None:
    file = tmp_path / "sqlgen.toml"

    def write(*names: str) -> None:
        lines = [f'[serve.keys.{name}]\nhash = "{digest_of(name)}"\n' for name in names]
        file.write_text("\n".join([f'home = "{tmp_path}/home"', *lines]))

    write("anna")
    settings = sqlgen.load_settings(environ={"SQLGEN_CONFIG": str(file)})
    app = create_app(partial(sqlgen.connect, shop, settings=settings, generator=generator), settings)
    with TestClient(app, base_url="http://localhost") as client:

        def status(key: str) -> int:
            return client.get("/models", headers={"authorization": f"Bearer {key}"}).status_code

        assert (status("anna"), status("bob")) == (200, 401)
        write("anna", "bob")
        assert (status("anna"), status("bob")) == (200, 200)
        write("bob")
        assert (status("anna"), status("bob")) == (401, 200)
        write()
        assert (status("anna"), status("bob")) == (401, 401)
        file.write_text("[serve.keys.bob]\nhash = 7\n")
        assert status("bob") == 503


# --- going on ----------------------------------------------------------------------------------------------


def test_a_question_goes_on_from_ones_own_answers_alone(opened: Open, policy: Mapping[str, object]) -> None:
    with opened(KEYS, policy=policy) as client:
        anna, bob = ({"authorization": f"Bearer key-of-{name}"} for name in ("anna", "bob"))
        first = client.post("/ask", json={"question": "Show all orders"}, headers=anna).json()
        body = {"question": "only with region US", "follows": [first["answer_id"]]}
        assert client.post("/ask", json=body, headers=bob).status_code == 404
        more = client.post(
            "/ask", json={"question": "how many are there?", "follows": body["follows"]}, headers=anna
        ).json()
        assert (more["status"], more["rows"]) == ("answered", [[3]]), more


def test_a_chart_comes_when_it_is_asked_for(client: TestClient) -> None:
    question = {"question": "Total by region?", "chart": True}
    asked = client.post("/ask", json=question).json()
    assert asked["chart"]["encoding"]["x"]["type"] == "quantitative"
    assert client.post("/ask", json={"question": "How many orders?", "chart": True}).json()["chart"] is None
    assert "chart" not in client.post("/ask", json={"question": "How many orders?"}).json()
