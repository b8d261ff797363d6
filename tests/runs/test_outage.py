"""A storage that goes away for a while: followers wait, and neither repeat nor lose a line."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from orchestrator.api import Run
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ids import new_id
from orchestrator.runs.segments import StreamWriter
from orchestrator.runs.storage import open_storage


class Wire:
    """A loopback connection to the S3 server that can be cut."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.address = "{}:{}".format(*self._server.getsockname())
        self.is_cut = False
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def cut(self) -> None:
        self.is_cut = True
        self._drop()

    def mend(self) -> None:
        self.is_cut = False

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._drop()
        self._thread.join()

    def _drop(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self) -> None:
        pumps = []
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                break
            if self.is_cut:
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._open += [client, server]
            for ends in ((client, server), (server, client)):
                pumps.append(threading.Thread(target=self._pump, args=ends))
                pumps[-1].start()
        for pump in pumps:
            pump.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(s3_endpoint: str) -> Iterator[Wire]:
    host, port = s3_endpoint.rsplit(":", 1)
    made = Wire((host, int(port)))
    yield made
    made.close()


@pytest.mark.faults
def test_a_follower_survives_a_cut_wire_without_repeating_or_losing_a_line(
    wire: Wire, s3_endpoint: str, s3_uri: str
) -> None:
    run_id = new_id("probe")
    near = RunFolder(open_storage(s3_uri), run_id)
    near.note("created")
    near.note("submitted", attempt=1)
    log = StreamWriter(near.storage, layout.LOGS, attempt=1, writer="driver", suffix="log")
    far = Run(RunFolder(open_storage(s3_uri.replace(s3_endpoint, wire.address)), run_id))
    complaints: list[str] = []
    seen: list[str] = []

    def complain(text: str) -> None:
        """The first complaint shows that the cut was felt; then the wire is mended."""
        complaints.append(text)
        wire.mend()

    for i in range(20):
        log.append(b"before %d" % i, durable=True)
    for line in far.logs(follow=True, say=complain):
        seen.append(line)
        if line == "before 19":
            wire.cut()
            for i in range(20):
                log.append(b"during %d" % i, durable=True)
            near.note("finished", attempt=1)
    assert complaints, "the wire was cut and nobody noticed"
    assert seen == [f"{word} {i}" for word in ("before", "during") for i in range(20)]
