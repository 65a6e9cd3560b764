"""The life of an island, free of Ray: propose, screen, train, learn, and tell the writer."""

from __future__ import annotations

import dataclasses
import random
import time
from dataclasses import dataclass, field

from lossearch.archive import store as archive
from lossearch.archive.records import DUPLICATES
from lossearch.archive.seeds import seed_of
from lossearch.candidates.screen import Verdict
from lossearch.candidates.stopping import NEVER, Rungs, Stops
from lossearch.engine.island.attempt import evaluated
from lossearch.engine.island.rows import (
    SPENT,
    candidate_row,
    ends_search,
    failure,
    rejection_by_error,
    score,
    trained_row,
)
from lossearch.engine.setup.setting import Elsewhere, Evaluator, Screening, Setting
from lossearch.engine.setup.state import IslandState
from lossearch.engine.writer.messages import AUDITED_FILTERS, Batch, GenerationReport, Parcel, Scribe, Trained
from lossearch.evolve.method import Method, Proposal
from lossearch.ir.core.joint import AnyGraph
from lossearch.ir.forms.joint import any_from_json, any_to_json

MOST_ATTEMPTS = 2
"""A candidate during whose training the process died this often is not tried again."""

_PROPOSALS_PER_TRAINING = 500  # bounds a generation in a space in which hardly anything passes
_FLUSH_ROWS = 200
_FLUSH_SECONDS = 1.0


@dataclass
class _Outbox:
    """Rows on their way to the archive."""

    candidates: list[archive.Candidate] = field(default_factory=list)
    audited: list[archive.Candidate] = field(default_factory=list)
    evaluations: list[archive.Evaluation] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def batch(self) -> Batch:
        return Batch(tuple(self.candidates), tuple(self.audited), tuple(self.evaluations))

    @property
    def due(self) -> bool:
        waiting = len(self.candidates)
        return waiting >= _FLUSH_ROWS or (waiting > 0 and time.monotonic() - self.since > _FLUSH_SECONDS)


@dataclass(frozen=True)
class _HandedOver:
    """A candidate that is trained elsewhere.

    Attributes:
        row: of it, before its training.
        graph: of it.
        accepted: proposal and verdict, of which the method is told; None for a rejected one that is audited.
        found: its training, where the archive had it.
    """

    row: archive.Candidate
    graph: AnyGraph
    accepted: tuple[Proposal, Verdict] | None
    found: Trained | None


