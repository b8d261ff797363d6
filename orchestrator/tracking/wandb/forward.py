"""The forwarder's work: follow a run's folder, send what W&B does not have, look whether it came.

Called by `__main__.py` once there is a figure. It ends when the driver's word comes that the run
is over (`ending.py`); what is in the folder by then is still sent.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from orchestrator.errors import RequestError
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import LedgerReader
from orchestrator.runs.state import Status
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.tracking import Mode
from orchestrator.tracking.exhibits import Exhibit, list_exhibits
from orchestrator.tracking.wandb import places
from orchestrator.tracking.wandb.about import About, exit_code
from orchestrator.tracking.wandb.arrival import KeyRefused, Server, ServerError, greet
from orchestrator.tracking.wandb.credentials import Access
from orchestrator.tracking.wandb.delivered import Delivered
from orchestrator.tracking.wandb.ending import Word, within
from orchestrator.tracking.wandb.feed import Feed
from orchestrator.tracking.wandb.offline import Offline
from orchestrator.tracking.wandb.part import parts_of
from orchestrator.tracking.wandb.report import LINKED, Report, Standing, write_report
from orchestrator.tracking.wandb.session import INIT_S, Session, SessionLost
from orchestrator.tracking.wandb.verify import differences, told

_COMMITTED = "checkpoint_committed"
_TELL_EVERY_S = 10.0
_SLACK_S = 15.0
_INIT_S = INIT_S + _SLACK_S
_ONE_AT_A_TIME = threading.Lock()  # wandb's init is not for several threads at once


@dataclass(frozen=True, kw_only=True)
class Pace:
    poll_s: float = 2.0
    check_s: float = 30.0  # how often W&B is asked how much it has
    stall_s: float = 240.0  # as long without a row arriving, and the session is given up
    settle_s: float = 20.0  # how long the last rows may take after W&B took them


@dataclass(kw_only=True)
class Forwarding:
    run: RunFolder
    about: About
    access: Access
    word: Word  # who is not followed is looked at in W&B afterwards, row by row
    finish_s: float
    give_up: Callable[[], None]  # ends the process, where wandb waits for what will never come
    status: Callable[[], Status]
    scratch: Path  # a folder on this node
    is_part: bool = False  # of a run, which has the ledger and says where both are shown
    pace: Pace = field(default_factory=Pace)
    report: Report = field(init=False)
    _feed: Feed = field(init=False)
    _events: LedgerReader = field(init=False)
    _delivered: Delivered = field(init=False)
    _is_verified: bool = field(init=False)
    _is_sent: threading.Event = field(default_factory=threading.Event)
    _checked: float = 0.0
    _progressed: float = 0.0
    _told: float = 0.0

    def __post_init__(self) -> None:
        self._is_verified = not self.word.follows
        self._feed = Feed(run=self.run.storage)
        self._events = LedgerReader(self.run.storage)
        self._delivered = Delivered(run=self.run.storage, project=self.about.project)
        self.report = Report(
            standing=Standing.FOLLOWING, mode=self.access.mode.value, run=self.about.id
        )

    def to_the_end(self) -> Report:
        """COMPLETE or BEHIND. A session that breaks is a SessionLost, and may be tried again."""
        replayed = self._feed.replay()
        rows = list(itertools.islice(replayed, 1))
        while not rows and not (rows := self._feed.read_new()) and not self._has_parts():
            if self.word.is_over(self.pace.poll_s):
                return self._settle(Standing.COMPLETE)  # no figure: W&B has nothing to show
        self._greet()
        with _ONE_AT_A_TIME, within(_INIT_S, self.give_up):
            session = Session(self.about, self.access.mode, self._folder(), finish_s=self.finish_s)
        threading.Thread(target=self._watch_core, daemon=True, name="wandb-core").start()
        server = self._server(session)
        self._tell(url=session.url)
        self._link(session.url)
        session.link(self.about)
        for number, row in enumerate(itertools.chain(rows, replayed)):
            if number >= session.first_row:
                session.log(row)
        self._refuse_if_strange(session)
        self._follow(session, server)
        status = self.status()
        session.conclude(state=str(status.state), reason=status.reason.partition("\n")[0])
        with within(self.finish_s + _SLACK_S, self.give_up):
            session.finish(exit_code(status))
        self._is_sent.set()
        return self._verdict(session, server)

    def _greet(self) -> None:
        """A server that is not there, or does not know us, would hold wandb up for a minute."""
        if self.access.mode is not Mode.ONLINE:
            return
        assert self.access.key is not None
        try:
            greet(self.access.server_url, self.access.key)
        except KeyRefused as err:
            if self._is_verified:  # somebody waits for the answer; else it may pass
                raise RequestError(err.message, hint=err.hint) from err
            raise

    def _has_parts(self) -> bool:
        """They have their links and their group from a run that may measure nothing itself."""
        return self.about.has_parts and any(each.num_bytes for each in parts_of(self.run))

    def _link(self, url: str | None) -> None:
        """The run's own record of where it is shown, once for each attempt."""
        if self.is_part:
            return
        attempt = self.status().attempt
        links = [event for event in self.run.events() if event.kind == LINKED]
        known = (links[-1].attempt, links[-1].fields.get("url")) if links else None
        if url is not None and known != (attempt, url):
            self.run.note(LINKED, attempt=attempt, url=url)

    def _watch_core(self) -> None:
        """A call of wandb can wait for ever for the answer of a wandb-core that was killed."""
        cores = [child for child in psutil.Process().children() if child.name() == "wandb-core"]
        while not self._is_sent.wait(1.0):
            if not any(_is_alive(core) for core in cores):
                self.give_up()

    def _refuse_if_strange(self, session: Session) -> None:
        if session.first_row > self._feed.num_rows:
            raise RequestError(
                f"W&B has {session.first_row} rows of {self.about.id}, and this folder knows of "
                f"{self._feed.num_rows}: its {places.ORDER} is lost, or somebody else wrote there.",
                hint="Send the run again under another name: `orchestrator wandb sync RUN "
                "--project NAME`, after deleting the run's folder wandb/.",
            )

    def _follow(self, session: Session, server: Server | None) -> None:
        self._progressed = self._checked = time.monotonic()
        is_over = False
        while not is_over:
            is_over = self.word.is_over(self.pace.poll_s)  # first: what is there by then is all
            self._send_new(session)
            if server is not None:
                self._check(server)

    def _send_new(self, session: Session) -> None:
        while rows := self._feed.read_new():
            for row in rows:
                session.log(row)
        if (
            self.access.mode is Mode.ONLINE
        ):  # W&B's offline files would hold copies; sync adds these
            self._send_references(session)
        self._tell()

    def _send_references(self, session: Session) -> None:
        for event in self._events.read_new():
            if event.kind == _COMMITTED and not self.is_part:  # a trial's go when it ends
                self._refer(session, int(event.fields["step"]))
        for exhibit in list_exhibits(self.run.storage):
            self._show(session, exhibit)

    def _refer(self, session: Session, step: int) -> None:
        name = layout.checkpoint(step)
        commit = f"{name}/{layout.COMMIT}"
        if self._delivered.has(name) or not self.run.storage.exists(
            commit
        ):  # it was given up since
            return
        uri = f"{self.run.uri.partition('?')[0]}/{commit}"
        is_path = "://" not in uri
        session.refer(f"{self.about.id}-checkpoint", step, f"file://{uri}" if is_path else uri)
        self._delivered.add(name)

    def _show(self, session: Session, exhibit: Exhibit) -> None:
        if self._delivered.has(exhibit.path):
            return
        folder = self.scratch / "exhibits"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / exhibit.file
        file.write_bytes(self.run.storage.read(exhibit.path))
        session.show(f"{self.about.id}-{exhibit.name}", exhibit, file)
        self._delivered.add(exhibit.path)

    def _check(self, server: Server) -> None:
        now = time.monotonic()
        if now - self._checked < self.pace.check_s:
            return
        self._checked = now
        with suppress(ServerError):  # an outage is wandb-core's to wait out
            arrived = server.count()
            if arrived > self.report.arrived or arrived >= self._feed.num_rows:
                self._progressed = now
            self._tell(arrived=arrived)
        if now - self._progressed > self.pace.stall_s:
            raise SessionLost(
                f"No row arrived in W&B for {now - self._progressed:.0f} s: it has "
                f"{self.report.arrived} of {self._feed.num_rows}"
            )

    def _verdict(self, session: Session, server: Server | None) -> Report:
        if server is None:
            self._tell(arrived=self._feed.num_rows)
            Offline(self.run.storage).keep_only(session.folder)
            return self._settle(Standing.COMPLETE)
        deadline = time.monotonic() + self.pace.settle_s
        arrived = server.count()
        while arrived != self._feed.num_rows and time.monotonic() < deadline:
            time.sleep(self.pace.poll_s)
            arrived = server.count()
        self._tell(arrived=arrived)
        if arrived != self._feed.num_rows:
            reason = f"W&B has {arrived} of {self._feed.num_rows} rows"
            return self._settle(Standing.BEHIND, reason)
        if self._is_verified and (found := self._differences(server)):
            return self._settle(Standing.DIFFERENT, told(found))
        self._delivered.write()
        return self._settle(Standing.COMPLETE)

    def _differences(self, server: Server) -> list[str]:
        ours = Feed(run=self.run.storage).replay()
        return list(differences(ours, server.rows(self._feed.num_rows)))

    def _settle(self, standing: Standing, reason: str = "") -> Report:
        self._feed.close()
        self.report = replace(self.report, standing=standing, reason=reason)
        write_report(self.run.storage, self.report)
        return self.report

    def _tell(self, *, url: str | None = None, arrived: int | None = None) -> None:
        old, now = self.report, time.monotonic()
        self.report = replace(
            old,
            rows=self._feed.num_rows,
            url=url or old.url,
            arrived=old.arrived if arrived is None else arrived,
        )
        is_due = url is not None or now - self._told >= _TELL_EVERY_S
        if self.report != old and is_due:
            self._told = now
            write_report(self.run.storage, self.report)

    def _server(self, session: Session) -> Server | None:
        if self.access.mode is not Mode.ONLINE:
            return None
        assert self.access.key is not None
        return Server(
            url=self.access.server_url,
            entity=session.entity,
            project=self.about.project,
            run=self.about.id,
            key=self.access.key,
        )

    def _folder(self) -> Path:
        storage = self.run.storage
        if self.access.mode is Mode.OFFLINE and isinstance(storage, LocalStorage):
            Offline(storage).keep_newest()
            return storage.path()
        return self.scratch


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
