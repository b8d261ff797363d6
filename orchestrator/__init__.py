"""Train encoders on Ray clusters: plan, submit, follow, resume, compare.

Layers, lowest first: errors, settings, runs, tracking, cluster, planning, api, cli.
"""

__version__ = "0.1.0"
