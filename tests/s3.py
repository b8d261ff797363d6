"""A real S3 server on a free loopback port. All that run in one process show the same objects."""

from __future__ import annotations

import logging
import threading


class S3Server:
    """moto's S3 by itself: moto's own server finds out anew which service is meant at each call."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import (
            create_backend_app,
        )  # not for tests without a store
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server("127.0.0.1", 0, create_backend_app("s3"), threaded=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self._thread.start()
        self.endpoint = f"127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
