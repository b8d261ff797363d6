"""cluster.yaml, as `ray up` would read it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

FILE = Path(__file__).resolve().parent.parent / "cluster.yaml"


@pytest.mark.ray
def test_cluster_yaml_passes_rays_own_validation() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load(FILE.read_text()))
    validate_config(config)
    del config["provider"]
    with pytest.raises(Exception, match="provider"):
        validate_config(config)


def test_the_head_asks_for_a_token_and_listens_on_loopback_only() -> None:
    config = yaml.safe_load(FILE.read_text())
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    starts = [command for command in starts if "ray start" in command]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "~/.ray/auth_token" in config["file_mounts"]
    assert any("chmod 600 ~/.ray/auth_token" in command for command in config["setup_commands"])
