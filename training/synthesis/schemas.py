"""Random business databases: tables composed from a vocabulary, filled with rows, named in many styles."""

from __future__ import annotations

import random
import re
import sqlite3
from dataclasses import dataclass
from datetime import date, timedelta

from sqlgen.training.synthesis.wording import plural

__all__ = ["Business", "business_database"]

# entity: parents in "< >" (a "?" makes it optional), then columns "words=kind"; a line
# that starts with ";" goes on with the one before; kinds are read by _cell.
_TRADES: dict[str, str] = {
    "shop": """
      region: name=@region
      store < region?: name=@shop; city=@city; country=@country; opening date=date; floor area=int 80 2500
      category: name=@goods
      brand?: name=@company; country=@country
      supplier?: company name=@company; contact name=@person; city=@city; country=@country; phone=phone
      product < category, brand?, supplier?: name=@product; unit price=money 3 900; unit cost=money 1 500
        ; stock level=int 0 400; weight=real 0.1 40; launch date=date; discontinued=bool; colour=@colour
      customer < region?: name=@person; email=email?; city=@city; country=@country
        ; segment=pick Consumer|Corporate|Home Office|Small Business; signup date=date
        ; loyalty points=int 0 5000; birth date=birth; gender=pick female|male
      order < customer, store?: order date=date; ship date=date?
        ; status=pick pending|shipped|delivered|cancelled|returned
        ; payment method=pick credit card|bank transfer|cash|voucher; shipping fee=money 0 40
        ; order total=money 10 3000
      order item < order, product: quantity=int 1 12; unit price=money 3 900; discount=rate
      review? < product, customer: rating=int 1 5; review date=date; comment=text?
      return? < order: return date=date; reason=pick damaged|wrong item|changed mind|late delivery
        ; refund amount=money 5 400
    """,
    "saas": """
      plan: name=pick! Free|Starter|Team|Growth|Business|Enterprise; monthly fee=money 0 900
        ; seat limit=int 1 500
      account: company name=@company; industry=@industry; country=@country; city=@city
        ; employee count=int 3 9000; created date=date; active=bool
      user < account: full name=@person; email=email; role=pick admin|editor|viewer|owner; last login=date?
        ; signup date=date
      subscription < account, plan: start date=date; end date=date?
        ; status=pick active|trial|cancelled|past due; monthly amount=money 5 2500; seats=int 1 400
      invoice < account: invoice date=date; due date=date; paid date=date?; amount=money 20 9000
        ; currency=pick USD|EUR|GBP|CHF; status=pick paid|open|overdue|void
      payment? < invoice: payment date=date; amount=money 20 9000; method=pick card|wire|direct debit
      feature: name=@feature; release date=date; beta=bool
      usage event < user, feature: event date=date; duration=int 1 900; device=pick web|ios|android|api
      support ticket < account, user?: subject=text; priority=pick low|medium|high|urgent
        ; status=pick new|open|resolved|closed; opened date=date; closed date=date?
        ; satisfaction score=int 1 10
      campaign?: name=@campaign; channel=pick email|search|social|partner; budget=money 500 90000
        ; start date=date; clicks=int 10 90000
    """,
    "people": """
      location: city=@city; country=@country; office name=@office
      department < location: name=@department; budget=money 20000 900000; headcount target=int 3 90
      job: title=@job; minimum salary=money 20000 60000; maximum salary=money 60000 220000; grade=pick A|B|C|D
      employee < department, job, self?: first name=@first; last name=@last; hire date=date
        ; birth date=birth; salary=money 24000 190000; gender=pick female|male; email=email; city=@city
        ; status=pick active|on leave|terminated; bonus=money? 500 20000
      leave request < employee: start date=date; end date=date
        ; leave type=pick vacation|sick|parental|unpaid; days=int 1 25; approved=bool
      project < department?: name=@project; start date=date; deadline=date?; budget=money 5000 400000
        ; status=pick planned|running|finished|on hold; priority=pick low|medium|high
      assignment < employee, project: role=pick lead|developer|analyst|tester; hours=int 4 300
        ; assigned date=date
      training? : title=@course; provider=@company; hours=int 2 60; fee=money 50 3000
      training attendance? < employee, training: completion date=date?; score=int 20 100
      performance review < employee: review date=date; rating=real 1 5; comments=text?
      applicant? < job: name=@person; applied date=date; expected salary=money 20000 150000
        ; stage=pick screening|interview|offer|rejected|hired; source=pick referral|agency|website
    """,
    "freight": """
      warehouse: name=@depot; city=@city; country=@country; capacity=int 100 9000; opened date=date
      carrier: name=@company; country=@country; rating=real 1 5
      driver < carrier: name=@person; license number=code; hire date=date; birth date=birth
      vehicle < carrier?: plate number=code; model=@model; vehicle type=pick van|truck|trailer|motorbike
        ; load capacity=int 300 24000; purchase date=date; mileage=int 1000 400000
      client: company name=@company; city=@city; country=@country; contact email=email?
        ; credit limit=money 1000 90000
      shipment < client, warehouse, carrier?: tracking number=code; ship date=date; delivery date=date?
        ; weight=real 1 2200; freight cost=money 10 4000
        ; status=pick created|in transit|delivered|delayed|lost; destination city=@city
      package < shipment: weight=real 0.2 60; declared value=money 5 5000; fragile=bool
      route? < warehouse: name=@route; distance=int 10 2400; duration=int 1 40
      trip? < driver, vehicle: departure date=date; distance=int 10 2400; fuel used=real 3 800
      inventory item < warehouse: item name=@product; quantity=int 0 800; reorder level=int 5 100
        ; last counted=date
      delay report? < shipment: reported date=date; cause=pick weather|customs|traffic|breakdown
        ; hours lost=int 1 90
    """,
    "finance": """
      branch: name=@branch; city=@city; country=@country; opened date=date
      advisor < branch: first name=@first; last name=@last; hire date=date; commission rate=rate
      customer < advisor?: name=@person; birth date=birth; city=@city; country=@country
        ; risk profile=pick low|balanced|high; income=money 9000 250000; joined date=date; phone=phone?
      account < customer, branch: account number=code; account type=pick checking|savings|credit|brokerage
        ; balance=money 0 90000; opened date=date; closed date=date?; currency=pick USD|EUR|GBP|JPY
      transaction < account: transaction date=date; amount=money 1 9000
        ; transaction type=pick deposit|withdrawal|transfer|fee; description=text?
      merchant?: name=@shop; category=@goods
      card < customer: card number=code; card type=pick debit|credit|prepaid; issue date=date
        ; expiry date=date; credit limit=money 500 20000
      loan < customer, branch: principal=money 1000 400000; interest rate=rate; term=int 6 360
        ; start date=date; status=pick active|paid off|defaulted; purpose=pick home|car|education|business
      loan payment < loan: payment date=date; amount=money 50 4000; late=bool
      security?: name=@company; ticker=code; sector=@industry; price=money 2 900
      trade? < account, security: trade date=date; quantity=int 1 400; price=money 2 900; side=pick buy|sell
    """,
    "clinic": """
      ward: name=@ward; floor=int 1 9; beds=int 4 60
      physician < ward?: name=@person; specialty=@specialty; hire date=date; consultation fee=money 30 400
      patient: first name=@first; last name=@last; birth date=birth; gender=pick female|male; city=@city
        ; blood type=pick A+|A-|B+|B-|O+|O-|AB+; registered date=date; insurance provider=@company
      appointment < patient, physician: appointment date=date
        ; status=pick scheduled|completed|cancelled|no show; duration=int 10 90; reason=text?
      diagnosis? < patient, physician?: condition=@illness; diagnosed date=date
        ; severity=pick mild|moderate|severe
      medication: name=@drug; manufacturer=@company; unit price=money 1 300
      prescription < patient, medication, physician?: prescribed date=date; dosage=int 1 900
        ; days supply=int 3 90; refills=int 0 5
      lab test? < patient: test name=pick glucose|cholesterol|hemoglobin|vitamin D|creatinine
        ; result value=real 1 300; test date=date
      admission < patient, ward: admission date=date; discharge date=date?; total charge=money 200 40000
      bill < patient: bill date=date; amount=money 20 9000; paid amount=money 0 9000; insurance covered=bool
      nurse? < ward: name=@person; shift=pick day|night|evening; hire date=date
    """,
    "school": """
      faculty: name=@department; building=@office; founded year=int 1890 2015
      teacher < faculty: first name=@first; last name=@last; hire date=date; salary=money 30000 120000
        ; title=pick lecturer|professor|assistant
      programme < faculty: name=@course; degree=pick bachelor|master|doctorate; tuition fee=money 500 20000
      student < programme: name=@person; birth date=birth; gender=pick female|male; enrolled date=date
        ; hometown=@city; country=@country; gpa=real 1 4; scholarship=bool
      course < teacher, faculty?: title=@course; credits=int 2 12
        ; level=pick introductory|intermediate|advanced; start date=date
      enrolment < student, course: enrolment date=date; grade=real? 1 6; attendance=int 20 100
        ; status=pick passed|failed|withdrawn|ongoing
      exam? < course: exam date=date; room=code; maximum points=int 50 200
      club?: name=@club; founded date=date; annual budget=money 100 9000
      club membership? < student, club: joined date=date; role=pick member|treasurer|president
    """,
    "lodging": """
      hotel: name=@hotel; city=@city; country=@country; stars=int 1 5; opened date=date
      room < hotel: room number=int 100 900; room type=pick single|double|suite|family
        ; nightly rate=money 40 900; sea view=bool
      guest: full name=@person; nationality=@country; email=email?; birth date=birth
        ; member level=pick? bronze|silver|gold
      booking < guest, room: check in date=date; check out date=date; nights=int 1 21
        ; total price=money 60 6000; status=pick confirmed|cancelled|completed
        ; channel=pick website|phone|agency|app
      rating? < booking: score=int 1 10; comment=text?; rated date=date
      staff member < hotel: name=@person; position=@job; salary=money 18000 90000; hire date=date
      extra service? < booking: service name=pick breakfast|spa|parking|minibar|laundry; amount=money 4 300
        ; service date=date
    """,
    "making": """
      plant: name=@depot; city=@city; country=@country; employees=int 20 3000
      machine < plant: machine name=@machine; manufacturer=@company; installed date=date
        ; hourly cost=money 5 300; status=pick running|idle|maintenance
      material < vendor?: name=@material; unit=pick kg|litre|piece|metre; unit cost=money 0.2 90
        ; stock quantity=int 0 9000
      vendor: name=@company; city=@city; country=@country; lead time=int 1 60; rating=real 1 5
      work order < machine, product: order date=date; finished date=date?; planned quantity=int 10 900
        ; produced quantity=int 5 900; status=pick open|in progress|done|scrapped
      product: product name=@product; product line=@goods; selling price=money 5 900
        ; standard cost=money 2 500
      defect? < work order: defect type=pick scratch|crack|wrong size|leak; found date=date
        ; defect count=int 1 30
      purchase order? < vendor: order date=date; expected date=date; amount=money 50 20000; approved=bool
      maintenance job? < machine: job date=date; cost=money 20 5000; technician=@person; hours=int 1 30
    """,
    "media": """
      channel: name=@show; language=pick English|German|French|Spanish|Japanese; launched date=date
        ; subscribers=int 100 900000
      creator < channel?: name=@person; country=@country; birth date=birth; followers=int 10 900000
      video < channel, creator?: title=@title; published date=date; duration=int 30 9000
        ; genre=pick comedy|news|music|sports|education; views=int 10 2000000; likes=int 0 90000
      viewer: name=@person; country=@country; joined date=date; premium=bool
      watch event < viewer, video: watched date=date; minutes=int 1 240; device=pick phone|tablet|tv|laptop
      playlist? < viewer: title=@title; created date=date; public=bool
      advertiser?: company name=@company; industry=@industry; monthly budget=money 500 90000
      advert? < advertiser, video?: start date=date; end date=date?; impressions=int 100 900000
        ; clicks=int 0 9000; spend=money 20 9000
    """,
    "estate": """
      agency: name=@company; city=@city; founded year=int 1950 2015
      agent < agency: name=@person; phone=phone; license date=date; commission rate=rate
      owner: first name=@first; last name=@last; email=email?; city=@city
      property < owner, agent: address=@street; city=@city; property type=pick apartment|house|studio|office
        ; list price=money 50000 2000000; bedrooms=int 0 7; built year=int 1900 2022; living area=int 18 500
        ; listed date=date
      tenant: name=@person; birth date=birth; monthly income=money 1200 15000; employer=@company
      lease < property, tenant: start date=date; end date=date; monthly rent=money 300 6000
        ; deposit=money 300 12000; status=pick active|ended|terminated
      viewing? < property, agent?: viewing date=date; feedback=text?
      repair? < property: reported date=date; completed date=date?; cost=money 20 5000
        ; trade=pick plumbing|electrical|roof|painting
      rent payment < lease: payment date=date; amount=money 300 6000; late=bool
    """,
    "help": """
      organisation: name=@company; country=@country; founded year=int 1900 2015
      donor: name=@person; country=@country; donor type=pick individual|foundation|company; first gift date=date
      fund < organisation: name=@campaign; goal amount=money 5000 900000; start date=date
      donation < donor, fund: donation date=date; amount=money 5 9000; method=pick card|bank transfer|cheque; anonymous=bool
      volunteer < organisation: name=@person; city=@city; joined date=date; skill=pick teaching|driving|cooking|fundraising
      event < organisation: name=@title; event date=date; city=@city; attendees=int 10 5000; cost=money 50 20000
      volunteer shift < volunteer, event: hours=real 1 10; task=pick setup|catering|registration|cleanup
      grant? < fund: recipient=@company; awarded date=date; amount=money 500 90000; status=pick pending|approved|paid|declined
    """,
}

