"""The rows of a company that sells software by subscription: thirteen tables from plans to tickets.

Every account lives through its months: a trial, renewals, changes of plan, cancellation, return. What it
has to pay, who uses the product and what goes wrong follow from that.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlgen.demo.domain import Domain, Row, Rows, check_size, read_file
from sqlgen.demo.draw import LAST_DAY, START_DATE, Draw, ascii_letters, day_of

__all__ = ["SUBSCRIPTIONS", "subscription_rows"]

_TRIAL_DAYS = 14
_FIRST_USAGE_DAY = day_of("2025-07-01")
_METER_DOWN = (day_of("2025-09-14"), day_of("2025-09-15"))
_DAY_S = 86_400
_END_S = (LAST_DAY + 1) * _DAY_S
# Plans by their number in the price list, cheaper to dearer.
_LADDERS = ((1, 2, 4, 6), (3, 5, 7, 8))
_LOSS_PER_RENEWAL = {1: 0.070, 2: 0.050, 3: 0.30, 4: 0.030, 5: 0.22, 6: 0.019, 7: 0.15, 8: 0.10, 9: 0.16}
_RESPONSE_MINUTES = {"urgent": (4, 50), "high": (15, 240), "normal": (40, 1_100), "low": (120, 2_600)}


class _Dice:
    """One number after the other from a ``Draw``."""

    def __init__(self, seed: int, stream: int) -> None:
        self._draw = Draw(seed, stream)
        self._left: Iterator[float] = iter(())

    def roll(self) -> float:
        """A number in [0, 1)."""
        number = next(self._left, None)
        if number is None:
            self._left = iter(self._draw.uniform(4_096).tolist())
            number = next(self._left)
        return number

    def chance(self, share: float) -> bool:
        return self.roll() < share

    def between(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return low + int(self.roll() * (high - low + 1))

    def pick(self, weights: Sequence[int]) -> int:
        """A position in ``weights``, as often as its weight says."""
        left = int(self.roll() * sum(weights))
        for position, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return position
        return len(weights) - 1


@dataclass(slots=True)
class _Plan:
    id: int
    months: int
    cents: int
    seats: int
    seat_cents: int

    @property
    def pace(self) -> int:
        """How much more happens at a renewal than at one of a monthly plan."""
        return 3 if self.months > 1 else 1


@dataclass(slots=True)
class _Period:
    """What is invoiced at once; ``addons`` are ids."""

    start: int
    end: int
    plan: int
    seats: int
    addons: tuple[int, ...]


@dataclass(slots=True)
class _Subscription:
    account: int
    plan: int
    started: int
    seats: int
    discount: int
    trial_end: int | None = None
    ended: int | None = None
    status: str = "active"
    reason: str | None = None
    addons: dict[int, tuple[int, int | None]] = field(default_factory=dict)
    changes: list[tuple[int, int, int, int]] = field(default_factory=list)
    periods: list[_Period] = field(default_factory=list)

    @property
    def last_day(self) -> int:
        return LAST_DAY if self.ended is None else self.ended


@dataclass(slots=True)
class _Account:
    id: int
    name: str
    industry: str
    place: Mapping[str, Any]
    city: str
    created: int
    size: int
    subscriptions: list[_Subscription] = field(default_factory=list)
    users: list[tuple[int, int]] = field(default_factory=list)

    @property
    def last_day(self) -> int:
        return max((s.last_day for s in self.subscriptions), default=self.created)


_ISO = [date.fromordinal(START_DATE.toordinal() + day).isoformat() for day in range(LAST_DAY + 500)]


def _iso(day: int | None) -> str | None:
    return None if day is None else _ISO[day]


def _moment(seconds: int | None) -> str | None:
    """Seconds since the first midnight as ISO text."""
    if seconds is None:
        return None
    day, second = divmod(seconds, _DAY_S)
    return f"{_ISO[day]} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def _add_months(day: int, months: int) -> int:
    """The day that is called the same, ``months`` later; the 28th for the last days of a month."""
    start = date.fromordinal(START_DATE.toordinal() + day)
    year, month = divmod(start.month - 1 + months, 12)
    return (date(start.year + year, month + 1, min(start.day, 28)) - START_DATE).days


def _dollars(cents: int) -> float:
    return cents / 100


def subscription_rows(*, seed: int = 7, scale: float = 1.0) -> Rows:
    """All rows by table, parents first, columns in the order of ``schema.sql``.

    Dates and times are ISO text, money is in dollars as floats that print with at most two decimals.
    ``scale`` multiplies the accounts (1.0 gives 640); plans, add-ons and agents stay. Raises UsageError
    when ``scale`` is not within 0.001 to 100.

    >>> rows = subscription_rows(scale=0.1)
    >>> len(rows["plans"]), len(rows["accounts"])
    (10, 64)
    """
    check_size(seed, scale)
    words = tomllib.loads(read_file("subscriptions", "vocabulary.toml"))
    plans = _plans(words)
    n = max(60, round(640 * scale))
    accounts = _accounts(words, _Dice(seed, 1), n)
    dice = _Dice(seed, 2)
    for account in accounts:
        _live(account, words, plans, dice)
    users = _users(accounts, _Dice(seed, 7))
    subscriptions = sorted(
        (s for account in accounts for s in account.subscriptions), key=lambda s: (s.started, s.account)
    )
    invoices = _Invoices(words, plans, subscriptions, _Dice(seed, 3))
    return {
        "plans": [
            (i, name, edition, period, float(price), seats, float(extra), introduced, retired or None)
            for i, (name, edition, period, price, seats, extra, introduced, retired) in enumerate(
                words["plans"], start=1
            )
        ],
        "addons": [(i, name, float(price), day) for i, (name, price, day) in enumerate(words["addons"], 1)],
        "agents": [
            (i, name, team, office, hired, left or None)
            for i, (name, team, office, hired, left, _) in enumerate(words["agents"], start=1)
        ],
        "accounts": _account_rows(words, accounts, _Dice(seed, 4)),
        "users": users,
        "subscriptions": [
            (
                i, s.account, s.plan, s.status, _iso(s.started), _iso(s.trial_end), _iso(s.ended), s.seats,
                s.discount, _dollars(_mrr(plans, words, s)), s.reason,
            )
            for i, s in enumerate(subscriptions, start=1)
        ],
        "plan_changes": _plan_change_rows(subscriptions),
        "subscription_addons": [
            (i, addon, _iso(added), _iso(removed))
            for i, s in enumerate(subscriptions, start=1)
            for addon, (added, removed) in sorted(s.addons.items())
        ],
        "invoices": invoices.rows,
        "invoice_lines": invoices.lines,
        "payments": invoices.payments,
        "usage_daily": _usage(accounts, _Dice(seed, 5)),
        "tickets": _tickets(words, accounts, _Dice(seed, 6)),
    }  # fmt: skip


def _plans(words: Mapping[str, Any]) -> dict[int, _Plan]:
    return {
        i: _Plan(i, 12 if period == "yearly" else 1, price * 100, seats, extra * 100)
        for i, (_, _, period, price, seats, extra, _, _) in enumerate(words["plans"], start=1)
    }


# --- accounts and their subscriptions ----------------------------------------------------------------------


def _accounts(words: Mapping[str, Any], dice: _Dice, n: int) -> list[_Account]:
    """Accounts in the order of their signup, more of them every year."""
    # The higher of two numbers makes the density grow.
    days = sorted(
        int((dice.roll() if dice.chance(0.62) else max(dice.roll(), dice.roll())) * (LAST_DAY - 1))
        for _ in range(n)
    )
    countries, industries, prefixes = words["countries"], words["industries"], words["prefixes"]
    taken: set[tuple[str, str]] = set()
    accounts: list[_Account] = []
    for i, day in enumerate(days, start=1):
        place = countries[dice.pick([c["share"] for c in countries])]
        industry = industries["names"][dice.pick(industries["weights"])]
        nouns = industries["nouns"][industry]
        noun, prefix = nouns[dice.between(0, len(nouns) - 1)], dice.between(0, len(prefixes) - 1)
        while (name := (f"{prefixes[prefix % len(prefixes)]} {noun}", place["name"])) in taken:
            prefix += 1
            # A large company list runs out of names.
            if prefix > 2 * len(prefixes):
                noun = f"{nouns[0]} {i}"
        taken.add(name)
        city = place["cities"][dice.pick([weight for _, weight in place["cities"]])][0]
        low, high = ((2, 9), (10, 49), (50, 249), (250, 999), (1_000, 9_000))[dice.pick([26, 33, 24, 12, 5])]
        accounts.append(_Account(i, name[0], industry, place, city, day, dice.between(low, high)))
    return accounts


def _account_rows(words: Mapping[str, Any], accounts: Sequence[_Account], dice: _Dice) -> list[Row]:
    managers = [
        (i, day_of(hired))
        for i, (_, team, _, hired, _, _) in enumerate(words["agents"], start=1)
        # Managers who left have handed their accounts over.
        if team == "Customer Success" and not words["agents"][i - 1][4]
    ]
    channels = words["channels"]
    rows: list[Row] = []
    large: dict[str, list[int]] = {}
    for account in accounts:
        parent = referrer = None
        same_line = large.setdefault(account.industry, [])
        if same_line and dice.chance(0.09):
            parent = same_line[dice.between(0, len(same_line) - 1)]
        if account.id > 1 and dice.chance(0.13):
            # The oldest customers know the most people.
            referrer = 1 + int(dice.roll() * dice.roll() * (account.id - 1))
        if account.size >= 250:
            same_line.append(account.id)
        is_managed = account.size >= 150 or any(s.plan >= 6 for s in account.subscriptions)
        known = [i for i, hired in managers if hired < LAST_DAY - 60]
        manager = known[dice.between(0, len(known) - 1)] if is_managed and dice.chance(0.93) else None
        channel = "referral" if referrer else channels["names"][dice.pick(channels["weights"])]
        rows.append(
            (
                account.id, account.name, account.industry, account.place["name"], account.city,
                account.size if dice.chance(0.88) else None, channel, _iso(account.created), parent,
                referrer, manager,
            )
        )  # fmt: skip
    return rows


def _live(account: _Account, words: Mapping[str, Any], plans: Mapping[int, _Plan], dice: _Dice) -> None:
    """Give the account its subscriptions: none, one, or several with a gap between them."""
    if dice.chance(0.07):
        return
    start = account.created + dice.between(0, 9)
    with_trial = dice.chance(0.62)
    while start <= LAST_DAY:
        plan = _first_plan(account, start, dice)
        seats = max(1, min(account.size, plans[plan].seats) * dice.between(40, 130) // 100)
        discount = (0, 10, 15, 20, 30)[dice.pick([74, 11, 6, 6, 3])]
        one = _Subscription(account.id, plan, start, seats, discount)
        account.subscriptions.append(one)
        if with_trial:
            one.trial_end = start + _TRIAL_DAYS
            if one.trial_end > LAST_DAY:
                one.status = "trialing"
                return
            if dice.chance(0.26):
                one.status, one.ended = "expired", one.trial_end
                return
        _renew(one, words, plans, dice)
        if one.ended is None or not dice.chance(0.24):
            return
        start, with_trial = one.ended + dice.between(25, 240), False


def _first_plan(account: _Account, start: int, dice: _Dice) -> int:
    if account.industry == "Education" and start > day_of("2023-08-01") and dice.chance(0.7):
        return 9
    if account.size < 10:
        solo = 30 if start < day_of("2024-06-30") else 0
        return (1, 2, 3)[dice.pick([solo, 50, 20])]
    if account.size < 50:
        return (2, 3, 4, 5)[dice.pick([32, 18, 32, 18])]
    if account.size < 250:
        return (4, 5, 6, 7)[dice.pick([42, 24, 20, 14])]
    return (4, 6, 7, 8)[dice.pick([16, 26, 26, 32])]


def _renew(one: _Subscription, words: Mapping[str, Any], plans: Mapping[int, _Plan], dice: _Dice) -> None:
    """Go through the paid periods until the customer leaves or the data ends."""
    first = one.started if one.trial_end is None else one.trial_end
    day, passed = first, 0
    while day <= LAST_DAY:
        plan = plans[one.plan]
        if passed:
            if dice.chance(_LOSS_PER_RENEWAL[one.plan]):
                cancellations = words["cancellations"]
                one.status, one.ended = "cancelled", day
                if dice.chance(0.83):
                    one.reason = cancellations["reasons"][dice.pick(cancellations["weights"])]
                return
            _change(one, words, plans, day, dice)
            plan = plans[one.plan]
        for addon, (_, price, introduced) in enumerate(words["addons"], start=1):
            if addon in one.addons:
                added, removed = one.addons[addon]
                if removed is None and dice.chance(0.012):
                    one.addons[addon] = (added, day)
            elif day >= day_of(introduced) and price < plan.cents // 100 and dice.chance(0.011 * plan.pace):
                one.addons[addon] = (day, None)
        booked = tuple(a for a, (_, removed) in one.addons.items() if removed is None)
        following = _add_months(first, passed + plan.months)
        one.periods.append(_Period(day, following - 1, one.plan, one.seats, booked))
        passed += plan.months
        day = following


def _change(
    one: _Subscription, words: Mapping[str, Any], plans: Mapping[int, _Plan], day: int, dice: _Dice
) -> None:
    """Let seats grow, and now and then change to the next plan or the one before."""
    before = _mrr(plans, words, one)
    old = one.plan
    u = dice.roll() / plans[old].pace
    if u < 0.075:
        one.seats += dice.between(1, 2 + one.seats // 6)
    elif u < 0.09 and one.seats > 3:
        one.seats -= dice.between(1, one.seats // 3)
    step = 1 if dice.chance(0.021 * plans[old].pace) else -1 if dice.chance(0.010) else 0
    ladder = next((rungs for rungs in _LADDERS if old in rungs), ())
    position = ladder.index(old) + step if ladder else -1
    if step and 0 <= position < len(ladder) and ladder[position] != 1:
        one.plan = ladder[position]
        after = _mrr(plans, words, one)
        if (after > before) == (step > 0):
            one.changes.append((day, old, one.plan, after - before))
        else:
            one.plan = old


def _mrr(plans: Mapping[int, _Plan], words: Mapping[str, Any], one: _Subscription) -> int:
    """Cents per month after discount; 0 for trials."""
    if one.status in ("trialing", "expired"):
        return 0
    plan = plans[one.plan]
    extra = max(0, one.seats - plan.seats) * plan.seat_cents
    booked = (addon for addon, (_, removed) in one.addons.items() if removed is None)
    addons: int = sum(words["addons"][addon - 1][1] * 100 for addon in booked)
    return ((plan.cents + extra + addons) * (100 - one.discount) + 50) // 100


def _plan_change_rows(subscriptions: Sequence[_Subscription]) -> list[Row]:
    changes = sorted(
        (day, i, old, new, cents)
        for i, one in enumerate(subscriptions, start=1)
        for day, old, new, cents in one.changes
    )
    return [
        (n, i, _iso(day), "upgrade" if cents > 0 else "downgrade", old, new, _dollars(cents))
        for n, (day, i, old, new, cents) in enumerate(changes, start=1)
    ]


# --- people ------------------------------------------------------------------------------------------------


def _users(accounts: Sequence[_Account], dice: _Dice) -> list[Row]:
    """Users of all accounts in the order of their invitation; ``account.users`` gets (id, activated)."""
    drafts: list[tuple[int, int, int, _Account]] = []
    for account in accounts:
        seats = max((s.seats for s in account.subscriptions), default=1)
        count = max(1, min(seats * dice.between(55, 100) // 100, 45))
        last = max(account.created, account.last_day - 1)
        for rank in range(count):
            day = account.created
            if rank:
                day += int(dice.roll() * dice.roll() * (last - account.created))
            drafts.append((day, account.id, rank, account))
    drafts.sort(key=lambda draft: draft[:3])
    rows: list[Row] = []
    for i, (invited, _, rank, account) in enumerate(drafts, start=1):
        place = account.place
        given = place["first_names"][dice.between(0, len(place["first_names"]) - 1)]
        family = place["last_names"][dice.between(0, len(place["last_names"]) - 1)]
        role = "owner" if rank == 0 else ("admin", "member", "viewer")[dice.pick([11, 67, 22])]
        mail = f"{ascii_letters(given)}.{ascii_letters(family)}{i}@{ascii_letters(account.name)}.example"
        accepted = rank == 0 or dice.chance(0.89)
        activated = invited + (0 if rank == 0 else dice.between(0, 12))
        last = max(account.last_day, account.created)
        login = left = None
        if not accepted or activated > last:
            shown = None
        else:
            shown = activated
            account.users.append((i, activated))
            if rank and activated < last - 30 and dice.chance(0.09):
                left = dice.between(activated + 20, last)
            latest = last if left is None else left
            if rank == 0 or dice.chance(0.96):
                # Most were here a short time ago.
                back = int(dice.roll() * dice.roll() * dice.roll() * (latest - activated))
                login = (latest - back) * _DAY_S + dice.between(7 * 3_600, 20 * 3_600)
        two_factor = dice.chance(0.62 if role in ("owner", "admin") else 0.31)
        rows.append(
            (
                i, account.id, f"{given} {family}", mail, role, two_factor, _iso(invited), _iso(shown),
                _moment(login), _iso(left),
            )
        )  # fmt: skip
    return rows


# --- money -------------------------------------------------------------------------------------------------


class _Invoices:
    """Invoices in the order of their dates with lines and payments; sets subscriptions to past_due."""

    def __init__(
        self,
        words: Mapping[str, Any],
        plans: Mapping[int, _Plan],
        subscriptions: Sequence[_Subscription],
        dice: _Dice,
    ) -> None:
        self.rows: list[Row] = []
        self.lines: list[Row] = []
        self._words = words
        self._dice = dice
        self._attempts: list[tuple[int, int, str, int, str, str | None, int]] = []
        methods = {
            s.account: ("card", "bank transfer", "paypal")[dice.pick([66, 22, 12])] for s in subscriptions
        }
        due = sorted(
            (period.start, i, n) for i, s in enumerate(subscriptions) for n, period in enumerate(s.periods)
        )
        per_year: dict[str, int] = {}
        for day, position, n in due:
            one = subscriptions[position]
            period = one.periods[n]
            number = len(self.rows) + 1
            year = _ISO[day][:4]
            per_year[year] = per_year.get(year, 0) + 1
            total = self._bill(number, plans[period.plan], period, one.discount)
            pay_until = day + (30 if plans[period.plan].months > 1 else 14)
            is_last = n == len(one.periods) - 1
            status = self._collect(number, day, pay_until, total, methods[one.account], is_last)
            if status == "overdue" and one.ended is None:
                one.status = "past_due"
            self.rows.append(
                (
                    number, f"INV-{year}-{per_year[year]:05}", one.account, position + 1, _iso(day),
                    _iso(pay_until), _iso(day), _iso(period.end), _dollars(total), status,
                )
            )  # fmt: skip
        self._attempts.sort(key=lambda attempt: attempt[:2])
        self.payments: list[Row] = [
            (i, invoice, _moment(at), method, _dollars(amount), status, why, _dollars(back))
            for i, (at, invoice, method, amount, status, why, back) in enumerate(self._attempts, start=1)
        ]

    def _bill(self, invoice: int, plan: _Plan, period: _Period, discount: int) -> int:
        """Write the lines; the sum in cents."""
        words, months = self._words, plan.months
        name = words["plans"][plan.id - 1][0]
        lines: list[tuple[str, int | None, str, int, int]] = [
            ("plan", None, f"{name} plan", 1, plan.cents * months)
        ]
        if period.seats > plan.seats:
            lines.append(("seats", None, "Extra seats", period.seats - plan.seats, plan.seat_cents * months))
        for addon in sorted(period.addons):
            title, price, _ = words["addons"][addon - 1]
            lines.append(("addon", addon, title, 1, price * 100 * months))
        if discount:
            full = sum(quantity * price for *_, quantity, price in lines)
            lines.append(("discount", None, f"Discount {discount}%", 1, -((full * discount + 50) // 100)))
        if self._dice.chance(0.06):
            lines.append(("overage", None, "API calls beyond the limit", self._dice.between(1, 40), 250))
        for kind, addon_id, text, quantity, price in lines:
            self.lines.append(
                (
                    len(self.lines) + 1, invoice, kind, addon_id, text, quantity, _dollars(price),
                    _dollars(quantity * price),
                )
            )  # fmt: skip
        return sum(quantity * price for *_, quantity, price in lines)

    def _collect(self, invoice: int, day: int, due: int, total: int, method: str, is_last: bool) -> str:
        """Note the payments of an invoice; its status."""
        dice, failures = self._dice, self._words["failures"]
        if dice.chance(0.009):
            return "void"
        is_late_payer = is_last and dice.chance(0.055)
        when = day + (dice.between(3, 38) if method == "bank transfer" else dice.between(0, 1))
        fails = 2 if is_late_payer else 1 if method != "bank transfer" and dice.chance(0.055) else 0
        for n in range(fails):
            at = day + 3 * n
            if at <= LAST_DAY and method != "bank transfer":
                why = failures["reasons"][dice.pick(failures["weights"])]
                self._attempts.append((self._time(at), invoice, method, total, "failed", why, 0))
        when += 3 * fails
        if is_late_payer or when > LAST_DAY:
            return "overdue" if due < LAST_DAY else "open"
        back = 0
        if dice.chance(0.02):
            back = total if dice.chance(0.6) else total // 2
        status = "refunded" if back else "succeeded"
        self._attempts.append((self._time(when), invoice, method, total, status, None, back))
        return "paid"

    def _time(self, day: int) -> int:
        return day * _DAY_S + self._dice.between(0, _DAY_S - 1)


# --- use and support ---------------------------------------------------------------------------------------


def _usage(accounts: Sequence[_Account], dice: _Dice) -> list[Row]:
    """Who used what on the days since July 2025, quieter on weekends and in late December."""
    rows: list[Row] = []
    first_weekday = START_DATE.weekday()
    for account in accounts:
        keenness, calls = dice.between(25, 80), dice.between(0, 900) if dice.chance(0.7) else 0
        storage = dice.between(20, 400) * (1 + account.size // 40)
        # Some lose interest long before they cancel.
        fades_from = dice.between(_FIRST_USAGE_DAY, LAST_DAY) if dice.chance(0.13) else LAST_DAY
        loss_per_day = dice.between(1, 4)
        for one in account.subscriptions:
            for day in range(max(one.started, _FIRST_USAGE_DAY), one.last_day + (one.ended is None)):
                is_weekend = (first_weekday + day) % 7 >= 5
                level = keenness * (18 if is_weekend else 100) // 100
                if day > LAST_DAY - 9:
                    level //= 2
                level = level * max(0, 100 - loss_per_day * max(0, day - fades_from)) // 100
                guests = dice.between(0, 1) if level else 0
                active = min(one.seats, one.seats * level * dice.between(40, 160) // 10_000 + guests)
                if active == 0:
                    continue
                storage += dice.between(0, 1 + active)
                metered = active * calls * dice.between(50, 150) // 100
                rows.append(
                    (
                        account.id, _iso(day), active, active * dice.between(0, 9) // 2,
                        None if day in _METER_DOWN else metered, _dollars(storage * 5),
                    )
                )  # fmt: skip
    return rows


def _tickets(words: Mapping[str, Any], accounts: Sequence[_Account], dice: _Dice) -> list[Row]:
    opened: list[tuple[int, int]] = []
    for account in accounts:
        end = min(account.last_day + 20, LAST_DAY)
        # Some ask all the time, most hardly ever.
        busy = (22 + min(account.size, 900) // 10) * (20 + int(dice.roll() * dice.roll() * 330))
        for day in range(account.created, end + 1, 5):
            if dice.chance(busy / 78_000):
                at = min(day + dice.between(0, 4), LAST_DAY)
                opened.append((at * _DAY_S + dice.between(6 * 3_600, 22 * 3_600), account.id))
    opened.sort()
    rows: list[Row] = []
    for i, (at, account_id) in enumerate(opened, start=1):
        rows.append((i, account_id, *_handle(words, accounts[account_id - 1], at, dice)))
    return rows


def _handle(words: Mapping[str, Any], account: _Account, opened: int, dice: _Dice) -> Row:
    """The columns of a ticket from ``user_id`` on."""
    day = opened // _DAY_S
    category = words["categories"][dice.pick([c["weight"] for c in words["categories"]])]
    priority = ("low", "normal", "high", "urgent")[dice.pick([24, 49, 20, 7])]
    channel = ("email", "chat", "phone", "web form")[dice.pick([42, 30, 9, 19])]
    subject = category["subjects"][dice.between(0, len(category["subjects"]) - 1)]
    known = [user for user, activated in account.users if activated <= day]
    user = known[dice.between(0, len(known) - 1)] if known and dice.chance(0.92) else None
    team = [
        (agent, slowness)
        for agent, (_, part, _, hired, left, slowness) in enumerate(words["agents"], start=1)
        if part == category["team"] and day_of(hired) < day and (not left or day_of(left) > day + 10)
    ]
    agent, slowness = team[dice.between(0, len(team) - 1)]
    low, high = _RESPONSE_MINUTES[priority]
    # Two numbers multiplied: most answers are quick, some take long.
    minutes = low + int((high - low) * dice.roll() * dice.roll()) * slowness // 100
    answered = opened + minutes * 60 + dice.between(0, 59)
    closed = answered + int(dice.between(10, 9_000) * dice.roll()) * 60 + dice.between(0, 59)
    head = (user, agent, subject, category["name"], channel, priority)
    if answered >= _END_S:
        return (user, None, *head[2:], "new", _moment(opened), None, None, None)
    if closed >= _END_S or dice.chance(0.006):
        status = "pending" if dice.chance(0.4) else "open"
        return (*head, status, _moment(opened), _moment(answered), None, None)
    score = None
    if dice.chance(0.41):
        grumpy = 3 if minutes > high // 3 else 1
        score = 1 + dice.pick([5 * grumpy, 6 * grumpy, 12 * grumpy, 36, 48])
    return (*head, "solved", _moment(opened), _moment(answered), _moment(closed), score)


# The mark is "sub1".
SUBSCRIPTIONS = Domain("subscriptions", subscription_rows, application_id=0x73756231, version=1)
