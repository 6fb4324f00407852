"""Words for questions: choice among alternatives, inflection, synonyms, numbers, periods, slips.

A literal is carried inside the text between marks, so that its span is known whatever happens to
the text around it: see ``mark`` and ``unmark``.
"""

from __future__ import annotations

import random
import re
from datetime import date, timedelta

__all__ = [
    "article",
    "expand",
    "join_words",
    "many",
    "mark",
    "number_text",
    "people_words",
    "period_text",
    "plural",
    "relative_period",
    "say",
    "singular",
    "slip",
    "spell_out",
    "unmark",
]

_OPEN, _CLOSE, _BASE = "\ue000", "\ue001", 0xE100
_CHOICE = re.compile(r"\(([^()]*)\)")


def expand(template: str, rng: random.Random) -> str:
    """Choose among the alternatives of ``template``: "(show|list) the names".

    >>> expand("(a|a) b(|)", random.Random(0))
    'a b'
    """
    while True:
        chosen = _CHOICE.sub(lambda m: rng.choice(m[1].split("|")), template)
        if chosen == template:
            return chosen
        template = chosen


def mark(number: int, text: str) -> str:
    """``text`` as literal ``number`` of a question."""
    return f"{_OPEN}{chr(_BASE + number)}{text}{_CLOSE}"


def unmark(text: str) -> tuple[str, dict[int, tuple[int, int]]]:
    """The question without marks, and the span (start, end) of each literal.

    >>> unmark("in " + mark(0, "Paris") + "?")
    ('in Paris?', {0: (3, 8)})
    """
    out: list[str] = []
    spans: dict[int, tuple[int, int]] = {}
    at, opened, number = 0, 0, -1
    for char in text:
        if char == _OPEN:
            number = -2
        elif char == _CLOSE:
            spans[number] = (opened, at)
        elif number == -2:
            number, opened = ord(char) - _BASE, at
        else:
            out.append(char)
            at += 1
    return "".join(out), spans


_IRREGULAR = {
    "person": "people", "man": "men", "woman": "women", "child": "children", "staff": "staff",
    "staff member": "staff members", "medium": "media", "criterion": "criteria", "series": "series",
    "species": "species", "salesperson": "salespeople", "goods": "goods", "personnel": "personnel",
    "inventory": "inventory", "stock": "stock", "aircraft": "aircraft", "analysis": "analyses",
    "leaf": "leaves", "foot": "feet", "equipment": "equipment", "information": "information", "data": "data",
    "bus": "buses", "status": "statuses", "address": "addresses", "furniture": "furniture",
    "sales": "sales", "revenue": "revenue", "class": "classes", "photo": "photos", "shelf": "shelves",
    "city": "cities", "day": "days", "half": "halves", "news": "news", "details": "details", "logs": "logs",
}  # fmt: skip
_SINGULAR = {v: k for k, v in _IRREGULAR.items()}


def plural(words: str) -> str:
    """The plural of a noun phrase.

    >>> plural("order item"), plural("company"), plural("status")
    ('order items', 'companies', 'statuses')
    """
    first, of, rest = words.partition(" of ")
    if of and first:
        return f"{plural(first)} of {rest}"
    head, _, last = words.rpartition(" ")
    pre = f"{head} " if head else ""
    if last in _IRREGULAR:
        return pre + _IRREGULAR[last]
    if len(last) > 2 and last.endswith("y") and last[-2] not in "aeiou":
        return f"{pre}{last[:-1]}ies"
    if last.endswith(("s", "x", "z", "ch", "sh")):
        return words if last.endswith("s") and not last.endswith(("ss", "us", "is")) else f"{words}es"
    return f"{words}s"


def singular(words: str) -> str:
    """The singular of a noun phrase.

    >>> singular("order items"), singular("companies"), singular("status"), singular("people")
    ('order item', 'company', 'status', 'person')
    """
    head, _, last = words.rpartition(" ")
    pre = f"{head} " if head else ""
    if last in _IRREGULAR:
        return words
    if last in _SINGULAR:
        return pre + _SINGULAR[last]
    if len(last) > 4 and last.endswith("ies") and last not in ("movies", "cookies", "series"):
        return f"{pre}{last[:-3]}y"
    if len(last) > 4 and last.endswith(("sses", "xes", "ches", "shes", "zzes")):
        return words[:-2]
    if len(last) > 3 and last.endswith("s") and not last.endswith(("ss", "us", "is")):
        return words[:-1]
    return words


