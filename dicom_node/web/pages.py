"""The pages that people open in a browser."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dicom_node.certificates import inventory
from dicom_node.domain.assessment import CATEGORIES, category_of
from dicom_node.domain.certificate import URGENT, Validity
from dicom_node.domain.identifiers import is_uid
from dicom_node.errors import ConfigurationError, LedgerError
from dicom_node.settings import Settings
from dicom_node.store.archive import Archive
from dicom_node.store.disk import disk_of
from dicom_node.store.ledger import Ledger
from dicom_node.store.overview import StudySheet
from dicom_node.web import figures
from dicom_node.web.exams import SHOWN, ExamList
from dicom_node.web.forms import from_our_own_page, small_form
from dicom_node.web.records import RecordShelf
from dicom_node.web.report import report_page
from dicom_node.web.study import study_page
from dicom_node.web.words import STATES, view_words

WORKER_ALIVE_S = 30.0
TEMPLATES = Path(__file__).parent / "templates"
PICTURE_ROLES = frozenset({"preview", "heat_map"})
# What was written for a job never changes, but patients' images shall not stay in a browser long.
_PICTURE_CACHE = "private, max-age=3600, immutable"
_PAGE_CACHE = "no-store"  # pages name patients: nothing of them stays behind in a browser


def templates(settings: Settings, version: str) -> Environment:
    """Templates that escape whatever they are given and complain about what is missing."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ago": figures.ago,
        "duration": figures.duration,
        "offset": figures.offset,
        "local_time": figures.local_time,
        "iso_time": figures.iso_time,
        "file_size": figures.file_size,
        "percent": figures.percent,
        "view_words": view_words,
    }
    environment.globals |= {
        "count": figures.count,
        "version": version,
        "listener": settings.listener,
        "doors": settings.doors,
        "profiles": settings.listener.ae_titles,
    }
    return environment


def rendered(
    environment: Environment, template: str, values: Mapping[str, object], status: int = 200
) -> Response:
    """A page that nobody keeps: it may name patients."""
    text = environment.get_template(template).render(values)
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": _PAGE_CACHE})


