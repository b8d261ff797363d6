"""The catalogue of a run's checkpoints: written by ranks, committed, verified, retired.

Training writes and reads them through `Checkpoints`; whoever looks at a run lists them.
"""

from orchestrator.runs.checkpoints.catalogue import Checkpoints
from orchestrator.runs.checkpoints.commit import Commit
from orchestrator.runs.checkpoints.keep import Keep
from orchestrator.runs.checkpoints.listing import Checkpoint, State
from orchestrator.runs.checkpoints.rank import RankFiles

__all__ = ["Checkpoint", "Checkpoints", "Commit", "Keep", "RankFiles", "State"]
