"""The one file that knows the order: retrieve, generate, validate, execute."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sqlgen.config import Settings
from sqlgen.pipeline.alternatives import alternatives
from sqlgen.pipeline.choose import Allowed, Contest, confidence_of
from sqlgen.pipeline.model import Model
from sqlgen.pipeline.reply import Reply
from sqlgen.pipeline.schema import LiveSchema
from sqlgen.types import (
    Alternative,
    Candidate,
    Catalog,
    Citation,
    Finding,
    Limits,
    ModelInfo,
    Question,
    Rejection,
    RetrievedContext,
    ValidatedQuery,
)

if TYPE_CHECKING:
    from sqlgen.followup import Turn
    from sqlgen.generation import Generator
    from sqlgen.retrieval.recall import Recalled
    from sqlgen.retrieval.standins import Scene

__all__ = ["VERIFIED", "OnStage", "Walk", "first_message", "set_apart"]

VERIFIED = "verified query"
EDITED = "edited query"
# How sure an answer is that somebody vouched for, as it stands or with a literal exchanged.
_VOUCHED, _ADAPTED = 0.99, 0.9
# How sure an answer is that a rule made from the query before.
_EDITED = 0.75
# Below this, 30 % of the answers on unseen training databases were right (MODEL_CARD.md).
_SURE = 0.3
# Above the first, or above the second with a confidence below the third, the database does not hold it:
# on eight training databases kept from training, 1 and 5 of 421 questions that it does hold are above them.
_ABSENT, _DOUBTED, _POOR = 0.5, 0.3, 0.15
_UNSURE = "the model is not sure of this one; read the SQL before you use the rows, or ask more precisely"
_NOT_HERE = "this database does not seem to hold what the question asks for"
Verdict = Literal["allow", "reject"]


class OnStage(Protocol):
    """Is told the name of each stage as it begins: retrieve, generate, validate, execute; some come twice."""

    def __call__(self, stage: str, /) -> None: ...


class Walk:
    """Takes questions about one database through all stages."""

    def __init__(self, settings: Settings, schema: LiveSchema, model: Model, contest: Contest) -> None:
        self._settings = settings
        self._schema = schema
        self._generator = model
        self._contest = contest
        # Evaluation puts a fixed schema in its place.
        self.retrieve = schema.retrieve

    def answer(
        self,
        text: str,
        limits: Limits,
        beams: int,
        execute: bool,
        policy_context: Mapping[str, Any],
        on_stage: OnStage | None = None,
        history: Sequence[tuple[str, str]] = (),
    ) -> Reply:
        """The answer to one question; ``sqlgen.pipeline.Database.ask`` says what can come of it."""
        clock = _Clock(on_stage)
        generator: Generator = self._generator.get()
        learned = self._generator.terms_of(generator.info)
        with clock("retrieve"):
            catalog, scene = self.retrieve(text, None, generator.count_tokens, learned)
            asked, turn = text, self._understand(text, history, catalog, scene) if history else None
            if turn is not None and turn.in_full != text:
                text = turn.in_full
                catalog, scene = self.retrieve(text, None, generator.count_tokens, learned)
            context = scene.found
            recalled = self._recall(text, context)
        source = None if recalled is None else ModelInfo(VERIFIED, recalled.id)
        question = Question(
            asked,
            self._schema.dialect,
            id=uuid.uuid4().hex,
            history=tuple(history) if turn is not None and not turn.is_new else (),
            today=self._settings.today,
            in_full=text if text != asked else "",
        )

        def reply(status: Literal["answered", "rejected", "abstained", "error"], **rest: Any) -> Reply:
            return Reply(
                question=question,
                status=status,
                dialect=self._schema.dialect,
                model=source or generator.info,
                id=question.id,
                context=context,
                timings_ms=clock.timings_ms(),
                **{"sql": "", **rest},
            )

        if not any(map(str.isalnum, text)):
            return reply("abstained", message="the question holds no word; say what you want to know")
        if turn is not None and turn.declined:
            return reply("abstained", message=turn.declined)
        if not context.tables:
            return reply(
                "abstained",
                message="nothing in this database seems to be about that; name a table or column it holds",
            )
        notes = list(scene.notes)
        if recalled is not None or (turn is not None and turn.sql):
            with clock("validate"):
                if recalled is not None:
                    answer = self._reuse(recalled, catalog, policy_context)
                else:
                    assert turn is not None
                    source = ModelInfo(EDITED, "1")
                    answer = self._edited(turn.sql, catalog, policy_context)
            if isinstance(answer, Allowed):
                with clock("execute"):
                    chosen, result, failures = self._contest.take_likeliest([answer], limits, execute)
                reused: tuple[tuple[Candidate, Verdict]] = ((answer.candidate, "allow"),)
                if chosen is None:
                    return reply(
                        "error",
                        sql=answer.query.sql,
                        candidates=reused,
                        findings=failures,
                        message=f"the database refused the {source.name if source else 'query'}: {first_message(failures)}",
                    )
                return self._finished(
                    reply(
                        "answered",
                        sql=answer.query.sql,
                        result=result,
                        confidence=answer.confidence,
                        candidates=reused,
                        findings=result.notes if result else (),
                        warnings=answer.query.warnings,
                        citations=(
                            *([] if recalled is None else [_cite_query(recalled)]),
                            *_cite(answer.query, context),
                        ),
                        message=answer.doubt,
                    ),
                    answer.candidate.sql,
                    catalog,
                )
            if answer:
                notes.append(answer)
            recalled = source = None
        with clock("generate"):
            candidates, p_unanswerable = set_apart(
                generator.generate(replace(question, text=scene.text), scene.context, beams=beams)
            )
        if not candidates:
            return reply(
                "abstained",
                message=_NOT_HERE
                if p_unanswerable
                else "the model found no query for this question; say it another way, "
                "naming the things and the figures you want",
            )
        if turn is not None and turn.rewritten:
            with clock("generate"):
                candidates = self._with_merged(candidates, turn, history[-1][1], question, catalog, beams)
        with clock("validate"):
            allowed, verdicts, findings = self.judge(candidates, catalog, policy_context, scene)
        plain = self._plainer(scene) if scene.stand_ins and not _uses_all(allowed, scene) else None
        if plain is not None:
            # The name of a figure may lead the model astray; a plain word in its place does not.
            with clock("generate"):
                more, _ = set_apart(
                    generator.generate(replace(question, text=plain.text), plain.context, beams=beams)
                )
            with clock("validate"):
                others, other_verdicts, other_findings = self.judge(more, catalog, policy_context, plain)
            if _uses_all(others, plain):
                scene, p_unanswerable = plain, 0.0
                candidates, allowed, verdicts, findings = more, others, other_verdicts, other_findings
        written = {attempt.candidate: attempt.written for attempt in allowed}
        judged = tuple(
            (replace(c, sql=written.get(c, c.sql)), verdict)
            for c, verdict in zip(candidates, verdicts, strict=True)
        )
        if scene.stand_ins:
            allowed, missed = _of_definitions(allowed, scene, findings)
            if missed:
                notes.append(missed)
            findings = tuple(sorted(findings, key=lambda f: f.rule != "definition"))
        if not allowed:
            return reply(
                "rejected",
                sql=candidates[0].sql,
                candidates=judged,
                findings=findings,
                message="no query that the model wrote passed validation: " + first_message(findings),
            )
        with clock("execute"):
            chosen, result, failures = self._contest.choose(
                scene.text, scene.context, allowed, limits, execute, p_unanswerable
            )
            choice: str = ""
            readings: tuple[Alternative, ...] = ()
            if chosen is not None and result is not None:
                choice, readings = alternatives(self._contest, chosen, result, allowed, limits, catalog)
        if chosen is None:
            return reply(
                "error",
                sql=allowed[0].query.sql,
                candidates=judged,
                findings=failures,
                message="the database refused every query that passed validation: " + first_message(failures),
            )
        wanted = self._contest.wanted_confidence()
        absent = p_unanswerable > _ABSENT or (p_unanswerable > _DOUBTED and chosen.confidence < _POOR)
        if chosen.confidence < wanted or absent:
            return reply(
                "abstained",
                candidates=judged,
                confidence=chosen.confidence,
                message=_NOT_HERE + _because(chosen.doubt)
                if absent
                else f"not sure enough (confidence {chosen.confidence:.2f}, wanted {wanted:.2f})"
                f"{_because(chosen.doubt)}; say the question more precisely",
            )
        if chosen.confidence < _SURE:
            notes.append(_UNSURE + _because(chosen.doubt))
        return self._finished(
            reply(
                "answered",
                sql=chosen.query.sql,
                result=result,
                choice=choice,
                alternatives=readings,
                confidence=chosen.confidence,
                candidates=judged,
                findings=result.notes if result else (),
                warnings=chosen.query.warnings,
                citations=_cite(chosen.query, context),
                message="; ".join(notes),
            ),
            chosen.written or chosen.candidate.sql,
            catalog,
        )

    def _finished(self, reply: Reply, sql: str, catalog: Catalog) -> Reply:
        """The answer with what it says in words; it remembers the SQL before a policy rewrote it."""
        from sqlgen.presentation import described

        found = described(
            sql,
            catalog,
            self._schema.dialect,
            reply.result,
            question=reply.question.in_full or reply.question.text,
            values=reply.context.values if reply.context else (),
            today=self._settings.today,
        )
        reply = replace(reply, reading=found.reading, assumptions=found.assumptions, columns=found.columns)
        object.__setattr__(reply, "_written", sql)
        return reply

    def _plainer(self, scene: Scene) -> Scene | None:
        from sqlgen.knowledge import find_named
        from sqlgen.retrieval.standins import neutral_scene

        return neutral_scene(scene, find_named(scene.text, self._schema.knowledge.snapshot().terms))

    def _understand(
        self, text: str, history: Sequence[tuple[str, str]], catalog: Catalog, scene: Scene
    ) -> Turn:
        from sqlgen.followup import understand

        return understand(
            text,
            history,
            catalog,
            self._schema.dialect,
            values=scene.found.values,
            today=self._settings.today,
        )

    def _edited(self, sql: str, catalog: Catalog, policy_context: Mapping[str, Any]) -> Allowed | str:
        """The query before as edited, as a candidate that validation let pass, or "": then a model shall try."""
        candidate = Candidate(sql, math.log(_EDITED), EDITED, "1")
        allowed, _, _ = self.judge((candidate,), catalog, policy_context)
        return replace(allowed[0], confidence=_EDITED) if allowed else ""

    def _with_merged(
        self,
        candidates: tuple[Candidate, ...],
        turn: Turn,
        before: str,
        question: Question,
        catalog: Catalog,
        beams: int,
    ) -> tuple[Candidate, ...]:
        """The candidates for the question in full, and before them what the turn alone asks of the rows found before."""
        from sqlgen.followup import merged

        generator: Generator = self._generator.get()
        learned = self._generator.terms_of(generator.info)
        _, alone = self.retrieve(turn.rewritten, None, generator.count_tokens, learned)
        more, _ = set_apart(
            generator.generate(replace(question, text=turn.rewritten), alone.found, beams=beams)
        )
        found: dict[str, Candidate] = {}
        for candidate in more:
            sql = merged(before, candidate.sql, catalog, self._schema.dialect)
            if sql is not None and sql not in found:
                found[sql] = replace(candidate, sql=sql)
        return (*found.values(), *(c for c in candidates if c.sql not in found))

    def _recall(self, text: str, context: RetrievedContext) -> Recalled | None:
        """A verified query for this very question, if there is one."""
        verified = self._schema.knowledge.snapshot().verified
        if not verified:
            return None
        from sqlgen.retrieval.recall import recall

        return recall(text, verified, context.values, self._schema.dialect, self._settings.today)

    def _reuse(
        self, recalled: Recalled, catalog: Catalog, policy_context: Mapping[str, Any]
    ) -> Allowed | str:
        """The verified query as a candidate that validation let pass, or in words why it can't be used any more."""
        sure = _VOUCHED if not recalled.exchanged else _ADAPTED
        candidate = Candidate(recalled.sql, math.log(sure), VERIFIED, recalled.id)
        allowed, _, findings = self.judge((candidate,), catalog, policy_context)
        if not allowed:
            return f"the verified query {recalled.id} no longer fits this database: {first_message(findings)}"
        changed = ", ".join(f"{old} → {new}" for old, new in recalled.exchanged)
        doubt = (
            f'adapted from the verified query "{recalled.verified.question}": {changed}' if changed else ""
        )
        return replace(allowed[0], confidence=sure, doubt=doubt)

    def judge(
        self,
        candidates: Sequence[Candidate],
        catalog: Catalog,
        policy_context: Mapping[str, Any],
        scene: Scene | None = None,
    ) -> tuple[list[Allowed], list[Verdict], tuple[Finding, ...]]:
        """What validation says of each candidate: those it lets pass, a verdict for each, what it found."""
        from sqlgen.validation import validate

        protection = self._schema.protection
        if protection is not None:
            protection = replace(protection, context=policy_context)
        allowed: list[Allowed] = []
        verdicts: list[Verdict] = []
        findings: dict[str, Finding] = {}
        for candidate in candidates:
            written, used = _expanded(candidate.sql, scene, catalog)
            if isinstance(written, Finding):
                verdicts.append("reject")
                findings.setdefault(written.message, written)
                continue
            outcome = validate(written, catalog, self._schema.dialect, protection=protection)
            if isinstance(outcome, Rejection):
                verdicts.append("reject")
                findings.update({f.message: f for f in outcome.findings if f.message not in findings})
            else:
                verdicts.append("allow")
                seen: ValidatedQuery | Rejection = outcome
                if scene and used:
                    seen = validate(candidate.sql, scene.catalog, self._schema.dialect)
                elif protection is not None:
                    # The chooser knows queries as models write them, not as a policy rewrites them.
                    seen = validate(written, catalog, self._schema.dialect)
                seen = outcome if isinstance(seen, Rejection) else seen
                allowed.append(Allowed(candidate, outcome, confidence_of(candidate), "", seen, used, written))
        return allowed, verdicts, tuple(findings.values())


