from __future__ import annotations

import pickle
import re
from collections.abc import Iterator

import pytest

from orchestrator import errors
from orchestrator.errors import OrchestratorError, RequestError, SettingsError
from orchestrator.runs.lease import LeaseLost


def _tree(kind: type[OrchestratorError]) -> Iterator[type[OrchestratorError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def _example(kind: type[OrchestratorError]) -> OrchestratorError:
    return kind(["a", "b"]) if kind is SettingsError else kind("found", hint="do this")


@pytest.mark.parametrize(
    "kind",
    [kind for kind in _tree(OrchestratorError) if kind.__module__ == errors.__name__],
    ids=lambda kind: kind.__name__,
)
def test_every_error_crosses_a_process_border_whole(kind: type[OrchestratorError]) -> None:
    error = _example(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.args, again.hint) == (str(error), error.args, error.hint)
    assert again.exit_code == error.exit_code
    assert again.__dict__ == error.__dict__


def test_an_error_of_a_higher_layer_crosses_too() -> None:
    again = pickle.loads(pickle.dumps(LeaseLost("gone", hint="stop")))
    assert isinstance(again, LeaseLost)
    assert str(again) == "gone\nstop"


def test_exit_codes_are_those_that_the_docstring_tells() -> None:
    told = dict(re.findall(r"(\w+) +(\d)  ", str(errors.__doc__)))
    ours = {kind for kind in _tree(OrchestratorError) if kind.__module__ == errors.__name__}
    assert told == {kind.__name__: str(kind.exit_code) for kind in ours}


def test_a_mistake_in_a_request_says_how_many_there_are() -> None:
    assert str(SettingsError(["one"])).startswith("1 mistake; nothing was started.")
    both = SettingsError(["one", "two"])
    assert str(both).splitlines() == ["2 mistakes; nothing was started.", "one", "two"]
    assert isinstance(both, RequestError)
