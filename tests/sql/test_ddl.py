"""A catalog from DDL text: what is read, what is passed over, and where errors point."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from sqlgen.catalog import infer_foreign_keys, load_catalog, open_engine
from sqlgen.errors import SchemaFileError
from sqlgen.sql.ddl import catalog_from_ddl
from sqlgen.types import Dialect, ForeignKey
from tests.conftest import column_of, table_of

DIALECTS: tuple[Dialect, ...] = ("sqlite", "duckdb", "postgres", "mysql")

PLAIN = """
CREATE TABLE customers (
  id INTEGER PRIMARY KEY, full_name VARCHAR(40) NOT NULL, joined DATE, active BOOLEAN, rating DOUBLE PRECISION
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer_id INTEGER REFERENCES customers (id),
  placed TIMESTAMP,
  total NUMERIC(10, 2),
  CHECK (total >= 0)
);
CREATE TABLE order_lines (
  order_id INTEGER, line_no INTEGER, sku VARCHAR(10),
  PRIMARY KEY (order_id, line_no),
  CONSTRAINT of_order FOREIGN KEY (order_id) REFERENCES orders
);
CREATE TABLE returns (
  order_id INTEGER, line_no INTEGER,
  FOREIGN KEY (order_id, line_no) REFERENCES order_lines (order_id, line_no)
);
CREATE VIEW spending AS SELECT c.full_name AS who, sum(o.total) AS spent, max(o.placed) AS last_order
  FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.full_name;
