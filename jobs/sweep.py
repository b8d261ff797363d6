"""Search for the settings of a fine-tune that suit a task best.

python jobs/sweep.py task=factbook_sections encoder=RUN    compose with Hydra and run here
python jobs/sweep.py --run URI                             go on with a run that exists
"""

from orchestrator.cli.job import job_main

if __name__ == "__main__":
    job_main("sweep", "orchestrator.tuning.sweep:sweep")
