from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.settings.corpus import Algorithm
from tests.corpus.tokens.texts import train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[Algorithm, Path]:
    """The folder of a tokenizer of each kind, capitals kept."""
    root = tmp_path_factory.mktemp("tokenizers")
    for algorithm in Algorithm:
        train(algorithm, root / algorithm.value, lowercase=False)
    return {algorithm: root / algorithm.value for algorithm in Algorithm}


@pytest.fixture(params=list(Algorithm), ids=str)
def folder(request: pytest.FixtureRequest, trained: dict[Algorithm, Path]) -> Path:
    return trained[request.param]


@pytest.fixture
def tokenizer(folder: Path) -> CorpusTokenizer:
    return open_tokenizer(folder)
