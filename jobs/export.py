"""Export a pretrained encoder as a directory that transformers opens.

python jobs/export.py encoder=RUN                 compose with Hydra and run here
python jobs/export.py --run URI                   go on with a run that exists
"""

from orchestrator.cli.job import job_main

if __name__ == "__main__":
    job_main("export", "orchestrator.cluster.export:export")
