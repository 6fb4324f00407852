"""Which parts of the product take part in a run: the four modes of the ablation.

*hybrid*: the model in force, an adapter of the domain where there is one, with retrieval. *retrieval-only*: the
general model with retrieval. *finetune-only*: an adapter of the domain and no retrieval: the model reads the schema as it once was,
whole where it fits, without values, terms, documents and past queries. *base*: the general model over such a schema.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from sqlgen.errors import UsageError
from sqlgen.types import Catalog, RetrievedContext, Table, TableSlice

if TYPE_CHECKING:
    from sqlgen.generation import Generator
    from sqlgen.knowledge import Term
    from sqlgen.pipeline import Database
    from sqlgen.retrieval.standins import Scene

__all__ = ["MODES", "WITHOUT_RETRIEVAL", "Mode", "check_mode", "fix_schema", "fixed_context"]

Mode = Literal["base", "retrieval-only", "finetune-only", "hybrid"]
MODES: tuple[Mode, ...] = ("base", "retrieval-only", "finetune-only", "hybrid")
WITHOUT_RETRIEVAL = frozenset({"base", "finetune-only"})
# What retrieval may spend as well (``Settings.token_budget``).
_TOKEN_BUDGET = 440


def check_mode(mode: Mode, generator: Generator) -> None:
    """UsageError unless the model is one that this mode measures."""
    adapter = generator.info.adapter
    if mode == "finetune-only" and adapter is None:
        raise UsageError(
            "mode 'finetune-only' needs an adapter: train one with 'sqlgen train', or give the folder of its weights with --model"
        )
    if mode in ("base", "retrieval-only") and adapter is not None:
        raise UsageError(f"mode {mode!r} measures a general model, and this one has the adapter {adapter}")


def fixed_context(
    catalog: Catalog,
    count_tokens: Callable[[str], int],
    *,
    first: Sequence[str] = (),
    token_budget: int = _TOKEN_BUDGET,
) -> RetrievedContext:
    """The tables of ``catalog`` with all their columns, as many as the budget holds: those with a key in ``first``, then the
    others in the catalog's order.

    What is known of cells and what people said of the tables is left out.
    """
    from sqlgen.catalog import natural_name

    rank = {key: place for place, key in enumerate(first)}
    spent, kept, omitted = 0, [], []
    for table in sorted(catalog.tables, key=lambda t: rank.get(t.key, len(rank))):
        names = [natural_name(name) for name in (table.name, *(c.name for c in table.columns))]
        cost = sum(1 + count_tokens(name) for name in names)
        if spent + cost > token_budget:
            omitted.append(table.key)
            continue
        spent += cost
        kept.append(table)
    held = {table.key for table in kept}
    slices = tuple(TableSlice(_bare(table, held), 1.0, "fixed schema") for table in kept)
    return RetrievedContext(slices, token_count=spent, omitted=tuple(omitted))


def _bare(table: Table, held: set[str]) -> Table:
    columns = tuple(replace(c, comment="", values=(), minimum=None, maximum=None) for c in table.columns)
    keys = tuple(key for key in table.foreign_keys if key.target in held)
    return replace(table, columns=columns, foreign_keys=keys, comment="", row_estimate=None)


def fix_schema(database: Database, context: RetrievedContext) -> None:
    """Let every question of ``database`` be answered from ``context``, whatever the schema is by now.

    Validation and execution go on looking at the live schema.
    """
    from sqlgen.retrieval.standins import Scene

    def retrieve(
        text: str, k: int | None, count_tokens: Callable[[str], int], learned: Sequence[Term] = ()
    ) -> tuple[Catalog, Scene]:
        catalog = database.catalog
        return catalog, Scene(text, context, catalog, context)

    database.walk.retrieve = retrieve
