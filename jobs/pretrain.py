"""Pretrain an encoder on a prepared corpus, with DeepSpeed on as many workers as asked for.

python jobs/pretrain.py corpus=factbook           compose with Hydra and run here
python jobs/pretrain.py --run URI                 go on with a run that exists
"""

from orchestrator.cli.job import job_main

if __name__ == "__main__":
    job_main("pretrain", "orchestrator.cluster.pretrain:pretrain")
