"""What each family is called in transformers, and its settings as the keys of a config.json.

`build.py` makes models from it, `directory.py` reads configs with it, `counts.py` counts its rows.
Without torch. A further family is an entry of BLUEPRINTS, with what its layers count in counts.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator.settings.build import build, to_plain
from orchestrator.settings.finding import Finding
from orchestrator.settings.model import Family, Model
from orchestrator.settings.objective import Objective, Pairs


class Head(StrEnum):
    """What stands on an encoder in pretraining."""

    VOCABULARY = "vocabulary"  # which token stands here? At chosen positions
    PAIR = "pair"  # do two texts belong together? On the pooled first token of a sample


Heads = frozenset[Head]
WORDS_ONLY: Heads = frozenset({Head.VOCABULARY})
WORDS_AND_PAIRS: Heads = frozenset({Head.VOCABULARY, Head.PAIR})


def heads_of(objective: Objective) -> Heads:
    return WORDS_ONLY if objective.pairs is Pairs.NONE else WORDS_AND_PAIRS


# Setting → its key in a config; of positions there may be more rows than settings say.
_NAMES = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "intermediate": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "segments": "type_vocab_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "activation": "hidden_act",
    "layer_norm_eps": "layer_norm_eps",
    "initializer_range": "initializer_range",
}


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    config: str  # a class of transformers, as all names here
    classes: Mapping[Heads, str]
    vocabulary_head: str  # where it is in them; has the decoder in it
    pair_head: str | None
    pad_id: int  # where a config does not say
    positions_follow_padding: bool  # the first position has the row after the padding token's id

    def first_position(self, pad_id: int) -> int:
        return pad_id + 1 if self.positions_follow_padding else 0


BLUEPRINTS: Mapping[Family, Blueprint] = {
    Family.BERT: Blueprint(
        config="BertConfig",
        classes={WORDS_ONLY: "BertForMaskedLM", WORDS_AND_PAIRS: "BertForPreTraining"},
        vocabulary_head="cls.predictions",
        pair_head="cls.seq_relationship",
        pad_id=0,
        positions_follow_padding=False,
    ),
    Family.ROBERTA: Blueprint(
        config="RobertaConfig",
        classes={WORDS_ONLY: "RobertaForMaskedLM"},
        vocabulary_head="lm_head",
        pair_head=None,
        pad_id=1,
        positions_follow_padding=True,
    ),
}


def config_values(model: Model, *, vocab_size: int, pad_id: int) -> dict[str, Any]:
    plain = to_plain(model) | {"intermediate": model.feed_forward}
    values = {name: plain[setting] for setting, name in _NAMES.items()}
    values["max_position_embeddings"] += BLUEPRINTS[model.family].first_position(pad_id)
    # The tokenizer's files say which tokens begin and end a text; a family's own ids may be others.
    special = {"pad_token_id": pad_id, "bos_token_id": None, "eos_token_id": None}
    return values | special | {"vocab_size": vocab_size, "use_cache": False}


def model_of(family: Family, config: Mapping[str, Any]) -> tuple[Model | None, list[Finding]]:
    """The inverse of `config_values`; what a config leaves out is transformers' default."""
    plain = {setting: config[name] for setting, name in _NAMES.items() if name in config}
    if isinstance(plain.get("max_positions"), int):
        plain["max_positions"] -= BLUEPRINTS[family].first_position(pad_id_of(family, config))
    if plain.get("intermediate") == 4 * plain.get("hidden", 0):
        del plain["intermediate"]
    return build(Model, {"family": family.value, **plain})


def pad_id_of(family: Family, config: Mapping[str, Any]) -> int:
    pad_id = config.get("pad_token_id")
    return BLUEPRINTS[family].pad_id if pad_id is None else int(pad_id)
