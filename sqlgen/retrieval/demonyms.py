"""Adjectives of countries and the short names that people give them."""

from __future__ import annotations

__all__ = ["COUNTRIES"]

_LINES = """
afghan: afghanistan; albanian: albania; algerian: algeria; american: united states, usa, us, united states of america
argentine argentinian: argentina; armenian: armenia; australian aussie: australia; austrian: austria
azerbaijani: azerbaijan; bangladeshi: bangladesh; belarusian: belarus; belgian: belgium; bolivian: bolivia; bosnian: bosnia
brazilian: brazil; british: united kingdom, uk, great britain, britain; bulgarian: bulgaria; cambodian: cambodia
cameroonian: cameroon; canadian: canada; chilean: chile; chinese: china; colombian: colombia; congolese: congo
costa rican: costa rica; croatian: croatia; cuban: cuba; cypriot: cyprus; czech: czech republic, czechia
danish: denmark; dutch: netherlands, the netherlands, holland; ecuadorian: ecuador; egyptian: egypt; emirati: united arab emirates
english: england; estonian: estonia; ethiopian: ethiopia; filipino philippine: philippines; finnish: finland; french: france
georgian: georgia; german: germany; ghanaian: ghana; greek: greece; guatemalan: guatemala; haitian: haiti; hungarian: hungary
icelandic: iceland; indian: india; indonesian: indonesia; iranian: iran; iraqi: iraq; irish: ireland; israeli: israel
italian: italy; jamaican: jamaica; japanese: japan; jordanian: jordan; kazakh: kazakhstan; kenyan: kenya
korean: south korea, korea; south korean: south korea; kuwaiti: kuwait; latvian: latvia; lebanese: lebanon; libyan: libya
lithuanian: lithuania; luxembourgish: luxembourg; macedonian: macedonia, north macedonia; malaysian: malaysia; maltese: malta
mexican: mexico; moldovan: moldova; mongolian: mongolia; moroccan: morocco; nepalese nepali: nepal; new zealander kiwi: new zealand
nicaraguan: nicaragua; nigerian: nigeria; norwegian: norway; pakistani: pakistan; palestinian: palestine; panamanian: panama
paraguayan: paraguay; peruvian: peru; polish: poland; portuguese: portugal; puerto rican: puerto rico; qatari: qatar
romanian: romania; russian: russia, russian federation; saudi: saudi arabia; scottish: scotland; senegalese: senegal
serbian: serbia; singaporean: singapore; slovak slovakian: slovakia; slovene slovenian: slovenia; south african: south africa
spanish: spain; sri lankan: sri lanka; swedish: sweden; swiss: switzerland; syrian: syria; taiwanese: taiwan; tanzanian: tanzania
thai: thailand; tunisian: tunisia; turkish: turkey, türkiye; ugandan: uganda; ukrainian: ukraine; uruguayan: uruguay
uzbek: uzbekistan; venezuelan: venezuela; vietnamese: vietnam; welsh: wales; yemeni: yemen; zambian: zambia; zimbabwean: zimbabwe
usa: united states, us, united states of america; u.s: united states, usa, us; the us: united states, usa, us
america: united states, usa, us; uk: united kingdom, great britain; u.k: united kingdom, uk; britain: united kingdom, uk, great britain
great britain: united kingdom, uk; uae: united arab emirates; holland: netherlands; czechia: czech republic
european: europe; asian: asia; african: africa; north american: north america; south american: south america
"""

_WITH_SPACES = frozenset(
    "costa rican,south korean,puerto rican,sri lankan,south african,new zealander,the us,great britain,north american,"
    "south american".split(",")
)


def _read(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for entry in text.replace("\n", ";").split(";"):
        said, _, names = entry.partition(":")
        said = said.strip()
        if not said:
            continue
        spoken = [said] if said in _WITH_SPACES else said.split()
        if said == "new zealander kiwi":
            spoken = ["new zealander", "kiwi"]
        for word in spoken:
            found[word] = tuple(name.strip() for name in names.split(","))
    return found


COUNTRIES = _read(_LINES)
"""What a country may be called in a cell, by what a question calls it, both in lower case."""
