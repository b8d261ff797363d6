"""Answers of a model for the rows of files.

python jobs/predict.py encoder=RUN input.path=[rows.csv]   compose with Hydra and run here
python jobs/predict.py --run URI                           go on with a run that exists
"""

from orchestrator.cli.job import job_main

if __name__ == "__main__":
    job_main("predict", "orchestrator.cluster.predict:predict")