class Pages:
    """Endpoints for people; plain methods, so that they run in threads and may ask the database."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        archive: Archive,
        house_templates: Environment,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._archive = archive
        self._disk = disk_of(settings)
        self._clock = clock
        self._shelf = RecordShelf(archive)
        expected = settings.completeness.expected_views
        self._expected = expected
        self._exams = ExamList(ledger, self._shelf, expected, clock)
        self._templates = house_templates

    def exams(self, _request: Request) -> Response:
        """The list of exams."""
        return self._html("exams.html", self._list_values())

    def exams_fragment(self, _request: Request) -> Response:
        """What of the list changes, for the page's own refresh."""
        return self._html("exams_fragment.html", self._list_values())

    async def search(self, request: Request) -> Response:
        """Exams by accession number, Patient ID, UID.

        The words come in the body of a POST, because whatever stands in a URL ends up in logs.
        """
        fields = await small_form(request)
        return await run_in_threadpool(self._search, fields.get("q", ""))

    def study(self, request: Request) -> Response:
        """One study."""
        return self._html("study.html", self._study_values(request))

    def study_fragment(self, request: Request) -> Response:
        """What of a study's page changes."""
        return self._html("study_fragment.html", self._study_values(request))

    async def assess(self, request: Request) -> Response:
        """A radiologist's BI-RADS category for one breast."""
        from_our_own_page(request)
        fields = await small_form(request)
        return await run_in_threadpool(self._assess, request, fields)

    def picture(self, request: Request) -> Response:
        """A picture that a worker made of an analysed view."""
        uid, job, role, key = (request.path_params[name] for name in ("uid", "job", "role", "key"))
        sha256 = None
        if role in PICTURE_ROLES and is_uid(uid):
            sha256 = self._ledger.overview.artefact_hash(uid, job, role, key)
        if sha256 is None:
            raise HTTPException(404, "No such picture: it was never made for this analysis.")
        headers = {"ETag": f'"{sha256}"', "Cache-Control": _PICTURE_CACHE}
        if sha256 in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self._archive.read(sha256), media_type="image/png", headers=headers)

    def report(self, request: Request) -> Response:
        """The report of one analysis in words, with the outlines."""
        uid, job = request.path_params["uid"], request.path_params["job"]
        sheet = self._sheet(uid)
        sha256 = self._ledger.overview.artefact_hash(uid, job, "sr", "exam")
        if sha256 is None:
            raise HTTPException(404, "No such report: this analysis has not written one.")
        page = report_page(sheet, job, self._archive.read(sha256))
        return self._html("report.html", vars(page))

    def error(self, status: int, title: str, reason: str, advice: str) -> Response:
        """A page that says what went wrong and what to do."""
        values = {"code": status, "title": title, "reason": reason, "advice": advice}
        return self._html("error.html", values, status)

    def _assess(self, request: Request, fields: Mapping[str, str]) -> Response:
        if not self._settings.assistance.birads:
            raise HTTPException(404, "No categories are taken: assistance.birads is off.")
        uid = request.path_params["uid"]
        if not is_uid(uid):
            raise HTTPException(404, "No image of this study was ever received here.")
        try:
            side, category = category_of(f"{fields.get('breast', '')} {fields.get('category', '')}")
            self._ledger.revisions.assess(uid, side, category, actor="page")
        except (ConfigurationError, LedgerError) as error:
            raise HTTPException(409, str(error)) from error
        return RedirectResponse(f"/study/{uid}", status_code=303)

    def _search(self, text: str) -> Response:
        if not text:
            return RedirectResponse("/", status_code=303)
        rows = self._exams.found(text)
        if len(rows) == 1:
            uid = rows[0].line.study_instance_uid
            return RedirectResponse(f"/study/{uid}", status_code=303)
        values = self._list_values() | {"rows": rows, "searched": text}
        return self._html("exams.html", values)

    def _list_values(self) -> dict[str, object]:
        counts = self._ledger.overview.counts()
        rows = self._exams.newest()
        return {
            "rows": rows,
            "searched": "",
            "total": sum(counts["studies"].values()),
            "shown": SHOWN,
            "numbers": _numbers(counts),
            "workers": self._ledger.workers.alive(WORKER_ALIVE_S),
            "destinations": self._settings.destinations,
            "shortage": self._disk.shortage(),
            "everyone": self._everyone_may_come_in(),
            "certificates": self._certificates(),
            "now": self._clock(),
        }

    def _certificates(self) -> list[tuple[str, str]]:
        """Certificates that expire soon or are over, each as a tone and words."""
        now = self._clock()
        return [
            ("bad" if one.validity(now) in URGENT else "warn", one.words(now))
            for one in inventory(self._settings)
            if one.validity(now) is not Validity.GOOD
        ]

    def _everyone_may_come_in(self) -> bool:
        """Whether somebody from elsewhere can send without being on any list."""
        settings = self._settings
        local = settings.listener.host in {"127.0.0.1", "::1", "localhost"}
        return not local and not settings.peers and not self._ledger.peers.all()

    def _study_values(self, request: Request) -> dict[str, object]:
        sheet = self._sheet(request.path_params["uid"])
        workers = self._ledger.workers.alive(WORKER_ALIVE_S)
        page = study_page(
            sheet,
            self._shelf,
            workers=len(workers),
            destinations=len(self._settings.destinations),
            archive=self._settings.archive,
        )
        categories = CATEGORIES if self._settings.assistance.birads else ()
        return {"page": page, "categories": categories}

    def _sheet(self, uid: str) -> StudySheet:
        sheet = self._ledger.overview.sheet(uid, self._expected) if is_uid(uid) else None
        if sheet is None:
            raise HTTPException(404, "No image of this study was ever received here.")
        return sheet

    def _html(self, template: str, values: Mapping[str, object], status: int = 200) -> Response:
        return rendered(self._templates, template, values, status)


def _numbers(counts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, int, str]]:
    """The head's figures: state, number, tone; what asks for attention only when it is there."""
    jobs, studies, deliveries = counts["jobs"], counts["studies"], counts["deliveries"]
    waiting = sum(deliveries.get(state, 0) for state in ("waiting", "sent", "unknown"))
    always = [
        ("open", studies.get("open", 0), "work"),
        *((state, jobs.get(state, 0), "work") for state in ("queued", "analysing")),
        ("objects to deliver", waiting, "work"),
    ]
    sometimes = [
        *((s, jobs.get(s, 0), STATES[s].tone) for s in ("held", "unsuitable", "failed")),
        ("objects refused", deliveries.get("refused", 0), "bad"),
        ("objects held", deliveries.get("held", 0), "warn"),
        ("objects replaced", deliveries.get("replaced", 0), "warn"),
        *((f"files {fault}", number, "bad") for fault, number in counts["files"].items()),
    ]
    return [*always, *(figure for figure in sometimes if figure[1])]
