from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.encoder.directory import Directory, directory_findings, read_directory
from orchestrator.encoder.families import config_values, model_of, pad_id_of
from orchestrator.errors import NotFoundError, OrchestratorError, RequestError
from orchestrator.settings.model import Activation, Family, Model

BASE = Model(layers=12, hidden=768, heads=12)
# As the published checkpoint has it; what is left out is the default.
PLAIN = {
    **{"model_type": "bert", "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12},
    **{"num_attention_heads": 12, "intermediate_size": 3072, "pad_token_id": 0},
}


def _write(folder: Path, **changes: object) -> Path:
    (folder / "config.json").write_text(json.dumps(PLAIN | changes))
    (folder / "model.safetensors").touch()
    return folder


def test_a_published_config_is_read_in_our_words(tmp_path: Path) -> None:
    directory = read_directory(_write(tmp_path))
    assert directory == Directory(path=tmp_path, model=BASE, vocab_size=30522, pad_id=0)


@given(
    model=st.builds(
        Model,
        family=st.sampled_from(Family),
        layers=st.integers(1, 48),
        hidden=st.just(64),
        heads=st.sampled_from([1, 2, 4]),
        intermediate=st.sampled_from([None, 1, 128]),
        max_positions=st.integers(8, 8192),
        segments=st.integers(1, 3),
        dropout=st.floats(0, 0.9),
        activation=st.sampled_from(Activation),
    ),
    pad_id=st.integers(0, 5),
)
def test_a_config_is_read_as_it_was_written(model: Model, pad_id: int) -> None:
    config = config_values(model, vocab_size=100, pad_id=pad_id)
    assert model_of(model.family, config) == (model, [])
    assert pad_id_of(model.family, config) == pad_id


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "distilbert"}, "is a model of type distilbert; what can be .*bert, robert"),
        ({"model_type": None}, "is a model of type None"),
        ({"is_decoder": True}, "says is_decoder=true; encoders here have false"),
        ({"tie_word_embeddings": False}, "says tie_word_embeddings=false"),
        (
            {"position_embedding_type": "relative_key"},
            'says position_embedding_type="relative_key"',
        ),
        ({"hidden_act": "gelu_fast"}, r"activation=gelu_fast is not a choice\. Try gelu"),
        ({"num_hidden_layers": "many"}, "layers=many"),
        ({"vocab_size": None}, "vocab_size=None"),
    ],
)
def test_a_config_that_is_no_encoder_of_ours_says_why(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match=said):
        read_directory(_write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (None, NotFoundError, "it has no config.json"),
        ("{", RequestError, "is not JSON"),
        ("[]", RequestError, "is not a mapping"),
        (json.dumps(PLAIN), NotFoundError, "no weights: none of model.safetensors"),
    ],
)
def test_a_folder_that_is_no_model_says_what_is_missing(
    text: str | None, kind: type[OrchestratorError], said: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(kind, match=said):
        read_directory(tmp_path)


def test_a_job_that_a_directory_does_not_fit_is_told_each_reason(tmp_path: Path) -> None:
    directory = read_directory(_write(tmp_path, vocab_size=30000))
    assert list(directory_findings(directory, num_words=30000, pad_id=0, seq_len=512)) == []
    found = directory_findings(directory, num_words=30522, pad_id=3, seq_len=1024)
    texts = [str(finding).replace(str(tmp_path), "DIR") for finding in found]
    assert texts == [
        "encoder=DIR has embeddings for 30,000 words and the tokenizer has 30,522. "
        "Try the corpus prepared with the tokenizer of that directory.",
        "encoder=DIR pads with word 0 and the tokenizer with word 3: it is not the one of this "
        "model. Try the corpus prepared with the tokenizer of that directory.",
        "encoder=DIR has 512 positions and samples have up to 1024 tokens. Try seq_len=512.",
    ]