def many(words: str) -> bool:
    """Whether a noun phrase is a plural: "hours" is, "status" isn't."""
    return words.endswith("s") and not words.endswith(("ss", "us", "is", "address"))


def article(words: str) -> str:
    """``words`` with "a" or "an", or as they are when they are many."""
    if many(words):
        return words
    return f"{'an' if words[:1] in 'aeiou' and not words.startswith(('uni', 'use', 'eu')) else 'a'} {words}"


_SYNONYMS: dict[str, tuple[str, ...]] = {
    line.split(":")[0].strip(): tuple(w.strip() for w in line.split(":")[1].split(","))
    for line in """
    salary: pay, wage, earnings, compensation
    customer: client, buyer, shopper
    client: customer
    price: cost
    employee: worker, staff member, team member
    supplier: vendor, provider
    vendor: supplier
    product: item, article
    store: shop, outlet
    shop: store
    order: purchase
    quantity: amount, number of units
    total: overall amount
    amount: value
    revenue: turnover, income, sales
    department: dept, division, unit
    city: town
    country: nation
    phone: phone number, telephone number
    phone number: telephone, phone
    email: email address, e-mail
    address: location
    category: group, class, kind
    type: kind, category
    manager: boss, supervisor
    student: pupil, learner
    teacher: instructor
    instructor: teacher, lecturer
    course: class
    movie: film
    film: movie
    song: track
    track: song
    artist: musician
    author: writer
    publisher: publishing house
    doctor: physician
    physician: doctor
    hospital: clinic
    appointment: visit, booking
    airport: airfield
    hotel: accommodation
    car: vehicle, automobile
    vehicle: car
    driver: motorist
    gender: sex
    sex: gender
    birth date: date of birth, birthday
    date of birth: birth date, birthday
    hire date: date of hire, start date, joining date
    description: details
    capacity: size
    budget: funds
    rating: score
    score: points, rating
    duration: length
    length: duration
    population: number of inhabitants
    nationality: citizenship
    job: position, role
    position: role, job
    role: position, job
    company: firm, business
    invoice: bill
    payment: transaction
    transaction: payment
    account: profile
    subscription: plan
    warehouse: depot, storage site
    shipment: delivery, consignment
    delivery: shipment
    carrier: shipper
    ticket: support case
    issue: problem
    project: initiative
    member: participant
    team: squad
    game: match
    stadium: arena, venue
    venue: location
    region: area
    state: province
    branch: office
    office: branch
    discount: reduction
    stock: inventory
    brand: make
    color: colour
    year: year
    start date: beginning date, starting date
    end date: finish date, ending date
    order date: date of order, purchase date
    review: feedback
    campaign: promotion
    expense: cost
    cost: expense
    balance: account balance
    interest rate: rate of interest
    loan: credit
    policy: insurance policy
    claim: insurance claim
    tenant: renter
    lease: rental contract
    nurse: caregiver
    medication: drug, medicine
    fee: charge
    unit price: price per unit, price
    first name: given name, forename
    last name: surname, family name
    postal code: zip code, zip
    zip: postcode
    hometown: home town
    festival: event
    museum: gallery
    passenger: traveller
    traveller: passenger
    aircraft: plane, airplane
    reservation: booking
    booking: reservation
    outage: network failure, service disruption
    call: phone call
    stop: halt
    operator: driver
    complaint: grievance
    policyholder: insured person, policy owner
    agent: representative
    advisor: consultant, adviser
    assessor: examiner
    renter: hirer
    car class: vehicle class
    restaurant: eatery
    dish: menu item, meal
    server: waiter
    tip: gratuity
    bill total: bill amount, total of the bill
    researcher: scientist
    paper: publication, article
    funder: sponsor
    institute: research institute
    experiment: trial
    worker: employee
    site: construction site
    subcontractor: contractor
    task: work item
    time sheet: timesheet
    accident: incident
    artwork: work of art, art piece
    exhibition: show
    fault: failure
    power line: transmission line
    post: message
    reply: answer
    community: group
    judge: magistrate
    lawyer: attorney
    court case: lawsuit, case
    hearing: court session
    developer: programmer
    repository: repo
    commit: code change
    build: build run
    deployment: rollout
    coach: trainer
    referee: umpire
    volunteer: helper
    donation: gift, contribution
    donor: supporter
    material: raw material
    plant: factory
    work order: production order
    defect: flaw
    video: clip
    creator: content creator
    property: home, real estate object
    owner: proprietor
    viewing: showing
    ward: hospital unit
    admission: hospital stay
    lab test: laboratory test
    enrolment: enrollment, registration
    programme: program, degree program
    club: society
    exam: examination
    nightly rate: price per night, room rate
    staff member: employee
    opened date: opening date
    closed date: closing date
    joined date: joining date, date of joining
    signup date: registration date, date of signup
    enrolled date: date of enrolment
    published date: publication date
    stock level: stock, units in stock
    loyalty points: bonus points
    freight cost: shipping cost, transport cost
    hourly wage: hourly pay, pay per hour
    daily wage: daily pay, pay per day
    monthly income: income per month
    consultation fee: visit fee
    citations: citation count, number of citations
    views: number of views, view count
    followers: follower count, number of followers
    likes: number of likes, like count
    pages: page count, number of pages
    mileage: miles driven
    annual budget: yearly budget
    elevation: altitude
    bedrooms: number of bedrooms
    monthly rent: rent per month
    deposit: security deposit
    built year: year of construction, construction year
    founded year: year of foundation, founding year
    severity: seriousness
    cause: reason
    reason: cause
    priority: urgency
    stage: phase
    comment: remark
    outcome: result
    result: outcome
    sector: industry
    industry: sector
    due date: deadline
    deadline: due date
    shipping fee: shipping cost, delivery fee
    unit cost: cost per unit
    order total: total of the order, order value
    store manager: shop manager
    """.strip().splitlines()
}

