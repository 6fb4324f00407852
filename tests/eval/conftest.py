"""A suite in Spider's format, made anew for the tests: two databases, a dozen questions."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_LIBRARY = """
CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT, country TEXT, born INTEGER);
CREATE TABLE book (
    id INTEGER PRIMARY KEY, title TEXT, author_id INTEGER REFERENCES author (id), year INTEGER, price REAL
);
INSERT INTO author VALUES (1, 'Ada Brook', 'Norway', 1950), (2, 'Ben Cole', 'Chile', 1960),
    (3, 'Cleo Dunn', 'Norway', 1970), (4, 'Dov Eder', 'Japan', 1980);
INSERT INTO book VALUES (1, 'Rain', 1, 1990, 10.5), (2, 'Snow', 1, 1995, 12.0), (3, 'Wind', 2, 1999, 8.25),
    (4, 'Hail', 3, 2001, 12.0), (5, 'Mist', 3, 2005, 20.0);
"""
_GARAGE = """
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE car (id INTEGER PRIMARY KEY, model TEXT, owner_id INTEGER REFERENCES owner (id), power INTEGER);
INSERT INTO owner VALUES (1, 'Eva'), (2, 'Finn');
INSERT INTO car VALUES (1, 'Swift', 1, 90), (2, 'Bolt', 1, 150), (3, 'Crane', 2, 120), (4, 'Bolt', 2, 120);
"""
_TABLES = [
    {
        "db_id": "library",
        "table_names": ["author", "book"],
        "table_names_original": ["author", "book"],
        "column_names": [
            [-1, "*"], [0, "id"], [0, "name"], [0, "country"], [0, "born"],
            [1, "id"], [1, "title"], [1, "author id"], [1, "year"], [1, "price"],
        ],
        "column_names_original": [
            [-1, "*"], [0, "id"], [0, "name"], [0, "country"], [0, "born"],
            [1, "id"], [1, "title"], [1, "author_id"], [1, "year"], [1, "price"],
        ],
        "column_types": ["text", "number", "text", "text", "number"] + ["number", "text"] + 3 * ["number"],
        "primary_keys": [1, 5],
        "foreign_keys": [[7, 1]],
    },
    {
        "db_id": "garage",
        "table_names": ["owner", "car"],
        "table_names_original": ["owner", "car"],
        "column_names": [
            [-1, "*"], [0, "id"], [0, "name"], [1, "id"], [1, "model name"], [1, "owner id"], [1, "power"],
        ],
        "column_names_original": [
            [-1, "*"], [0, "id"], [0, "name"], [1, "id"], [1, "model"], [1, "owner_id"], [1, "power"],
        ],
        "column_types": ["text", "number", "text", "number", "text", "number", "number"],
        "primary_keys": [1, 3],
        "foreign_keys": [[5, 1]],
    },
]  # fmt: skip

_ASKED = [
    ("library", "How many authors are there?", "SELECT count(*) FROM author", "easy"),
    ("garage", "How many cars are there?", "SELECT count(*) FROM car", "easy"),
    ("library", "List all book titles, newest first.", "SELECT title FROM book ORDER BY year DESC", "easy"),
    (
        "library",
        "Which authors come from Norway?",
        "SELECT name FROM author WHERE country = 'Norway'",
        "easy",
    ),
    (
        "library",
        "How many books has each author written?",
        "SELECT T1.name, count(*) FROM author AS T1 JOIN book AS T2 ON T1.id = T2.author_id GROUP BY T1.id",
        "medium",
    ),
    (
        "library",
        "Which authors have no book?",
        "SELECT name FROM author WHERE id NOT IN (SELECT author_id FROM book)",
        "hard",
    ),
    ("library", "Books that cost more than 100?", "SELECT title FROM book WHERE price > 100", "easy"),
    (
        "garage",
        "Who owns a car with more than 130 horsepower?",
        "SELECT T1.name FROM owner AS T1 JOIN car AS T2 ON T1.id = T2.owner_id WHERE T2.power > 130",
        "medium",
    ),
    ("garage", "What is the power of every car?", "SELECT power FROM car", "easy"),
    ("garage", "Which car is the strongest?", "SELECT model FROM car ORDER BY power DESC LIMIT 1", "medium"),
    (
        "garage",
        "Models of Eva or of Finn?",
        "SELECT T2.model FROM owner AS T1 JOIN car AS T2 ON T1.id = T2.owner_id WHERE T1.name = 'Eva' "
        "UNION SELECT T2.model FROM owner AS T1 JOIN car AS T2 ON T1.id = T2.owner_id WHERE T1.name = 'Finn'",
        "extra",
    ),
    (
        "library",
        "Mean price per country, for countries with more than one book?",
        "SELECT T1.country, avg(T2.price) FROM author AS T1 JOIN book AS T2 ON T1.id = T2.author_id "
        "GROUP BY T1.country HAVING count(*) > 1",
        "medium",
    ),
]


@dataclass(frozen=True)
class SpiderFiles:
    questions: Path
    tables: Path
    databases: Path
    asked: tuple[tuple[str, str, str, str], ...]  # database, question, gold, difficulty by the published rule

    def gold_answers(self) -> dict[str, list[str]]:
        return {question: [gold] for _, question, gold, _ in self.asked}

    @property
    def options(self) -> dict[str, Any]:
        return {"questions": self.questions, "tables": self.tables, "databases": self.databases}


@pytest.fixture(scope="session")
def spider_files(tmp_path_factory: pytest.TempPathFactory) -> SpiderFiles:
    folder = tmp_path_factory.mktemp("spider")
    for name, script in (("library", _LIBRARY), ("garage", _GARAGE)):
        path = folder / "database" / name / f"{name}.sqlite"
        path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
    records = [{"db_id": db, "question": text, "query": gold} for db, text, gold, _ in _ASKED]
    (folder / "dev.json").write_text(json.dumps(records), "utf-8")
    (folder / "tables.json").write_text(json.dumps(_TABLES), "utf-8")
    return SpiderFiles(folder / "dev.json", folder / "tables.json", folder / "database", tuple(_ASKED))
