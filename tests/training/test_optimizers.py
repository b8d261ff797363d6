from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from orchestrator.settings.optim import Optim, Optimizer
from orchestrator.training.optimizers import build_optimizer, parameter_groups
from orchestrator.training.optimizers.lamb import Lamb
from orchestrator.training.optimizers.pieces import Fragment, Fragments, squared_norms
from orchestrator.training.optimizers.scaled import Scaled
from orchestrator.training.optimizers.stable_adamw import StableAdamW
from tests.training.divided import SHAPES, STEPS, Net, first_weight, gradient_of, rate_at
from tests.training.papers import BETAS, DECAY, EPS, Reference

KINDS = [kind.value for kind in Optimizer]
SCALED: list[type[Scaled]] = [Lamb, StableAdamW]


def built(module: nn.Module, kind: str) -> torch.optim.Optimizer:
    optim = Optim(kind=Optimizer(kind), betas=BETAS, eps=EPS, weight_decay=DECAY)
    return build_optimizer(module, optim, device=torch.device("cpu"))


def take_step(net: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate_at(number)
    optimizer.zero_grad()
    net(number, 1.0).backward()
    optimizer.step()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 3)
        self.norm = nn.LayerNorm(3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.decoder = nn.Linear(3, 11)
        self.decoder.weight = self.words.weight


def test_decay_is_for_trained_parameters_of_more_than_one_dimension_once_each() -> None:
    module = Tied()
    decayed, rest = parameter_groups(module, 0.1)
    assert [id(each) for each in decayed["params"]] == [id(module.words.weight)]
    assert [each.shape for each in rest["params"]] == [(3,), (3,), (11,)]
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)


