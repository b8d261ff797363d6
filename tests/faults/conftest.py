from tests.real import cluster, environment, orchestrate

__all__ = ["cluster", "environment", "orchestrate"]
