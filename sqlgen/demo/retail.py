"""The rows of the demo shop: twelve tables of a retailer."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlgen.demo.domain import Domain, Row, Rows, check_size, read_file
from sqlgen.demo.draw import (
    END_DATE,
    LAST_DAY,
    START_DATE,
    Draw,
    as_money,
    ascii_letters,
    careless_texts,
    day_of,
    free_texts,
    iso_days,
    keep_where,
)

if TYPE_CHECKING:
    from sqlgen.demo.draw import Floats, Ints

__all__ = ["RETAIL", "generate_rows"]


def generate_rows(*, seed: int = 7, scale: float = 1.0) -> Rows:
    """All rows by table, parents first, columns in the order of ``schema.sql``.

    Dates are ISO text, money is in euros as floats that print with at most two decimals. ``scale``
    multiplies customers and orders (1.0 gives about 100,000 order lines); the assortment stays.
    Raises UsageError when ``scale`` is not within 0.001 to 100.

    >>> len(generate_rows(scale=0.01)["products"])
    408
    """
    import numpy as np

    check_size(seed, scale)
    words = tomllib.loads(read_file("retail", "vocabulary.toml"))
    rows: Rows = {
        "categories": [(i, c["name"], c["department"]) for i, c in enumerate(words["categories"], start=1)],
        "suppliers": _suppliers(words, Draw(seed, 1)),
    }
    products = _Products(words, Draw(seed, 2))
    rows["products"] = products.rows
    n_customers, n_orders = max(60, round(6_000 * scale)), max(60, round(40_500 * scale))
    customers = _Customers(words, Draw(seed, 3), n_customers)
    rows["customers"], rows["addresses"] = customers.rows, customers.addresses
    rows["employees"], takers = _employees(words, Draw(seed, 4))
    rows["campaigns"], campaigns = _campaigns(words)

    # Orders: when, by whom, where.
    draw = Draw(seed, 5)
    every_day = np.datetime64(START_DATE, "D") + np.arange(LAST_DAY + 1)
    month = every_day.astype("datetime64[M]").astype(np.int64) % 12
    weekday = (every_day.astype(np.int64) + 3) % 7
    demand = (
        np.array([80, 75, 85, 90, 95, 95, 85, 85, 95, 105, 145, 160])[month]
        * np.array([90, 88, 90, 95, 110, 130, 120])[weekday]
        * (1_000 + 650 * np.arange(LAST_DAY + 1) // LAST_DAY)
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
    processing = ~cancelled & ~in_store & (shipped > LAST_DAY)
    under_way = ~cancelled & ~in_store & ~processing & ((delivered > LAST_DAY) | lost)
    status = np.full(n_orders, 2)
    status[processing], status[under_way], status[cancelled] = 0, 1, 3
    is_delivered = status == 2
    received = np.where(in_store, day, delivered)

    # Order lines: what, how many, for how much.
    draw = Draw(seed, 6)
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
            iso_days(day),
            np.array(["processing", "shipped", "delivered", "cancelled"])[status].tolist(),
            np.array(["web", "mobile app", "store", "phone"])[channel].tolist(),
            as_money(total),
            keep_where(employee > 0, employee.tolist()),
            keep_where(campaign > 0, campaign.tolist()),
            keep_where(~in_store, address.tolist()),
            free_texts(Draw(seed, 7), words["texts"]["order_comments"], n_orders, share=0.06),
            strict=True,
        )
    )
    rows["order_lines"] = list(
        zip(
            range(1, n_lines + 1),
            (order + 1).tolist(),
            (product + 1).tolist(),
            quantity.tolist(),
            as_money(unit_price),
            discount.tolist(),
            as_money(line_total),
            strict=True,
        )
    )
    rows["payments"] = _payments(Draw(seed, 8), day, total, channel, status)
    rows["shipments"] = _shipments(
        Draw(seed, 9), carrier_words, np.flatnonzero(~in_store & (status != 3) & (status != 0)), shipped,
        np.where(is_delivered, delivered, -1), carrier,
    )  # fmt: skip
    rows["returns"] = _returns(
        Draw(seed, 10), words["return_reasons"], np.flatnonzero(is_delivered[order]), received[order],
        quantity, line_total, products.return_percent[product],
    )  # fmt: skip
    return rows


def _suppliers(words: Mapping[str, Any], draw: Draw) -> list[Row]:
    names = words["suppliers"]["rows"]
    lead, rated, rating, mail = (draw.uniform(len(names)).tolist() for _ in range(4))
    rows: list[Row] = []
    for i, (name, country, city) in enumerate(names):
        far = 14 if country in ("China", "Vietnam", "India", "Japan") else 0
        address = f"orders@{ascii_letters(name)}.example" if mail[i] < 0.85 else None
        stars = (280 + int(rating[i] * 220)) / 100 if rated[i] < 0.9 else None
        rows.append((i + 1, name, country, city, address, 4 + far + int(lead[i] * 24), stars))
    return rows


class _Products:
    """The assortment, and for each of the 36 months the running sum of what sells."""

    def __init__(self, words: Mapping[str, Any], draw: Draw) -> None:
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
        withdrawn[upcoming], launch[upcoming] = 10_000, LAST_DAY + 12 + 7 * np.arange(9)
        withdrawn = np.where(withdrawn > launch + 120, withdrawn, 10_000)
        discontinued = withdrawn <= LAST_DAY
        stock = np.where(u_stock < 0.05, 0, 5 + (u_stock * u_stock * 480).astype(np.int64))
        stock[discontinued | upcoming] = 0

        popularity = np.zeros(n)
        popularity[np.argsort(draw.uniform(n), kind="stable")] = 1_000.0 / (np.arange(n) + 25)
        popularity *= np.minimum(1.0, 40.0 / euros) + 0.4
        seasons = np.array([words["seasons"][c["season"]] for c in categories])[category]
        self.edges: list[Floats] = []
        for period in range(36):
            first = day_of(f"{START_DATE.year + period // 12}-{period % 12 + 1:02}-01")
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
                as_money(self.price),
                as_money(cost),
                keep_where((colored & (u_color < 0.94)).tolist(), [words["colors"][i] for i in color.tolist()]),
                keep_where((u_weight < 0.9).tolist(), as_money(kilograms)),
                stock.tolist(),
                iso_days(launch),
                np.where(upcoming, "upcoming", np.where(discontinued, "discontinued", "active")).tolist(),
                strict=True,
            )
        )  # fmt: skip


class _Customers:
    """Customers in the order of their signup, and their addresses."""

    def __init__(self, words: Mapping[str, Any], draw: Draw, n: int) -> None:
        import numpy as np

        countries, texts = words["countries"], words["texts"]
        country = draw.choose([c["share"] for c in countries], n)
        # A good third was there before the first order; the rest comes at a growing pace.
        early = draw.uniform(n) < 0.36
        u = draw.uniform(n)
        late = (np.maximum(u, draw.uniform(n) * 0.999) * (LAST_DAY - 8)).astype(np.int64)
        self.signup = np.sort(np.where(early, -550 + (u * 549).astype(np.int64), late))
        self.segment = draw.choose([78, 15, 7], n)
        u = draw.uniform(n)
        self.activity = np.where(draw.uniform(n) < 0.07, 0.0, 1.0 / (0.2 + u * u * 2))
        self.activity[0] = 1.0
        self.activity *= np.array([1.0, 1.3, 1.6])[self.segment]
        points = (draw.uniform(n) * draw.uniform(n) * 2_400).astype(np.int64)
        born = day_of("1946-01-01") + draw.below(day_of("2006-12-31") - day_of("1946-01-01"), n)
        has_mail, has_phone, has_birth = ((draw.uniform(n) < share).tolist() for share in (0.94, 0.74, 0.81))
        first, last = draw.below(10_000, n).tolist(), draw.below(10_000, n).tolist()
        domain, digits, style = (draw.below(k, n).tolist() for k in (3, 10_000_000, 4))
        notes = free_texts(draw, texts["customer_notes"], n, share=0.08)

        rows: list[Row] = []
        signup, birth = iso_days(self.signup), iso_days(born)
        segments = np.array(["Consumer", "Small Business", "Corporate"])[self.segment].tolist()
        for i, (place, number) in enumerate(zip(country.tolist(), digits, strict=True)):
            home = countries[place]
            given = home["first_names"][first[i] % len(home["first_names"])]
            family = home["last_names"][last[i] % len(home["last_names"])]
            mail = (
                f"{ascii_letters(given)}.{ascii_letters(family)}{i + 1}@{texts['email_domains'][domain[i]]}"
            )
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

    def _settle(self, countries: Sequence[Mapping[str, Any]], draw: Draw, country: list[int]) -> None:
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
                typed = careless_texts([line], [0], [habit[a]])[0]
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


def _employees(words: Mapping[str, Any], draw: Draw) -> tuple[list[Row], dict[int, tuple[Ints, Ints]]]:
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
            since = LAST_DAY
        manager = None if i == 0 else 1 if title.startswith("Head") else heads[department]
        salary = (base * (100 + int(u_pay[i] * 22)) // 100 + 37 * (i % 9)) // 10 * 10
        hired.append(since)
        rows.append(
            (
                i + 1, staff["first_names"][i * 7 % 24], staff["last_names"][(i * 4 + i // 25) % 25], title,
                department, iso_days(np.array([since]))[0], float(salary), manager,
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
            ran.append((len(rows), day_of(f"{year}-{first}"), day_of(f"{year}-{last}"), percent))
    for name, medium, first, last, budget in words["campaigns"]["planned"]:
        rows.append((len(rows) + 1, name, medium, first, last, float(budget)))
    return rows, ran


def _payments(draw: Draw, day: Ints, total: Ints, channel: Ints, status: Ints) -> list[Row]:
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
    iso = iso_days(np.arange(latest + 1))
    rows: list[Row] = []
    columns = (course.tolist(), day.tolist(), paid_day.tolist(), method.tolist(), total.tolist())
    for order_id, (way, ordered, paid, how, cents) in enumerate(zip(*columns, strict=True), start=1):
        if way == 0:
            continue
        words = methods[how]
        if way == 2:
            rows.append((len(rows) + 1, order_id, iso[ordered], words, cents / 100, "failed"))
        pending = paid > LAST_DAY
        state = "pending" if pending else "refunded" if way == 4 else "paid"
        when = None if pending else iso[paid]
        half = cents // 2 if way == 3 else 0
        if half:
            rows.append((len(rows) + 1, order_id, iso[ordered], words, half / 100, "paid"))
        rows.append((len(rows) + 1, order_id, when, words, (cents - half) / 100, state))
    return rows


def _shipments(
    draw: Draw, words: Mapping[str, Any], orders: Ints, shipped: Ints, delivered: Ints, carrier: Ints
) -> list[Row]:
    """One parcel per order, rarely two. ``delivered`` is -1 for what never arrived."""
    import numpy as np

    n = len(orders)
    parcels = np.where((draw.uniform(n) < 0.03) & (delivered[orders] >= 0), 2, 1)
    order = np.repeat(orders, parcels)
    m = len(order)
    second = np.concatenate(([False], order[1:] == order[:-1]))
    sent = shipped[order] + np.where(second, 1 + draw.below(3, m), 0)
    sent = np.minimum(sent, LAST_DAY)
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
            iso_days(sent),
            keep_where((arrived >= 0).tolist(), iso_days(np.maximum(arrived, 0))),
            as_money(cents),
            keep_where(tracked, tracking),
            strict=True,
        )
    )


def _returns(
    draw: Draw,
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
    keep = when <= LAST_DAY
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
        careless_texts(reasons[r]["comments"], [t % len(reasons[r]["comments"])], [h])[0] if spoke else None
        for r, spoke, t, h in zip(reason, said, text, habit, strict=True)
    ]
    return list(
        zip(
            range(1, n + 1),
            (back + 1).tolist(),
            iso_days(when),
            units.tolist(),
            [reasons[r]["reason"] for r in reason],
            as_money(refund),
            comments,
            strict=True,
        )
    )


# The mark is "rtl1".
RETAIL = Domain("retail", generate_rows, application_id=0x72746C31, version=1)