_PEOPLE = frozenset(
    "customer client buyer shopper employee worker member staff person people student pupil learner teacher "
    "instructor lecturer professor author writer artist musician actor singer player doctor physician patient nurse "
    "manager driver user guest tenant agent supervisor trainee candidate applicant researcher scientist engineer "
    "pilot passenger friend owner reviewer rep representative technician consultant salesperson attendee "
    "performer director editor coach athlete swimmer climber entrepreneur judge host visitor investor advisor "
    "subscriber contact resident citizen donor volunteer cashier developer programmer reader borrower traveller "
    "policyholder assessor renter hirer server waiter curator lawyer attorney referee umpire creator viewer operator "
    "magistrate helper supporter mentor foreman adviser proprietor landlord".split()
)


def people_words(noun: str) -> bool:
    """Whether ``noun`` names people, who are asked for with "who"."""
    return noun.rpartition(" ")[2] in _PEOPLE


def say(words: str, rng: random.Random, rate: float = 0.22) -> str:
    """``words``, sometimes with a synonym in place of all or the last of them."""
    if rng.random() < rate:
        if words in _SYNONYMS:
            return rng.choice(_SYNONYMS[words])
        head, _, last = words.rpartition(" ")
        if head and last in _SYNONYMS and rng.random() < 0.6:
            return f"{head} {rng.choice(_SYNONYMS[last])}"
    return words


def join_words(parts: list[str], rng: random.Random) -> str:
    """An enumeration: "a", "a and b", "a, b and c"."""
    if len(parts) == 1:
        return parts[0]
    last = (
        rng.choice((" and ", " and ", ", and "))
        if len(parts) > 2
        else rng.choice((" and ", " and ", " and ", ", "))
    )
    return ", ".join(parts[:-1]) + last + parts[-1]


_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()


def spell_out(number: int) -> str | None:
    """A small number in a word."""
    return _WORDS[number] if 1 <= number < len(_WORDS) else None


def number_text(number: float, rng: random.Random, *, plain: bool = False) -> str:
    """A number as people write it; it reads back to the same number."""
    if number != int(number):
        return f"{number:.2f}".rstrip("0")
    whole = int(number)
    if plain or abs(whole) < 1000:
        return str(whole)
    draw = rng.random()
    if whole % 1_000_000 == 0 and draw < 0.6:
        return f"{whole // 1_000_000} million"
    if whole % 1000 == 0 and whole < 1_000_000 and draw < 0.2:
        return f"{whole // 1000}k"
    return f"{whole:,}" if draw < 0.5 else str(whole)


