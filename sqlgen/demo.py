"""The demo shop: a seeded generator, a loader for the four engines, and its golden questions.

Data about the shop lives in ``schemas/retail/`` as plain files. Rows are built once and are the same on
every engine and every platform: all randomness is PCG64's uniform doubles, and everything drawn from
them uses integer arithmetic, comparisons and running sums.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sqlite3
import stat
import tempfile
import time
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import date
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from sqlgen.config import Settings
from sqlgen.errors import ConfigError, ConnectionFailed, DatabaseError, UsageError
from sqlgen.types import Dialect

if TYPE_CHECKING:
    import numpy as np
    import sqlalchemy as sa
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

__all__ = [
    "END_DATE",
    "GENERATOR_VERSION",
    "START_DATE",
    "GlossaryTerm",
    "GoldenQuestion",
    "build_retail",
    "demo_path",
    "ensure_demo",
    "generate_rows",
    "retail_descriptions",
    "retail_glossary",
    "retail_goldens",
    "tour",
]

GENERATOR_VERSION = 1
START_DATE = date(2023, 1, 1)
END_DATE = date(2025, 12, 31)

# "rtl1": marks a SQLite file as ours, so that nobody else's database is ever replaced.
_APPLICATION_ID = 0x72746C31
_STALE_AFTER_S = 600.0

Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = dict[str, list[Row]]
Progress: TypeAlias = Callable[[int, int, str], None]


# --- what the domain's files say ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """A question with SQL that somebody vouched for.

    ``sql`` is in SQLite's dialect; ``dialects`` holds only those that have to differ. ``ordered`` says
    that the order of the rows is part of the answer.

    >>> GoldenQuestion("q", "How many orders?", "SELECT COUNT(*) FROM orders").sql_for("mysql")
    'SELECT COUNT(*) FROM orders'
    """

    id: str
    question: str
    sql: str
    dialects: Mapping[Dialect, str] = field(default_factory=dict)
    ordered: bool = False
    family: str = ""
    difficulty: Literal["easy", "medium", "hard"] = "easy"

    def sql_for(self, dialect: Dialect) -> str:
        """The SQL of this question in ``dialect``."""
        return self.dialects.get(dialect, self.sql)


@dataclass(frozen=True, slots=True)
class GlossaryTerm:
    """A word of the business. ``kind`` is metric (an aggregate), filter (a condition) or query."""

    name: str
    definition: str
    kind: Literal["metric", "filter", "query"]
    tables: tuple[str, ...]
    sql: str
    synonyms: tuple[str, ...] = ()
    dialects: Mapping[Dialect, str] = field(default_factory=dict)

    def sql_for(self, dialect: Dialect) -> str:
        """The SQL of this term in ``dialect``."""
        return self.dialects.get(dialect, self.sql)


def _read(name: str) -> str:
    """The text of a file of the domain, installed or in the source tree."""
    source = Path(__file__).resolve().parent.parent / "schemas" / "retail" / name
    with suppress(ModuleNotFoundError):
        packaged = resources.files("sqlgen.schemas") / "retail" / name
        if packaged.is_file():
            return packaged.read_text("utf-8")
    return source.read_text("utf-8")


def retail_goldens() -> tuple[GoldenQuestion, ...]:
    """All golden questions of the shop, in the order of the file.

    >>> len(retail_goldens()) >= 80
    True
    """
    return tuple(GoldenQuestion(**json.loads(line)) for line in _read("golden.jsonl").splitlines() if line)


def retail_glossary() -> tuple[GlossaryTerm, ...]:
    """The shop's terms and metrics.

    >>> next(term.kind for term in retail_glossary() if term.name == "return rate")
    'query'
    """
    terms: list[dict[str, Any]] = tomllib.loads(_read("glossary.toml"))["terms"]
    for term in terms:
        term.update(tables=tuple(term["tables"]), synonyms=tuple(term["synonyms"]))
    return tuple(GlossaryTerm(**term) for term in terms)


def retail_descriptions() -> dict[str, tuple[str, dict[str, str]]]:
    """Table name to its description and the descriptions of its columns.

    >>> retail_descriptions()["orders"][1]["order_date"]
    'Day the order was placed'
    """
    raw = tomllib.loads(_read("descriptions.toml"))
    return {table: (entry["description"], dict(entry["columns"])) for table, entry in raw.items()}


def tour() -> tuple[str, ...]:
    """The ids of the golden questions that ``sqlgen demo`` shows, in order."""
    return tuple(tomllib.loads(_read("tour.toml"))["questions"])


# --- where the demo database is ----------------------------------------------------------------------------


def _header(path: Path) -> bytes:
    """The first 100 bytes of a SQLite file, fewer when it is shorter or cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError:
        return b""


def _is_current(path: Path) -> bool:
    """True for a whole demo database of this version of the generator."""
    # Bytes 60 to 64 hold user_version, which is written last; 68 to 72 hold application_id.
    return _is_ours(path) and int.from_bytes(_header(path)[60:64], "big") == GENERATOR_VERSION


def _is_ours(path: Path) -> bool:
    """True for a demo database of any version."""
    return int.from_bytes(_header(path)[68:72], "big") == _APPLICATION_ID


def _can_hold(folder: Path) -> bool:
    """True when ``folder`` exists, or can be made, and takes a new file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _private_temporary_folder() -> Path:
    """A folder under the system's temporary one that belongs to this user alone."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"sqlgen-{user}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        # Somebody else may have made it first to feed us a database of theirs.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077:
            return folder
        if os.name == "nt" and stat.S_ISDIR(found.st_mode):
            return folder
    return Path(tempfile.mkdtemp(prefix="sqlgen-"))


