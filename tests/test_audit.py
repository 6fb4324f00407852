"""The audit log: what a line says, what it never says, and that nothing is answered without it."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sqlgen
from sqlgen.audit import AuditLog, audited, current_entry
from sqlgen.config import Settings, load_settings
from sqlgen.errors import AuditFailed, LimitReached, UsageError
from sqlgen.generation import ScriptedGenerator

SCRIPT = {
    "Who?": ["SELECT name FROM customers ORDER BY name", "SELECT id FROM customers"],
    "Bad?": ["DELETE FROM customers"],
    "Slow?": [
        "SELECT COUNT(*) FROM numbers AS a JOIN numbers AS b ON a.i < b.i JOIN numbers AS c ON b.i < c.i "
        "JOIN numbers AS d ON c.i < d.i JOIN numbers AS e ON d.i < e.i"
    ],
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT);"
            "INSERT INTO customers VALUES (1, 'Wilhelmina Quux'), (2, 'Bo');"
            "CREATE TABLE numbers (i INTEGER)"
        )
        connection.executemany("INSERT INTO numbers VALUES (?)", ((i,) for i in range(20_000)))
        connection.commit()
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def connect(shop: Path, log: Path, **settings: Any) -> sqlgen.Database:
    return sqlgen.connect(
        f"sqlite:///{shop}",
        settings=replace(load_settings(), audit_log=log, **settings),
        generator=ScriptedGenerator(SCRIPT),
        user="ann",
    )


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text("ascii").splitlines() if line]


def test_a_question_is_one_line_with_all_that_ran_and_no_value(shop: Path, log: Path) -> None:
    with connect(shop, log) as db:
        answer = db.ask("Who?")
    (line,) = lines(log)
    assert line["event"] == "ask"
    assert (line["user"], line["status"], line["question"]) == ("ann", "answered", "Who?")
    assert line["sql"] == answer.sql
    assert line["rows"] == 2
    assert line["answer_id"] == answer.id
    assert [run["outcome"] for run in line["ran"]] == ["ok"]
    assert line["ran"][0]["sql"] == answer.sql
    assert line["duration_ms"] >= line["ran"][0]["duration_ms"] >= 0
    assert line["database"].endswith("shop.sqlite")
    assert line["time"].endswith("+00:00")
    assert "Quux" not in log.read_text()


def test_checks_streams_refusals_and_failures_have_their_line(shop: Path, log: Path) -> None:
    with connect(shop, log) as db:
        db.check("SELECT name FROM customers")
        db.check("DROP TABLE customers")
        assert db.ask("Bad?").status == "rejected"
        with pytest.raises(LimitReached):
            db.ask("Slow?", timeout_s=0.2)
        with pytest.raises(UsageError):
            db.ask("   ")
        with db.stream("SELECT name FROM customers") as rows:
            assert len(list(rows)) == 1
        assert isinstance(db.stream("DELETE FROM customers"), sqlgen.Rejection)
    found = [(line["event"], line["status"]) for line in lines(log)]
    assert found == [
        ("check", "allowed"),
        ("check", "rejected"),
        ("ask", "rejected"),
        ("ask", "LimitReached"),
        ("ask", "UsageError"),
        ("stream", "allowed"),
        ("stream", "rejected"),
    ]
    assert lines(log)[2]["ran"] == []
    assert lines(log)[3]["ran"][0]["outcome"] == "LimitReached"
    assert lines(log)[5]["ran"][0]["sql"] == "SELECT name FROM customers"
    assert "Quux" not in log.read_text()


def test_questions_may_be_kept_as_hashes(shop: Path, log: Path) -> None:
    with connect(shop, log, audit_question="hash") as db:
        db.ask("Who?")
    (line,) = lines(log)
    assert "question" not in line
    assert line["question_sha256"] == "d991a24e8e04231cbae0f2b1372ebefd45b169c3855830d33b17fb3e98a68c96"


def test_a_question_cannot_forge_a_line(shop: Path, log: Path) -> None:
    with connect(shop, log) as db:
        db.ask('Who?\n{"event": "ask", "user": "root"}\r\n\u2028end')
    (line,) = lines(log)
    assert line["user"] == "ann"
    assert log.read_bytes().count(b"\n") == 1


def test_the_password_of_the_url_is_masked(log: Path, new_mariadb_database: Any) -> None:
    import sqlalchemy as sa

    url = sa.make_url(new_mariadb_database())
    owner = sa.create_engine(url)
    with owner.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INTEGER)")
        connection.exec_driver_sql("CREATE USER 'audited'@'%%' IDENTIFIED BY 'geheim-77'")
        connection.exec_driver_sql(f"GRANT SELECT ON {url.database}.* TO 'audited'@'%%'")
    full = url.set(username="audited", password="geheim-77").render_as_string(hide_password=False)
    with sqlgen.connect(full, settings=replace(load_settings(), audit_log=log)) as db:
        db.check("SELECT a FROM t")
        assert "geheim-77" not in repr(db)
    assert "geheim-77" not in log.read_text()
    assert "audited" in lines(log)[0]["database"]
    with owner.begin() as connection:
        connection.exec_driver_sql("DROP USER 'audited'@'%%'")
    owner.dispose()


# -- no answer without a line --------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/dev/full", "/proc/version", "{folder}", "{folder}/none/audit.log"])
def test_an_unwritable_log_means_no_answer(shop: Path, tmp_path: Path, path: str) -> None:
    log = Path(path.replace("{folder}", str(tmp_path)))
    with connect(shop, log) as db:
        for work in (
            lambda: db.ask("Who?"),
            lambda: db.check("SELECT 1"),
            lambda: db.stream("SELECT name FROM customers"),
        ):
            with pytest.raises(AuditFailed, match="nothing is answered") as caught:
                work()
            assert caught.value.exit_code == 2
            assert str(log) in str(caught.value)


def test_a_log_that_cannot_be_written_stops_before_anything_runs(shop: Path, tmp_path: Path) -> None:
    class Never:
        info = ScriptedGenerator(SCRIPT).info
        count_tokens = staticmethod(len)

        def generate(self, *_: object, **__: object) -> Any:
            raise AssertionError("the model was asked")

    settings = replace(load_settings(), audit_log=tmp_path)
    with (
        sqlgen.connect(f"sqlite:///{shop}", settings=settings, generator=Never()) as db,  # type: ignore[arg-type]
        pytest.raises(AuditFailed),
    ):
        db.ask("Who?")


def test_a_line_cut_by_a_full_disk_harms_no_other(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.write({"n": 1})
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom sqlgen.audit import AuditLog\n"
        "from sqlgen.errors import AuditFailed\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30, 30))\n"
        "try:\n    AuditLog(Path(sys.argv[1])).write({'text': 'x' * 1000})\n"
        "except AuditFailed as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(log.path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "cannot write the audit log" in done.stdout
    assert log.path.stat().st_size == 30
    log.write({"n": 2})
    written = log.path.read_text().splitlines()
    assert json.loads(written[0]) == {"n": 1}
    assert json.loads(written[-1]) == {"n": 2}
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 30


def test_many_processes_and_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    script = (
        "import sys\nfrom pathlib import Path\nfrom sqlgen.audit import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]))\n"
        "for n in range(200):\n    log.write({'who': sys.argv[2], 'n': n, 'text': 'x' * (n * 40)})\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(path), str(i)]) for i in range(4)]
    log = AuditLog(path)

    def write(who: str) -> None:
        for n in range(200):
            log.write({"who": who, "n": n, "text": "y" * 3000})

    threads = [threading.Thread(target=write, args=(f"t{i}",)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(60) for process in processes] == [0] * 4
    found = lines(path)
    assert sorted((str(f["who"]), f["n"]) for f in found) == sorted(
        (who, n) for who in ("0", "1", "2", "3", "t0", "t1") for n in range(200)
    )


def test_the_file_is_for_its_owner_and_only_ever_grows(tmp_path: Path, shop: Path, log: Path) -> None:
    log.write_text('{"old": 1}\n')
    with connect(shop, log) as db:
        db.ask("Who?")
    assert lines(log)[0] == {"old": 1}
    fresh = tmp_path / "fresh.jsonl"
    AuditLog(fresh).write({})
    assert stat.S_IMODE(os.stat(fresh).st_mode) == 0o600


def test_without_the_setting_there_is_no_log(shop: Path, tmp_path: Path) -> None:
    with sqlgen.connect(f"sqlite:///{shop}", generator=ScriptedGenerator(SCRIPT)) as db:
        db.ask("Who?")
    assert not list(tmp_path.rglob("*audit*"))
    assert Settings().audit_log is None
    with audited(None, "ask", "db") as entry:
        assert current_entry() is entry
    assert current_entry() is not entry


def test_settings_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "sqlgen.toml").write_text('audit_log = "logs/audit.jsonl"\naudit_question = "hash"\n')
    settings = load_settings(cwd=tmp_path, environ={})
    assert settings.audit_log == tmp_path / "logs/audit.jsonl"
    assert settings.audit_question == "hash"
