"""A task with the Trainer of transformers, as its examples do it: batches padded to their longest.

    python trainer_task.py JOB.yaml PREPARED ANSWER.json

PREPARED: the storage's folder and the name in it of the task that the job was run with. The same
examples, encoder, rate, batch and epochs as the job's; writes the seconds of its epochs and the
metrics on the test split. `benchmarks/finetune.py` runs it beside the framework.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from orchestrator.runs.storage import open_storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.kinds import thaw
from orchestrator.tasks.kinds.kind import Predictions, chosen_classes, softmax
from orchestrator.tasks.metrics.metric import measure, outcome_of
from orchestrator.tasks.prepared import Portion, open_prepared


def main(job_file: Path, storage: Path, prepared: str, answer: Path) -> None:
    job = thaw(job_file.read_text())
    assert isinstance(job, FinetuneJob)
    torch.set_num_threads(2)
    torch.manual_seed(job.seed)
    task = open_prepared(open_storage(storage), prepared)
    tokenizer = AutoTokenizer.from_pretrained(job.encoder)
    is_score = job.task.kind == "regression"

    def encoded(portion: Portion) -> Dataset:
        texts = [list(example.texts) for example in portion.examples]
        columns = tokenizer(
            [text[0] for text in texts],
            [text[1] for text in texts] if len(texts[0]) > 1 else None,
            truncation=True,
            max_length=job.task.max_tokens,
        )
        targets = [example.target for example in portion.examples]
        labels = targets if is_score else [task.labels.class_ids[target] for target in targets]
        return Dataset.from_dict({**columns, "labels": labels})

    model = AutoModelForSequenceClassification.from_pretrained(
        job.encoder, num_labels=1 if is_score else len(task.labels.classes)
    )
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=scratch,
                per_device_train_batch_size=job.batch.examples,
                per_device_eval_batch_size=64,
                learning_rate=job.optim.lr,
                weight_decay=job.optim.weight_decay,
                num_train_epochs=job.budget.epochs,
                warmup_steps=int(job.schedule.warmup),
                lr_scheduler_type="linear",
                bf16=job.precision.value == "bf16",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                use_cpu=True,
                seed=job.seed,
            ),
            train_dataset=encoded(task.training),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        began = time.perf_counter()
        trainer.train()
        took = time.perf_counter() - began
        portion = task.splits["test"]
        scores = np.asarray(trainer.predict(encoded(portion)).predictions)
    predictions: Any
    if is_score:
        predictions = Predictions(
            answers=tuple(scores[:, 0].tolist()), confidence_E=np.full(len(scores), np.nan)
        )
    else:
        predictions = chosen_classes(softmax(scores), task.labels.classes)
    values = measure(job.task, outcome_of(portion.examples, predictions, task.labels))
    answer.write_text(json.dumps({"epoch_s": took / job.budget.epochs, "metrics": values}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
