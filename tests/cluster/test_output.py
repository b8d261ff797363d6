from orchestrator.cluster.output import for_people, plain


def test_a_workers_line_is_shown_without_rays_prefix() -> None:
    line = plain("\x1b[36m(RayTrainWorker pid=9688, ip=10.0.0.1)\x1b[0m step 400/1000")
    assert for_people(line) == "step 400/1000"


def test_what_ray_says_to_itself_is_for_the_log_only() -> None:
    chatter = [
        "(TrainController pid=9549) Requesting resources: {'CPU': 1.0} * 2",
        "(PlacementGroupCleaner pid=9622) Exception in thread",
        "2026-11-21 03:48:41,947\tINFO worker.py:2038 -- Started a local Ray instance.",
        "(RayTrainWorker pid=7) [2026-11-21 03:48:59,259 E 9549 9583] core_worker.cc:2465: Actor",
        "(TrialActor pid=7) trial 0001 | [2026-11-21 18:26:57,561] [WARNING] "
        "[real_accelerator.py:213:get_accelerator] Setting accelerator to CPU.",
    ]
    assert {for_people(line) for line in chatter} == {None}


def test_everything_else_is_shown_as_it_is() -> None:
    for line in ("", "loss 6.2", "(note) in brackets", "Traceback (most recent call last):"):
        assert for_people(line) == line
