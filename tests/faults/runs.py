"""One seeded run: an exam travels, faults strike at their moments, then everything is audited."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random

from tests.faults.auditor import audit, open_books
from tests.faults.exams import Exam, Image, make_exam, with_other_bytes, with_two_patients
from tests.faults.pacs import Mood
from tests.faults.recovery import NODE, measure
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.site import Site
from tests.peers import opens

LATEST_MOMENT_S = 12.0
SENT_S = 90.0
SETTLED_S = 150.0
PASSED_S = 60.0  # how much time passes at once while deliveries and questions wait for theirs
TINY_SHARE = 0.5
PARTIAL_SHARE = 0.3
PENDING = """
SELECT (SELECT COUNT(*) FROM studies WHERE state = 'open')
     + (SELECT COUNT(*) FROM jobs WHERE state IN ('queued', 'analysing', 'analysed', 'delivered'))
     + (SELECT COUNT(*) FROM jobs WHERE planned_at IS NULL AND state IN ('unsuitable', 'failed'))
     + (SELECT COUNT(*) FROM deliveries WHERE state IN ('waiting', 'sent', 'unknown')
                                           OR (state = 'accepted' AND needs_commitment = 1))
       AS pending
"""


# An age cannot be read from the times of a ledger whose clock has jumped.
UNNOTED = """
SELECT (SELECT COUNT(*) FROM associations WHERE closed_at IS NULL)
     + (SELECT COUNT(*) FROM events WHERE id NOT IN (SELECT event_id FROM seals)) AS unnoted
