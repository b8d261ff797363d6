"""Measure a model for a task: metrics with intervals, classes, mistakes, another model beside it.

python jobs/evaluate.py encoder=RUN               compose with Hydra and run here
python jobs/evaluate.py --run URI                 go on with a run that exists
"""

from orchestrator.cli.job import job_main

if __name__ == "__main__":
    job_main("evaluate", "orchestrator.cluster.evaluate:evaluate")