def test_a_module_without_biases_has_one_group() -> None:
    (group,) = parameter_groups(nn.Linear(2, 2, bias=False), 0.1)
    assert group["weight_decay"] == 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_the_paper(kind: str) -> None:
    net = Net()
    optimizer = built(net, kind)
    references = {name: Reference(first_weight(name, shape)) for name, shape in SHAPES.items()}
    for number in range(1, STEPS + 1):
        take_step(net, optimizer, number)
        for name, parameter in references.items():
            parameter.step(kind, gradient_of(name, number), rate_at(number))
            found = net.get_parameter(name).double()
            torch.testing.assert_close(found, parameter.weight, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_no_weight_moves_until_a_learning_rate_is_set(kind: str) -> None:
    net = Net()
    optimizer = built(net, kind)
    net(1, 1.0).backward()
    optimizer.step()
    assert all(
        torch.equal(net.get_parameter(name), first_weight(name, SHAPES[name])) for name in SHAPES
    )


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_is_the_same_bit_for_bit(kind: str) -> None:
    straight, resumed = Net(), Net()
    optimizer = built(straight, kind)
    for number in (1, 2, 3):
        take_step(straight, optimizer, number)
    file = io.BytesIO()
    torch.save([straight.state_dict(), optimizer.state_dict()], file)
    file.seek(0)
    weights, state = torch.load(file)
    resumed.load_state_dict(weights)
    other = built(resumed, kind)
    other.load_state_dict(state)
    for number in (4, 5):
        take_step(straight, optimizer, number)
        take_step(resumed, other, number)
    assert all(
        torch.equal(straight.get_parameter(name), resumed.get_parameter(name)) for name in SHAPES
    )


@pytest.mark.parametrize("kind", SCALED)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 240), max_size=4),
    seed=st.integers(0, 99),
)
def test_a_parameter_is_one_in_however_many_tensors_its_pieces_lie(
    kind: type[Scaled], sizes: list[int], cuts: list[int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(size, 1, generator=generator) * 3**n for n, size in enumerate(sizes)]
    whole = [nn.Parameter(weight.clone()) for weight in weights]
    one = kind([{"params": whole, "weight_decay": DECAY}], betas=BETAS, eps=EPS)
    other = kind([{"params": whole, "weight_decay": DECAY}], betas=BETAS, eps=EPS)
    total = sum(sizes)
    runs = list(pairwise(sorted({0, total, *(cut % total for cut in cuts)})))
    flats = [nn.Parameter(padded(end_to_end(weights)[begin:end])) for begin, end in runs]
    other.param_groups[0]["params"] = flats
    located = {
        flat: tuple(fragments_within(sizes, *run)) for flat, run in zip(flats, runs, strict=True)
    }
    other.attach(Fragments(of=located, sizes=tuple(sizes), device=None))

    one.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.1
    for scale in (1, 100, 1):  # the second is a surprise
        gradients = [scale * torch.randn(size, 1, generator=generator) for size in sizes]
        for parameter, gradient in zip(whole, gradients, strict=True):
            parameter.grad = gradient
        for flat, (begin, end) in zip(flats, runs, strict=True):
            flat.grad = padded(end_to_end(gradients)[begin:end])
        one.step()
        other.step()
    for flat, (begin, end) in zip(flats, runs, strict=True):
        expected = padded(end_to_end(whole)[begin:end])
        torch.testing.assert_close(flat.detach(), expected, rtol=1e-6, atol=1e-6)


def end_to_end(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def padded(piece: Tensor) -> Tensor:
    return torch.cat([piece, torch.zeros(3)])


def fragments_within(sizes: list[int], begin: int, end: int) -> list[Fragment]:
    found, start = [], 0
    for number, size in enumerate(sizes):
        first, last = max(start, begin), min(start + size, end)
        if first < last:
            found.append(Fragment(parameter=number, start=first - begin, length=last - first))
        start += size
    return found


@pytest.mark.parametrize("size", [1, 1023, 1024, 1025, 3_000_000])
def test_the_norm_of_a_long_tensor_does_not_depend_on_how_it_is_divided(size: int) -> None:
    tensor = torch.randn(size, generator=torch.Generator().manual_seed(1))
    (square,) = squared_norms([tensor]).tolist()
    assert square == pytest.approx(tensor.double().square().sum().item(), rel=1e-6)


def test_flat_tensors_of_which_nothing_is_known_are_refused() -> None:
    net = Net()
    optimizer = built(net, "lamb")
    flat = nn.Parameter(torch.zeros(104))
    flat.grad = torch.ones(104)
    optimizer.param_groups[0]["params"] = [flat]
    with pytest.raises(RuntimeError, match="call attach_fragments after"):
        optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_becomes_of_nothing(kind: str) -> None:
    """Weights of zero, gradients of zero and none at all."""
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    for parameter in net[0].parameters():
        nn.init.zeros_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    for parameter in net[1].parameters():
        nn.init.zeros_(parameter)
        parameter.grad = torch.ones_like(parameter)
    before = [parameter.clone() for parameter in net[2].parameters()]
    optimizer = built(net, kind)
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    optimizer.step()
    assert all(not parameter.any() for parameter in net[0].parameters())
    for parameter in net[1].parameters():  # a step of plain Adam
        torch.testing.assert_close(parameter, torch.full_like(parameter, -0.5))
    assert all(map(torch.equal, net[2].parameters(), before))


def test_an_eps_whose_square_is_none_in_fp32_is_a_small_eps() -> None:
    weights = []
    for eps in (1e-15, 1e-30):
        parameter = nn.Parameter(torch.ones(2, 2))
        optimizer = StableAdamW([{"params": [parameter]}], betas=BETAS, eps=eps)
        optimizer.param_groups[0]["lr"] = 0.1
        for scale in (1, 100):  # a surprise, which zeros must not hide
            parameter.grad = scale * torch.tensor([[0.0, 1.0], [1.0, -1.0]])
            optimizer.step()
        weights.append(parameter.detach())
    assert weights[0][0, 1] < 1 == weights[0][0, 0]
    torch.testing.assert_close(*weights)