def demo_path(home: Path | None = None) -> Path:
    """Where the demo database is kept: under ``home``, ``SQLGEN_HOME`` or the user's data folder.

    Where the user's data folder cannot be written, a private temporary folder serves. Raises
    ConfigError when a folder that was asked for cannot hold it.
    """
    default = Settings().home
    asked = home or (Path(os.environ["SQLGEN_HOME"]) if os.environ.get("SQLGEN_HOME") else None)
    path = (asked or default) / "demo" / "retail.sqlite"
    if _is_current(path) or _can_hold(path.parent):
        return path
    if asked is not None and asked != default:
        raise ConfigError(
            f"cannot write the demo database in {path.parent}; set SQLGEN_HOME to another folder"
        )
    return _private_temporary_folder() / "retail.sqlite"


def ensure_demo(progress: Progress | None = None, *, home: Path | None = None) -> Path:
    """The path of the demo database, built first when it is absent or of another version.

    ``progress`` is called as (done, total, what).
    """
    path = demo_path(home)
    if not _is_current(path):
        build_retail(path, progress=progress)
    return path


# --- rows --------------------------------------------------------------------------------------------------


class _Draw:
    """Randomness for one table: independent of the other tables, equal on every platform."""

    def __init__(self, seed: int, stream: int) -> None:
        import numpy as np

        self._np = np
        self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream]))).random

    def uniform(self, n: int) -> Floats:
        return self._random(n)

    def below(self, limit: int, n: int) -> Ints:
        """Integers in [0, limit)."""
        return (self._random(n) * limit).astype(self._np.int64)

    def choose(self, weights: Sequence[float] | Floats, n: int) -> Ints:
        """Positions in ``weights``, each as often as its weight says."""
        np = self._np
        edges = np.cumsum(np.asarray(weights, dtype=np.float64))
        picked: Ints = np.searchsorted(edges, self._random(n) * edges[-1], side="right").astype(np.int64)
        return picked

    def choose_among_first(self, edges: Floats, counts: Ints) -> Ints:
        """For each count k, a position below k, by the running sum ``edges`` of weights."""
        np = self._np
        limits = edges[counts - 1]
        picked: Ints = np.searchsorted(edges, self._random(len(counts)) * limits, side="right")
        bounded: Ints = np.minimum(picked, counts - 1)
        return bounded


def _days(text: str) -> int:
    """Days from START_DATE to an ISO date."""
    return (date.fromisoformat(text) - START_DATE).days


_LAST_DAY = (END_DATE - START_DATE).days


def _iso(days: Ints) -> list[str]:
    import numpy as np

    return np.datetime_as_string(np.datetime64(START_DATE, "D") + days).tolist()  # type: ignore[no-any-return]


def _money(cents: Ints) -> list[float]:
    return cast("list[float]", (cents / 100).tolist())


def _where(keep: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """``values`` with None where ``keep`` is false."""
    return [value if kept else None for kept, value in zip(keep, values, strict=True)]


def _careless(texts: Sequence[str], picks: Sequence[int], habits: Sequence[int]) -> list[str]:
    """Texts as people type them: stray spaces, odd capitals. ``habits`` are in [0, 10)."""
    typed: list[str] = []
    for pick, habit in zip(picks, habits, strict=True):
        text = texts[pick]
        if habit == 0:
            text = text.upper()
        elif habit == 1:
            text = f"  {text}"
        elif habit == 2:
            text = f"{text} "
        elif habit == 3:
            text = text.replace(" ", "  ", 1)
        elif habit == 4:
            text = text[:1].swapcase() + text[1:]
        typed.append(text)
    return typed


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z]", "", plain.lower())


