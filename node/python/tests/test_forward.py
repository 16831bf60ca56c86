"""cached_forward: hidden states and attentions, one key a call."""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import Any, List

import numpy as np
import pytest
from fake_agent import FakeAgent

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
import tiny  # noqa: E402

from roost import RepresentationCache, _tensors, cached_forward  # noqa: E402

IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])
MASK = (IDS != 0).long()
ALL = {"output_hidden_states": True, "output_attentions": True}


@pytest.fixture
def cache(agent: FakeAgent) -> RepresentationCache:
    return RepresentationCache(endpoint=agent.url)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> List[int]:
    from transformers import BertModel

    forward, counted = BertModel.forward, []

    @functools.wraps(forward)
    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        counted.append(1)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(BertModel, "forward", counting)
    return counted


def misses(forward: Any, **arguments: Any) -> int:
    before = forward.cache.stats.computed
    forward(**{"input_ids": IDS, "attention_mask": MASK, **ALL, **arguments})
    return int(forward.cache.stats.computed - before)


def test_hidden_states_and_attentions_of_another_program_need_no_pass(
    agent: FakeAgent, cache: RepresentationCache, passes: List[int]
) -> None:
    first = cached_forward(tiny.bert(), cache)(input_ids=IDS, attention_mask=MASK, **ALL)
    assert len(passes) == 1
    other = cached_forward(tiny.bert(), RepresentationCache(endpoint=agent.url))

    second = other(input_ids=IDS, attention_mask=MASK, **ALL)

    assert len(passes) == 1
    assert list(second) == list(first)
    assert len(second.hidden_states) == 3 and len(second.attentions) == 2
    for name in ("hidden_states", "attentions"):
        assert all(torch.equal(a, b) for a, b in zip(first[name], second[name]))
    assert torch.equal(first.last_hidden_state, second[0])


def test_answers_are_the_models_own_bits(cache: RepresentationCache) -> None:
    model = tiny.bert()
    forward = cached_forward(model, cache)
    with torch.no_grad():
        plain = model(input_ids=IDS, attention_mask=MASK, **ALL)

    for _ in ("computed", "cached"):
        found = forward(input_ids=IDS, attention_mask=MASK, **ALL)
        assert list(found) == list(plain.keys())
        assert all(torch.equal(a, b) for a, b in zip(found.hidden_states, plain.hidden_states))
        assert all(torch.equal(a, b) for a, b in zip(found.attentions, plain.attentions))
        assert torch.equal(found.pooler_output, plain.pooler_output)
        assert not found.last_hidden_state.requires_grad


def test_whatever_differs_is_a_miss(cache: RepresentationCache) -> None:
    model = tiny.bert()
    forward = cached_forward(model, cache)
    assert misses(forward) == 1 and misses(forward) == 0

    assert misses(forward, attention_mask=torch.ones_like(IDS)) == 1
    assert misses(forward, input_ids=IDS[:1], attention_mask=MASK[:1]) == 1
    assert misses(forward, input_ids=IDS.int()) == 1
    assert misses(forward, output_attentions=False) == 1
    assert misses(cached_forward(tiny.bert(seed=2), cache)) == 1
    assert misses(cached_forward(tiny.bert().double(), cache)) == 1
    assert misses(cached_forward(tiny.bert(hidden_act="relu"), cache)) == 1
    assert misses(cached_forward(tiny.bert(layer_norm_eps=1e-3), cache)) == 1
    assert misses(cached_forward(tiny.bert(), cache, tokenizer_digest="t")) == 1
    model.embeddings.LayerNorm.eps = 1e-2
    assert misses(forward) == 1
    assert misses(cached_forward(tiny.bert(), cache)) == 0


def test_positional_input_is_the_same(cache: RepresentationCache) -> None:
    forward = cached_forward(tiny.bert(), cache)
    forward(IDS, MASK, **ALL)

    assert misses(forward) == 0


def test_a_model_in_training_is_not_cached(agent: FakeAgent, cache: RepresentationCache) -> None:
    model = tiny.bert().train()

    found = cached_forward(model, cache)(input_ids=IDS)

    assert found.last_hidden_state.shape == (2, 5, 16) and not agent.values


def test_a_hidden_dropout_layer_in_training_is_seen(agent: Any, cache: Any) -> None:
    model = tiny.bert()
    model.encoder.layer[0].output.dropout.train()

    cached_forward(model, cache)(input_ids=IDS)

    assert not agent.values


