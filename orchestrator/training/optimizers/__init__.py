"""Optimizers of a module's parameters.

Engines build one, and where DeepSpeed has divided parameters attach its fragments to it.
"""

from orchestrator.training.optimizers.build import Share, build_optimizer, parameter_groups
from orchestrator.training.optimizers.fragments import attach_fragments

__all__ = ["Share", "attach_fragments", "build_optimizer", "parameter_groups"]