_FIRST = (
    "Amara Bruno Carla Dmitri Elena Farid Grace Hiro Ines Jonas Keiko Liam Maya Nadia Oscar Priya "
    "Quentin Rosa Samir Tara Ulrich Vera Wendy Xavier Yara Zane Alice Ben Clara Daniel Emma Felix "
    "Hannah Ivan Julia Kevin Laura Marco Nina Oliver Paula Ravi Sofia Thomas"
).split()
_LAST = (
    "Abbott Becker Costa Dubois Eriksen Fischer Garcia Hughes Ito Jansen Kaur Larsen Moreau Novak "
    "Okafor Patel Quinn Rossi Schmidt Tanaka Ueda Varga Walsh Xu Young Zimmermann Ahmed Brown Chen "
    "Diaz Evans Foster Gruber Hansen Kim Lopez Meyer Nguyen Olsen Peters Romano Singh Taylor Weber"
).split()
_LISTS: dict[str, list[str]] = {
    name: words.split("|")
    for name, words in {
        "region": "North|South|East|West|Central|Northeast|Midlands|Coast|Highlands|Southwest",
        "city": "Paris|Berlin|Madrid|Lisbon|Vienna|Oslo|Dublin|Chicago|Boston|Denver|Toronto|Osaka|Lyon|Hamburg|"
        "Porto|Zurich|Austin|Seattle|Milan|New York|San Diego|Cape Town|Sydney|Prague|Warsaw|Helsinki",
        "country": "France|Germany|Spain|Portugal|Austria|Norway|Ireland|United States|Canada|Japan|Switzerland|"
        "Italy|Brazil|Australia|Poland|Finland|India|Mexico|United Kingdom|Netherlands",
        "goods": "Electronics|Furniture|Toys|Groceries|Clothing|Garden|Sports|Books|Beauty|Stationery|Kitchen|"
        "Footwear|Jewelry|Pet Supplies|Office Supplies|Automotive",
        "industry": "Software|Banking|Retail|Energy|Education|Healthcare|Logistics|Media|Insurance|Construction|Agriculture|Telecom",
        "colour": "red|blue|green|black|white|silver|yellow|orange",
        "department": "Engineering|Marketing|Finance|Legal|Operations|Human Resources|Research|Procurement|Customer "
        "Service|Sales|Design|Security|Physics|History|Biology",
        "job": "Software Engineer|Accountant|Sales Manager|Data Analyst|Recruiter|Designer|Team Lead|Technician|"
        "Consultant|Receptionist|Chef|Housekeeper|Auditor|Product Owner",
        "feature": "Dashboards|Export|Single Sign-On|Alerts|Webhooks|Audit Log|Templates|Search|Mobile App|Comments|Automations|Reports",
        "specialty": "Cardiology|Neurology|Pediatrics|Oncology|Dermatology|Radiology|Orthopedics|Psychiatry|Surgery",
        "ward": "Maternity|Intensive Care|Emergency|Cardiology|Surgery|Children|Geriatrics|Oncology",
        "illness": "diabetes|asthma|hypertension|migraine|anemia|influenza|arthritis|bronchitis|allergy",
        "drug": "Amoxilan|Ibucare|Cardiplex|Neurovit|Dermacalm|Gastrol|Pulmonex|Sedarin|Vitaflex|Allerstop|Insulax|Painaway",
        "course": "Algebra|Statistics|World History|Organic Chemistry|Databases|Machine Learning|Creative Writing|"
        "Microeconomics|Genetics|Thermodynamics|Negotiation|First Aid|Project Planning|Ethics|Public "
        "Speaking|Astronomy",
        "club": "Chess Club|Drama Society|Robotics|Choir|Debating|Photography|Rowing|Hiking",
        "model": "Atlas 200|Bolt X|Cargo Max|Delta 5|Eagle|Falcon 9T|Gazelle|Hauler Pro|Ibex|Jumbo",
        "machine": "Lathe 1|Press A|Welder 3|Cutter B|Mixer 7|Packer 2|Drill 4|Furnace|Conveyor 9|Laser Cutter|Robot Arm|Paint Booth",
        "material": "steel|copper|aluminium|oak wood|glass|rubber|cotton|resin|cement|nylon|leather|zinc",
        "show": "Morning Brew|Tech Talk|Green Planet|Night Owls|Kitchen Stories|Goal Zone|Deep Space|Old Tunes|City Walks",
        "street": "12 Oak Street|4 Mill Lane|88 Station Road|7 Rose Avenue|31 King Street|5 Harbour View|19 Park "
        "Road|2 Church Hill|64 Lake Drive|101 Sunset Boulevard|9 Elm Court|23 River Walk",
    }.items()
}  # fmt: skip
_ADJECTIVE = "Bright Silver Rapid Golden Prime Urban Northern Blue Royal Alpine Smart Green Crystal Summit Lunar Eco Vivid Solid".split()
_THING = (
    "Desk Lamp|Kettle|Backpack|Headphones|Notebook|Office Chair|Water Bottle|Phone Case|Blanket|"
    "Tent|Mixer|Keyboard|Sneakers|Jacket|Candle|Drone|Puzzle|Toaster|Monitor|Bike"
).split("|")
_FIRM = "Systems|Foods|Logistics|Partners|Labs|Industries|Trading|Group|Media|Energy|Works|Holdings|Textiles|Motors".split(
    "|"
)
_TAIL = {
    "shop": "Market|Corner|Outlet|Store|Bazaar|Plaza", "depot": "Depot|Hub|Yard|Center|Terminal", "branch": "Branch|Office|House",
    "office": "Tower|House|Campus|Building", "hotel": "Hotel|Inn|Lodge|Resort|Palace", "route": "Route|Line|Corridor",
    "campaign": "Campaign|Drive|Appeal|Launch|Sale", "project": "Migration|Redesign|Rollout|Upgrade|Platform|Audit",
    "title": "Dreams|Journey|Secrets|Garden|Stories|Harvest|Night|River",
}  # fmt: skip

