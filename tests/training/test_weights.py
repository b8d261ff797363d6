"""Whatever ZeRO divided, the weights that are read are the ones that the ranks held."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from orchestrator.errors import StorageError
from orchestrator.settings.precision import Precision
from orchestrator.training.weights import is_wanted, weights_of
from tests.training.gathering import WORLD, rank_main
from tests.training.ranks import fork, join

pytestmark = pytest.mark.processes

OTHERS = pytest.param(Precision.FP32, marks=pytest.mark.long)


@pytest.fixture(scope="module", params=[Precision.BF16, OTHERS])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Precision]:
    folder = tmp_path_factory.mktemp("trained")
    processes = [fork(rank_main, folder, rank, request.param) for rank in range(WORLD)]
    join(processes, [folder / f"output-{rank}" for rank in range(WORLD)])
    return folder, request.param


def test_they_are_bit_for_bit_what_the_ranks_held(trained: tuple[Path, Precision]) -> None:
    folder, precision = trained
    for stage in range(4):
        held = torch.load(folder / str(stage) / "held.pt")
        found = weights_of(folder / str(stage) / "step", stage, precision)
        assert found.keys() == held.keys(), stage
        for name, weight in held.items():
            assert found[name].dtype == torch.float32
            assert torch.equal(found[name], weight), f"stage {stage}: {name}"


def test_files_that_are_not_wanted_are_not_needed(
    trained: tuple[Path, Precision], tmp_path: Path
) -> None:
    folder, precision = trained
    for stage in range(4):
        some = tmp_path / str(stage)
        ignored = lambda _, names: [name for name in names if not is_wanted(name)]  # noqa: E731
        shutil.copytree(folder / str(stage) / "step", some, ignore=ignored)
        weights_of(some, stage, precision)


def test_a_missing_rank_is_no_smaller_model(
    trained: tuple[Path, Precision], tmp_path: Path
) -> None:
    folder, precision = trained
    for stage, rank, said in [(1, 0, r"ranks \[1\]"), (2, 1, "weights"), (3, 1, "weights")]:
        part = tmp_path / str(stage)
        shutil.copytree(folder / str(stage) / "step", part)
        for path in part.glob(f"*zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"):
            path.unlink()
        with pytest.raises(StorageError, match=said):
            weights_of(part, stage, precision)


def test_master_weights_of_another_model_are_not_taken(
    trained: tuple[Path, Precision], tmp_path: Path
) -> None:
    folder, precision = trained
    if precision is Precision.FP32:
        return  # there are none beside it
    path = tmp_path / "mp_rank_00_model_states.pt"
    states = torch.load(folder / "0" / "step" / path.name)
    states["optimizer"]["fp32_groups"][0][2] += 1
    torch.save(states, path)
    with pytest.raises(StorageError, match=r"are not those of encoder\.model\.bert\.emb"):
        weights_of(tmp_path, 0, precision)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"what?" * 100])
def test_a_file_that_is_none_says_so(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mp_rank_00_model_states.pt").write_bytes(content)
    with pytest.raises(StorageError, match="is not a checkpoint as this version writes it"):
        weights_of(tmp_path, 0, Precision.FP32)
    with pytest.raises(StorageError, match=r"it has no zero_pp_rank_0_mp_rank_00_model_states\.pt"):
        weights_of(tmp_path, 3, Precision.FP32)