"""


@dataclass(frozen=True)
class Strike:
    """One fault of a run: which, at which moment, how long."""

    name: str
    moment: str
    delay_s: float
    hold_s: float
    seed: int

    @property
    def scenario(self) -> Scenario:
        return SCENARIOS[self.name]


@dataclass(frozen=True)
class Plan:
    """Everything that a seed decides."""

    seed: int
    kind: str
    exam: str
    tiny: bool
    partial: bool
    bytes: int  # where in the first image the moment ``bytes`` is
    slow_s: float  # how long the analysis of a view takes
    strikes: tuple[Strike, ...]
    ends: frozenset[str]


@dataclass
class Result:
    """What a run showed."""

    seed: int
    kind: str
    strikes: Sequence[Strike]
    breaches: list[str] = field(default_factory=list)
    recovery: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def plan(seed: int, *, only: str = "", pairs: bool = False) -> Plan:
    """The same seed is always the same plan; the scenarios take turns."""
    rng = Random(seed)
    names = list(SCENARIOS)
    name = only or names[seed % len(names)]
    first = SCENARIOS[name]
    kind = rng.choice(first.kinds)
    chosen = [name]
    if pairs:
        database = "sqlite" if kind == "clock" else kind
        others = [o for o in names if o != name and database in SCENARIOS[o].kinds]
        # What decides how an exam ends is never the second.
        plain = [o for o in others if SCENARIOS[o].exam == "plain"]
        chosen.append(rng.choice([o for o in plain if SCENARIOS[o].ends == {"confirmed"}]))
    strikes = tuple(_strike(one, rng) for one in chosen)
    ends = first.ends
    tiny = rng.random() < TINY_SHARE and first.exam == "plain" and ends == {"confirmed"}
    partial = first.exam == "plain" and rng.random() < PARTIAL_SHARE
    return Plan(
        seed=seed,
        kind=kind,
        exam=first.exam,
        tiny=tiny,
        partial=partial,
        bytes=rng.randrange(1, 500_000 if not tiny else 15_000),
        slow_s=rng.choice((0.0, 0.0, 0.3)),
        strikes=strikes,
        ends=frozenset({"unsuitable"}) if tiny else ends,
    )


def _strike(name: str, rng: Random) -> Strike:
    scenario = SCENARIOS[name]
    return Strike(
        name,
        rng.choice(scenario.moments),
        rng.choice((0.0, 0.0, rng.uniform(0, 0.2))),
        rng.uniform(*scenario.hold),
        rng.randrange(2**32),
    )


class Run:
    """A plan carried out on a site."""

    def __init__(self, site: Site, plan: Plan) -> None:
        self._site = site
        self._plan = plan
        self._view = site.view
        self._stop = threading.Event()
        self._first_stored = len(site.stored.rows)
        self._struck_at: dict[str, tuple[float, float]] = {}
        self._passed_s = 0.0  # time that we have let pass
        self._exam = self._make()
        self.result = Result(plan.seed, plan.kind, plan.strikes)

    def carry_out(self, hashes: dict[str, str | None]) -> Result:
        begun = time.monotonic()
        (self._site.folder / "wishes" / "slow").write_text(str(self._plan.slow_s))
        self._site.front.change(self._site.front.weather)  # counts bytes from here
        threads = [threading.Thread(target=self._fault, args=(s,)) for s in self._plan.strikes]
        sender = threading.Thread(target=self._send)
        for thread in (*threads, sender):
            thread.start()
        for thread in threads:
            thread.join()
        sender.join(SENT_S)
        self._stop.set()
        sender.join()
        breaches = []
        if self._site.modality.gave_up:
            breaches.append(f"I2: the sender has no answer {SENT_S:g} s after the faults")
        if not self._settle():
            breaches.append(f"I5: work is left {SETTLED_S:g} s after the faults: {self._left()}")
        if self._plan.kind == "clock":
            self._let_note()
        found = audit(open_books(self._site.folder, hashes, self._view), self._orphans())
        self.result.breaches = [*breaches, *map(str, found), *self._ends()]
        self.result.seconds = time.monotonic() - begun
        self._measure()
        return self.result

    def _make(self) -> Exam:
        plan, rng = self._plan, Random(self._plan.seed)
        name = f"{plan.seed}.{time.time_ns() % 10**9}"
        folder = self._site.folder / "exams" / name
        exam = make_exam(folder, name, rng, tiny=plan.tiny)
        if plan.exam == "other bytes":
            return with_other_bytes(exam, folder, rng)
        if plan.exam == "two patients":
            return with_two_patients(exam, folder)
        if plan.exam == "twice":
            return replace(exam, images=exam.images * 2)
        if plan.partial:  # a view of which only one image comes: silence decides
            more = make_exam(folder, name, rng, tiny=plan.tiny, view="MLO").images
            return replace(exam, images=(*exam.images, more[0]))
        if plan.exam == "late":
            return replace(exam, late=make_exam(folder, name, rng, view="MLO").images)
        return exam

    def _send(self) -> None:
        self._site.modality.send(self._exam.images, self._stop)
        if self._exam.late:
            self._wait_for("stored", LATEST_MOMENT_S)
            self._site.modality.send(self._exam.late, self._stop)

    def _fault(self, strike: Strike) -> None:
        self._wait_for(strike.moment, LATEST_MOMENT_S)
        time.sleep(strike.delay_s)
        struck, starts = time.time(), self._site.node.starts
        end = strike.scenario.begin(self._site, Random(strike.seed))
        time.sleep(strike.hold_s)
        end()
        ended = time.time()
        self._struck_at[strike.name] = (struck, ended)
        if strike.scenario.recovery == NODE:
            self._site.wait(lambda: self._site.node.starts > starts, "the node to be started")
            self._site.wait(lambda: opens(self._site.port), "the port to open again")
            self.result.recovery[NODE] = time.time() - struck

    def _wait_for(self, moment: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._is(moment):
            time.sleep(0.02)

    def _is(self, moment: str) -> bool:
        """Whether the run has come so far."""
        uids = {image.uid for image in self._exam.images}
        if moment == "bytes":
            return self._site.front.passed >= self._plan.bytes
        if moment == "acknowledged":
            return any(row["uid"] in uids and row["status"] == 0 for row in self._site.sent.rows)
        if moment in {"stored", "asked"}:
            rows = self._site.stored.rows[self._first_stored :]
            return any(("report" in row) if moment == "asked" else ("uid" in row) for row in rows)
        if moment == "start":
            return True
        with suppress(Exception):  # the database may be down: then the moment comes by itself
            return bool(self._view.rows(_MOMENTS[moment], [self._exam.study]))
        return False

    def _settle(self) -> bool:
        """Wait until no work is left; meanwhile time passes for what waits for its time."""
        end, pass_at = time.monotonic() + SETTLED_S, time.monotonic() + 3
        while time.monotonic() < end:
            with suppress(Exception):
                if not self._view.rows(PENDING)[0]["pending"]:
                    return True
                if time.monotonic() >= pass_at:
                    self._site.let_pass(PASSED_S)
                    self._passed_s += PASSED_S
                    pass_at = time.monotonic() + 2
            time.sleep(0.05)
        return False

    def _let_note(self) -> None:
        """Give the node the time to close and seal what it has written."""
        with suppress(TimeoutError):
            self._site.wait(
                lambda: not self._view.rows(UNNOTED)[0]["unnoted"],
                "what ended to be noted",
                seconds=20,
            )

    def _left(self) -> list[str]:
        rows = self._view.rows(_LEFT)
        return [f"{row['what']} {row['state']} ({row['reason']})" for row in rows]

    def _orphans(self) -> set[int]:
        """Processes without a parent; one that has lost it just now may finish its exam."""
        with suppress(TimeoutError):
            self._site.wait(lambda: not self._site.orphans(), "orphans to end", 15)
        return self._site.orphans()

    def _ends(self) -> list[str]:
        query = """SELECT j.state, j.reason FROM jobs j JOIN studies s ON s.id = j.study_id
                   WHERE s.study_instance_uid = ? ORDER BY j.revision DESC"""
        rows = self._view.rows(query, [self._exam.study])
        if rows and rows[0]["state"] in self._plan.ends:
            return []
        found = f"{rows[0]['state']} ({rows[0]['reason']})" if rows else "without a job"
        return [f"end: the exam is {found} and should be {' or '.join(self._plan.ends)}"]

    def _measure(self) -> None:
        for strike in self._plan.strikes:
            begun, ended = self._struck_at[strike.name]
            kind = strike.scenario.recovery
            seconds = measure(kind, self._site, self._exam.study, begun, ended, self._passed_s)
            if seconds is not None:
                self.result.recovery[kind] = seconds

    @property
    def images(self) -> Sequence[Image]:
        return (*self._exam.images, *self._exam.late)


def make_calm(site: Site) -> None:
    """End whatever a fault has left behind."""
    site.pacs.feel(Mood())
    site.front.calm()
    site.back.calm()


_JOB = "SELECT 1 FROM jobs j JOIN studies s ON s.id = j.study_id WHERE s.study_instance_uid = ?"
_MOMENTS = {
    "job": _JOB,
    "claimed": f"{_JOB} AND j.attempts > 0",
    "analysed": f"{_JOB} AND j.state NOT IN ('queued', 'analysing')",
}
_LEFT = """
SELECT 'study' AS what, state, reason FROM studies WHERE state = 'open'
UNION ALL SELECT 'job', state, reason FROM jobs
    WHERE state IN ('queued', 'analysing', 'analysed', 'delivered')
UNION ALL SELECT 'delivery', state, reason FROM deliveries
    WHERE state IN ('waiting', 'sent', 'unknown') OR (state = 'accepted' AND needs_commitment = 1)
"""
