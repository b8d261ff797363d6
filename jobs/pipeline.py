"""Run several jobs, each when what it needs is there.

python jobs/pipeline.py pipeline=demo             compose with Hydra and run here
python jobs/pipeline.py --run URI                 go on with a run that exists
"""

from orchestrator.cli.job import job_main

if __name__ == "__main__":
    job_main("pipeline", "orchestrator.api.pipeline:pipeline")
