"""Training itself: schedules, engines, checkpoints, the loop. Knows nothing of Ray."""
