"""cluster.yaml, as `ray up` would read it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

FILE = Path(__file__).resolve().parent.parent / "cluster.yaml"


@pytest.mark.ray
def test_cluster_yaml_passes_rays_own_validation() -> None:
    """The way of `ray up` itself, up to where it would start machines."""
    from ray.autoscaler._private.providers import _NODE_PROVIDERS
    from ray.autoscaler._private.util import prepare_config, validate_config

    def validated(config: dict) -> dict:
        provider = _NODE_PROVIDERS[config["provider"]["type"]](config["provider"])
        config = provider.fillout_available_node_types_resources(prepare_config(config))
        validate_config(config)
        return provider.bootstrap_config(config)

    config = yaml.safe_load(FILE.read_text())
    assert validated(config)["cluster_name"] == "orchestrator"
    with pytest.raises(Exception, match="setup_comands"):
        validated(yaml.safe_load(FILE.read_text()) | {"setup_comands": []})


def test_the_nodes_get_all_that_the_package_looks_for_beside_itself() -> None:
    mounts = yaml.safe_load(FILE.read_text())["file_mounts"]
    for name in ("orchestrator", "conf", "jobs", "data", "pyproject.toml", "README.md"):
        assert mounts[f"~/orchestrator/{name}"] == name
        assert (FILE.parent / name).exists()


def test_the_head_asks_for_a_token_and_listens_on_loopback_only() -> None:
    config = yaml.safe_load(FILE.read_text())
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    starts = [command for command in starts if "ray start" in command]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    # Ray's newer autoscaler never starts the workers of a `local` cluster.
    assert "RAY_enable_autoscaler_v2=0" in starts[0]
    assert "~/.ray/auth_token" in config["file_mounts"]
    assert any("chmod 600 ~/.ray/auth_token" in command for command in config["setup_commands"])
