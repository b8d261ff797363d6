from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.corpus.tokens.train import train_tokenizer
from orchestrator.settings.corpus import Algorithm, Tokenizer
from orchestrator.tasks.tokens import TaskTokenizer, open_task_tokenizer
from tests.tasks.small import CONTEXT


@pytest.fixture(scope="session")
def tokenizer_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Algorithm, Path]:
    root = tmp_path_factory.mktemp("task-tokenizers")
    for algorithm in Algorithm:
        settings = Tokenizer(algorithm=algorithm, vocab_size=340, min_frequency=1)
        train_tokenizer(iter(CONTEXT.split(". ") * 3), settings, root / algorithm.value)
    return {algorithm: root / algorithm.value for algorithm in Algorithm}


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folders: dict[Algorithm, Path]) -> TaskTokenizer:
    return open_task_tokenizer(tokenizer_folders[Algorithm.WORDPIECE])
