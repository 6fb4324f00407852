"""A run as JUnit XML: each question is a test case, so that a CI system shows which ones broke."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import defaultdict

from sqlgen.eval.report import Outcome, Report

__all__ = ["junit_xml"]

# What XML 1.0 has no way to say.
_UNSAYABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(report: Report) -> str:
    """One test suite per database, one case per question; a wrong answer is a failure with both queries."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in report.outcomes:
        groups[outcome.db_id].append(outcome)
    root = ET.Element("testsuites", name=_text(report.suite))
    for name, outcomes in groups.items():
        wrong = sum(not o.correct and not o.gold_error for o in outcomes)
        broken = sum(bool(o.gold_error) for o in outcomes)
        spent = sum(o.latency_ms for o in outcomes) / 1000
        suite = ET.SubElement(
            root, "testsuite", name=_text(name), tests=str(len(outcomes)), failures=str(wrong),
            errors=str(broken), time=f"{spent:.3f}",
        )  # fmt: skip
        for o in outcomes:
            case = ET.SubElement(
                suite, "testcase", classname=_text(f"{report.suite}.{name}"), name=_text(f"{o.id}: {o.question}"),
                time=f"{o.latency_ms / 1000:.3f}",
            )  # fmt: skip
            if o.gold_error:
                ET.SubElement(case, "error", message=_text(f"the gold SQL does not run: {o.gold_error}"))
            elif not o.correct:
                failure = ET.SubElement(case, "failure", message=_text(o.failure or "wrong"))
                failure.text = _text(f"gold: {o.gold}\nanswer: {o.sql}\n{o.message}".strip())
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _text(value: str) -> str:
    return _UNSAYABLE.sub("\ufffd", value)
