"""What a task scores without any encoder: counts of words, and scikit-learn.

    python floor.py JOB.yaml STORAGE PREPARED ANSWER.json

PREPARED: the name in the storage of the task that the job was run with. Trained on the same
examples, measured on the same test split; a fine-tuned encoder below it is broken.
`benchmarks/finetune.py` prints it beside.

    classes            TF-IDF of words and their pairs, logistic regression
    a score of a pair  the cosine of the two texts' TF-IDF
    tags               the most frequent tag of each word in training
    answers            the sentence whose TF-IDF is nearest to the question's
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from orchestrator.runs.storage import open_storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.kinds import thaw
from orchestrator.tasks.kinds.kind import Predictions
from orchestrator.tasks.metrics.metric import measure, outcome_of
from orchestrator.tasks.prepared import Portion, open_prepared

_SENTENCE = re.compile(r"[^.;!?]+")


def main(job_file: Path, storage: Path, prepared: str, answer: Path) -> None:
    job = thaw(job_file.read_text())
    assert isinstance(job, FinetuneJob)
    task = open_prepared(open_storage(storage), prepared)
    train, test = task.training, task.splits["test"]
    answers = tuple(_ANSWERS[job.task.kind](train, test))
    said = Predictions(answers=answers, confidence_E=np.full(len(answers), np.nan))
    values = measure(job.task, outcome_of(test.examples, said, task.labels))
    answer.write_text(json.dumps(values))


def classes(train: Portion, test: Portion) -> list[str]:
    return _classes([one.target for one in train.examples], train, test)


def _classes(targets: list[str], train: Portion, test: Portion) -> list[str]:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    seen = vectorizer.fit_transform([" ".join(one.texts) for one in train.examples])
    model = LogisticRegression(C=10, max_iter=1000).fit(seen, targets)
    return list(model.predict(vectorizer.transform([" ".join(one.texts) for one in test.examples])))


def cosines(train: Portion, test: Portion) -> list[float]:
    vectorizer = TfidfVectorizer().fit([text for one in train.examples for text in one.texts])
    first, second = (vectorizer.transform([one.texts[n] for one in test.examples]) for n in (0, 1))
    return list(np.asarray(first.multiply(second).sum(axis=1)).ravel().astype(float))


def tags(train: Portion, test: Portion) -> list[tuple[str, ...]]:
    return _tags([one.target for one in train.examples], train, test)


def _tags(targets: list[tuple[str, ...]], train: Portion, test: Portion) -> list[tuple[str, ...]]:
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    every: Counter[str] = Counter()
    for one, own in zip(train.examples, targets, strict=True):
        for word, tag in zip(one.texts, own, strict=True):
            seen[word.lower()][tag] += 1
            every[tag] += 1
    usual = every.most_common(1)[0][0]
    best = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}
    return [tuple(best.get(word.lower(), usual) for word in one.texts) for one in test.examples]


def intents(train: Portion, test: Portion) -> list[tuple[str, tuple[str, ...]]]:
    wanted, tagged = zip(*(one.target for one in train.examples), strict=True)
    pairs = zip(_classes(list(wanted), train, test), _tags(list(tagged), train, test), strict=True)
    return list(pairs)


def sentences(train: Portion, test: Portion) -> list[str]:
    vectorizer = TfidfVectorizer().fit([text for one in train.examples for text in one.texts])
    answers = []
    for one in test.examples:
        question, context = one.texts
        parts = [part.strip() for part in _SENTENCE.findall(context) if part.strip()] or [context]
        near = vectorizer.transform(parts) @ vectorizer.transform([question]).T
        answers.append(parts[int(near.toarray().argmax())])
    return answers


_ANSWERS: dict[str, Any] = {
    "classification": classes,
    "regression": cosines,
    "similarity": cosines,
    "tagging": tags,
    "intent_slots": intents,
    "qa": sentences,
}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
