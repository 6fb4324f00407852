"""The form that the small model writes: SQL with pointers in place of names and literals.

A form is a sequence of tokens: keywords (``KEYWORDS``), tables ``("t", i)``, columns
``("c", i, j)``, matched values ``("v", k)`` and question spans ``("q", start, end)``, where i, j
and k count in a ``RetrievedContext`` and spans in characters of the question. Its grammar::

    form   := query | "unanswerable"
    query  := core (("union" | "union_all" | "intersect" | "except") core)*
    core   := ["with" "[" query "]"] "select" ["distinct"] item+ ["from" source+] ["where" cond]
              ["group" expr+] ["having" cond] ["order" sort+]
              ["limit" value ["offset" value] ["per" expr+]]
    source := table | "all" table | "via" column | "other" column
    item   := expr | "*" | table                        a table as an item is all its columns
    sort   := expr ("asc" | "desc")
    cond   := pred (("and" | "or") pred)*               "and" binds closer
    pred   := "(" cond ")" | expr compare operand | expr "between" operand operand
            | expr ("in" | "not_in") ("[" query "]" | value+)
            | expr ("is_null" | "not_null") | ("exists" | "not_exists") "[" query "]"
    expr   := prim (("+" | "-" | "*" | "/") prim)*
    prim   := aggregate [test] ["distinct"] prim [window] | "count" [test] "*" [window]
            | column | "other" column | "outer" column | "#1" .. "#8" | value | "today"
            | "{" expr "}" | "[" query "]" | datepart prim | unary prim | ("round" | "left") prim value
            | ("coalesce" | "concat" | "days_between" | "years_between") prim prim
            | "case" ("when" cond "then" expr)+ ["else" expr] "end"
            | rank window | "ntile" value window | shift prim window | "share" prim [window]
    test   := "if" "(" cond ")"
    window := "over" "(" ["per" expr+] ["order" sort+] ["rows" value] ")"

FROM is derived: the tables of the columns that a core uses, connected along the foreign keys;
``from`` names only tables that no column implies, ``via`` a foreign key column that the default
path would not take. So a form cannot use a column whose table is missing. ``all t`` keeps the rows
of t that find no partner; ``other c`` is a column of the second instance of its table, reached over
the key that ``from other`` names, else over the table's key to itself, else over the second of two
keys that one table has to it; ``outer c`` belongs to the query around. #k is item k of the innermost
``with``. ``limit n per x`` keeps n rows of each x; ``rows n`` is a moving frame, without it an
ordered aggregate runs from the first row; ``share`` and ``growth`` are percentages.
"""

from sqlgen.sql.form.joins import needed_tables
from sqlgen.sql.form.linearize import tree_to_form
from sqlgen.sql.form.render import form_to_sql, form_to_tree
from sqlgen.sql.form.words import (
    AGGREGATES,
    COMPARISONS,
    DATE_PARTS,
    ITEMS,
    KEYWORDS,
    NUMBERS,
    RANKS,
    SET_OPERATIONS,
    SHIFTS,
    SPANS,
    UNARY,
    FormToken,
    Inexpressible,
    is_number,
    number_said,
)

__all__ = [
    "AGGREGATES",
    "COMPARISONS",
    "DATE_PARTS",
    "ITEMS",
    "KEYWORDS",
    "NUMBERS",
    "RANKS",
    "SET_OPERATIONS",
    "SHIFTS",
    "SPANS",
    "UNARY",
    "FormToken",
    "Inexpressible",
    "form_to_sql",
    "form_to_tree",
    "is_number",
    "needed_tables",
    "number_said",
    "tree_to_form",
]