def generate_rows(*, seed: int = 7, scale: float = 1.0) -> Rows:
    """All rows by table, parents first, columns in the order of ``schema.sql``.

    Dates are ISO text, money is in euros as floats that print with at most two decimals. ``scale``
    multiplies customers and orders (1.0 gives about 100,000 order lines); the assortment stays.
    Raises UsageError when ``scale`` is not within 0.001 to 100.

    >>> len(generate_rows(scale=0.01)["products"])
    408
    """
    import numpy as np

    if not 0.001 <= scale <= 100:
        raise UsageError(f"scale {scale} is not within 0.001 to 100")
    if seed < 0:
        raise UsageError(f"seed {seed} is negative; use 0 or more")
    words = tomllib.loads(_read("vocabulary.toml"))
    rows: Rows = {
        "categories": [(i, c["name"], c["department"]) for i, c in enumerate(words["categories"], start=1)],
        "suppliers": _suppliers(words, _Draw(seed, 1)),
    }
    products = _Products(words, _Draw(seed, 2))
    rows["products"] = products.rows
    n_customers, n_orders = max(60, round(6_000 * scale)), max(60, round(40_500 * scale))
    customers = _Customers(words, _Draw(seed, 3), n_customers)
    rows["customers"], rows["addresses"] = customers.rows, customers.addresses
    rows["employees"], takers = _employees(words, _Draw(seed, 4))
    rows["campaigns"], campaigns = _campaigns(words)

    # Orders: when, by whom, where.
    draw = _Draw(seed, 5)
    every_day = np.datetime64(START_DATE, "D") + np.arange(_LAST_DAY + 1)
    month = every_day.astype("datetime64[M]").astype(np.int64) % 12
    weekday = (every_day.astype(np.int64) + 3) % 7
    demand = (
        np.array([80, 75, 85, 90, 95, 95, 85, 85, 95, 105, 145, 160])[month]
        * np.array([90, 88, 90, 95, 110, 130, 120])[weekday]
        * (1_000 + 650 * np.arange(_LAST_DAY + 1) // _LAST_DAY)
    )
    day = np.sort(draw.choose(demand, n_orders))
    known = np.maximum(np.searchsorted(customers.signup, day, side="right"), 1)
    customer = draw.choose_among_first(np.cumsum(customers.activity), known)
    year = (every_day.astype("datetime64[Y]").astype(np.int64) + 1970 - START_DATE.year)[day]
    # The app gains on the web year by year.
    channel = draw.choose([1, 1, 1, 1], n_orders)
    u = draw.uniform(n_orders)
    for y, edges in enumerate(([60, 75, 94, 100], [54, 77, 95, 100], [47, 79, 96, 100])):
        here = year == y
        channel[here] = np.searchsorted(np.array(edges), u[here] * 100, side="right")
    in_store = channel == 2
    employee = np.zeros(n_orders, dtype=np.int64)
    for code, (ids, hired) in takers.items():
        here = np.flatnonzero(channel == code)
        count = np.maximum(np.searchsorted(hired, day[here], side="left"), 1)
        skill = np.cumsum(3 + np.arange(len(ids)) * 5 % 7).astype(np.float64)
        employee[here] = ids[draw.choose_among_first(skill, count)]
    campaign = np.zeros(n_orders, dtype=np.int64)
    u = draw.uniform(n_orders)
    for campaign_id, first, last, percent in campaigns:
        campaign[(day >= first) & (day <= last) & (u * 100 < percent)] = campaign_id
    home, work = customers.home_address[customer], customers.work_address[customer]
    address = np.where((work > 0) & (draw.uniform(n_orders) < 0.35), work, home)

    # Shipping decides the status: what isn't there yet by the last day is still open.
    carrier_words = words["carriers"]
    carrier = draw.choose(carrier_words["weights"], n_orders)
    shipped = day + draw.choose([30, 45, 17, 8], n_orders)
    delivered = (
        shipped + np.array(carrier_words["days"])[carrier] + draw.choose([30, 30, 20, 12, 6, 2], n_orders)
    )
    u, lost = draw.uniform(n_orders), draw.uniform(n_orders) < 0.006
    cancelled = u < np.where(in_store, 0.008, 0.042)
    processing = ~cancelled & ~in_store & (shipped > _LAST_DAY)
    under_way = ~cancelled & ~in_store & ~processing & ((delivered > _LAST_DAY) | lost)
    status = np.full(n_orders, 2)
    status[processing], status[under_way], status[cancelled] = 0, 1, 3
    is_delivered = status == 2
    received = np.where(in_store, day, delivered)

    # Order lines: what, how many, for how much.
    draw = _Draw(seed, 6)
    line_count = 1 + draw.choose([30, 28, 20, 12, 6, 4], n_orders)
    order = np.repeat(np.arange(n_orders), line_count)
    n_lines = len(order)
    period = month[day][order] + 12 * year[order]
    product = np.zeros(n_lines, dtype=np.int64)
    u = draw.uniform(n_lines)
    for p in range(36):
        here = np.flatnonzero(period == p)
        edges_of_month = products.edges[p]
        product[here] = np.searchsorted(edges_of_month, u[here] * edges_of_month[-1], side="right")
    segment = customers.segment[customer][order]
    quantity = np.zeros(n_lines, dtype=np.int64)
    u = draw.uniform(n_lines)
    for s, edges in enumerate(([68, 88, 95, 98, 100], [42, 66, 81, 92, 100], [26, 47, 66, 82, 100])):
        here = segment == s
        quantity[here] = 1 + np.searchsorted(np.array(edges), u[here] * 100, side="right")
    quantity[(segment == 2) & (draw.uniform(n_lines) < 0.12)] *= 5
    unit_price = (products.price[product] * np.array([92, 96, 100])[year[order]] + 50) // 100
    steps = np.array([0, 5, 10, 15, 20, 30])
    discount = np.where(
        campaign[order] > 0,
        steps[draw.choose([34, 0, 31, 16, 14, 5], n_lines)],
        steps[draw.choose([82, 8, 7, 0, 3, 0], n_lines)],
    )
    line_total = (quantity * unit_price * (100 - discount) + 50) // 100
    total = np.bincount(order, weights=line_total, minlength=n_orders).astype(np.int64)

    rows["orders"] = list(
        zip(
            range(1, n_orders + 1),
            (customer + 1).tolist(),
            _iso(day),
            np.array(["processing", "shipped", "delivered", "cancelled"])[status].tolist(),
            np.array(["web", "mobile app", "store", "phone"])[channel].tolist(),
            _money(total),
            _where(employee > 0, employee.tolist()),
            _where(campaign > 0, campaign.tolist()),
            _where(~in_store, address.tolist()),
            _remarks(_Draw(seed, 7), words["texts"]["order_comments"], n_orders, share=0.06),
            strict=True,
        )
    )
    rows["order_lines"] = list(
        zip(
            range(1, n_lines + 1),
            (order + 1).tolist(),
            (product + 1).tolist(),
            quantity.tolist(),
            _money(unit_price),
            discount.tolist(),
            _money(line_total),
            strict=True,
        )
    )
    rows["payments"] = _payments(_Draw(seed, 8), day, total, channel, status)
    rows["shipments"] = _shipments(
        _Draw(seed, 9), carrier_words, np.flatnonzero(~in_store & (status != 3) & (status != 0)), shipped,
        np.where(is_delivered, delivered, -1), carrier,
    )  # fmt: skip
    rows["returns"] = _returns(
        _Draw(seed, 10), words["return_reasons"], np.flatnonzero(is_delivered[order]), received[order],
        quantity, line_total, products.return_percent[product],
    )  # fmt: skip
    return rows


def _remarks(draw: _Draw, texts: Sequence[str], n: int, *, share: float) -> list[str | None]:
    """Free text for about ``share`` of n rows, None for the rest."""
    import numpy as np

    here = np.flatnonzero(draw.uniform(n) < share)
    typed = _careless(texts, draw.below(len(texts), len(here)).tolist(), draw.below(10, len(here)).tolist())
    remarks: list[str | None] = [None] * n
    for position, text in zip(here.tolist(), typed, strict=True):
        remarks[position] = text
    return remarks


def _suppliers(words: Mapping[str, Any], draw: _Draw) -> list[Row]:
    names = words["suppliers"]["rows"]
    lead, rated, rating, mail = (draw.uniform(len(names)).tolist() for _ in range(4))
    rows: list[Row] = []
    for i, (name, country, city) in enumerate(names):
        far = 14 if country in ("China", "Vietnam", "India", "Japan") else 0
        address = f"orders@{_ascii(name)}.example" if mail[i] < 0.85 else None
        stars = (280 + int(rating[i] * 220)) / 100 if rated[i] < 0.9 else None
        rows.append((i + 1, name, country, city, address, 4 + far + int(lead[i] * 24), stars))
    return rows


class _Products:
    """The assortment, and for each of the 36 months the running sum of what sells."""

    def __init__(self, words: Mapping[str, Any], draw: _Draw) -> None:
        import numpy as np

        categories, brands = words["categories"], words["brands"]
        per_category = 17
        n = len(categories) * per_category
        u_price, u_cost, u_color, u_weight, u_stock = (draw.uniform(n) for _ in range(5))
        color = draw.choose(words["color_weights"], n)
        kilograms = draw.below(900, n) + 12
        category = np.repeat(np.arange(len(categories)), per_category)
        self.return_percent = np.array([c["return_percent"] for c in categories])[category]

        # Two uniforms give a hump around the middle price; prices end in 9 or 5 as they do in shops.
        middle = np.array([c["price"] for c in categories])[category]
        factor = 0.45 + 0.75 * (u_price + draw.uniform(n))
        euros = np.maximum((middle * factor).astype(np.int64), 3)
        self.price = euros * 100 + np.array([99, 95, 49, 90])[draw.choose([50, 25, 15, 10], n)]
        cost = (self.price * (38 + (u_cost * 34).astype(np.int64))) // 100

        launch = np.where(draw.uniform(n) < 0.7, -900 + draw.below(880, n), draw.below(1_050, n))
        withdrawn = np.where(draw.uniform(n) < 0.07, 420 + draw.below(640, n), 10_000)
        order = np.argsort(draw.uniform(n), kind="stable")
        upcoming = np.zeros(n, dtype=bool)
        upcoming[order[:9]] = True
        withdrawn[upcoming], launch[upcoming] = 10_000, _LAST_DAY + 12 + 7 * np.arange(9)
        withdrawn = np.where(withdrawn > launch + 120, withdrawn, 10_000)
        discontinued = withdrawn <= _LAST_DAY
        stock = np.where(u_stock < 0.05, 0, 5 + (u_stock * u_stock * 480).astype(np.int64))
        stock[discontinued | upcoming] = 0

        popularity = np.zeros(n)
        popularity[np.argsort(draw.uniform(n), kind="stable")] = 1_000.0 / (np.arange(n) + 25)
        popularity *= np.minimum(1.0, 40.0 / euros) + 0.4
        seasons = np.array([words["seasons"][c["season"]] for c in categories])[category]
        self.edges: list[Floats] = []
        for period in range(36):
            first = _days(f"{START_DATE.year + period // 12}-{period % 12 + 1:02}-01")
            sold = (launch <= first) & (withdrawn > first + 31) & ~upcoming
            self.edges.append(np.cumsum(popularity * seasons[:, period % 12] * sold))

        names = [
            (brands[(c * 5 + j * 7) % len(brands)], categories[c]["nouns"][(j + c) % 6])
            for c in range(len(categories))
            for j in range(per_category)
        ]
        colored = np.array([c["color"] for c in categories])[category]
        # The last two suppliers deliver nothing yet.
        supplier = (category * 3 + np.arange(n) % per_category * 5) % (len(words["suppliers"]["rows"]) - 2)
        self.rows: list[Row] = list(
            zip(
                range(1, n + 1),
                [f"{brand} {noun}" for brand, noun in names],
                [brand for brand, _ in names],
                (category + 1).tolist(),
                (supplier + 1).tolist(),
                _money(self.price),
                _money(cost),
                _where((colored & (u_color < 0.94)).tolist(), [words["colors"][i] for i in color.tolist()]),
                _where((u_weight < 0.9).tolist(), _money(kilograms)),
                stock.tolist(),
                _iso(launch),
                np.where(upcoming, "upcoming", np.where(discontinued, "discontinued", "active")).tolist(),
                strict=True,
            )
        )  # fmt: skip


class _Customers:
    """Customers in the order of their signup, and their addresses."""

    def __init__(self, words: Mapping[str, Any], draw: _Draw, n: int) -> None:
        import numpy as np

        countries, texts = words["countries"], words["texts"]
        country = draw.choose([c["share"] for c in countries], n)
        # A good third was there before the first order; the rest comes at a growing pace.
        early = draw.uniform(n) < 0.36
        u = draw.uniform(n)
        late = (np.maximum(u, draw.uniform(n) * 0.999) * (_LAST_DAY - 8)).astype(np.int64)
        self.signup = np.sort(np.where(early, -550 + (u * 549).astype(np.int64), late))
        self.segment = draw.choose([78, 15, 7], n)
        u = draw.uniform(n)
        self.activity = np.where(draw.uniform(n) < 0.07, 0.0, 1.0 / (0.2 + u * u * 2))
        self.activity[0] = 1.0
        self.activity *= np.array([1.0, 1.3, 1.6])[self.segment]
        points = (draw.uniform(n) * draw.uniform(n) * 2_400).astype(np.int64)
        born = _days("1946-01-01") + draw.below(_days("2006-12-31") - _days("1946-01-01"), n)
        has_mail, has_phone, has_birth = ((draw.uniform(n) < share).tolist() for share in (0.94, 0.74, 0.81))
        first, last = draw.below(10_000, n).tolist(), draw.below(10_000, n).tolist()
        domain, digits, style = (draw.below(k, n).tolist() for k in (3, 10_000_000, 4))
        notes = _remarks(draw, texts["customer_notes"], n, share=0.08)

        rows: list[Row] = []
        signup, birth = _iso(self.signup), _iso(born)
        segments = np.array(["Consumer", "Small Business", "Corporate"])[self.segment].tolist()
        for i, (place, number) in enumerate(zip(country.tolist(), digits, strict=True)):
            home = countries[place]
            given = home["first_names"][first[i] % len(home["first_names"])]
            family = home["last_names"][last[i] % len(home["last_names"])]
            mail = f"{_ascii(given)}.{_ascii(family)}{i + 1}@{texts['email_domains'][domain[i]]}"
            phone = _phone(home["phone"], f"{number:07}", style[i])
            rows.append(
                (
                    i + 1, given, family, mail if has_mail[i] else None, phone if has_phone[i] else None,
                    birth[i] if has_birth[i] else None, segments[i], home["name"], signup[i], points.item(i),
                    notes[i],
                )
            )  # fmt: skip
        self.rows = rows
        self._settle(countries, draw, country.tolist())

    def _settle(self, countries: Sequence[Mapping[str, Any]], draw: _Draw, country: list[int]) -> None:
        """Give everybody a home address and some a work address in the same country."""
        import numpy as np

        n = len(country)
        works = (draw.uniform(n) < 0.3).tolist()
        total = n + sum(works)
        pick, street, number, code, habit = (
            draw.below(k, total).tolist() for k in (10_000, 60, 140, 100_000, 16)
        )
        has_code = (draw.uniform(total) < 0.96).tolist()
        self.home_address, self.work_address = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        towns = [[city for city, weight in c["cities"] for _ in range(weight)] for c in countries]
        self.addresses: list[Row] = []
        for i, place in enumerate(country):
            home = countries[place]
            for kind in ("home", "work")[: 1 + works[i]]:
                a = len(self.addresses)
                line = home["streets"][street[a] % len(home["streets"])].replace("{n}", str(number[a] + 1))
                town = towns[place][pick[a] % len(towns[place])]
                postal = _postal(home["postal"], f"{code[a]:05}") if has_code[a] else None
                typed = _careless([line], [0], [habit[a]])[0]
                self.addresses.append((a + 1, i + 1, kind, typed, town, postal, home["name"]))
                (self.home_address if kind == "home" else self.work_address)[i] = a + 1


def _phone(prefix: str, digits: str, style: int) -> str:
    """A telephone number in one of the ways people write it."""
    if style == 0:
        return f"{prefix} {digits[:3]} {digits[3:]}"
    if style == 1:
        return f"0{digits[:3]}/{digits[3:]}"
    if style == 2:
        return f"{prefix}{digits}"
    return f"0{digits[:3]}-{digits[3:5]}-{digits[5:]}"


def _postal(pattern: str, digits: str) -> str:
    left = iter(digits)
    return "".join(next(left) if letter == "#" else letter for letter in pattern)


def _employees(words: Mapping[str, Any], draw: _Draw) -> tuple[list[Row], dict[int, tuple[Ints, Ints]]]:
    """Rows, and for the channels store (2) and phone (3) who takes orders since when."""
    import numpy as np

    staff = words["employees"]
    jobs = [
        (title, department, base) for title, department, count, base in staff["jobs"] for _ in range(count)
    ]
    n = len(jobs)
    u_pay, u_hire = draw.uniform(n).tolist(), draw.uniform(n).tolist()
    heads = {department: i + 1 for i, (title, department, _) in enumerate(jobs) if title.startswith("Head")}
    rows: list[Row] = []
    hired: list[int] = []
    for i, (title, department, base) in enumerate(jobs):
        is_taker = title in ("Sales Associate", "Support Agent")
        rank = sum(1 for other, _, _ in jobs[:i] if other == title)
        # Takers come in the order of their hiring; the last Sales Associate starts when the data ends.
        since = -700 + rank * 120 if is_taker else -2_400 + int(u_hire[i] * 3_000)
        if title == "Sales Associate" and rank == 13:
            since = _LAST_DAY
        manager = None if i == 0 else 1 if title.startswith("Head") else heads[department]
        salary = (base * (100 + int(u_pay[i] * 22)) // 100 + 37 * (i % 9)) // 10 * 10
        hired.append(since)
        rows.append(
            (
                i + 1, staff["first_names"][i * 7 % 24], staff["last_names"][(i * 4 + i // 25) % 25], title,
                department, _iso(np.array([since]))[0], float(salary), manager,
            )
        )  # fmt: skip
    takers: dict[int, tuple[Ints, Ints]] = {}
    for code, title in ((2, "Sales Associate"), (3, "Support Agent")):
        ids = [i for i, job in enumerate(jobs) if job[0] == title]
        takers[code] = (np.array(ids) + 1, np.array([hired[i] for i in ids]))
    return rows, takers


def _campaigns(words: Mapping[str, Any]) -> tuple[list[Row], list[tuple[int, int, int, int]]]:
    """Rows, and (id, first day, last day, percent of orders) of those that ran."""
    rows: list[Row] = []
    ran: list[tuple[int, int, int, int]] = []
    for year in range(START_DATE.year, END_DATE.year + 1):
        for name, medium, first, last, budget, percent in words["campaigns"]["yearly"]:
            spent = float(budget * (100 + 8 * (year - START_DATE.year)) // 100)
            rows.append((len(rows) + 1, f"{name} {year}", medium, f"{year}-{first}", f"{year}-{last}", spent))
            ran.append((len(rows), _days(f"{year}-{first}"), _days(f"{year}-{last}"), percent))
    for name, medium, first, last, budget in words["campaigns"]["planned"]:
        rows.append((len(rows) + 1, name, medium, first, last, float(budget)))
    return rows, ran


def _payments(draw: _Draw, day: Ints, total: Ints, channel: Ints, status: Ints) -> list[Row]:
    """Mostly one payment per order; some fail first, some come in two parts, some never come."""
    import numpy as np

    n = len(day)
    u, delay_online, delay_bank = draw.uniform(n), draw.choose([80, 15, 5], n), 1 + draw.below(8, n)
    online, store = draw.choose([46, 33, 16, 5, 0], n), draw.choose([52, 0, 0, 8, 40], n)
    method = np.where(channel == 2, store, online)
    paid_day = np.where(channel == 2, day, day + np.where(method == 2, delay_bank, delay_online))
    cancelled = status == 3
    # 0 none, 1 once, 2 failed then paid, 3 two halves, 4 refunded
    course = np.where(
        cancelled,
        np.where(u < 0.4, 4, 0),
        np.select([u < 0.014, u < 0.044, u < 0.064], [0, 2, 3], default=1),
    )
    course = np.where((channel == 2) & (course != 4), np.where(cancelled, 0, 1), course)
    methods = ("credit card", "paypal", "bank transfer", "gift card", "cash")
    latest = int(paid_day.max())
    iso = _iso(np.arange(latest + 1))
    rows: list[Row] = []
    columns = (course.tolist(), day.tolist(), paid_day.tolist(), method.tolist(), total.tolist())
    for order_id, (way, ordered, paid, how, cents) in enumerate(zip(*columns, strict=True), start=1):
        if way == 0:
            continue
        words = methods[how]
        if way == 2:
            rows.append((len(rows) + 1, order_id, iso[ordered], words, cents / 100, "failed"))
        pending = paid > _LAST_DAY
        state = "pending" if pending else "refunded" if way == 4 else "paid"
        when = None if pending else iso[paid]
        half = cents // 2 if way == 3 else 0
        if half:
            rows.append((len(rows) + 1, order_id, iso[ordered], words, half / 100, "paid"))
        rows.append((len(rows) + 1, order_id, when, words, (cents - half) / 100, state))
    return rows


def _shipments(
    draw: _Draw, words: Mapping[str, Any], orders: Ints, shipped: Ints, delivered: Ints, carrier: Ints
) -> list[Row]:
    """One parcel per order, rarely two. ``delivered`` is -1 for what never arrived."""
    import numpy as np

    n = len(orders)
    parcels = np.where((draw.uniform(n) < 0.03) & (delivered[orders] >= 0), 2, 1)
    order = np.repeat(orders, parcels)
    m = len(order)
    second = np.concatenate(([False], order[1:] == order[:-1]))
    sent = shipped[order] + np.where(second, 1 + draw.below(3, m), 0)
    sent = np.minimum(sent, _LAST_DAY)
    arrived = np.where(delivered[order] < 0, -1, np.maximum(delivered[order], sent))
    cents = np.array(words["cost_cents"])[carrier[order]] + draw.below(900, m)
    tracked = (draw.uniform(m) < 0.97).tolist()
    codes = draw.below(9_000_000, m).tolist()
    names = [words["names"][i] for i in carrier[order].tolist()]
    tracking = [f"{name[:2].upper()}{1_000_000 + code}" for name, code in zip(names, codes, strict=True)]
    return list(
        zip(
            range(1, m + 1),
            (order + 1).tolist(),
            names,
            _iso(sent),
            _where((arrived >= 0).tolist(), _iso(np.maximum(arrived, 0))),
            _money(cents),
            _where(tracked, tracking),
            strict=True,
        )
    )


def _returns(
    draw: _Draw,
    reasons: Sequence[Mapping[str, Any]],
    lines: Ints,
    received: Ints,
    quantity: Ints,
    line_total: Ints,
    return_percent: Ints,
) -> list[Row]:
    """Returns of delivered order lines, in the order of their dates."""
    import numpy as np

    back = lines[draw.uniform(len(lines)) * 100 < return_percent[lines]]
    when = received[back] + 2 + draw.below(27, len(back))
    keep = when <= _LAST_DAY
    back, when = back[keep], when[keep]
    chronological = np.argsort(when, kind="stable")
    back, when = back[chronological], when[chronological]
    n = len(back)
    units = np.where(draw.uniform(n) < 0.75, quantity[back], 1)
    refund = line_total[back] * units // quantity[back]
    reason = draw.choose([r["weight"] for r in reasons], n).tolist()
    said = (draw.uniform(n) < 0.4).tolist()
    text, habit = draw.below(60, n).tolist(), draw.below(10, n).tolist()
    comments = [
        _careless(reasons[r]["comments"], [t % len(reasons[r]["comments"])], [h])[0] if spoke else None
        for r, spoke, t, h in zip(reason, said, text, habit, strict=True)
    ]
    return list(
        zip(
            range(1, n + 1),
            (back + 1).tolist(),
            _iso(when),
            units.tolist(),
            [reasons[r]["reason"] for r in reason],
            _money(refund),
            comments,
            strict=True,
        )
    )


# --- loading -----------------------------------------------------------------------------------------------

_COLUMN = re.compile(r"^ {4}([a-z_]+) (.+?)(,?)$")


def _statements(dialect: Dialect) -> tuple[dict[str, str], list[str]]:
    """CREATE TABLE by table name in the order of the file, and what is to run after loading."""
    descriptions = retail_descriptions()
    creates: dict[str, str] = {}
    later: list[str] = []
    text = "\n".join(line for line in _read("schema.sql").splitlines() if not line.startswith("--"))
    for statement in (part.strip() for part in text.split(";")):
        if not statement:
            continue
        if not statement.startswith("CREATE TABLE"):
            # DuckDB's scans don't need them, and it cannot index rows of the same transaction.
            if dialect != "duckdb":
                later.append(statement)
            continue
        table = statement.split()[2]
        about, columns = descriptions[table]
        lines = statement.splitlines()
        if dialect == "sqlite":
            lines = [re.sub(r"NUMERIC\(\d+, \d+\)", "REAL", line) for line in lines]
        elif dialect == "mysql":
            lines = [_with_comment(line, columns) for line in lines]
            # Binary comparison, as the other three engines compare text.
            lines[-1] += f" CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT={_quoted(about)}"
        else:
            later.append(f"COMMENT ON TABLE {table} IS {_quoted(about)}")
            later += [f"COMMENT ON COLUMN {table}.{c} IS {_quoted(d)}" for c, d in columns.items()]
        creates[table] = "\n".join(lines)
    return creates, later


def _with_comment(line: str, columns: Mapping[str, str]) -> str:
    """A line of CREATE TABLE; where it defines a column, with MySQL's COMMENT clause."""
    found = _COLUMN.match(line)
    if found is None:
        return line
    name, definition, comma = found.groups()
    return f"    {name} {definition} COMMENT {_quoted(columns[name])}{comma}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def build_retail(
    target: Path | str | sa.Engine,
    *,
    seed: int = 7,
    scale: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write the demo shop: into a file (Path), or into an empty database (Engine or SQLAlchemy URL).

    A path ending in ``.duckdb`` becomes a DuckDB file, any other a SQLite file. A file appears whole or
    not at all, and only an earlier demo database is replaced. A database server must not have any of
    the tables yet; SQLite, DuckDB and PostgreSQL roll back when the load breaks off, MySQL has its
    tables dropped unless the process is killed.

    ``seed`` and ``scale`` are those of ``generate_rows``; ``progress`` is called as (done, total, what)
    with rows for done and total. Raises UsageError when the target cannot be used, DatabaseError when
    the engine refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     build_retail(Path(folder, "shop.sqlite"), scale=0.01)
    ...     with closing(sqlite3.connect(Path(folder, "shop.sqlite"))) as shop:
    ...         shop.execute("SELECT MIN(signup_date) < MAX(order_date) FROM customers, orders").fetchone()
    (1,)
    """
    if isinstance(target, Path):
        _build_file(target, seed=seed, scale=scale, progress=progress)
        return
    import sqlalchemy as sa

    if isinstance(target, str):
        try:
            engine = sa.create_engine(target, poolclass=sa.pool.NullPool)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise UsageError(f"cannot use this database URL: {error}") from error
        try:
            _build_engine(engine, seed=seed, scale=scale, progress=progress)
        finally:
            engine.dispose()
    else:
        _build_engine(target, seed=seed, scale=scale, progress=progress)


def _build_file(path: Path, *, seed: int, scale: float, progress: Progress | None) -> None:
    is_duckdb = path.suffix == ".duckdb"
    if path.exists() and (is_duckdb or not path.is_file() or not _is_ours(path)):
        raise UsageError(
            f"{path} exists and is not a demo database; choose another file or move this one away"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    rows = generate_rows(seed=seed, scale=scale)
    _remove_stale(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise UsageError(f"cannot write in {path.parent}: {error.strerror}") from error
    os.close(handle)
    part = Path(name)
    try:
        if is_duckdb:
            _fill_duckdb_file(part, rows, progress)
        else:
            _fill_sqlite_file(part, rows, progress)
        # mkstemp made it private; a database file is as readable as the user's other files.
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise DatabaseError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for leftover in (part, part.with_name(part.name + ".wal")):
            leftover.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Delete what builds that were killed left behind."""
    for leftover in path.parent.glob(f".{path.name}.*.part*"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_AFTER_S:
                leftover.unlink()


def _fill_sqlite_file(part: Path, rows: Rows, progress: Progress | None) -> None:
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as connection:
            # No journal: a broken file is thrown away, not rolled back.
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            _load(connection.cursor(), "sqlite", rows, progress)
            connection.execute("COMMIT")
            connection.execute("ANALYZE")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {GENERATOR_VERSION}")
    except sqlite3.Error as error:
        raise DatabaseError(f"cannot write the demo database: {error}") from error


def _fill_duckdb_file(part: Path, rows: Rows, progress: Progress | None) -> None:
    try:
        import duckdb
    except ImportError as error:
        raise UsageError("DuckDB is not installed; pip install 'sqlgen[duckdb]'") from error
    part.unlink()
    try:
        with closing(duckdb.connect(str(part))) as connection:
            connection.execute("BEGIN")
            _load(connection, "duckdb", rows, progress)
            connection.execute("COMMIT")
            connection.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise DatabaseError(f"cannot write the demo database: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


_ENGINES: dict[str, Dialect] = {
    "sqlite": "sqlite",
    "duckdb": "duckdb",
    "postgresql": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
}


def _build_engine(engine: sa.Engine, *, seed: int, scale: float, progress: Progress | None) -> None:
    import sqlalchemy as sa

    dialect = _ENGINES.get(engine.dialect.name)
    if dialect is None:
        raise UsageError(
            f"cannot load the demo data into {engine.dialect.name}; known: {', '.join(_ENGINES)}"
        )
    rows = generate_rows(seed=seed, scale=scale)
    driver_error = engine.dialect.loaded_dbapi.Error
    try:
        connection = engine.raw_connection()
    except (driver_error, sa.exc.SQLAlchemyError) as error:
        raise ConnectionFailed(f"cannot connect to load the demo data: {_first_line(error)}") from error
    created: list[str] = []
    try:
        cursor = connection.cursor()
        if dialect in ("sqlite", "duckdb"):
            cursor.execute("BEGIN")
        try:
            _load(cursor, dialect, rows, progress, created)
            if dialect == "duckdb":
                cursor.execute("COMMIT")
            else:
                connection.commit()
        except BaseException:
            # The first error is the one to report, even if the connection is gone.
            with suppress(driver_error):
                if dialect == "duckdb":
                    cursor.execute("ROLLBACK")
                else:
                    connection.rollback()
                if dialect == "mysql":
                    for table in reversed(created):
                        cursor.execute(f"DROP TABLE {table}")
            raise
    except driver_error as error:
        raise DatabaseError(f"cannot load the demo data: {_first_line(error)}") from error
    finally:
        connection.close()


def _load(
    cursor: Any, dialect: Dialect, rows: Rows, progress: Progress | None, created: list[str] | None = None
) -> None:
    """Create and fill all tables within the caller's transaction; note in ``created`` what was made."""
    creates, later = _statements(dialect)
    total = sum(map(len, rows.values()))
    done = 0
    for table, create in creates.items():
        if progress is not None:
            progress(done, total, table)
        cursor.execute(create)
        if created is not None:
            created.append(table)
        _INSERTERS[dialect](cursor, table, rows[table])
        done += len(rows[table])
    for statement in later:
        cursor.execute(statement)
    if progress is not None:
        progress(total, total, "done")


def _insert_sqlite(cursor: Any, table: str, rows: Sequence[Row]) -> None:
    marks = ", ".join("?" * len(rows[0]))
    cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def _insert_duckdb(cursor: Any, table: str, rows: Sequence[Row]) -> None:
    if len(rows) < 100:
        # Row by row: COPY does not see the earlier rows that employees.manager_id refers to.
        _insert_sqlite(cursor, table, rows)
        return
    with tempfile.TemporaryDirectory(prefix="sqlgen-") as folder:
        path = Path(folder, f"{table}.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([[r"\N" if v is None else v for v in row] for row in rows])
        options = "FORMAT csv, HEADER false, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR '\\N'"
        cursor.execute(f"COPY {table} FROM {_quoted(str(path))} ({options})")


def _insert_postgres(cursor: Any, table: str, rows: Sequence[Row]) -> None:
    if not hasattr(cursor, "copy"):
        _insert_format_style(cursor, table, rows)
        return
    with cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _insert_format_style(cursor: Any, table: str, rows: Sequence[Row]) -> None:
    """Statements of 500 rows with ``%s`` marks, the style of the MySQL and older PostgreSQL drivers."""
    mark = "(" + ", ".join(["%s"] * len(rows[0])) + ")"
    for start in range(0, len(rows), 500):
        batch = rows[start : start + 500]
        marks = ", ".join([mark] * len(batch))
        cursor.execute(f"INSERT INTO {table} VALUES {marks}", tuple(chain.from_iterable(batch)))


_INSERTERS: dict[Dialect, Callable[[Any, str, Sequence[Row]], None]] = {
    "sqlite": _insert_sqlite,
    "duckdb": _insert_duckdb,
    "postgres": _insert_postgres,
    "mysql": _insert_format_style,
}
