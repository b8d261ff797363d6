"""What notebooks, scripts and the command line use: an Orchestrator over a storage, and its Runs.

orchestrator = Orchestrator(storage="./runs")
plan = orchestrator.plan("probe", ["cluster.num_workers=2"])
run = orchestrator.submit(plan)
run.wait()
run.metrics()
"""

from orchestrator.api.orchestrator import Orchestrator, default_storage
from orchestrator.api.run import Run

__all__ = ["Orchestrator", "Run", "default_storage"]
