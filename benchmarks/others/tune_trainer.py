"""A sweep as the documentation of Ray Tune and of transformers shows it: a function, and a Trainer.

    python tune_trainer.py ASKED.json ANSWER.json

ASKED: the encoder's directory, two files of {text, label}, and the points with what they share.
Each trial reads the files, makes tokens of them, pads its batches to their longest example, and
measures the validation split after each epoch. `benchmarks/sweep.py` runs it beside the framework.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune


def train(config: dict[str, Any]) -> None:
    import numpy as np
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        EvalPrediction,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    class Report(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            found = more["metrics"]
            tune.report({"accuracy": found["eval_accuracy"], "epochs": found["epoch"]})

    point, asked = config["point"], config["asked"]
    tokenizer = AutoTokenizer.from_pretrained(asked["encoder"])

    def encoded(file: str) -> Dataset:
        rows = [json.loads(line) for line in Path(file).read_text().splitlines()]

        def tokenize(some: dict[str, list[Any]]) -> Any:
            return tokenizer(some["text"], truncation=True, max_length=asked["max_tokens"])

        return Dataset.from_list(rows).map(tokenize, batched=True, remove_columns=["text"])

    def accuracy(found: EvalPrediction) -> dict[str, float]:
        chosen = np.argmax(found.predictions, axis=-1)
        return {"accuracy": float((chosen == found.label_ids).mean())}

    with tempfile.TemporaryDirectory() as scratch:
        Trainer(
            model=AutoModelForSequenceClassification.from_pretrained(
                asked["encoder"], num_labels=asked["num_classes"]
            ),
            args=TrainingArguments(
                output_dir=scratch,
                per_device_train_batch_size=point["batch"],
                per_device_eval_batch_size=64,
                learning_rate=point["lr"],
                weight_decay=asked["weight_decay"],
                num_train_epochs=point["epochs"],
                warmup_steps=asked["warmup"],
                lr_scheduler_type="linear",
                eval_strategy="epoch",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                use_cpu=True,
                seed=asked["seed"],
            ),
            train_dataset=encoded(asked["train"]),
            eval_dataset=encoded(asked["validation"]),
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=accuracy,
            callbacks=[Report()],
        ).train()


def main(asked: dict[str, Any], answer: Path) -> None:
    began = time.perf_counter()
    ray.init(include_dashboard=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        results = tune.Tuner(
            tune.with_resources(train, {"cpu": 1}),
            param_space={"point": tune.grid_search(asked["points"]), "asked": asked},
            tune_config=tune.TuneConfig(
                metric="accuracy", mode="max", max_concurrent_trials=asked["at_once"]
            ),
            run_config=tune.RunConfig(storage_path=scratch, verbose=0),
        ).fit()
        took_s = time.perf_counter() - began
        assert not results.errors, results.errors
        found = [
            {"point": each.config["point"], "accuracy": each.metrics["accuracy"]}
            for each in map(results.__getitem__, range(len(results)))
            if each.config is not None and each.metrics is not None
        ]
    ray.shutdown()
    answer.write_text(json.dumps({"took_s": took_s, "trials": found}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