_MONTHS = "January February March April May June July August September October November December".split()
_NTH = ("first", "second", "third", "fourth")


def period_text(day: date, unit: str, rng: random.Random) -> str:
    """The year, half, quarter, month or day that ``day`` falls in, in words that parse_period reads."""
    year, month = day.year, _MONTHS[day.month - 1]
    quarter = (day.month + 2) // 3
    if unit == "year":
        return str(year)
    if unit == "half":
        return f"{rng.choice(('', 'the '))}{_NTH[day.month > 6]} half of {year}"
    if unit == "quarter":
        return rng.choice(
            (f"Q{quarter} {year}", f"Q{quarter} {year}", f"Q{quarter} of {year}", f"{year} Q{quarter}", f"q{quarter} {year}",
             f"the {_NTH[quarter - 1]} quarter of {year}")
        )  # fmt: skip
    if unit == "month":
        return rng.choice(
            (f"{month} {year}", f"{month} {year}", f"{month[:3]} {year}", f"{month.lower()} {year}", f"{month} of {year}",
             f"{year}-{day.month:02d}")
        )  # fmt: skip
    nth = f"{day.day}{'th' if 10 <= day.day % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day.day % 10, 'th')}"
    return rng.choice(
        (day.isoformat(), day.isoformat(), f"{month} {day.day}, {year}", f"{day.day} {month} {year}",
         f"{month} {nth}, {year}", f"{month[:3]} {day.day} {year}", f"{year}/{day.month:02d}/{day.day:02d}")
    )  # fmt: skip


def relative_period(day: date, rng: random.Random) -> tuple[str, date]:
    """A period like "last month" that holds ``day``, and the today that it is seen from."""
    unit = rng.choice(("week", "month", "month", "quarter", "year", "year"))
    size = {"week": 7, "month": 30, "quarter": 91, "year": 365}[unit]
    draw = rng.random()
    if draw < 0.4:
        first = {"week": day - timedelta(days=day.weekday()), "month": day.replace(day=1),
                 "quarter": date(day.year, (day.month - 1) // 3 * 3 + 1, 1), "year": date(day.year, 1, 1)}[unit]  # fmt: skip
        today = first + timedelta(days=size + 3 + rng.randrange(max(size - 8, 1)))
        return (
            f"{rng.choice(('last', 'last', 'previous', 'the previous', 'the last', 'the past'))} {unit}",
            today,
        )
    if draw < 0.6:
        return f"{rng.choice(('this', 'this', 'the current', 'current'))} {unit}", day
    if draw < 0.65:
        return "yesterday", day + timedelta(days=1)
    if draw < 0.7:
        return "today", day
    if draw < 0.75:
        return rng.choice(("", "last ")) + _MONTHS[day.month - 1], day + timedelta(
            days=rng.randrange(40, 200)
        )
    unit = rng.choice(("day", "day", "week", "month", "month", "year"))
    count = {"day": rng.choice((7, 10, 14, 30, 30, 60, 90)), "week": rng.randrange(2, 12),
             "month": rng.choice((2, 3, 6, 9, 12, 18, 24)), "year": rng.randrange(2, 6)}[unit]  # fmt: skip
    back = {"day": 1, "week": 7, "month": 28, "year": 365}[unit] * count
    said = spell_out(count) if rng.random() < 0.3 else None
    head = rng.choice(("last", "last", "the last", "the past", "past", "the previous"))
    return f"{head} {said or count} {unit}s", day + timedelta(days=rng.randrange(max(back - 1, 1)))


def slip(text: str, rng: random.Random) -> str:
    """One slip of the keyboard, never inside a literal."""
    blanked = re.sub(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}", lambda m: " " * len(m[0]), text)
    words = list(re.finditer(r"[A-Za-z]{5,}", blanked))
    if not words:
        return text
    chosen = rng.choice(words)
    at = rng.randrange(chosen.start() + 1, chosen.end() - 1)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :] if kind == 1 else text[:at] + text[at] + text[at:]