_SHORT = {
    "customer": "cust", "order": "ord", "product": "prod", "quantity": "qty", "amount": "amt", "number": "nbr", "name": "nm",
    "date": "dt", "description": "desc", "department": "dept", "employee": "emp", "account": "acct", "transaction": "txn",
    "address": "addr", "category": "cat", "status": "stat", "price": "prc", "address_": "adr", "invoice": "inv", "payment": "pmt",
    "shipment": "shpmt", "warehouse": "whse", "supplier": "supp", "vendor": "vend", "manager": "mgr", "birth": "brth", "total": "tot",
    "discount": "disc", "balance": "bal", "region": "rgn", "country": "ctry", "first": "fst", "last": "lst", "average": "avg",
    "minimum": "min", "maximum": "max", "subscription": "sub", "appointment": "appt", "patient": "pat", "medication": "med",
    "percent": "pct", "code": "cd", "type": "typ", "level": "lvl", "project": "proj", "assignment": "asgn", "location": "loc",
    "duration": "dur", "phone": "ph", "monthly": "mth", "interest": "int", "rate": "rt", "weight": "wt", "purchase": "purch",
    "inventory": "invty", "item": "itm", "student": "stud", "teacher": "tchr", "course": "crs", "building": "bldg", "salary": "sal",
    "vehicle": "veh", "driver": "drv", "property": "prop", "document": "doc", "organisation": "org", "service": "svc", "unit": "unt",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Business:
    """A database in memory; ``nouns`` says what its names mean: {(table, column or ""): words}."""

    connection: sqlite3.Connection
    nouns: dict[tuple[str, str], str]
    name: str


@dataclass(slots=True)
class _Entity:
    noun: str
    parents: list[tuple[str, bool]]
    columns: list[tuple[str, str]]
    optional: bool


def _parse(text: str) -> list[_Entity]:
    entities = []
    for line in re.sub(r"\n\s*; ", "; ", text).strip().splitlines():
        head, _, body = line.strip().partition(":")
        noun, _, above = head.partition("<")
        noun = noun.strip()
        parents = [(p.strip().rstrip("?"), p.strip().endswith("?")) for p in above.split(",") if p.strip()]
        columns = [
            (c.partition("=")[0].strip(), c.partition("=")[2].strip()) for c in body.split(";") if c.strip()
        ]
        entities.append(_Entity(noun.rstrip("? "), parents, columns, noun.endswith("?")))
    return entities


def _cell(kind: str, rng: random.Random, first: date, days: int) -> object:
    if kind.endswith("?"):
        if rng.random() < 0.25:
            return None
        kind = kind[:-1]
    word, _, rest = kind.partition(" ")
    if word.endswith(("?", "!")):
        if word[-1] == "?" and rng.random() < 0.25:
            return None
        word = word[:-1]
    if word == "pick":
        return rng.choice(rest.split("|"))
    if word in ("int", "money", "real"):
        low, high = (float(x) for x in rest.split())
        drawn = low + (high - low) * rng.random() ** (2 if high > 50 * max(low, 1) else 1)
        return round(drawn) if word == "int" else round(drawn, 2 if word == "money" else 1)
    if word == "rate":
        return round(rng.choice((0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)), 2)
    if word == "bool":
        return int(rng.random() < 0.5)
    if word == "date":
        return (first + timedelta(days=int(days * rng.random() ** 0.8))).isoformat()
    if word == "birth":
        return date(rng.randrange(1950, 2005), rng.randrange(1, 13), rng.randrange(1, 29)).isoformat()
    if word == "phone":
        return f"{rng.randrange(200, 999)}-555-{rng.randrange(1000, 9999)}"
    if word == "email":
        return f"{rng.choice(_FIRST)}.{rng.choice(_LAST)}@{rng.choice(('example.com', 'mail.example', 'example.org'))}".lower()
    if word == "code":
        return f"{rng.choice('ABCDEFGHKLMNPRST')}{rng.choice('ABCDEFGHKLMNPRST')}-{rng.randrange(1000, 9999)}"
    if word == "text":
        return rng.choice(
            ("arrived late but in good condition", "very happy with the quality", "needs follow up", "asked for a refund",
             "cannot log in", "urgent request from management", "routine check", "wrong address on the label", "great service",
             "password reset", "slow loading page", "follow up next week", "billing question", "excellent quality")
        )  # fmt: skip
    name = word.removeprefix("@")
    if name in _LISTS:
        return rng.choice(_LISTS[name])
    if name == "person":
        return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
    if name == "first":
        return rng.choice(_FIRST)
    if name == "last":
        return rng.choice(_LAST)
    if name == "product":
        return f"{rng.choice(_ADJECTIVE)} {rng.choice(_THING)}"
    if name == "company":
        return f"{rng.choice(_ADJECTIVE + _LAST)} {rng.choice(_FIRM)}"
    if name in _TAIL:
        head = rng.choice(
            _LISTS["city"] if name in ("shop", "depot", "branch", "hotel", "route") else _ADJECTIVE
        )
        return f"{head} {rng.choice(_TAIL[name].split('|'))}"
    raise ValueError(f"unknown kind {kind!r}")


_TYPES = {
    "int": "INTEGER",
    "money": "NUMERIC(12,2)",
    "real": "REAL",
    "rate": "REAL",
    "bool": "BOOLEAN",
    "date": "DATE",
    "birth": "DATE",
}
_DROPPED_WORDS = ("date", "name")


class _Style:
    def __init__(self, rng: random.Random) -> None:
        self.case = rng.choice(("snake", "snake", "snake", "camel", "pascal", "upper"))
        self.plural = rng.random() < 0.5
        self.short = rng.random() < 0.25
        self.prefix = rng.choice(("", "", "", "", "", "tbl", "t", "app")) if not self.plural else ""
        self.key = rng.choice(("id", "id", "entity", "entity", "code"))
        self.column_prefix = rng.random() < 0.2

    def spell(self, words: str) -> str:
        parts = words.split()
        if self.short:
            parts = [_SHORT.get(p, p) for p in parts]
        if self.case == "camel":
            return parts[0] + "".join(p.capitalize() for p in parts[1:])
        if self.case == "pascal":
            return "".join(p.capitalize() for p in parts)
        return "_".join(parts).upper() if self.case == "upper" else "_".join(parts)

    def table(self, noun: str) -> str:
        return self.spell(f"{self.prefix} {plural(noun) if self.plural and not self.short else noun}".strip())


def business_database(seed: int) -> Business:
    """A random database of 4 to 9 tables with rows; the same seed gives the same database."""
    rng = random.Random(seed)
    trade = rng.choice(sorted(_TRADES))
    entities = _parse(_TRADES[trade])
    wanted = rng.randrange(4, 10)
    chosen = [e for e in entities if not e.optional or rng.random() < 0.6]
    while len(chosen) > wanted:
        needed = {p for e in chosen for p, loose in e.parents if not loose}
        free = [e for e in chosen if e.noun not in needed]
        chosen.remove(rng.choice(free))
    present = {e.noun: e for e in chosen}
    for entity in chosen:
        entity.parents = [(p, loose) for p, loose in entity.parents if p in present or p == "self"]
        kept = [c for c in entity.columns if rng.random() < 0.88]
        entity.columns = kept if len(kept) > 1 else entity.columns
        rng.shuffle(entity.columns) if rng.random() < 0.2 else None
    style = _Style(rng)
    db = sqlite3.connect(":memory:")
    nouns: dict[tuple[str, str], str] = {}
    first = date(rng.randrange(2015, 2024), rng.randrange(1, 13), 1)
    days = rng.choice((400, 730, 900, 1200, 1800))
    order: list[_Entity] = []
    while len(order) < len(chosen):
        for entity in chosen:
            done = {e.noun for e in order}
            if entity not in order and all(p in done or p == "self" for p, _ in entity.parents):
                order.append(entity)
    keys: dict[str, tuple[str, int]] = {}
    made: list[str] = []
    for entity in order:
        table = style.table(entity.noun)
        key = style.spell(
            "id" if style.key == "id" else f"{entity.noun} {'id' if style.key == 'entity' else 'code'}"
        )
        has_children = any(p == entity.noun for e in chosen for p, _ in e.parents)
        if entity.parents and not has_children:
            count = rng.randrange(120, 360)
        elif entity.parents:
            count = rng.randrange(30, 130)
        else:
            count = rng.randrange(6, 40)
        columns = [f'"{key}" INTEGER PRIMARY KEY']
        nouns[table, ""], nouns[table, key] = entity.noun, f"{entity.noun} id"
        makers: list[str] = []
        foreign: list[str] = []
        for parent, _loose in entity.parents:
            target = entity.noun if parent == "self" else parent
            words = (
                "manager id" if parent == "self" else f"{target} {'code' if style.key == 'code' else 'id'}"
            )
            column = style.spell(words)
            target_table, target_key = (
                (table, key) if parent == "self" else (style.table(target), keys[target][0])
            )
            columns.append(f'"{column}" INTEGER')
            foreign.append(f'FOREIGN KEY ("{column}") REFERENCES "{target_table}" ("{target_key}")')
            nouns[table, column] = words
            makers.append(f"key {count if parent == 'self' else keys[target][1]} {int(_loose)}")
        for words, kind in entity.columns:
            said = words
            if style.column_prefix and not said.startswith(entity.noun.split()[0]):
                said = f"{entity.noun} {said}"
            elif rng.random() < 0.1 and said.endswith(" date"):
                said = said.removesuffix(" date") + rng.choice((" on", " at", " day"))
            column = style.spell(said)
            if (table, column) in nouns:
                continue
            nouns[table, column] = words
            columns.append(f'"{column}" {_TYPES.get(kind.split()[0].rstrip("?!"), "TEXT")}')
            makers.append(kind)
        db.execute(f'CREATE TABLE "{table}" ({", ".join(columns + foreign)})')
        made.append(table)
        keys[entity.noun] = (key, count)
        unique: dict[int, set[object]] = {}
        rows = []
        for number in range(1, count + 1):
            row: list[object] = [number]
            for i, kind in enumerate(makers):
                if kind.startswith("key "):
                    _, size, loose = kind.split()
                    empty = loose == "1" and rng.random() < 0.12
                    # Some parents stay without children, some have many.
                    row.append(None if empty else 1 + int(int(size) * 0.9 * rng.random() ** 1.6))
                    continue
                cell = _cell(kind, rng, first, days)
                if (
                    i == sum(m.startswith("key ") for m in makers)
                    and kind.startswith(("@", "pick!"))
                    and kind != "@first"
                ):
                    for _ in range(9):
                        if cell not in unique.setdefault(i, set()):
                            break
                        cell = _cell(kind, rng, first, days)
                    unique[i].add(cell)
                row.append(cell)
            rows.append(row)
        db.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(columns))})', rows)
    return Business(db, nouns, f"{trade}_{seed}")
