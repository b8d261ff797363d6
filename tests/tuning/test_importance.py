"""Which settings a value hangs on: told where there is something to tell, and else not."""

from __future__ import annotations

import random

import pytest

from orchestrator.settings.space import Space, read_space
from orchestrator.tuning.importance import LEAST_TRIALS, importance_of
from orchestrator.tuning.trials import Fate, Trial

pytestmark = pytest.mark.slow

SPACE: Space = read_space(
    {
        "optim": {"lr": {"log_uniform": [1e-5, 1e-3]}, "weight_decay": {"uniform": [0.0, 0.1]}},
        "transfer": {
            "way": {"choice": ["full", "adapters"]},
            "rank": {"choice": [4, 8], "when": {"transfer.way": "adapters"}},
        },
    }
)[0]


def trials(count: int, *, decided_by: str, fate: Fate = Fate.FINISHED) -> list[Trial]:
    chance = random.Random(3)
    shares = iter(chance.random, None)
    found = []
    for number in range(count):
        point = SPACE.at(shares)
        value = {"lr": point["optim.lr"], "way": point["transfer.way"] == "full"}
        known = float(value.get(decided_by, chance.random()))
        found.append(Trial(number=number, point=point, seed=1, fate=fate, value=known))
    return found


@pytest.mark.parametrize(("decided_by", "key"), [("lr", "optim.lr"), ("way", "transfer.way")])
def test_the_setting_that_decides_is_named(decided_by: str, key: str) -> None:
    found = importance_of(SPACE, trials(30, decided_by=decided_by))
    assert found.shares[0][0] == key and found.shares[0][1] > 0.5
    others = [share for other, share in found.shares if other != key]
    assert max(others) < 0.1, "whether a setting is there at all counts for what its `when` names"
    assert sum(share for _, share in found.shares) == pytest.approx(1)
    assert found.foretold is not None and found.foretold > 0.6 and not found.caution


def test_where_nothing_decides_it_says_so() -> None:
    found = importance_of(SPACE, trials(20, decided_by="chance"))
    assert found == importance_of(SPACE, trials(20, decided_by="chance")), "and the same again"
    assert found.foretold is not None and found.foretold < 0.2
    assert "hint" in found.caution


def test_few_trials_and_those_that_were_given_up_tell_nothing() -> None:
    few = trials(LEAST_TRIALS - 1, decided_by="lr")
    many = trials(30, decided_by="lr", fate=Fate.STOPPED)
    found = importance_of(SPACE, few + many)
    assert (found.num_trials, found.shares) == (LEAST_TRIALS - 1, ())
    assert f"{LEAST_TRIALS - 1} trials have finished" in found.caution


def test_settings_that_are_all_the_same_tell_nothing() -> None:
    same = [trials(1, decided_by="lr")[0]] * LEAST_TRIALS
    assert importance_of(SPACE, same).shares == ()
