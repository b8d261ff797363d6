from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import RequestError
from orchestrator.settings.tracking import Mode, Tracking
from orchestrator.tracking.wandb.credentials import choose, clean, find_key, mode_here

HOST = "https://wandb.example:8443"


def test_the_file_of_the_job_comes_first_then_the_environment_then_netrc(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine wandb.example:8443 login user password of-netrc\n")
    (tmp_path / "key").write_text("of-file\n")
    environ = {"NETRC": str(tmp_path / "netrc")}
    named = Tracking(api_key_file=str(tmp_path / "key"))
    assert find_key(named, HOST, environ | {"WANDB_API_KEY": "of-node"}) == "of-file"
    assert find_key(Tracking(), HOST, environ | {"WANDB_API_KEY": "of-node"}) == "of-node"
    assert find_key(Tracking(), HOST, environ) == "of-netrc"
    assert find_key(Tracking(), "https://other.example", environ) is None


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read on this node"), (" \n", "is empty")]
)
def test_a_key_file_that_was_named_must_hold_a_key(
    tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(RequestError, match=said):
        find_key(Tracking(api_key_file=str(file)), HOST, {"WANDB_API_KEY": "another"})


def test_auto_is_online_where_there_is_a_key() -> None:
    assert choose(Mode.AUTO, "key") is Mode.ONLINE
    assert choose(Mode.AUTO, None) is Mode.OFFLINE
    assert choose(Mode.OFFLINE, "key") is Mode.OFFLINE
    with pytest.raises(RequestError, match=r"tracking\.mode=online, and there is no key"):
        choose(Mode.ONLINE, None)


def test_auto_is_what_the_node_says_and_nothing_else_is() -> None:
    for said, mode in {"offline": Mode.OFFLINE, "disabled": Mode.OFF, "what": Mode.AUTO}.items():
        assert mode_here(Mode.AUTO, {"WANDB_MODE": said}) is mode
        assert mode_here(Mode.ONLINE, {"WANDB_MODE": said}) is Mode.ONLINE
    assert mode_here(Mode.AUTO, {}) is Mode.AUTO


def test_the_node_cannot_change_which_run_is_written() -> None:
    environ = {"WANDB_RUN_ID": "x", "WANDB_MODE": "disabled", "WANDB_API_KEY": "k", "PATH": "/bin"}
    clean(environ)
    assert environ == {"WANDB_API_KEY": "k", "PATH": "/bin", "WANDB_ERROR_REPORTING": "false"}
