"""What of an encoder a fine-tune trains, and how fast each layer learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from orchestrator.encoder.encoder import Encoder
from orchestrator.errors import RequestError
from orchestrator.settings.transfer import ClassWeights, Transfer, Way
from orchestrator.tasks.features import Features
from orchestrator.tasks.heads.head import Head
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.model import TaskModel
from orchestrator.training.optimizers import Share


def prepare_encoder(encoder: Encoder, transfer: Transfer, *, seed: int) -> None:
    """Freezes what is not trained; new layers and adapters begin with the seed's weights."""
    _freeze_heads(encoder)
    layers = encoder.layers
    for name, wanted in (("layers", transfer.layers), ("new_layers", transfer.new_layers)):
        is_asked = name == "new_layers" or transfer.way is Way.LAST
        if is_asked and wanted > len(layers):
            raise RequestError(
                f"transfer.{name}={wanted} is more than the {len(layers)} layers of the encoder."
            )
    if transfer.new_layers:
        begin_anew: Any = encoder.model._init_weights
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for layer in layers[-transfer.new_layers :]:
                each: Any
                for each in layer.parameters():
                    each._is_hf_initialized = False  # else transformers leaves what was read
                layer.apply(begin_anew)
    if transfer.way is Way.ADAPTERS:
        from orchestrator.encoder.adapters import add_adapters  # peft takes a while to import

        add_adapters(encoder, rank=transfer.rank, alpha=transfer.alpha, dropout=0.0, seed=seed)
    elif transfer.way is not Way.FULL:
        encoder.model.requires_grad_(False)
    if transfer.way is Way.LAST:
        for layer in layers[-transfer.layers :]:
            layer.requires_grad_(True)


def _freeze_heads(encoder: Encoder) -> None:
    """Those of pretraining are there and not read. Tied embeddings are the body's."""
    body = {id(each) for each in encoder.model.base_model.parameters()}
    for parameter in encoder.model.parameters():
        if id(parameter) not in body:
            parameter.requires_grad_(False)


def shape_loss(head: Head, features: Features, labels: Labels, transfer: Transfer) -> None:
    """A class without examples weighs nothing."""
    head.smoothing = transfer.label_smoothing
    if transfer.class_weights is ClassWeights.EQUAL:
        return
    named = (
        (features.of_examples.get("class"), labels.classes),
        (features.of_places.get("tag"), labels.tags),
    )
    found = [(targets, names) for targets, names in named if targets is not None]
    if len(found) != 1:
        raise RequestError(
            "transfer.class_weights=balanced is for tasks that choose one of several classes.",
            hint="transfer.class_weights=equal",
        )
    ((targets, names),) = found
    counts_C = np.bincount(targets, minlength=len(names))
    is_there_C = counts_C > 0
    weights_C = is_there_C * len(targets) / (is_there_C.sum() * np.maximum(counts_C, 1))
    head.class_weights_C = torch.tensor(weights_C, dtype=torch.float32)


def share_by_layer(model: TaskModel, transfer: Transfer) -> Share:
    """The head has 1, the last layer `layer_decay`, what is before the first layer the least."""
    depths: dict[str, int] = {}
    layers = model.encoder.layers
    places = {id(each): number for number, each in enumerate(layers)}
    for path, module in model.named_modules():
        if id(module) in places:
            for name, _ in module.named_parameters():
                depths[f"{path}.{name}"] = len(layers) - places[id(module)]

    def share(name: str) -> float:
        own = name.removeprefix("model.")  # of the module that the engine has
        if own.startswith("encoder."):
            return float(transfer.layer_decay ** depths.get(own, len(layers) + 1))
        return 1.0

    return share


def num_trained(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters() if each.requires_grad)
