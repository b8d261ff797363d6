"""W&B as a projection of a run's folder, by a process of its own: the *forwarder*.

    metrics/ ──feed──▶ numbered rows ──session──▶ wandb-core ──▶ W&B
                 ▲                        │
                 └── wandb/order/         └── asks W&B how many rows it has, and goes on from there

`forwarder.py` starts and ends that process (drivers call it), `__main__.py` is the process. Only
`session.py` imports wandb. Row number k of a run is the same in every session, so W&B's own count
of rows is all that a restarted forwarder needs to know.
"""
