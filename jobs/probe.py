"""Measure a cluster before trusting anything to it.

python jobs/probe.py cluster.num_workers=2        compose with Hydra and run here
python jobs/probe.py --run URI                    go on with a run that exists
"""

from orchestrator.cli.job import job_main

if __name__ == "__main__":
    job_main("probe", "orchestrator.cluster.probe:probe")
