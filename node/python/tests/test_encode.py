"""cached_encode: equal bits, no second computation, and a miss for whatever differs."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path
from typing import Any, Callable, List

import numpy as np
import pytest
from fake_agent import FakeAgent

pytest.importorskip("sentence_transformers")
import tiny  # noqa: E402
import torch  # noqa: E402

from roost import RepresentationCache, cached_encode  # noqa: E402

TEXTS = ["a b c", "one two", "z", "a b c", "one a two b", ""]


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return tiny.encoder(tmp_path / "model")


@pytest.fixture
def encoder(model: Any, agent: FakeAgent) -> Any:
    return cached_encode(model, RepresentationCache(endpoint=agent.url))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> List[int]:
    """The sizes of the batches that went through any model since it was last cleared."""
    from transformers import BertModel

    forward, sizes = BertModel.forward, []

    @functools.wraps(forward)
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(kwargs["input_ids"]))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(BertModel, "forward", counted)
    return sizes


def hits(encoder: Any, text: Any = TEXTS, **arguments: Any) -> int:
    before = encoder.cache.stats.hits
    encoder.encode(text, **arguments)
    return int(encoder.cache.stats.hits - before)


def test_answers_are_those_of_the_model(encoder: Any, model: Any) -> None:
    assert encoder.encode(TEXTS).tobytes() == encoder.encode(TEXTS).tobytes()
    plain = model.encode(TEXTS)
    found = encoder.encode(TEXTS)
    assert found.dtype == plain.dtype and found.shape == plain.shape
    assert np.allclose(found, plain, atol=1e-6)


def test_another_program_needs_no_forward_pass(
    encoder: Any, agent: FakeAgent, tmp_path: Path, passes: List[int]
) -> None:
    first = encoder.encode(TEXTS)
    assert sum(passes) == 5, "of six texts two are the same"
    passes.clear()
    other = tiny.encoder(tmp_path / "elsewhere")

    second = cached_encode(other, RepresentationCache(endpoint=agent.url)).encode(TEXTS)

    assert not passes and second.tobytes() == first.tobytes()


def test_only_new_texts_are_computed(encoder: Any, passes: List[int]) -> None:
    encoder.encode(TEXTS)
    passes.clear()

    encoder.encode([*TEXTS, "new", "q", "new"])

    assert sum(passes) == 2


@pytest.mark.parametrize(
    "arguments",
    [{}, {"convert_to_tensor": True}, {"convert_to_numpy": False}, {"normalize_embeddings": True}],
    ids=str,
)
@pytest.mark.parametrize("text", [TEXTS, "one text", ("a", "b")], ids=["list", "text", "tuple"])
def test_the_form_of_answers_is_that_of_the_model(
    encoder: Any, model: Any, arguments: Any, text: Any
) -> None:
    plain = model.encode(text, **arguments)

    for _ in ("computed", "cached"):
        found = encoder.encode(text, **arguments)
        assert type(found) is type(plain) and len(found) == len(plain)
        if not isinstance(found, list):
            assert found.dtype == plain.dtype and found.shape == plain.shape
            assert np.allclose(np.asarray(found), np.asarray(plain), atol=1e-6)


def test_positional_arguments_and_batch_size_make_no_other_key(encoder: Any) -> None:
    encoder.encode(TEXTS)

    assert hits(encoder, batch_size=2, show_progress_bar=False) == len(TEXTS)
    assert hits(encoder, normalize_embeddings=False) == len(TEXTS)
    assert hits(encoder, TEXTS[0]) == 1


def test_another_argument_is_a_miss(encoder: Any) -> None:
    encoder.model.prompts = {"query": "a ", "document": ""}
    encoder.encode(TEXTS)

    assert hits(encoder, normalize_embeddings=True) == 0
    assert hits(encoder, prompt="b ") == 0
    assert hits(encoder, prompt_name="query") == 0


def test_another_model_is_a_miss(agent: FakeAgent, encoder: Any, tmp_path: Path) -> None:
    encoder.encode(TEXTS)
    words = [*tiny.WORDS[:-2], "two", "one"]
    others = {
        "weights": tiny.encoder(tmp_path / "seed", seed=2),
        "pooling": tiny.encoder(tmp_path / "pooling", pooling="cls"),
        "tokenizer": tiny.encoder(tmp_path / "words", words=words),
        "dtype": tiny.encoder(tmp_path / "dtype").to(torch.float64),
    }
    others["length"] = tiny.encoder(tmp_path / "length")
    others["length"].max_seq_length = 16
    others["prompts"] = tiny.encoder(tmp_path / "prompts")
    others["prompts"].prompts = {"query": "a "}
    others["side"] = tiny.encoder(tmp_path / "side")
    others["side"].tokenizer.truncation_side = "left"
    cache = RepresentationCache(endpoint=agent.url)

    for what, other in others.items():
        assert hits(cached_encode(other, cache)) == 0, what
    assert hits(cached_encode(tiny.encoder(tmp_path / "same"), cache)) == len(TEXTS)
    shared = RepresentationCache(endpoint=agent.url, namespace="shared")
    assert hits(cached_encode(tiny.encoder(tmp_path / "again"), shared)) == 0


def in_place(weight: Any) -> None:
    with torch.no_grad():
        weight.add_(1e-3)


def by_data(weight: Any) -> None:
    weight.data[3, 3] += 1e-3


def by_numpy(weight: Any) -> None:
    weight.detach().numpy()[0, 0] += 1e-3


def by_swapping_rows(weight: Any) -> None:
    weight.data[[0, 1]] = weight.data[[1, 0]]


def by_new_data(weight: Any) -> None:
    weight.data = weight.data * 1.001


@pytest.mark.parametrize(
    "change", [in_place, by_data, by_numpy, by_swapping_rows, by_new_data], ids=lambda c: c.__name__
)
def test_a_model_that_is_changed_in_memory_is_another(
    encoder: Any, model: Any, change: Callable[[Any], None]
) -> None:
    encoder.encode(TEXTS)

    change(dict(model.named_parameters())[WEIGHT])

    assert hits(encoder) == 0
    assert np.allclose(encoder.encode(TEXTS), model.encode(TEXTS), atol=1e-6)


WEIGHT = next(
    name for name, _ in tiny.bert().named_parameters() if name.endswith("0.output.dense.weight")
)


@pytest.fixture(autouse=True)
def full_name(model: Any) -> None:
    global WEIGHT
    WEIGHT = next(n for n, _ in model.named_parameters() if n.endswith("0.output.dense.weight"))


def test_a_step_of_an_optimizer_makes_another_model(encoder: Any, model: Any) -> None:
    encoder.encode(TEXTS)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    features = model.tokenize(["a b"])
    model(features)["sentence_embedding"].sum().backward()
    optimizer.step()

    assert hits(encoder) == 0
    assert hits(encoder) == len(TEXTS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_other_types_come_back_bit_by_bit(encoder: Any, model: Any, dtype: Any) -> None:
    model.to(dtype)
    first = encoder.encode(TEXTS, convert_to_tensor=True)
    second = encoder.encode(TEXTS, convert_to_tensor=True)

    assert first.dtype == second.dtype == model.encode(["a"], convert_to_tensor=True).dtype
    assert torch.equal(first, second)
    assert encoder.encode(TEXTS).dtype == model.encode(TEXTS).dtype


@pytest.mark.parametrize(
    "arguments",
    [{"output_value": "token_embeddings"}, {"precision": "int8"}, {"output_value": None}],
    ids=str,
)
def test_what_is_not_cached_goes_to_the_model(
    encoder: Any, model: Any, agent: FakeAgent, arguments: Any
) -> None:
    found, plain = (one.encode(["a b", "c"], **arguments) for one in (encoder, model))

    assert type(found) is type(plain) and len(found) == len(plain)
    assert not agent.values


def test_a_hook_of_ones_own_is_not_seen_through(encoder: Any, model: Any, agent: Any) -> None:
    model[0].register_forward_hook(lambda *_: None)

    assert encoder.encode(TEXTS).shape == (6, 16)
    assert not agent.values


def test_errors_of_the_model_are_the_users(encoder: Any) -> None:
    with pytest.raises((ValueError, KeyError)):
        encoder.encode(TEXTS, prompt_name="unknown")


def test_values_of_others_that_are_no_embeddings_are_computed(
    encoder: Any, agent: FakeAgent
) -> None:
    first = encoder.encode(TEXTS)
    from roost import _tensors

    for key, (_, text) in list(agent.values.items()):
        wrong = {"other": np.zeros(2)}
        agent.values[key] = (_tensors.encode(wrong, {"roost.provenance": text}), text)

    assert np.allclose(encoder.encode(TEXTS), first, atol=1e-6)


def test_all_else_of_the_model_is_there(encoder: Any, model: Any) -> None:
    assert encoder.tokenizer is model.tokenizer
    assert encoder.max_seq_length == 32


def test_queries_and_documents_are_apart(encoder: Any, model: Any) -> None:
    if not hasattr(model, "encode_query"):
        pytest.skip("this sentence-transformers has no encode_query")
    encoder.encode_query(TEXTS)
    before = encoder.cache.stats.hits
    encoder.encode_document(TEXTS)
    assert encoder.cache.stats.hits == before
    encoder.encode_query(TEXTS)
    assert encoder.cache.stats.hits == before + len(TEXTS)


def test_it_works_inside_datasets_map(encoder: Any, passes: List[int]) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"text": TEXTS})
    first = rows.map(lambda row: {"v": encoder.encode(row["text"])}, batched=True, batch_size=4)
    passes.clear()
    pickle.dumps(encoder)

    again = datasets.Dataset.from_dict({"text": TEXTS}).map(
        lambda row: {"v": encoder.encode(row["text"])}, batched=True, load_from_cache_file=False
    )

    assert not passes and first["v"] == again["v"]
