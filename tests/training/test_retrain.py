"""From a database's own pairs to an adapter in force, and the gate in between."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import sqlgen
from sqlgen.cli import main
from sqlgen.cli.train import train
from sqlgen.config import Settings
from sqlgen.errors import ModelUnavailable, UsageError
from sqlgen.eval.report import Outcome
from sqlgen.eval.suite import Suite
from sqlgen.generation.embedded import EmbeddedGenerator, shipped_path
from sqlgen.registry import ADAPTER_FILE
from sqlgen.training.adapt import Recipe, adapt, changes_of
from sqlgen.training.authored import authored_examples, authored_folder, is_general, read_authored
from sqlgen.training.gate import compare, decide, general_suite, own_suite, page_of
from sqlgen.training.pairs import Pair, examples_of, in_other_words, read_pairs, role_of, said_again
from sqlgen.training.retrain import retrain
from sqlgen.training.weights import load_exported, write_changed

QUICK = Recipe(rank=4, alpha=8, batch=4, passes=1, replay=0.2, budget_minutes=2)


def write_shop(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "CREATE TABLE gizmos (gizmo_id INTEGER PRIMARY KEY, label TEXT, grams INTEGER, hue TEXT);"
            "INSERT INTO gizmos VALUES (1, 'Fen', 10, 'red'), (2, 'Gar', 25, 'blue'), (3, 'Hox', 40, 'red');"
        )
    return f"sqlite:///{path}"


def write_pairs(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def outcome(number: int, correct: bool) -> Outcome:
    return Outcome(
        str(number), "d", f"question {number}", "SELECT 1", "SELECT 2", correct, 0.5, "answered", 1.0, correct,
        True, "easy",
    )  # fmt: skip


def test_the_shipped_weights_come_back_and_go_out_unchanged(tmp_path: Path) -> None:
    model = load_exported(shipped_path())
    name, parameter = next((n, p) for n, p in model.named_parameters() if n.endswith("up_proj.weight"))
    write_changed(
        shipped_path(), {name: np.zeros(tuple(parameter.shape), np.float32)}, tmp_path / "same", adapter="x"
    )
    untouched = (tmp_path / "same" / "encoder.onnx").read_bytes()
    assert untouched == (shipped_path() / "encoder.onnx").read_bytes()
    same, parameter = (
        dict(load_exported(tmp_path / "same").named_parameters())[name].detach(),
        parameter.detach(),
    )
    step = float((parameter.max() - parameter.min()) / 255)
    assert float((same - parameter).abs().max()) <= step
    change = np.full(tuple(parameter.shape), 0.01, np.float32)
    write_changed(shipped_path(), {name: change}, tmp_path / "other", adapter="y")
    again = dict(load_exported(tmp_path / "other").named_parameters())[name]
    moved = (again.detach() - parameter).numpy()
    assert abs(float(moved.mean()) - 0.01) < 0.001
    # An adapter's matrices stay of the kind that runs quickest.
    kinds = [
        [part.data_type for part in onnx.load(folder / "decoder.onnx").graph.initializer]
        for folder in (shipped_path(), tmp_path / "other")
    ]
    assert kinds[0] == kinds[1]
    assert EmbeddedGenerator(tmp_path / "other", verify=True).info.adapter == "y"
    with pytest.raises(ModelUnavailable, match="have no nothing"):
        write_changed(shipped_path(), {"nothing": change}, tmp_path / "bad", adapter="z")


def test_statements_that_differ_in_literals_stand_on_one_side(tmp_path: Path) -> None:
    path = write_pairs(
        tmp_path / "p.jsonl",
        [
            {"question": "a", "sql": "SELECT label FROM gizmos WHERE hue = 'red' LIMIT 3"},
            {"question": "b", "sql": "select g.label from gizmos as g where g.hue = 'blue' limit 5"},
            {"question": "c", "sql": "SELECT label FROM gizmos WHERE grams = 3"},
            {"question": "d", "sql": "SELECT label FROM gizmos WHERE grams = 3", "split": "given"},
        ],
    )
    a, b, c, d = (pair.key for pair in read_pairs([path], "sqlite"))
    assert a == b != c
    assert d == "given"
    shares = Counter(role_of(str(n)) for n in range(2000))
    assert 300 < shares["gate"] < 500
    assert 50 < shares["watch"] < 150
    # A log that grows keeps what it is judged on out of what it ever learned.
    few = [role_of(str(n), held=0.3) for n in range(2000)]
    assert 500 < Counter(few)["gate"] < 700
    assert all(role == "gate" for n, role in enumerate(few) if role_of(str(n)) == "gate")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "line 2 is no pair"),
        ('{"question": "q"}', "line 2 is no pair"),
        ('{"question": 3, "sql": "SELECT 1"}', "are texts"),
        ('{"question": "q", "sql": "SELECT 1", "weight": -1}', "weight lies"),
        ("[1]", "line 2 is no pair"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"question": "q", "sql": "SELECT 1"}\n' + line + "\n")
    with pytest.raises(UsageError, match=fault):
        read_pairs([path], "sqlite")


def test_pairs_become_examples_over_what_retrieval_hands_over(tmp_path: Path) -> None:
    url = write_shop(tmp_path / "shop.db")
    path = write_pairs(
        tmp_path / "p.jsonl",
        [
            {"question": "Which gizmos are red?", "sql": "SELECT label FROM gizmos WHERE hue = 'red'"},
            {"question": "Drop them", "sql": "DROP TABLE gizmos"},
            {"question": "Which are heavy?", "sql": "SELECT label FROM gizmos WHERE grams > 987"},
            {"question": "Which weigh over 12?", "sql": "SELECT label FROM gizmos WHERE grams > 986"},
            {"question": "Which gizmos are red?", "sql": "SELECT label FROM gizmos WHERE hue = 'red';"},
        ],
    )
    dropped: Counter[str] = Counter()
    with sqlgen.connect(url, settings=Settings(home=tmp_path / "home")) as database:
        pairs = read_pairs([path], "sqlite")
        found = list(examples_of(database, pairs, dropped))
    assert len(pairs) == 4
    assert [example.form[0] for _, example in found] == ["select", "select"]
    # A value that the question leaves out stands behind it, but not where it names another.
    assert [pair.question for pair, _ in found] == ["Which gizmos are red?", "Which are heavy (987)"]
    assert sorted(what.partition(":")[0] for what in dropped) == ["not sayable", "refused"]


def test_each_statement_is_learned_in_other_words_too(tmp_path: Path) -> None:
    url = write_shop(tmp_path / "shop.db")
    red = "SELECT label FROM gizmos WHERE hue = 'red'"
    with sqlgen.connect(url, settings=Settings(home=tmp_path / "home")) as database:
        pairs = [
            Pair("red ones", red, 3.0, "a"),
            Pair("reds", red, 1.0, "a"),
            Pair("x", "SELECT FROM", 1.0, "b"),
        ]
        written = in_other_words(database, pairs)
        assert {(pair.sql, pair.key) for pair in written} == {(red, "a")}
        assert len({pair.question for pair in written}) == len(written) >= 4
        assert all("red" in pair.question for pair in written)
        assert sum(pair.weight for pair in written) == pytest.approx(2.0)
        # What is said already isn't said again.
        again = in_other_words(database, [Pair(pair.question, red, 1.0, "a") for pair in written])
        assert again == []


def test_the_gate_asks_for_a_gain_that_is_no_chance_and_no_loss_elsewhere() -> None:
    bad = [outcome(n, False) for n in range(40)]
    good = [outcome(n, n % 2 == 0) for n in range(40)]
    won, same, lost = compare("own", bad, good), compare("golden", good, good), compare("general", good, bad)
    assert won.gain == 0.5
    assert won.low > 0.3
    assert len(won.won) == 20
    assert not won.lost
    assert decide([won, same], 0.01).passed
    assert not decide([same, same], 0.01).passed
    refused = decide([won, same, lost], 0.01)
    assert not refused.passed
    assert "general: falls from 50.0 % to 0.0 %" in refused.reasons[0]
    # 87 of 200 before and 85 after are a fall of one point, though not in binary.
    before, after = ([outcome(n, n < right) for n in range(200)] for right in (87, 85))
    assert decide([won, compare("general", before, after)], 0.01).passed
    luck = decide([compare("own", bad[:12], [outcome(0, True), *bad[1:12]])], 0.01)
    assert "may be chance" in luck.reasons[0]
    assert "no held-out pairs" in decide([compare("own", [], [])], 0.01).reasons[0]
    page = page_of(refused, {"base": "<script>"})
    assert "<script>" not in page
    assert "question 2" in page


def test_what_finds_nothing_is_compared_as_sql_and_not_by_its_rows(tmp_path: Path) -> None:
    url = write_shop(tmp_path / "shop.db")
    rows: list[dict[str, object]] = [
        {"question": "Which gizmos are red?", "sql": "SELECT label FROM gizmos WHERE hue = 'red'"},
        {"question": "Which gizmos are teal?", "sql": "SELECT label FROM gizmos WHERE hue = 'teal'"},
        {"question": "How many gizmos are teal?", "sql": "SELECT COUNT(*) FROM gizmos WHERE hue = 'teal'"},
    ]
    path = write_pairs(tmp_path / "p.jsonl", rows)
    with sqlgen.connect(url, settings=Settings(home=tmp_path / "home")) as database:
        found = list(examples_of(database, read_pairs([path], "sqlite")))
        held = own_suite(database, [(pair, said_again(one, "sqlite")) for pair, one in found], url)
    assert held.blank == {"own-2", "own-3"}
    by_rows = replace(outcome(2, True), id="own-2", exact_match=False)
    by_clauses = replace(outcome(2, False), id="own-2", exact_match=True)
    shown = compare("own", [by_rows], [by_clauses], blank=held.blank)
    assert (shown.before, shown.after, shown.as_sql) == (0.0, 1.0, 1)
    assert compare("own", [by_rows], [by_rows]).before == 1.0


def test_authored_pairs_run_and_a_fifth_is_kept_from_training(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    training = list(authored_examples(authored_folder(), skipped))
    general = list(authored_examples(authored_folder(), skipped, part="general"))
    assert not skipped, skipped
    assert not {e.question for e in training} & {e.question for e in general}
    assert 0.1 < len(general) / (len(training) + len(general)) < 0.3
    suite = general_suite(tmp_path)
    assert suite.questions
    assert all(is_general(q.text) for q in suite.questions)
    with closing(read_authored(authored_folder() / "gym.json").connection) as one:
        assert one.execute("SELECT COUNT(*) FROM visits").fetchone() == (400,)


@pytest.mark.parametrize("part", range(4))
def test_further_pairs_run_and_are_none_of_the_jurys(part: int) -> None:
    # Not in an installed package, so from the checkout.
    folder = Path(__file__).parents[2] / "training" / "authored" / "further"
    jury = sorted(authored_folder().glob("*.json"))
    names = sorted(path.stem for path in folder.glob("*.json"))[part::4]
    assert len(names) > 10
    assert not set(names) & {path.stem for path in jury}
    skipped: Counter[str] = Counter()
    examples = list(authored_examples(folder, skipped, names=names))
    assert not skipped, skipped
    assert len(examples) > 30 * len(names)
    asked = {question for path in jury for question, _ in json.loads(path.read_text("utf-8"))["pairs"]}
    assert not asked & {e.question for e in examples}


def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    examples = list(authored_examples(authored_folder()))[:16]
    examples, general = examples[:12], examples[12:]
    recipe = replace(QUICK, passes=4, budget_minutes=2)
    seen: list[int] = []

    def note(done: int, total: int, what: str) -> None:
        assert 0 <= done <= total
        if "step " in what:
            seen.append(int(what.split("step ")[1].split(",")[0]))

    def stop_half_way(done: int, total: int, what: str) -> None:
        note(done, total, what)
        if seen[-1] > 10:
            raise KeyboardInterrupt

    own = [(e, 1.0) for e in examples]
    with pytest.raises(KeyboardInterrupt):
        adapt(
            shipped_path(), own, examples[:3], general, tmp_path / "a", recipe=recipe,
            checkpoint=tmp_path / "c.pt", progress=stop_half_way,
        )  # fmt: skip
    assert not (tmp_path / "a").exists()
    seen.clear()
    learned = adapt(
        shipped_path(), own, examples[:3], general, tmp_path / "a", recipe=recipe, checkpoint=tmp_path / "c.pt",
        progress=note, milder={50.0: tmp_path / "b"},
    )  # fmt: skip
    assert seen[0] > 5
    assert learned.steps == seen[-1]
    assert (tmp_path / "a").stat().st_size < 4_000_000
    assert set(changes_of(tmp_path / "a")) <= {n for n, _ in load_exported(shipped_path()).named_parameters()}
    # The same training once more, with less of what it does to general inputs.
    written = []
    for name, sparing in (("a", recipe.sparing), ("b", 50.0)):
        with safe_open(tmp_path / name, "pt") as kept:
            assert json.loads(kept.metadata()["recipe"]) == asdict(replace(recipe, sparing=sparing))
        written.append(load_file(tmp_path / name))
    assert written[0].keys() == written[1].keys()
    assert {n[-1] for n, matrix in written[0].items() if torch.equal(matrix, written[1][n])} == {"B"}


def test_an_adapter_is_promoted_taken_up_and_rolled_back_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = write_shop(tmp_path / "shop.db")
    hues = ("red", "blue")
    rows: list[dict[str, object]] = [
        {"question": f"{ask} {hue} {noun}{end}", "sql": f"SELECT {column} FROM gizmos WHERE hue = '{hue}'"}
        for ask in ("fetch", "get me", "print", "which are the")
        for hue in hues
        for noun, column in (("labels", "label"), ("weights in grams", "grams"), ("ids", "gizmo_id"))
        for end in ("", "?")
    ]
    general = general_suite(tmp_path)
    few = replace(general, questions=tuple(q for q in general.questions if q.db_id == "gym"))
    assert few.questions
    monkeypatch.setattr("sqlgen.training.retrain.general_suite", lambda folder: few)
    settings = Settings(db=url, home=tmp_path / "home")
    with sqlgen.connect(url, settings=settings) as database:
        pairs = read_pairs([write_pairs(tmp_path / "p.jsonl", rows)], "sqlite")
        before = database.ask("which gizmos are red?")
        done = retrain(database, settings, pairs, recipe=QUICK, promote=False)
        assert not done.promoted
        assert done.adapter_bytes < 4_000_000
        assert database.ask("which gizmos are red?").model.adapter is None
        database.adapters.promote(done.entry.id, (before.model.name, before.model.version))
        assert database.ask("which gizmos are red?").model.adapter == done.entry.id
        assert done.entry.lineage["data"]["pairs"] == len(pairs)
        assert database.adapters.rollback() is None
        assert database.ask("which gizmos are red?").sql == before.sql
        with pytest.raises(UsageError, match="only 0 of 1 pairs"):
            retrain(database, settings, [replace(pairs[0], sql="SELECT nothing")], recipe=QUICK)
    assert not list((database.adapters.folder / "runs").glob("*.pt"))


def test_the_command_learns_from_judged_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = write_shop(tmp_path / "shop.db")
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--db", url]) == 2
    assert "no pairs to learn from" in capsys.readouterr().err
    with sqlgen.connect(url, settings=Settings(db=url, home=tmp_path / "home")) as database:
        for hue in ("red", "blue"):
            database.ask(f"Which gizmos are {hue}?").correct(f"SELECT label FROM gizmos WHERE hue = '{hue}'")
    assert main(["train", "--db", url]) == 2
    assert "of 1 pairs can be learned from" in capsys.readouterr().err.replace("of 2 pairs", "of 1 pairs")
    assert main(["models", "list", "--db", url]) == 0
    assert "the shipped model is in force" in capsys.readouterr().out
    assert main(["models", "rollback", "--db", url]) == 2
    assert main(["models", "show", "nothing", "--db", url]) == 2


@pytest.mark.parametrize("weaker", ["remembers", "remembers later", "forgets", "knows little"])
def test_an_adapter_that_forgot_too_much_spares_more_and_is_judged_again(
    weaker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = write_shop(tmp_path / "shop.db")
    hues = ("red", "blue", "green", "teal", "pink", "grey")
    rows: list[dict[str, object]] = [
        {"question": f"{ask} {hue}", "sql": f"SELECT {column} FROM gizmos WHERE hue = '{hue}'"}
        for hue in hues
        for ask, column in (("names of", "label"), ("weights of", "grams"), ("numbers of", "gizmo_id"))
    ]
    bad, good = ([outcome(n, right) for n in range(40)] for right in (False, True))
    forgot = [*bad[:10], *good[10:]]
    little = [*good[:10], *bad[10:]]
    times = {"remembers": 2, "remembers later": 8}.get(weaker, 1)
    helps = times > 1
    then = {
        "remembers": [[good, good]],
        "remembers later": [[good, forgot], [good, good]],
        "forgets": [[good, forgot]] * 2,
        "knows little": [[little, good]] * 2,
    }[weaker]
    told = iter([[bad, good], [good, forgot], *then])
    some = list(authored_examples(authored_folder(), names=["gym"]))[:8]
    monkeypatch.setattr("sqlgen.training.retrain.replay_examples", lambda seed: some)
    monkeypatch.setattr("sqlgen.training.retrain.answers_to", lambda *_, **__: next(told))
    monkeypatch.setattr("sqlgen.training.retrain.general_suite", lambda folder: Suite("general", (), {}))
    settings = Settings(db=url, home=tmp_path / "home")
    with sqlgen.connect(url, settings=settings) as database:
        pairs = read_pairs([write_pairs(tmp_path / "p.jsonl", rows)], "sqlite")
        pairs = [replace(pair, key=str(n)) for n, pair in enumerate(pairs)]
        done = retrain(database, settings, pairs, recipe=QUICK)
        assert next(told, None) is None
        assert done.promoted is helps
        assert (done.gate.reasons == ()) is helps
        first = f"general inputs spared {times if helps else 2} times as much"
        assert done.gate.remarks[0].startswith(first)
        assert len(done.gate.remarks) == (1 + len(then) if helps else 2)
        why = "own: only +25.0 points" if weaker == "knows little" else "general: falls"
        assert all(why in remark for remark in done.gate.remarks[helps:])
        with safe_open(done.entry.folder / ADAPTER_FILE, "pt") as kept:
            assert json.loads(kept.metadata()["recipe"])["sparing"] == times * QUICK.sparing
        # The weights beside it are merged from that very adapter.
        answer = database.ask("weights of red")
        assert (answer.model.adapter == done.entry.id) is helps


def test_written_wordings_of_a_statement_count_as_four_pairs_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = write_shop(tmp_path / "shop.db")
    asked: list[int] = []

    def stop(*_: object, pairs: int, **__: object) -> None:
        asked.append(pairs)
        raise UsageError("enough")

    monkeypatch.setattr("sqlgen.training.retrain.adapt", stop)
    monkeypatch.setattr("sqlgen.training.retrain.replay_examples", lambda seed: [])
    monkeypatch.setattr("sqlgen.training.retrain.role_of", lambda key, held: "learn")
    sql = "SELECT label FROM gizmos WHERE hue = 'red'"
    with sqlgen.connect(url, settings=Settings(db=url, home=tmp_path / "home")) as database:
        for written in (False, True):
            wordings = [
                Pair(f"{ask} red", sql, 1.0, "k", is_written=written)
                for ask in (
                    "names of",
                    "labels of",
                    "show",
                    "which are",
                    "list",
                    "what is",
                    "all that are",
                    "give me",
                )
            ]
            others = [replace(pair, key=f"other {n}") for n, pair in enumerate(wordings)]
            with pytest.raises(UsageError, match="enough"):
                retrain(database, Settings(db=url, home=tmp_path / "home"), wordings + others, recipe=QUICK)
    assert asked == [16, 12]


def test_the_command_trains_by_the_recipe() -> None:
    offered = {option.name: option.default for option in train.params}
    recipe = asdict(Recipe())
    assert {name: offered[name] for name in recipe.keys() & offered.keys()} == {
        name: recipe[name] for name in ("passes", "rank", "budget_minutes", "seed", "threads")
    }