CREATE INDEX by_customer ON orders (customer_id);
INSERT INTO customers VALUES (1, 'a; CREATE TABLE trap (x INT)', NULL, NULL, NULL);
"""


def refused(text: str, dialect: Dialect = "sqlite") -> SchemaFileError:
    with pytest.raises(SchemaFileError) as caught:
        catalog_from_ddl(text, dialect)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_schema_in_every_dialect(dialect: Dialect) -> None:
    catalog = catalog_from_ddl(PLAIN, dialect)
    assert catalog.dialect == dialect
    assert [t.key for t in catalog.tables] == ["customers", "orders", "order_lines", "returns", "spending"]
    assert [(c.name, c.kind) for c in table_of(catalog, "customers").columns] == [
        ("id", "number"),
        ("full_name", "text"),
        ("joined", "date"),
        ("active", "bool"),
        ("rating", "number"),
    ]
    assert column_of(catalog, "customers", "full_name").type == "VARCHAR(40)"
    assert not column_of(catalog, "customers", "full_name").nullable
    assert column_of(catalog, "customers", "id").primary_key
    assert [c.name for c in table_of(catalog, "order_lines").columns if c.primary_key] == [
        "order_id",
        "line_no",
    ]
    assert table_of(catalog, "orders").foreign_keys == (ForeignKey(("customer_id",), "customers", ("id",)),)
    assert table_of(catalog, "order_lines").foreign_keys == (ForeignKey(("order_id",), "orders", ("id",)),)
    assert table_of(catalog, "returns").foreign_keys == (
        ForeignKey(("order_id", "line_no"), "order_lines", ("order_id", "line_no")),
    )
    view = table_of(catalog, "spending")
    assert view.is_view
    assert [(c.name, c.kind) for c in view.columns] == [
        ("who", "text"),
        ("spent", "number"),
        ("last_order", "date"),
    ]
    assert all(t.row_estimate is None for t in catalog.tables)


def test_agrees_with_the_database_that_runs_it(tmp_path: Path) -> None:
    path = tmp_path / "plain.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(PLAIN)
    connection.close()
    live = load_catalog(open_engine(str(path)), sample_values=0)
    read = infer_foreign_keys(catalog_from_ddl(PLAIN, "sqlite"))
    for table in live.tables:
        if table.is_view:
            continue
        other = table_of(read, table.key)
        assert [(c.name, c.type, c.kind, c.nullable, c.primary_key) for c in table.columns] == [
            (c.name, c.type, c.kind, c.nullable, c.primary_key) for c in other.columns
        ]
        assert table.foreign_keys == other.foreign_keys


def test_sqlite_types_are_kept_in_their_own_words() -> None:
    catalog = catalog_from_ddl(
        """CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, free, n UNSIGNED BIG INT NOT NULL,
        word VARYING CHARACTER(255) DEFAULT 'a,b', data BLOB, odd "two words", up AS (n + 1)
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE b (a_id REFERENCES A, other INT, FOREIGN KEY (OTHER) REFERENCES a (ID));
        CREATE VIRTUAL TABLE notes USING fts5(body);
        CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET n = 1; DELETE FROM b; END;
        CREATE TABLE after_trigger (x INT);""",
        "sqlite",
    )
    assert [(c.name, c.type, c.kind) for c in table_of(catalog, "a").columns] == [
        ("id", "INTEGER", "number"),
        ("free", "", "other"),
        ("n", "UNSIGNED BIG INT", "number"),
        ("word", "VARYING CHARACTER(255)", "text"),
        ("data", "BLOB", "other"),
        ("odd", '"two words"', "number"),
        ("up", "", "other"),
    ]
    assert table_of(catalog, "b").foreign_keys == (
        ForeignKey(("a_id",), "a", ("id",)),
        ForeignKey(("other",), "a", ("id",)),
    )
    assert [t.key for t in catalog.tables] == ["a", "b", "after_trigger"]


def test_mysql_dump() -> None:
    catalog = catalog_from_ddl(
        """/*!40101 SET NAMES utf8 */;
        DROP TABLE IF EXISTS `order items`;
        CREATE TABLE `order items` (
          `id` int(11) unsigned NOT NULL AUTO_INCREMENT COMMENT 'the number',
          `state` enum('new','paid; done') DEFAULT 'new',
          `flag` tinyint(1) NOT NULL DEFAULT 0,
          `at` datetime(6) DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6),
          `note` varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
          `owner` int(11) DEFAULT NULL,
          PRIMARY KEY (`id`), KEY `k` (`owner`),
          CONSTRAINT `f` FOREIGN KEY (`owner`) REFERENCES `people` (`id`) ON DELETE CASCADE
        ) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COMMENT='what was bought';
        LOCK TABLES `order items` WRITE;
        INSERT INTO `order items` VALUES (1,'new',0,NULL,'it''s',NULL);
        UNLOCK TABLES;
        CREATE TABLE people (id int PRIMARY KEY);
        CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost`
          SQL SECURITY DEFINER VIEW everyone AS SELECT * FROM people;
DELIMITER //
CREATE PROCEDURE p() BEGIN CREATE TABLE trap (x int); SELECT 1; END//
DELIMITER ;
        CREATE TABLE last (id int);""",
        "mysql",
    )
    assert [t.key for t in catalog.tables] == ["order items", "people", "everyone", "last"]
    items = table_of(catalog, "order items")
    assert items.comment == "what was bought"
    assert [(c.name, c.kind) for c in items.columns] == [
        ("id", "number"),
        ("state", "text"),
        ("flag", "bool"),
        ("at", "date"),
        ("note", "text"),
        ("owner", "number"),
    ]
    assert column_of(catalog, "order items", "id").comment == "the number"
    assert column_of(catalog, "order items", "state").values == ("new", "paid; done")
    assert items.foreign_keys == (ForeignKey(("owner",), "people", ("id",)),)
    assert [c.name for c in table_of(catalog, "everyone").columns] == ["id"]


def test_postgres_dump() -> None:
    catalog = catalog_from_ddl(
        """SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE SCHEMA sales;
CREATE TYPE public.mood AS ENUM ('sad', 'glad');
CREATE FUNCTION public.f() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN; CREATE TABLE trap (x int); END; $$;
CREATE TABLE public.Users (
    id bigint NOT NULL,
    "Full Name" character varying(20) DEFAULT 'x'::character varying NOT NULL,
    feels public.mood,
    tags text[],
    at timestamp with time zone DEFAULT now()
);
ALTER TABLE public.users OWNER TO bob;
COMMENT ON TABLE public.users IS 'Who''s who';
COMMENT ON COLUMN public.users."Full Name" IS 'as printed';
CREATE TABLE sales.bills (user_id bigint, amount numeric(10,2)) PARTITION BY RANGE (amount);
CREATE TABLE sales.bills_1 PARTITION OF sales.bills FOR VALUES FROM (1) TO (2);
COPY public.users (id, "Full Name") FROM stdin;
1\tisn't SQL; CREATE TABLE trap (x int);
\\.
ALTER TABLE ONLY public.users ALTER COLUMN id SET DEFAULT nextval('s'::regclass);
ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE ONLY sales.bills ADD CONSTRAINT f FOREIGN KEY (user_id)
    REFERENCES public.users(id) ON DELETE CASCADE;
CREATE MATERIALIZED VIEW sales.sums AS SELECT user_id, sum(amount) AS total FROM sales.bills GROUP BY user_id;
CREATE TABLE copied (LIKE users INCLUDING ALL, extra integer);
CREATE TABLE derived AS SELECT id, id * 2 AS twice FROM users;
GRANT SELECT ON TABLE public.users TO bob;
\\connect other
""",
        "postgres",
    )
    assert [t.key for t in catalog.tables] == ["users", "sales.bills", "sales.sums", "copied", "derived"]
    users = table_of(catalog, "users")
    assert users.comment == "Who's who"
    assert [(c.name, c.type, c.kind) for c in users.columns] == [
        ("id", "bigint", "number"),
        ("Full Name", "character varying(20)", "text"),
        ("feels", "public.mood", "text"),
        ("tags", "text[]", "other"),
        ("at", "timestamp with time zone", "date"),
    ]
    assert column_of(catalog, "users", "Full Name").comment == "as printed"
    assert column_of(catalog, "users", "feels").values == ("sad", "glad")
    assert column_of(catalog, "users", "id").primary_key
    assert table_of(catalog, "sales.bills").foreign_keys == (ForeignKey(("user_id",), "users", ("id",)),)
    assert table_of(catalog, "sales.sums").is_view
    assert [c.name for c in table_of(catalog, "copied").columns][-1] == "extra"
    assert [(c.name, c.kind) for c in table_of(catalog, "derived").columns] == [
        ("id", "number"),
        ("twice", "number"),
    ]


def test_alter_table_changes_columns() -> None:
    catalog = catalog_from_ddl(
        """CREATE TABLE t (a INTEGER, b INTEGER, c STRUCT(x INT, y VARCHAR));
        ALTER TABLE t ADD COLUMN z DATE; ALTER TABLE t RENAME COLUMN a TO first; ALTER TABLE t DROP COLUMN b;
        COMMENT ON COLUMN t.z IS 'the day'""",
        "duckdb",
    )
    assert [(c.name, c.kind, c.comment) for c in catalog.tables[0].columns] == [
        ("first", "number", ""),
        ("c", "other", ""),
        ("z", "date", "the day"),
    ]


def test_keys_may_come_before_their_target_and_dangling_ones_are_left_out() -> None:
    catalog = catalog_from_ddl(
        "CREATE TABLE b (a_id INT REFERENCES a (id), x INT REFERENCES nowhere (id)); CREATE TABLE a (id INT)",
        "duckdb",
    )
    assert table_of(catalog, "b").foreign_keys == (ForeignKey(("a_id",), "a", ("id",)),)


def test_view_over_unknown_tables_keeps_its_names() -> None:
    catalog = catalog_from_ddl(
        "CREATE TABLE t (a INT); CREATE VIEW v AS SELECT x.one, two + 1 AS more FROM elsewhere x", "postgres"
    )
    assert [c.name for c in table_of(catalog, "v").columns] == ["one", "more"]


def test_fingerprint_follows_the_structure() -> None:
    one = catalog_from_ddl("CREATE TABLE t (a INT)", "sqlite").fingerprint
    same = catalog_from_ddl("-- a comment\nCREATE   TABLE t (a   INT);", "sqlite").fingerprint
    other = catalog_from_ddl("CREATE TABLE t (b INT)", "sqlite").fingerprint
    assert one == same != other


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("CREATE TABLE a (id INT,\n  b TEXT", 1, 16, "never closed"),
        ("CREATE TABLE a (id INT);\nCREATE TABLE b (x INT y INT)", 2, 23, "'y'"),
        ("CREATE TABLE a (id INT))", 1, 24, "never opened"),
        ("\n  CRATE TABLE a (id INT)", 2, 3, "'CRATE' does not begin an SQL statement"),
        ("CREATE TABLE a (id INT);\nCREATE VIEW v AS SELECT FROM", 2, 25, "table name"),
        ("CREATE TABLE a (id INT DEFAULT 'x)", 1, 32, "never closed"),
    ],
)
def test_syntax_errors_name_line_and_column(text: str, line: int, column: int, says: str) -> None:
    error = refused(text, "postgres")
    assert (error.line, error.column) == (line, column)
    assert str(error).startswith(f"line {line}, column {column}: ")
    assert says in str(error)
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("SELECT 1", "defines no table"),
        ("-- nothing here", "defines no table"),
        ("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not text"),
        ("\ufffd\ufffd\ufffd\x01\x02", "not text"),
    ],
)
def test_text_without_a_schema(text: str, says: str) -> None:
    error = refused(text)
    assert says in str(error)
    assert error.line is None


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    deep = "CREATE TABLE a (x INT CHECK (" + "(" * 3000 + "1" + ")" * 3000 + "))"
    assert "nested too deeply" in str(refused(deep))


def test_a_byte_order_mark_is_no_error() -> None:
    assert catalog_from_ddl("\ufeffCREATE TABLE a (x INT)", "mysql").tables[0].name == "a"