class IslandLoop:
    """One island. With equal parts, settings and state, and no other island, it repeats itself exactly.

    Without `elsewhere` it trains each candidate at once, in this process, and learns of it before it proposes the next.
    With it, a whole generation is proposed first, and trained meanwhile, several at once; what came of it is then taken
    in as it was proposed. So neither how many are trained at once nor which ends first makes a difference.

    A candidate that fails in whatever way is an outcome in the archive; only a `UserError` and what the writer
    raises end a generation early.
    """

    def __init__(
        self,
        state: IslandState,
        method: Method,
        screen: Screening,
        evaluator: Evaluator,
        scribe: Scribe,
        setting: Setting,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.state, self.method, self.screen, self.evaluator = state, method, screen, evaluator
        self.scribe, self.setting, self.elsewhere = scribe, setting, elsewhere
        self._audit_rng = random.Random(setting.audit_seed)
        self._outbox = _Outbox()
        self._fingerprints: list[str] = []
        self._handed_over: list[_HandedOver] = []
        self._index = 0
        self._begun = False
        self._known: frozenset[str] = frozenset()
        self._last_look, self._last_cpu = time.monotonic(), time.process_time()
        self._stops = NEVER
        self._restore()

    def load(self, state: IslandState) -> None:
        """Continue exactly where `state` was taken."""
        self.state = state
        self._begun, self._handed_over = False, []
        self._restore()

    def _restore(self) -> None:
        self._rungs = Rungs.of(self.state.rungs)
        if self.state.method:
            self.method.load_state(self.state.method)
        if self.state.audit_rng:
            version, internal, gauss = self.state.audit_rng
            self._audit_rng.setstate((version, tuple(internal), gauss))

    def save(self) -> IslandState:
        """The state after the last whole generation, ready to be written."""
        version, internal, gauss = self._audit_rng.getstate()
        self.state.audit_rng = [version, list(internal), gauss]
        self.state.method = self.method.state()
        self.state.rungs = self._rungs.to_plain()
        return self.state

    @property
    def done(self) -> bool:
        """Whether the island has reached one of its limits."""
        return self.setting.limits.reached(self.state)

    def generation(self) -> GenerationReport:
        """Run one generation and report it."""
        state = self.state
        if not self._begun:
            self._known = self.scribe.begin(state.island, state.generation)
            self._begun = True
            self._last_look = time.monotonic()  # after `begin`, which may wait for the writer's process to start
            self._last_cpu = time.process_time()
        self.screen.reset_counts()
        self._index = 0
        before, proposals = state.trained, state.candidates
        if not self.done:
            self._stops = self._rungs.stops(self.setting.stopping, self.setting.higher_is_better)
            size = self.setting.limits.generation_size
            while state.trained - before < size and not self.setting.limits.spent(state):
                if state.candidates - proposals >= size * _PROPOSALS_PER_TRAINING:
                    break
                self._one_candidate()
                self._look_at_clock()
            self._take_in()
            if state.trained == before:  # nothing is left to propose that a budget could be spent on
                state.spent = max(state.spent, self.setting.limits.budget or 0)
            state.generation += 1
            self._flush()
            self._migrate()
        return self._report()

    def _report(self) -> GenerationReport:
        state = self.state
        self._look_at_clock()
        counts = self.screen.counts().items()
        report = GenerationReport(
            generation=state.generation - 1,
            filters=tuple(archive.FilterCount(n, c.considered, c.rejected, c.seconds) for n, c in counts),
            candidates=state.candidates,
            trained=state.trained,
            training_seconds=state.training_seconds,
            screening_seconds=state.screening_seconds,
            proposing_seconds=state.proposing_seconds,
            wall_seconds=state.wall_seconds,
            cpu_seconds=state.cpu_seconds,
            done=self.done,
        )
        state.archived = self.scribe.report(state.island, report)
        return report

    def _look_at_clock(self) -> None:
        """Let wall-clock time pass, that between generations included."""
        now, cpu = time.monotonic(), time.process_time()
        self.state.wall_seconds += now - self._last_look
        self.state.cpu_seconds += cpu - self._last_cpu
        self._last_look, self._last_cpu = now, cpu

    # One candidate

    def _one_candidate(self) -> None:
        state, start = self.state, time.perf_counter()
        proposal = self.method.ask()
        asked = time.perf_counter()
        verdict = self._check(proposal)
        screened = time.perf_counter()
        state.proposing_seconds += asked - start
        state.screening_seconds += screened - asked
        state.candidates += 1
        self._remember(verdict, proposal)
        if verdict.accepted:
            self._train_accepted(proposal, verdict)
        else:
            self._reject(proposal, verdict)
        if self._outbox.due:
            self._flush()

    def _check(self, proposal: Proposal) -> Verdict:
        try:
            return self.screen.check(proposal.graph, self.state.seen)
        except Exception as error:  # recorded: a filter that breaks on a candidate rejects it
            if ends_search(error):
                raise
            return rejection_by_error(proposal.graph, error)

    def _remember(self, verdict: Verdict, proposal: Proposal) -> None:
        self.state.seen.add(verdict.key)
        if verdict.fingerprint:
            self.state.seen.add(verdict.fingerprint)
            # Every island is to learn the scores of the seeds itself.
            known = verdict.filter in DUPLICATES or seed_of(proposal.operator) is not None
            if self.setting.migration_every and not known:
                self._fingerprints.append(verdict.fingerprint)

    def _reject(self, proposal: Proposal, verdict: Verdict) -> None:
        audited = (
            self.setting.audit > 0.0
            and verdict.filter in AUDITED_FILTERS
            and self._audit_rng.random() < self.setting.audit
        )
        full = audited or self.setting.keep_full
        row = self._row(proposal, verdict, full=full)
        if audited and self.elsewhere is not None:
            self._hand_over(row, verdict.graph, None)
        elif audited:
            self._archive_audited(row, self._train(row, verdict.graph, NEVER))
        else:
            self._outbox.candidates.append(row)
        reason = f"{verdict.filter}: {verdict.reason}"
        self.method.tell(dataclasses.replace(proposal, reason=reason), None, verdict.complexity)

    def _archive_audited(self, row: archive.Candidate, trained: Trained) -> None:
        self._spend(trained)
        self._outbox.audited.append(dataclasses.replace(row, numbers=trained.candidate.numbers))
        # Of the loss as it was rejected: constants that training changed would make it another one.
        self._outbox.evaluations.extend(dataclasses.replace(e, key=row.key) for e in trained.evaluations)
        self._flush()

    def _train_accepted(self, proposal: Proposal, verdict: Verdict) -> None:
        row = self._row(proposal, verdict, full=True)
        self.state.trained += 1
        if self.elsewhere is None:
            self._learn(proposal, verdict, self._train(row, verdict.graph, self._stops))
        else:
            self._hand_over(row, verdict.graph, (proposal, verdict))

    def _learn(self, proposal: Proposal, verdict: Verdict, trained: Trained) -> None:
        """Archive the training of an accepted candidate, and tell the method."""
        self._spend(trained)
        row, evaluations = trained.candidate, trained.evaluations
        self.state.seen.add(row.key)
        self._outbox.candidates.append(row)
        self._outbox.evaluations.extend(evaluations)
        self._flush()
        graph = verdict.graph
        if row.key != verdict.key:
            graph = any_from_json(row.graph or "")
            self._remember_tuned(graph)
        whole = evaluations[0].budget >= self.setting.budget
        merit = score(evaluations, self.setting.higher_is_better, self.setting.robustness)
        merit = self._rungs.learn(self.setting.stopping, evaluations[0].curve, whole, merit)
        told = dataclasses.replace(proposal, graph=graph, reason="" if merit is not None else row.reason)
        self.method.tell(told, merit, self.method.complexity(graph))

    def _remember_tuned(self, graph: AnyGraph) -> None:
        """A multiple of a loss whose constants were tuned behaves as that does, and not as what was proposed."""
        fingerprint = self.screen.fingerprint(graph)
        if fingerprint and fingerprint not in self.state.seen:
            self.state.seen.add(fingerprint)
            if self.setting.migration_every:
                self._fingerprints.append(fingerprint)

    def _spend(self, trained: Trained) -> None:
        # What could not be trained counts, too: otherwise a search of such losses would never end.
        self.state.spent += max(1, round(trained.candidate.numbers.get(SPENT, 0)))

    def _may_be_archived(self, row: archive.Candidate) -> bool:
        """Whether its training may be, after a restart, or, of a seed, by another island.

        Where it cannot be, asking the archive is not worth a round trip.
        """
        return row.key in self._known or (self.setting.shares_seeds and seed_of(row.operator) is not None)

    def _train(self, row: archive.Candidate, graph: AnyGraph, stops: Stops) -> Trained:
        """Train a candidate, or take its training from the archive."""
        attempts = 0
        if self._may_be_archived(row):
            claim = self.scribe.claim(self.state.island, row.key)
            if claim.found is not None:
                return claim.found.under(row)
            attempts = claim.attempts
        start = time.perf_counter()
        if attempts >= MOST_ATTEMPTS:
            result = failure(graph, f"the process that trained it died {attempts} times")
        else:
            self.scribe.starting(self.state.island, row.key)
            result = evaluated(self.evaluator, graph, self.setting.seed, stops, self.setting.guard)
        self.state.training_seconds += time.perf_counter() - start
        setting = self.setting
        return trained_row(row, graph, result, setting.task, setting.budget, self.method.complexity)

    # Trainings elsewhere

    def _hand_over(self, row: archive.Candidate, graph: AnyGraph, accepted: tuple[Proposal, Verdict] | None) -> None:
        """Have a candidate trained, or take its training from the archive; `_take_in` waits for it.

        That an island was lost says nothing of what was trained elsewhere, so attempts are not counted here.
        """
        assert self.elsewhere is not None
        found = None
        if self._may_be_archived(row):
            found = self.scribe.claim(self.state.island, row.key).found
        if found is None:
            stops = NEVER if accepted is None else self._stops
            self.elsewhere.begin(row.origin.index, graph, self.setting.seed, stops)
        self._handed_over.append(_HandedOver(row, graph, accepted, None if found is None else found.under(row)))

    def _take_in(self) -> None:
        """Wait for what was handed over, and take it in as it was proposed."""
        for one in self._handed_over:
            start = time.perf_counter()
            trained = one.found or self._result(one)
            self.state.training_seconds += time.perf_counter() - start
            if one.accepted is None:
                self._archive_audited(one.row, trained)
            else:
                self._learn(*one.accepted, trained)
            self._look_at_clock()
        self._handed_over = []

    def _result(self, one: _HandedOver) -> Trained:
        assert self.elsewhere is not None
        setting, result = self.setting, self.elsewhere.result(one.row.origin.index)
        return trained_row(one.row, one.graph, result, setting.task, setting.budget, self.method.complexity)

    def _row(self, proposal: Proposal, verdict: Verdict, full: bool) -> archive.Candidate:
        origin = archive.Origin(self.state.island, self.state.generation, self._index)
        self._index += 1
        return candidate_row(proposal, verdict, origin, full)

    # Towards the writer

    def _flush(self) -> None:
        batch = self._outbox.batch()
        self._outbox = _Outbox()
        if batch.candidates or batch.audited:
            self.scribe.submit(self.state.island, batch)

    def _migrate(self) -> None:
        every = self.setting.migration_every
        if not every or self.state.generation % every:
            return
        elites = self.method.elites(self.setting.migration_count)
        sent = tuple((any_to_json(graph), merit) for graph, merit in elites)
        received = self.scribe.exchange(self.state.island, Parcel(sent, tuple(self._fingerprints)))
        self._fingerprints = []
        for fingerprint in received.fingerprints:
            self.state.seen.add(fingerprint)
        for text, merit in received.elites:
            graph = any_from_json(text)
            self.state.seen.add(graph.key)
            self.method.inject(graph, merit)
