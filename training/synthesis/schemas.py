"""Random business databases: tables composed from a vocabulary, filled with rows, named in many styles."""

from __future__ import annotations

import random
import re
import sqlite3
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from sqlgen.training.synthesis.wording import plural

__all__ = ["Business", "business_database", "make_cell"]

# entity: parents in "< >" (a "?" makes it optional), then columns "words=kind"; a line
# that starts with ";" goes on with the one before; kinds are read by make_cell.
_TRADES: dict[str, str] = {
    "shop": """
      region: name=@region
      store < region?: name=@shop; city=@city; country=@country; opening date=date; floor area=int 80 2500
      category < self as parent category?: name=@goods
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
      stock transfer? < warehouse as source warehouse, warehouse as destination warehouse: transfer date=date
        ; units=int 1 400; transport cost=money 10 900; status=pick requested|in transit|received
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
      remittance? < customer as sender, customer as receiver: sending time=stamp; amount=money 5 9000; fee=money 0 40
        ; currency=pick USD|EUR|GBP|JPY; status=pick pending|settled|failed
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
      transfer? < ward as origin ward, ward as target ward, patient: transfer date=date; reason=text?
      nurse? < ward, self as head nurse?: name=@person; shift=pick day|night|evening; hire date=date
    """,
    "school": """
      faculty: name=@department; building=@office; founded year=int 1890 2015
      teacher < faculty, self as mentor?: first name=@first; last name=@last; hire date=date; salary=money 30000 120000
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
      agent < agency, self as supervisor?: name=@person; phone=phone; license date=date; commission rate=rate
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
      volunteer < organisation, self as mentor?: name=@person; city=@city; joined date=date; skill=pick teaching|driving|cooking|fundraising
      event < organisation: name=@title; event date=date; city=@city; attendees=int 10 5000; cost=money 50 20000
      volunteer shift < volunteer, event: hours=real 1 10; task=pick setup|catering|registration|cleanup
      grant? < fund: recipient=@company; awarded date=date; amount=money 500 90000; status=pick pending|approved|paid|declined
    """,
    "airline": """
      airport: name=@airport; city=@city; country=@country; runways=int 1 6; elevation=int 0 2500
      airline: name=@company; country=@country; founded year=int 1930 2015; alliance=pick? Star|Sky|One
      aircraft < airline: model=@model; registration=code; seats=int 40 400; delivered date=date; leased=bool
      pilot < airline, self as mentor?: first name=@first; last name=@last; hire date=date; flight hours=int 200 16000
        ; licence level=pick A|B|C
      flight < aircraft, airport as origin airport, airport as destination airport: flight number=code
        ; scheduled departure time=stamp; actual departure time=stamp?; distance=int 150 9000; passengers=int 10 400
        ; delay minutes=int 0 240; status=pick scheduled|departed|landed|diverted|cancelled
      traveller: full name=@person; nationality=@country; birth date=birth; miles=int 0 200000
        ; tier=pick? blue|silver|gold
      reservation < traveller, flight: booking date=date; cabin=pick economy|business|first; fare=money 40 4000
        ; checked bags=int 0 4; meal=yesno
      incident? < flight: reported date=date; severity=pick minor|major|critical; description=text?
    """,
    "league": """
      stadium: name=@arena; city=@city; capacity=int 900 90000; opened year=int 1900 2020; covered=bool
      team < stadium?: name=@team; city=@city; founded year=int 1880 2005; annual budget=money 100000 9000000
      coach < team, self as mentor?: name=@person; nationality=@country; hire date=date; salary=money 20000 900000
      player < team: first name=@first; last name=@last; birth date=birth; preferred foot=pick left|right|both
        ; market value=money 10000 9000000; height=int 160 210; injured=bool; contract end date=date?
      match < team as home team, team as away team, stadium?: match date=date; home goals=int 0 6
        ; away goals=int 0 6; attendance=int 100 80000; stage=pick group|quarterfinal|semifinal|final
      goal? < match, player: minute=int 1 90; penalty=bool
      referee?: name=@person; country=@country; licence year=int 1995 2022
      transfer? < player, team as selling team, team as buying team: transfer date=date; fee=money 1000 9000000
    """,
    "library": """
      branch: name=@branch; city=@city; opened date=date; floor area=int 80 9000
      author: name=@person; country=@country; birth year=int 1900 1995
      genre < self as parent genre?: name=@genre
      book < author, genre: title=@title; published year=int 1950 2023; pages=int 60 1200
        ; language=pick English|French|German|Spanish; list price=money 5 90
      copy < book, branch: shelf code=code; acquired date=date; condition=pick new|good|worn|damaged
      reader < branch?: full name=@person; email=email?; joined date=date; city=@city; adult=yn
      checkout < copy, reader: checkout date=date; due date=date; returned date=date?; renewals=int 0 4; fine=money? 0 30
      reading group? < reader as organiser, branch: name=@club; founded date=date; members=int 3 40
      library event? < branch: name=@title; event date=date; attendees=int 4 300; free entry=yesno
    """,
    "network": """
      district: name=@region; population=int 900 900000; area=real 2 900
      cell site < district, self as backbone site?: name=@depot; height=int 8 90; installed date=date
        ; technology=pick 3G|4G|5G; active=bool
      technician < district, self as supervisor?: first name=@first; last name=@last; hire date=date; salary=money 24000 90000
      phone line < district: line number=code; activation date=date; deactivation date=date?; line type=pick home|business|mobile
      call < phone line as calling line, phone line as called line: start time=stamp; duration=int 5 7200; dropped=bool; cost=money 0 30
      outage < cell site: start time=stamp; end time=stamp?; cause=pick storm|fibre cut|power|software
        ; affected users=int 10 9000
      maintenance visit? < cell site, technician: visit date=date; hours=real 0.5 12; parts cost=money 0 3000
        ; result=pick fixed|escalated|postponed
    """,
    "transit": """
      line: name=@route; mode=pick bus|tram|metro|ferry; opened year=int 1900 2020; length=real 2 60
      stop: name=@street; zone=pick A|B|C|D; shelter=bool; accessible=bool; daily riders=int 20 20000
      segment < line, stop as start stop, stop as end stop: distance=real 0.2 9; planned minutes=int 1 20
      depot: name=@depot; city=@city; capacity=int 10 200
      vehicle < depot, line?: plate number=code; model=@model; seats=int 20 200; purchase date=date; retirement date=date?
        ; electric=bool
      operator < depot, self as trainer?: name=@person; birth date=birth; hire date=date; hourly wage=money 12 60
      shift < operator, vehicle: start time=stamp; worked hours=real 2 12; passengers=int 10 2000
        ; status=pick planned|completed|missed
      complaint? < line: received date=date; topic=pick delay|cleanliness|noise|staff; resolution date=date?; severity=pick low|medium|high
    """,
    "insurer": """
      agent < self as team lead?: name=@person; region=@region; hire date=date; commission percent=percent 1 20
      policyholder < agent?: first name=@first; last name=@last; birth date=birth; city=@city; smoker=yn
        ; email=email?; risk class=pick A|B|C|D
      policy < policyholder: policy number=code; product line=pick home|car|life|travel; start date=date; end date=date?
        ; premium=money 50 4000; insured sum=money 1000 900000; deductible=money 0 2000
      claim < policy: claim date=date; claimed amount=money 50 60000; approved amount=money? 0 60000
        ; status=pick open|approved|denied|settled; settled date=date?; cause=pick fire|theft|water|accident
      assessor?: name=@person; specialty=pick vehicles|buildings|health; cases closed=int 0 900
      inspection? < claim, assessor: inspection date=date; score=int 1 10; photos=int 0 40
    """,
    "rental": """
      station: name=@branch; city=@city; country=@country; opened date=date; parking spaces=int 5 200
      car class < self as upgrade class?: name=pick! Mini|Economy|Compact|Midsize|Full Size|Van|Premium; daily rate=money 15 300
      car < car class, station: plate number=code; model=@model; mileage=int 500 200000; fuel=pick petrol|diesel|electric|hybrid
        ; purchase date=date; sold date=date?
      renter: full name=@person; country=@country; licence date=date; birth date=birth; blacklisted=bool
      rental < renter, car, station as pickup station, station as return station: pickup time=stamp; return time=stamp?
        ; days=int 1 30; total charge=money 20 4000; insurance=yesno; status=pick reserved|active|returned|cancelled
      damage? < rental: reported date=date; repair cost=money 20 6000; damage type=pick scratch|dent|glass|tyre
      fine? < rental: issued date=date; amount=money 10 400; paid=bool
    """,
    "kitchen": """
      restaurant: name=@restaurant; city=@city; seats=int 10 200; opened date=date; rating=real 1 5
      dish category < self as parent category?: name=@course_kind
      dish < restaurant, dish category: name=@dish; price=money 4 60; food cost=money 1 25; calories=int 80 1500
        ; vegetarian=bool; added date=date
      table < restaurant: table number=int 1 60; capacity=int 2 12; outdoor=bool
      server < restaurant, self as manager?: first name=@first; last name=@last; hire date=date; hourly wage=money 9 40
        ; left date=date?
      visit < table, server: arrival time=stamp; guests=int 1 12; bill total=money 10 900; tip=money? 0 120
        ; payment method=pick cash|card|mobile
      dish served < visit, dish: quantity=int 1 6; price=money 4 60; comment=text?
      inspection? < restaurant: inspection date=date; score=int 20 100; pass mark=yesno; grade=pick A|B|C
    """,
    "research": """
      institute: name=@department; city=@city; country=@country; founded year=int 1850 2015
      researcher < institute, self as supervisor?: first name=@first; last name=@last; birth date=birth; title=pick Dr|Prof|MSc
        ; h index=int 0 80; joined date=date; left date=date?
      funder: name=@company; country=@country; public=bool
      project < institute, funder?: name=@project; start date=date; end date=date?; budget=money 9000 2000000
        ; spent amount=money 500 1900000; status=pick proposed|running|completed|rejected
      paper < researcher, project?: title=@title; published date=date; citations=int 0 900; open access=bool
        ; discipline=@specialty
      citation? < paper as citing paper, paper as cited paper: citation date=date; self citation=bool
      experiment < project: start time=stamp; duration=real 0.5 90; result=pick success|failed|inconclusive; samples=int 1 400
      review? < paper, researcher as reviewer: review date=date; score=int 1 10; recommendation=pick accept|reject|revise
    """,
    "farm": """
      farm: name=@farm; county=@region; area=real 3 900; founded year=int 1900 2018; organic=bool
      field < farm: name=@plot; area=real 0.5 90; soil=pick clay|sand|loam|peat; irrigation=yesno
      crop: name=pick! wheat|barley|maize|potato|rapeseed|soy|sugar beet|oats; season=pick spring|summer|autumn|winter
        ; price per tonne=money 80 900
      harvest < field, crop: harvest date=date; yield=real 1 300; moisture percent=percent 5 40; quality=pick A|B|C
      worker < farm, self as supervisor?: name=@person; hire date=date; daily wage=money 30 200; seasonal=bool
      animal? < farm, animal as mother?: tag=code; species=pick cow|sheep|goat|pig; birth date=birth; weight=real 20 900
        ; sold date=date?
      machine use? < field, worker: usage date=date; hours=real 0.5 14; fuel litres=real 2 200
    """,
    "builder": """
      client: company name=@company; city=@city; contact email=email?; since year=int 1990 2023
      site < client: name=@project; address=@street; city=@city; start date=date; planned end date=date; actual end date=date?
        ; budget=money 20000 4000000; actual cost=money 10000 4500000
        ; status=pick planning|building|completed|paused
      worker < self as foreman?: first name=@first; last name=@last; trade=pick mason|plumber|electrician|roofer; hourly wage=money 14 70
        ; certificate=yn
      subcontractor?: name=@company; trade=pick mason|plumber|electrician|roofer; rating=real 1 5
      task < site, task as predecessor task?, subcontractor?: name=@task; planned hours=int 4 400; actual hours=int 4 500
        ; finished date=date?; priority=pick low|medium|high
      time sheet < worker, task: work date=date; hours=real 0.5 12; overtime=bool
      material delivery? < site: delivery date=date; material=@material; quantity=int 1 900; unit price=money 1 300
      accident? < site, worker: accident date=date; severity=pick minor|serious|fatal; lost days=int 0 90
    """,
    "museum": """
      wing: name=@ward_art; floor=int 0 5; rooms=int 2 40
      artist < artist as teacher?: name=@person; nationality=@country; birth year=int 1500 1980; death year=int? 1560 2020
      artwork < artist, wing?: title=@title; created year=int 1550 2020; technique=pick oil|watercolour|bronze|print|photo
        ; insured value=money 500 9000000; on display=bool; acquired date=date
      curator < wing, self as manager?: first name=@first; last name=@last; hire date=date; salary=money 24000 120000
      exhibition < curator: title=@campaign; opening date=date; closing date=date?; ticket price=money 0 40; budget=money 2000 400000
      exhibit < exhibition, artwork: position=int 1 90; highlighted=bool
      visitor group? < exhibition: visit time=stamp; group type=pick school|family|tour|business; visitors=int 2 60; guide=yesno
      restoration? < artwork: start date=date; completion date=date?; cost=money 100 40000; result=pick good|fair|poor
    """,
    "utility": """
      plant: name=@depot; energy source=pick solar|wind|gas|hydro|coal; capacity=real 1 900; commissioned date=date; retired date=date?
      substation < plant?: name=@branch; voltage=int 10 400; built year=int 1950 2020; city=@city
      power line < substation as start substation, substation as end substation: length=real 0.5 200; built year=int 1950 2020
        ; underground=bool
      engineer < self as manager?: full name=@person; email=email; hire date=date; salary=money 30000 140000; grade=pick A|B|C
      meter < substation: serial number=code; installed date=date; meter type=pick smart|analog; building type=pick house|flat|shop|factory
      reading < meter: reading time=stamp; consumption=real 1 900; estimated=bool
      fault < power line, engineer?: report time=stamp; repair time=stamp?; repair cost=money 50 90000
        ; cause=pick tree|ice|age|animal|vehicle
    """,
    "social": """
      member: user name=@handle; full name=@person; country=@country; joined date=date; birth date=birth; verified=bool
        ; bio=text?; last seen date=stamp?
      member link < member as follower, member as followed member: follow date=date; muted=bool
      community: name=@club; created date=date; invitation only=yesno; members limit=int 20 5000
      post < member, community?: title=@title; posting time=stamp; likes=int 0 9000; language=pick English|French|German|Spanish
        ; visibility=pick P|F|C
      reply < post, member, reply as parent reply?: posting time=stamp; text=text; likes=int 0 400; hidden=bool
      direct message? < member as sender, member as recipient: sending time=stamp; reading time=stamp?; characters=int 1 900
      report? < post, member as reporter: reported date=date; reason=pick spam|abuse|copyright|other; resolution date=date?
    """,
    "court": """
      court: name=@court; city=@city; founded year=int 1850 2010
      judge < court, self as mentor?: first name=@first; last name=@last; appointed date=date; birth date=birth
      law firm: name=@company; city=@city; lawyers count=int 2 400
      lawyer < law firm: name=@person; specialty=pick family|criminal|tax|labour|property; admitted year=int 1975 2022
        ; hourly fee=money 60 900
      court case < judge, lawyer as plaintiff lawyer, lawyer as defence lawyer: case number=code; filed date=date; closed date=date?
        ; case type=pick civil|criminal|family|tax; amount in dispute=money? 500 900000; outcome=pick? won|lost|settled|dismissed
      hearing < court case: hearing time=stamp; duration=int 10 480; public=bool; room=code
      document? < court case: title=@title; filing date=date; pages=int 1 400; sealed=yn
    """,
    "software": """
      team < self as parent team?: name=@department; created date=date; monthly budget=money 5000 400000
      developer < team, self as mentor?: full name=@person; email=email; hire date=date; level=pick junior|mid|senior|principal
        ; salary=money 30000 180000; remote work=yesno
      repository < team: name=@handle; language=pick Python|Java|Go|Rust|TypeScript; created date=date; archived=bool; stars=int 0 9000
      commit < repository, developer: commit time=stamp; lines added=int 0 3000; lines removed=int 0 2000
      code review < commit, developer as reviewer: review time=stamp; comments=int 0 40; approved=bool
      build < repository: start time=stamp; duration=int 10 4000; result=pick passed|failed|aborted; coverage percent=percent 10 100
      library dependency? < repository as dependent repository, repository as required repository: added date=date; pinned=bool
      deployment? < repository: deployment time=stamp; environment=pick test|staging|production; rolled back=bool
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
        "genre": "Fiction|Crime|History|Science|Poetry|Biography|Travel|Fantasy|Cooking|Philosophy|Thriller|Romance",
        "team": "Rovers|United|Wanderers|Falcons|Tigers|Comets|Sharks|Athletic|Rangers|Wolves|Dynamo|Royals|Hawks|Lions|Pioneers|Storm",
        "dish": "Tomato Soup|Caesar Salad|Grilled Salmon|Beef Stew|Mushroom Risotto|Apple Pie|Pad Thai|Veggie Burger|Lamb Curry|Pancakes|"
        "Cheesecake|Fish Tacos|Ramen|Lasagna|Falafel|Onion Rings|Roast Chicken|Fruit Sorbet",
        "course_kind": "Starters|Mains|Desserts|Drinks|Soups|Salads|Sides|Specials",
        "task": "Foundation|Framing|Wiring|Plumbing|Roofing|Painting|Tiling|Insulation|Excavation|Landscaping|Windows|Plastering",
        "ward_art": "Modern Art|Antiquities|Sculpture|Photography|Old Masters|Design|Folk Art|Maps",
        "handle": "bluefox|nightowl|codecat|raincloud|stardust|pixelmoth|greenleaf|fastlane|quietsea|redpanda|sunbeam|ironoak|papertrail|"
        "windmill|sandbox|lighthouse|snowdrop|driftwood|moonwalk|keystone|riverbed|copperhill",
        "plot": "North Field|Long Acre|Hill Plot|River Meadow|Stone Field|Old Orchard|East Strip|Mill Field|Lower Plot|Windy Acre|"
        "Oak Meadow|Far Field",
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
    "airport": "Airport|International|Airfield", "arena": "Arena|Stadium|Park|Ground", "restaurant": "Kitchen|Bistro|Grill|Diner|Tavern",
    "farm": "Farm|Acres|Ranch|Fields", "court": "District Court|Regional Court|High Court",
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
    # (noun of the table that is referred to, whether the key may be empty, what the key calls it).
    parents: list[tuple[str, bool, str]]
    columns: list[tuple[str, str]]
    optional: bool


def _parse(text: str) -> list[_Entity]:
    entities = []
    for line in re.sub(r"\n\s*; ", "; ", text).strip().splitlines():
        head, _, body = line.strip().partition(":")
        noun, _, above = head.partition("<")
        noun = noun.strip()
        parents = []
        for part in filter(None, (p.strip() for p in above.split(","))):
            name, _, role = part.rstrip("?").partition(" as ")
            parents.append(("self" if name == noun.rstrip("?") else name, part.endswith("?"), role))
        columns = [
            (c.partition("=")[0].strip(), c.partition("=")[2].strip()) for c in body.split(";") if c.strip()
        ]
        entities.append(_Entity(noun.rstrip("? "), parents, columns, noun.endswith("?")))
    return entities


def make_cell(kind: str, rng: random.Random, first: date, days: int) -> object:
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
    if word in ("int", "money", "real", "percent"):
        low, high = (float(x) for x in rest.split())
        drawn = low + (high - low) * rng.random() ** (2 if high > 50 * max(low, 1) else 1)
        return round(drawn) if word == "int" else round(drawn, 2 if word == "money" else 1)
    if word == "rate":
        return round(rng.choice((0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)), 2)
    if word == "bool":
        return int(rng.random() < 0.5)
    if word in ("yesno", "yn"):
        return rng.choice(("yes", "no") if word == "yesno" else ("Y", "N"))
    if word == "stamp":
        second = int(days * rng.random() ** 0.8) * 86400 + rng.randrange(6 * 3600, 22 * 3600)
        return (datetime.combine(first, time()) + timedelta(seconds=second)).isoformat(" ")
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
            _LISTS["city"]
            if name in ("shop", "depot", "branch", "hotel", "route", "airport", "arena", "court")
            else _ADJECTIVE
        )
        return f"{head} {rng.choice(_TAIL[name].split('|'))}"
    raise ValueError(f"unknown kind {kind!r}")


def _reference(kind: str, number: int, row: list[object], rng: random.Random) -> int | None:
    """A key of row ``number``: some parents stay without children, some have many."""
    _, size, loose = kind.split()
    if loose == "1" and rng.random() < 0.12:
        return None
    if size == "0":
        # A row refers to one before it, so that a hierarchy has a top and no circle.
        return None if number < 4 else 1 + int((number - 1) * rng.random() ** 1.6 * 0.8)
    for _ in range(4):
        drawn = 1 + int(int(size) * 0.9 * rng.random() ** 1.6)
        if drawn not in row[1:]:
            break
    return drawn


_TYPES = {
    "int": "INTEGER",
    "money": "NUMERIC(12,2)",
    "real": "REAL",
    "rate": "REAL",
    "percent": "REAL",
    "stamp": "TIMESTAMP",
    "bool": "BOOLEAN",
    "date": "DATE",
    "birth": "DATE",
}


class _Style:
    def __init__(self, rng: random.Random) -> None:
        self.case = rng.choice(("snake", "snake", "snake", "camel", "pascal", "upper"))
        self.plural = rng.random() < 0.5
        self.short = rng.random() < 0.25
        self.prefix = rng.choice(("", "", "", "", "", "tbl", "t", "app")) if not self.plural else ""
        self.key = rng.choice(("id", "id", "entity", "entity", "code"))
        self.column_prefix = rng.random() < 0.2
        self.bare_roles = rng.random() < 0.25

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
        needed = {p for e in chosen for p, loose, _ in e.parents if not loose}
        free = [e for e in chosen if e.noun not in needed]
        chosen.remove(rng.choice(free))
    present = {e.noun: e for e in chosen}
    for entity in chosen:
        entity.parents = [k for k in entity.parents if k[0] in present or k[0] == "self"]
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
            if entity not in order and all(p in done or p == "self" for p, _, _ in entity.parents):
                order.append(entity)
    keys: dict[str, tuple[str, int]] = {}
    made: list[str] = []
    for entity in order:
        table = style.table(entity.noun)
        key = style.spell(
            "id" if style.key == "id" else f"{entity.noun} {'id' if style.key == 'entity' else 'code'}"
        )
        has_children = any(p == entity.noun for e in chosen for p, _, _ in e.parents)
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
        for parent, loose, role in entity.parents:
            target = entity.noun if parent == "self" else parent
            called = role or ("manager" if parent == "self" else target)
            words = f"{called} {'code' if style.key == 'code' else 'id'}"
            column = style.spell(called if role and style.bare_roles else words)
            target_table, target_key = (
                (table, key) if parent == "self" else (style.table(target), keys[target][0])
            )
            columns.append(f'"{column}" INTEGER')
            foreign.append(f'FOREIGN KEY ("{column}") REFERENCES "{target_table}" ("{target_key}")')
            nouns[table, column] = words
            makers.append(f"key {0 if parent == 'self' else keys[target][1]} {int(loose)}")
        for words, kind in entity.columns:
            said = words
            if style.column_prefix and not said.startswith(entity.noun.split()[0]):
                said = f"{entity.noun} {said}"
            elif rng.random() < 0.1 and said.endswith(" date"):
                said = said.removesuffix(" date") + rng.choice((" on", " at", " day"))
            elif rng.random() < 0.3 and said.endswith(" time"):
                said = said.removesuffix(" time") + rng.choice((" at", " timestamp", " datetime"))
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
                    row.append(_reference(kind, number, row, rng))
                    continue
                cell = make_cell(kind, rng, first, days)
                if (
                    i == sum(m.startswith("key ") for m in makers)
                    and kind.startswith(("@", "pick!"))
                    and kind != "@first"
                ):
                    for _ in range(9):
                        if cell not in unique.setdefault(i, set()):
                            break
                        cell = make_cell(kind, rng, first, days)
                    unique[i].add(cell)
                row.append(cell)
            rows.append(row)
        db.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(columns))})', rows)
    return Business(db, nouns, f"{trade}_{seed}")
