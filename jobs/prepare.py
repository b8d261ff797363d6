"""Make a sharded corpus of any text.

python jobs/prepare.py corpus=factbook            compose with Hydra and run here
python jobs/prepare.py --run URI                  go on with a run that exists
"""

from orchestrator.cli.job import job_main

if __name__ == "__main__":
    job_main("prepare", "orchestrator.cluster.prepare:prepare")
