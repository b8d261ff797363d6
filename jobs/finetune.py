"""Fine-tune an encoder on a task, once or with several seeds.

python jobs/finetune.py task=factbook_sections encoder=RUN    compose with Hydra and run here
python jobs/finetune.py --run URI                             go on with a run that exists
"""

from orchestrator.cli.job import job_main

if __name__ == "__main__":
    job_main("finetune", "orchestrator.cluster.finetune:finetune")
