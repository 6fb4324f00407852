"""The web page in headless Chromium: by keyboard, on a narrow screen, with markup in every place that data comes from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import sqlgen
from sqlgen.generation.scripted import ScriptedGenerator
from sqlgen.presentation import vega_lite
from sqlgen.serve.app import create_app
from sqlgen.serve.protocol import TimedProtocol
from sqlgen.serve.settings import ServeSettings
from sqlgen.types import OutputColumn, Result, ResultColumn
from tests.conftest import listening

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MARKUP = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


@pytest.fixture
def url(shop: str, generator: ScriptedGenerator, tmp_path: Path) -> Iterator[str]:
    """A service on a port of this process."""
    settings = sqlgen.Settings(home=tmp_path / "home")
    app = create_app(
        partial(sqlgen.connect, shop, settings=settings, generator=generator), settings, ServeSettings()
    )
    with listening(app, http=TimedProtocol) as url:
        yield url


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the page's test needs playwright")
    if CHROMIUM is None:
        pytest.skip("the page's test needs chromium on PATH (Debian: chromium)")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def open_page(browser: Any, url: str, *, width: int = 1280, scheme: str = "light") -> tuple[Any, list[str]]:
    """A page, and what it complains of: errors, refused resources, requests to anywhere else."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_default_timeout(20_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda m: complaints.append(m.text) if m.type == "error" and "404" not in m.text else None
    )
    page.on("request", lambda r: None if r.url.startswith(url) else complaints.append(r.url))
    page.goto(url)
    return page, complaints


def ask(page: Any, question: str) -> None:
    page.fill("#question", question)
    page.press("#question", "Enter")
    page.wait_for_function("q => document.getElementById('answer-title').textContent === q", arg=question)


def test_ask_correct_and_look_back(browser: Any, url: str) -> None:
    page, complaints = open_page(browser, url)
    ask(page, "Total by region?")
    assert page.locator("#rows tbody tr").count() == 2
    assert page.locator("#chart svg rect").count() == 2
    assert [item.get_attribute("data-state") for item in page.locator("#stages li").all()] == ["done"] * 4
    assert page.inner_text("#sure-text").endswith("%")
    assert "orders" in page.inner_text("#citations")

    page.fill("#sql", "DELETE FROM orders")
    page.click("#check")
    page.wait_for_selector("#verdict.bad")
    page.click("#run")
    page.wait_for_function("() => document.getElementById('verdict').textContent !== 'Running'")
    assert page.locator("#verdict.bad").count() == 1
    corrected = "SELECT region, COUNT(*) AS orders FROM orders GROUP BY region ORDER BY region"
    page.fill("#sql", corrected)
    page.press("#sql", "Control+Enter")
    page.wait_for_selector("#verdict.good")
    assert page.inner_text("#rows tbody").split() == ["EU", "3", "US", "1"]
    page.click("#correct")
    page.wait_for_selector("#judged.good")

    ask(page, "Show all orders")
    page.locator("#history-list button", has_text="Total by region?").first.click()
    page.wait_for_function("() => document.getElementById('sql').value.includes('COUNT(*) AS orders')")
    assert "verified query" in page.inner_text("#made")
    page.click("#schema > summary")
    page.fill("#find", "sal")
    page.wait_for_function("() => document.getElementById('schema-list').innerText.includes('salary')")
    assert "orders" not in page.inner_text("#schema-list")
    assert complaints == []


def test_markup_is_shown_as_text_wherever_it_comes_from(browser: Any, url: str) -> None:
    page, complaints = open_page(browser, url)
    for question in (MARKUP, "What is odd?"):
        ask(page, question)
    assert "<img src=x onerror=alert(1)>" in page.inner_text("#rows")
    page.fill("#sql", f"SELECT '{MARKUP.replace(chr(39), chr(39) * 2)}' AS \"<b>x</b>\"")
    page.press("#sql", "Control+Enter")
    page.wait_for_selector("#verdict.good")
    assert "<b>x</b>" in page.inner_text("#rows thead")
    assert MARKUP in page.inner_text("#rows tbody")
    assert MARKUP in page.inner_text("#history-list")
    assert page.locator("main img, aside img, main script, main b").count() == 0
    assert page.title() == "sqlgen"
    assert complaints == []


