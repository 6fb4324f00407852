"""Each format, read whole and in small pieces: the same events, and the faults with their lines."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from sqlgen.errors import UsageError
from sqlgen.training.logs.events import Event, Found
from sqlgen.training.logs.formats import FORMATS, detect, looks_like_json, open_reader

STDERR = b"""\
2024-03-01 10:00:00.001 UTC [7] ann@shop LOG:  statement: SELECT 1
2024-03-01 10:00:01.002 UTC [7] ann@shop LOG:  duration: 0.5 ms  statement: SELECT name
\tFROM pets
\tWHERE age > 3
garbage in between
2024-03-01 10:00:02.002 UTC [8] bob@shop LOG:  statement: SELECT nope FROM pets
2024-03-01 10:00:02.003 UTC [8] bob@shop ERROR:  column "nope" does not exist at character 8
2024-03-01 10:00:02.003 UTC [8] bob@shop STATEMENT:  SELECT nope FROM pets
2024-03-01 10:00:03.000 UTC [8] bob@shop LOG:  duration: 1.5 ms  parse <unnamed>: SELECT age FROM pets WHERE name = $1
2024-03-01 10:00:03.000 UTC [8] bob@shop LOG:  duration: 0.2 ms  execute <unnamed>: SELECT age FROM pets WHERE name = $1 AND age > $2
2024-03-01 10:00:03.000 UTC [8] bob@shop DETAIL:  parameters: $1 = 'O''Hara', $2 = '4'
2024-03-01 10:00:04.000 UTC [9] LOG:  checkpoint starting: time
2024-03-01 10:00:05.000 UTC [8] bob@shop LOG:  statement: UPDATE pets SET age = 1
"""
STDERR_EVENTS = [
    (b"SELECT 1", b"ann", b"2024-03-01 10:00:00"),
    (b"SELECT name\nFROM pets\nWHERE age > 3", b"ann", b"2024-03-01 10:00:01"),
    (b"SELECT age FROM pets WHERE name = 'O''Hara' AND age > 4", b"bob", b"2024-03-01 10:00:03"),
    (b"UPDATE pets SET age = 1", b"bob", b"2024-03-01 10:00:05"),
]


def csv_row(severity: str, message: str, detail: str = "", columns: int = 26, pid: int = 7) -> str:
    fields = ["2024-03-01 10:00:00.123 UTC", "ann", "shop", str(pid), "[local]", "65e1.1", "1", "SELECT"]
    fields += (
        ["2024-03-01 09:00:00 UTC", "3/5", "0", severity, "00000", message, detail] + [""] * 7 + ["psql"]
    )
    fields += ["client backend", "", "123456"][: columns - 23]
    assert len(fields) == columns
    return ",".join('"' + f.replace('"', '""') + '"' if set(f) & set('",\n') else f for f in fields)


POSTGRES_CSV = "\n".join(
    [
        csv_row("LOG", 'duration: 0.1 ms  statement: SELECT "a, b"\nFROM pets\n2024-03-01, really', columns=23),
        csv_row("LOG", "statement: SELECT bad", columns=24),
        csv_row("ERROR", "column bad does not exist", columns=24),
        "2024-03-01 10:00:00.123 UTC,too,few",
        csv_row("LOG", "execute S_1: SELECT $1", "parameters: $1 = '5'"),
    ]
).encode() + b"\n"  # fmt: skip

POSTGRES_JSON = b"".join(
    json.dumps(row).encode() + b"\n"
    for row in (
        {"timestamp": "2024-03-01 10:00:00.1 UTC", "user": "ann", "pid": 7, "error_severity": "LOG",
         "message": "execute <unnamed>: SELECT $1", "detail": "Parameters: $1 = 'x'"},
        {"timestamp": "2024-03-01 10:00:01.1 UTC", "user": "ann", "pid": 7, "error_severity": "LOG",
         "message": "statement: SELECT bad"},
        {"timestamp": "2024-03-01 10:00:01.2 UTC", "pid": 7, "error_severity": "ERROR", "message": "no"},
    )
) + b'{"timestamp": "2024-\n'  # fmt: skip

GENERAL = b"""\
/usr/sbin/mariadbd, Version: 10.11.6-MariaDB (Debian). started with:
Tcp port: 0  Unix socket: /run/s
Time\t\t    Id Command\tArgument
240301  9:05:00\t     8 Connect\troot@localhost on shop using Socket
\t\t     8 Query\tSELECT name
FROM pets
240301 10:05:01\t     8 Quit\t
2024-03-01T12:00:00.123456Z\t    9 Connect\tann@localhost on shop using TCP/IP
2024-03-01T12:00:01.123456Z\t    9 Query\tSELECT 'tab\there'
"""
SLOW = b"""\
/usr/sbin/mariadbd, Version: 10.11.6-MariaDB (Debian). started with:
Tcp port: 0  Unix socket: /run/s
Time\t\t    Id Command\tArgument
# Time: 240301 10:05:00
# User@Host: ann[ann] @ localhost []
# Thread_id: 3  Schema: shop  QC_hit: No
# Query_time: 0.000188  Lock_time: 0.000041  Rows_sent: 1  Rows_examined: 0
use shop;
SET timestamp=1709290000;
SELECT name
FROM pets;
# User@Host: root[root] @ localhost []
# Query_time: 0.1  Lock_time: 0.0  Rows_sent: 1  Rows_examined: 0
SET timestamp=1709290001;
# administrator command: Quit;
"""
JSONL = b"""\
{"sql": "SELECT 1", "question": "One?", "user": "ann", "time": "2024-03-01T10:00:00Z", "verdict": "correct"}
{"sql": "SELECT 2
{"sql": 5}
[1]

{"sql": "SELECT '\xc3\xa9'"}
{"sql": "\xff"}
"""
ARRAY = json.dumps(
    [{"query": 'SELECT "{", a', "user_email": "ann@x.org", "creation_time": 1709287200000, "state": "DONE"},
     {"query": "SELECT 2", "error_result": {"reason": "invalid"}, "creation_time": None}], indent=1
).encode()  # fmt: skip
CSV = (
    b"\xef\xbb\xbfQUERY_TEXT;USER_NAME;START_TIME;EXECUTION_STATUS;WAREHOUSE_NAME\r\n"
    b'"SELECT ""a""\r\nFROM t";ANN;2024-03-01 10:00:00.000 +0000;SUCCESS;W\r\n'
    b"SELECT 2;BOB;2024-03-02;FAIL;W\r\n"
    b"SELECT 3;BOB\r\n"
)
STL_QUERY = (
    b"userid,query,label,xid,pid,database,querytxt,starttime,endtime,aborted\n"
    b'100,5031,default,77,12,dev,"SELECT ""a"", b FROM t",2024-03-01 10:00:00.123456,2024-03-01 10:00:01,0\n'
    b"100,5032,default,78,12,dev,SELECT c FROM t,2024-03-01 10:00:02,2024-03-01 10:00:03,1\n"
)
SYS_QUERY_HISTORY = (
    b"user_id,query_id,query_label,query_type,status,start_time,error_message,query_text\n"
    b"100,7,default,SELECT,success,2024-03-01 10:00:00.5,,SELECT a FROM t\n"
    b"100,8,default,SELECT,failed,2024-03-01 10:00:01,division by zero,SELECT 1/0\n"
)
DATABRICKS = json.dumps(
    [{"statement_id": "01ef", "executed_by": "ann@x.org", "execution_status": "FINISHED", "error_message": None,
      "start_time": "2024-03-01T10:00:00.000Z", "statement_text": "SELECT `a` FROM t"},
     {"statement_id": "01f0", "executed_by": "ann@x.org", "execution_status": "CANCELED", "statement_text": "SELECT 2"}]
).encode()  # fmt: skip
DATABRICKS_API = b"""\
{"query_id": "01ef", "status": "FINISHED", "query_text": "SELECT 1", "user_name": "ann", "executed_as_user_name": "ann", \
"query_start_time_ms": 1709287200000}
"""
STATEMENTS = b"userid,queryid,query,calls\n10,1,SELECT name FROM pets WHERE id = $1,12\n10,2,SELECT 1,3\n"


def read(
    format: str, data: bytes, size: int | None = None
) -> tuple[list[Event], list[tuple[int, str]], Counter[str]]:
    """All events, (line, reason) of what is malformed, and what was skipped, reading ``size`` bytes at a time."""
    array = looks_like_json(data)
    reader: Any = open_reader(format, None, array=array)
    found = Found()
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    held, lines = b"", 1
    pieces = [data[i : i + size] for i in range(0, len(data), size)] if size else [data]
    for number, piece in enumerate([*pieces, b""]):
        final = number == len(pieces)
        block = held + piece
        # State is what a later process goes on with.
        reader = open_reader(format, json.loads(json.dumps(reader.state)) or None, array=array)
        used, part = reader.read(block, final)
        found.events += part.events
        found.skipped += part.skipped
        for at, reason, _ in part.bad:
            found.bad.append((lines + block.count(b"\n", 0, at), reason, b""))
        lines += block.count(b"\n", 0, used)
        held = block[used:]
    return found.events, [(line, reason) for line, reason, _ in found.bad], found.skipped


CASES: dict[str, tuple[bytes, list[tuple[bytes, bytes, bytes]], list[tuple[int, str]]]] = {
    "postgres-stderr": (STDERR, STDERR_EVENTS, [(5, "no entry begins here")]),
    "postgres-csv": (
        POSTGRES_CSV,
        [
            (b'SELECT "a, b"\nFROM pets\n2024-03-01, really', b"ann", b"2024-03-01 10:00:00"),
            (b"SELECT 5", b"ann", b"2024-03-01 10:00:00"),
        ],
        [(6, "3 columns, 23 or more expected")],
    ),
    "postgres-json": (
        POSTGRES_JSON,
        [(b"SELECT 'x'", b"ann", b"2024-03-01 10:00:00")],
        [(4, "not a JSON object of jsonlog")],
    ),
    "mysql-general": (
        GENERAL,
        [
            (b"SELECT name\nFROM pets", b"root", b"2024-03-01 09:05:00"),
            (b"SELECT 'tab\there'", b"ann", b"2024-03-01 12:00:01"),
        ],
        [],
    ),
    "mysql-slow": (SLOW, [(b"SELECT name\nFROM pets;", b"ann", b"2024-03-01 10:46:40")], []),
    "jsonl": (
        JSONL,
        [(b"SELECT 1", b"ann", b"2024-03-01 10:00:00"), ("SELECT 'é'".encode(), b"", b"")],
        [(2, "not JSON"), (3, "no SQL in it"), (4, "not a JSON object"), (7, "not UTF-8")],
    ),
    "bigquery": (ARRAY, [(b'SELECT "{", a', b"ann@x.org", b"2024-03-01 10:00:00")], []),
    "snowflake": (
        CSV,
        [(b'SELECT "a"\r\nFROM t', b"ANN", b"2024-03-01 10:00:00")],
        [(5, "2 fields under 5 names")],
    ),
    "pg-stat-statements": (
        STATEMENTS,
        [(b"SELECT name FROM pets WHERE id = $1", b"10", b""), (b"SELECT 1", b"10", b"")],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", [None, 4096, 97, 7])
@pytest.mark.parametrize("format", CASES)
def test_a_format_gives_the_same_in_pieces_of_any_size(format: str, size: int | None) -> None:
    data, wanted, bad = CASES[format]
    events, faults, _ = read(format, data, size)
    assert [(e.sql, e.user, e.at) for e in sorted(events, key=lambda e: (e.at, e.sql))] == sorted(
        wanted, key=lambda e: (e[2], e[0])
    )
    assert faults == bad


@pytest.mark.parametrize("format", CASES)
def test_the_format_is_told_from_the_beginning(format: str) -> None:
    assert detect(CASES[format][0], "a.log") == format


def test_what_is_no_log_is_an_error_that_names_the_formats() -> None:
    with pytest.raises(UsageError, match=r"a\.txt; give --format \(postgres-stderr, "):
        detect(b"Dear diary,\ntoday nothing happened.\n", "a.txt")
    assert set(CASES) < set(FORMATS)


@pytest.mark.parametrize(
    ("format", "data", "event"),
    [
        ("redshift", STL_QUERY, (b'SELECT "a", b FROM t', b"100", b"2024-03-01 10:00:00")),
        ("redshift", SYS_QUERY_HISTORY, (b"SELECT a FROM t", b"100", b"2024-03-01 10:00:00")),
        ("databricks", DATABRICKS, (b"SELECT `a` FROM t", b"ann@x.org", b"2024-03-01 10:00:00")),
        ("databricks", DATABRICKS_API, (b"SELECT 1", b"ann", b"2024-03-01 10:00:00")),
    ],
)
def test_histories_of_warehouses(format: str, data: bytes, event: tuple[bytes, bytes, bytes]) -> None:
    assert detect(data, "a.log") == format
    (found,), faults, _ = read(format, data)
    assert (found.sql, found.user, found.at) == event
    assert faults == []


def test_counts_questions_and_verdicts_are_read() -> None:
    assert [e.runs for e in read("pg-stat-statements", STATEMENTS)[0]] == [12, 3]
    first = read("jsonl", JSONL)[0][0]
    assert (first.question, first.verdict) == ("One?", "accepted")


def test_failed_statements_are_left_out_and_counted() -> None:
    assert read("postgres-stderr", STDERR)[2]["failed"] == 1
    assert read("postgres-csv", POSTGRES_CSV)[2]["failed"] == 1
    assert read("postgres-json", POSTGRES_JSON)[2]["failed"] == 1
    assert read("bigquery", ARRAY)[2]["failed"] == 1


@pytest.mark.parametrize(
    "line",
    [
        b"2024-03-01 10:00:00 UTC [7]: [3-1] user=ann,db=shop,app=psql,client=::1 LOG:  statement: SELECT 1",
        b"2024-03-01 10:00:00.500 +02 [7] LOG:  statement: SELECT 1",
        b"ann@shop 2024-03-01 10:00:00 CET pid=7 LOG:  statement: SELECT 1",
        b"<2024-03-01 10:00:00.123 UTC> LOG:  statement: SELECT 1",
        b"[7] 1709287200.123 LOG:  statement: SELECT 1",
        b"LOG:  statement: SELECT 1",
    ],
)
def test_prefixes_of_many_kinds_are_read(line: bytes) -> None:
    (event,), bad, _ = read("postgres-stderr", line + b"\n")
    assert (event.sql, bad) == (b"SELECT 1", [])
    dated = b"10:00:00" in line or b"17092872" in line
    assert event.at == (b"2024-03-01 10:00:00" if dated else b"")
    assert event.user == (b"ann" if b"ann" in line else b"")


def test_a_given_prefix_is_followed_exactly() -> None:
    line = b"shop|ann|LOG:  x|2024-03-01 10:00:00 UTC|7 LOG:  statement: SELECT 1\n"
    reader = open_reader("postgres-stderr", None, array=False, prefix="%d|%u|LOG:  x|%t|%p ")
    (event,) = reader.read(line, True)[1].events
    assert event == Event(b"SELECT 1", b"ann", b"2024-03-01 10:00:00")


@pytest.mark.parametrize(
    "format", ["postgres-stderr", "postgres-csv", "mysql-general", "mysql-slow", "jsonl"]
)
def test_undecodable_bytes_spoil_one_entry_only(format: str) -> None:
    data, wanted, bad = CASES[format]
    spoiled = data.replace(wanted[0][0][:7], b"SELECT\xff", 1)
    events, faults, _ = read(format, spoiled)
    assert len(events) == len(wanted) - 1
    assert any(reason in ("not UTF-8", "not JSON") for _, reason in faults)
    assert len(faults) == len(bad) + 1


def test_windows_line_ends_make_no_difference() -> None:
    events, bad, _ = read("postgres-stderr", STDERR.replace(b"\n", b"\r\n"))
    assert {b" ".join(e.sql.split()) for e in events} == {
        b" ".join(sql.split()) for sql, _, _ in STDERR_EVENTS
    }
    assert [line for line, _ in bad] == [5]