class _Clock:
    """Adds up wall time per stage, in milliseconds, and says which one begins."""

    def __init__(self, on_stage: OnStage | None = None) -> None:
        self._on_stage = on_stage
        self._began = time.perf_counter()
        self._spent = dict.fromkeys(("retrieve", "generate", "validate", "execute"), 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        if self._on_stage is not None:
            self._on_stage(stage)
        began = time.perf_counter()
        try:
            yield
        finally:
            self._spent[stage] += 1000 * (time.perf_counter() - began)

    def timings_ms(self) -> dict[str, float]:
        return {**self._spent, "total": 1000 * (time.perf_counter() - self._began)}


def _expanded(sql: str, scene: Scene | None, catalog: Catalog) -> tuple[str | Finding, frozenset[str]]:
    """The SQL with its stand-ins replaced and their names, or why that cannot be."""
    if scene is None or not scene.stand_ins:
        return sql, frozenset()
    from sqlgen.sql.parse import Unreadable
    from sqlgen.sql.standins import NotExpressible, expand

    try:
        return expand(sql, scene.stand_ins, catalog, catalog.dialect)
    except NotExpressible as reason:
        return Finding("definition", str(reason)), frozenset()
    except Unreadable:
        # Validation says what is wrong with it.
        return sql, frozenset()


def _uses_all(allowed: Sequence[Allowed], scene: Scene) -> bool:
    return any(len(attempt.used) == len(scene.stand_ins) for attempt in allowed)


def _of_definitions(
    allowed: list[Allowed], scene: Scene, findings: Sequence[Finding]
) -> tuple[list[Allowed], str]:
    """The candidates that use most of the definitions that the question names, and in words what none uses.

    Where a definition could only be used in a way that is wrong, none is left that does without it.
    """
    most = max((len(attempt.used) for attempt in allowed), default=0)
    best = [attempt for attempt in allowed if len(attempt.used) == most]
    unused = [s.name for s in scene.stand_ins if all(s.name not in attempt.used for attempt in best)]
    if not unused:
        return best, ""
    if any(finding.rule == "definition" for finding in findings):
        return [], ""
    return best, f"the definition of {', '.join(unused)} was not used"


def _cite_query(recalled: Recalled) -> Citation:
    score = 1.0 if not recalled.exchanged else 0.9
    return Citation("query", recalled.verified.question, recalled.verified.source, score)


def set_apart(candidates: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], float]:
    """The candidates that are queries, and the probability of the one that says there is none."""
    queries = tuple(c for c in candidates if c.finish_reason != "unanswerable")
    return queries, max((confidence_of(c) for c in candidates if c not in queries), default=0.0)


def _because(doubt: str) -> str:
    return f": {doubt}" if doubt else ""


def first_message(findings: Sequence[Finding]) -> str:
    """What the first finding says."""
    return findings[0].message if findings else "no reason given"


def _cite(query: ValidatedQuery, context: RetrievedContext) -> tuple[Citation, ...]:
    """What the chosen query rests on: tables and columns read, values it names, terms of the question."""
    pieces = {piece.table.key: piece for piece in context.tables}
    cited: list[Citation] = []
    for key in query.tables:
        piece = pieces.get(key)
        source = "the question's words" if piece is None else piece.reason
        cited.append(Citation("table", key, source, 0.0 if piece is None else piece.score))
    for name in query.columns:
        piece = pieces.get(name.rpartition(".")[0])
        cited.append(Citation("column", name, "catalog", 0.0 if piece is None else piece.score))
    for match in context.values:
        literal = match.value.replace("'", "''")
        if match.table in query.tables and f"'{literal}'" in query.sql:
            cited.append(Citation("value", match.value, f"{match.table}.{match.column}", match.score))
    cited += [Citation(term.kind, term.name, term.source, term.score) for term in context.terms]
    return tuple(dict.fromkeys(cited))