def test_a_replaced_forward_is_not_cached(agent: FakeAgent, cache: RepresentationCache) -> None:
    model = tiny.bert()
    model.encoder.layer[0].output.forward = lambda hidden, rest: rest

    cached_forward(model, cache)(input_ids=IDS)

    assert not agent.values


def test_inputs_that_are_no_tensors_are_not_cached(agent: Any, cache: Any) -> None:
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, x: Any, scale: Any) -> Any:
            return self.layer(x) * scale[0]

    forward = cached_forward(Own().eval(), cache)

    assert forward(torch.ones(1, 2), scale=[torch.tensor(2.0)]).shape == (1, 2)
    assert not agent.values


def test_a_module_of_ones_own_is_cached_with_its_source(agent: Any, cache: Any) -> None:
    model = OwnModule().eval()
    forward = cached_forward(model, cache)

    first, second = (forward(torch.ones(1, 2)) for _ in range(2))

    assert torch.equal(first, second) and forward.cache.stats.computed == 1


class OwnModule(torch.nn.Module):  # type: ignore[misc,name-defined]
    def __init__(self, scale: Any = 1.0, more: Any = None) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = torch.nn.Linear(2, 2)
        self.scale = scale
        self.more = more

    def forward(self, x: Any) -> Any:
        return self.layer(x) * self.scale


def of_ones_own(x: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1.0, 2.0),
        (1, 1.0),
        (torch.ones(1), torch.zeros(1)),
        ([torch.ones(1)], [torch.zeros(1)]),
        ({"a": np.ones(1)}, {"a": np.zeros(1)}),
        (torch.float32, torch.float16),
        ({"a": {1, 2}}, {"a": {1, 3}}),
        (torch.nn.functional.relu, torch.nn.functional.gelu),
    ],
    ids=range(8),
)
def test_attributes_of_a_module_are_part_of_the_key(cache: Any, first: Any, second: Any) -> None:
    def computed(attribute: Any) -> int:
        forward = cached_forward(OwnModule(more=attribute).eval(), cache)
        before = cache.stats.computed
        forward(torch.ones(1, 2))
        return int(cache.stats.computed - before)

    assert [computed(first), computed(second), computed(first), computed(second)] == [1, 1, 0, 0]


@pytest.mark.parametrize("own", [of_ones_own, FakeAgent.count, Fraction(1, 2)], ids=range(3))
def test_attributes_that_cannot_be_seen_through_are_not_cached(
    agent: FakeAgent, cache: Any, own: Any
) -> None:
    forward = cached_forward(OwnModule(more={"a": [own]}).eval(), cache)

    assert torch.equal(forward(torch.ones(1, 2)), OwnModule()(torch.ones(1, 2)))
    assert not agent.values


def test_a_decoder_keeps_no_cache_of_keys(agent: FakeAgent, cache: RepresentationCache) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    config = GPT2Config(vocab_size=40, n_positions=32, n_embd=16, n_layer=2, n_head=2)
    forward = cached_forward(GPT2LMHeadModel(config).eval(), cache)

    for _ in range(2):
        found = forward(input_ids=IDS, output_hidden_states=True)

    assert "past_key_values" not in found and found.logits.shape == (2, 5, 40)
    assert forward.cache.stats.hits == 1
    with_cache = forward(input_ids=IDS, use_cache=True)
    assert with_cache.past_key_values is not None and len(agent.values) == 1


def test_values_of_others_that_are_no_answers_are_computed(
    agent: FakeAgent, cache: RepresentationCache
) -> None:
    forward = cached_forward(tiny.bert(), cache)
    forward(input_ids=IDS)
    for key, (_, text) in list(agent.values.items()):
        for name in ("nonsense", "a.b.c", "0.x.y", "0.x.0.0", ".x"):
            value = _tensors.encode({name: torch.zeros(1)}, {"roost.provenance": text})
            agent.values[key] = (value, text)
            assert forward(input_ids=IDS).last_hidden_state.shape == (2, 5, 16)


def test_without_an_agent_it_computes() -> None:
    forward = cached_forward(tiny.bert(), RepresentationCache(endpoint="127.0.0.1:9"))

    assert forward(input_ids=IDS, **ALL).attentions[0].shape == (2, 2, 5, 5)