def test_by_keyboard_alone_on_a_narrow_dark_screen(browser: Any, url: str) -> None:
    page, complaints = open_page(browser, url, width=360, scheme="dark")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the question"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab") if page.evaluate("document.activeElement.id") != "question" else None
    page.keyboard.type("Show all orders")
    page.keyboard.press("Enter")
    page.wait_for_selector("#rows table")
    assert page.evaluate("document.activeElement.id") == "answer-title"
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"rows", "sql", "check", "run", "right", "wrong", "correct"} <= reached
    page.focus("#wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#wrong[aria-pressed=true]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert complaints == []


def column(label: str, meaning: str, role: str, unit: str = "") -> dict[str, Any]:
    return {"name": label, "label": label, "meaning": meaning, "role": role, "unit": unit}


MONTH, COUNT = column("month", "month", "period"), column("orders", "count", "measure")
MONEY, PLACE = column("sales", "money", "measure", "€"), column("place", "other", "dimension")
MONTHS = [f"2025-{n:02}" for n in range(1, 13)]
CHARTS = {
    "bars": ([PLACE, MONEY], [("Oslo", 1234567.5), ("Rome", -20.0), ("Bonn", 3.0)], {"rect": 3, "text": 6}, "€1,234,567.50"),
    "line": ([MONTH, COUNT], [(m, n) for n, m in enumerate(MONTHS)], {"polyline": 1, "circle": 12}, "Jan 2025"),
    "lines by place": (
        [MONTH, PLACE, COUNT],
        [(m, p, 5) for m in MONTHS for p in ("Oslo", "Rome")],
        {"polyline": 2, "circle": 24},
        "Rome",
    ),
    "two measures": ([MONTH, MONEY, {**MONEY, "label": "costs"}], [(m, 5, 3) for m in MONTHS], {"polyline": 2}, "costs"),
    "parted bars": (
        [PLACE, {**PLACE, "label": "kind"}, COUNT],
        [(p, k, 7) for p in ("Oslo", "Rome") for k in ("new", "old")],
        {"rect": 4},
        "old",
    ),
    "points": ([MONEY, COUNT], [(float(n), n * n) for n in range(30)], {"circle": 30}, "€"),
    "histogram": ([MONEY], [(float(n),) for n in range(1, 100)], {"rect": 10}, "90 to 100"),
}  # fmt: skip


@pytest.mark.parametrize("width", [1280, 360])
def test_charts_are_drawn_as_their_specifications_say(browser: Any, url: str, width: int) -> None:
    page, complaints = open_page(browser, url, width=width)
    page.evaluate("show('answer', true)")
    for name, (columns, rows, shapes, said) in CHARTS.items():
        result = Result(tuple(ResultColumn(c["name"]) for c in columns), tuple(rows))
        spec = vega_lite(result, [OutputColumn(**c) for c in columns])
        assert spec is not None
        page.evaluate("([spec, columns]) => drawChart(spec, columns)", [spec, columns])
        svg = page.locator("#chart > svg")
        assert {kind: svg.locator(kind).count() for kind in shapes} == shapes, name
        assert said in page.text_content("#chart"), name
        cut_off = """chart => { const whole = chart.getBoundingClientRect(); return [...chart.querySelectorAll("text")].filter(text => {
            const box = text.getBoundingClientRect(); return box.left < whole.left - 1 || box.right > whole.right + 1;
        }).map(text => text.textContent); }"""
        assert svg.evaluate(cut_off) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []


def test_a_single_number_two_readings_and_a_gate_report(browser: Any, adapter: str, url: str) -> None:
    page, complaints = open_page(browser, url)
    ask(page, "How many orders?")
    assert page.inner_text("#figure") == "4"
    ask(page, "Total by region?")
    assert page.locator("#figure").is_hidden()
    table = {"columns": [{"name": "n", "type": ""}], "sql": "SELECT 5 AS n"}
    readings = [
        {**table, "label": "order date", "rows": [[3]]},
        {**table, "label": "<b>ship date</b>", "rows": [[5]]},
    ]
    page.evaluate(
        """readings => json("/ask", { question: "How many orders?", chart: true })
            .then(answer => drawAnswer({ ...answer, choice: "order date or ship date?", alternatives: readings }))""",
        readings,
    )
    assert [card.inner_text().split() for card in page.locator("#choices tbody").all()] == [["3"], ["5"]]
    page.click("text=Take <b>ship date</b>")
    page.wait_for_selector("#verdict.good")
    assert page.input_value("#sql") == "SELECT 5 AS n"
    assert page.inner_text("#figure") == "5"
    page.click("#models > summary")
    page.wait_for_selector("#models-list h3")
    report = page.text_content("#models-list")
    for said in (
        adapter,
        "Passed the gate",
        "40.0 % right before, 55.0 % after",
        "+5.0 to +25.0",
        "How many parcels?",
    ):
        assert said in report
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Any, url: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page, complaints = open_page(browser, url, scheme=scheme)
    assert axe.Axe().run(page).response["violations"] == []
    ask(page, "Total by region?")
    for part in ("schema", "knowledge", "models"):
        page.click(f"#{part} > summary")
    page.wait_for_selector("#models-list li")
    page.click("#check")
    page.wait_for_selector("#verdict.good")
    assert axe.Axe().run(page).response["violations"] == []
    assert complaints == []
