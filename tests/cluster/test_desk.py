"""What is left at a group's desk, without the actor around it."""

from __future__ import annotations

from orchestrator.cluster.desk import Desk, Measurement


def test_a_stop_that_comes_after_a_rank_has_ended_was_not_in_time() -> None:
    desk = Desk()
    assert desk.ask_stop("more workers fit")
    assert desk.stop_reason() == "more workers fit"
    desk.put(1, None)
    assert not desk.ask_stop("a node goes")
    assert desk.stop_reason() == "a node goes"


def test_the_last_step_of_each_rank_is_known_with_its_age() -> None:
    desk = Desk()
    for rank, step in ((0, 1), (1, 1), (0, 2)):
        desk.beat(rank, step)
    beats = desk.beats()
    assert {rank: beat.step for rank, beat in beats.items()} == {0: 2, 1: 1}
    assert beats[0].silent_s <= beats[1].silent_s


def test_a_measurement_waits_for_its_own_answer() -> None:
    desk = Desk()
    assert desk.measurement() is None
    told = Measurement(step=4, values={"eval/loss": 0.5})
    desk.measured(told)
    assert desk.measurement() == told and not desk.is_answered(4)
    desk.answer(4)
    assert desk.measurement() is None and desk.is_answered(4)
    desk.measured(Measurement(step=8, values={}))
    assert not desk.is_answered(8)
