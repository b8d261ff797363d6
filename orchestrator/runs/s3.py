"""The file system of an S3 server, with time-outs: `open_storage` asks for it.

pyarrow's own `from_uri` takes none, and without them a dead endpoint hangs long.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from pyarrow import fs

_CONNECT_S, _REQUEST_S, _TRIES = 5.0, 20.0, 3


def connect(query: str) -> Any:
    """`query` is what follows the `?` of a storage's URI; ValueError for what it cannot be."""
    options = {key: values[-1] for key, values in parse_qs(query).items()}
    known = {"endpoint_override", "scheme", "region", "allow_bucket_creation"}
    if unknown := set(options) - known:
        raise ValueError(f"?{', '.join(sorted(unknown))} is not one of {', '.join(sorted(known))}")
    creation = options.pop("allow_bucket_creation", "false") == "true"
    endpoint = options.get("endpoint_override", "")
    if endpoint.startswith(("http://", "https://")):
        options["scheme"], _, options["endpoint_override"] = endpoint.partition("://")
    return fs.S3FileSystem(
        connect_timeout=_CONNECT_S,
        request_timeout=_REQUEST_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_TRIES),
        allow_bucket_creation=creation,
        # In the background it would keep copies of all that the network has not taken yet.
        background_writes=False,
        allow_delayed_open=True,  # a small file is one request then, instead of three
        **options,
    )
