"""RepresentationCache against an agent that takes the contract at its word."""

from __future__ import annotations

import pickle
import threading
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from fake_agent import FakeAgent, key_of

from roost import RepresentationCache, _agent, _keys
from roost.cache import KEYS_MAX


def provenance(number: Any = 0, **more: Any) -> Dict[str, Any]:
    known = {
        "kind": "custom",
        "model": "m",
        "tokenizer": "none",
        "input": f"i{number}",
        "code": "1",
    }
    return {**known, **more}


def array(number: int) -> Dict[str, Any]:
    return {"a": np.full(4, number, dtype=np.float32)}


def computed(numbers: List[int]) -> List[Dict[str, Any]]:
    return [array(number) for number in numbers]


def test_what_one_puts_another_gets(agent: FakeAgent) -> None:
    writer, reader = (RepresentationCache(endpoint=agent.url) for _ in range(2))
    given = {"x": np.arange(6.0).reshape(2, 3), "y": np.array(7, dtype=np.int8)}

    assert writer.put(provenance(), given)
    found = reader.get(provenance())

    assert found is not None and set(found) == {"x", "y"}
    assert all(found[name].tobytes() == given[name].tobytes() for name in given)
    assert reader.stats.hits == 1 and writer.stats.stored == 1


@pytest.mark.parametrize("part", ["model", "tokenizer", "input", "code", "namespace", "layer"])
def test_another_part_is_a_miss(agent: FakeAgent, part: str) -> None:
    cache = RepresentationCache(endpoint=agent.url)
    cache.put(provenance(layer=1), array(1))

    assert cache.get({**provenance(layer=1), part: "other"}) is None
    assert cache.get({**provenance(layer=1), "more": 1}) is None
    assert cache.get(provenance(layer=1)) is not None


def test_keys_are_as_the_contract_says() -> None:
    cache = RepresentationCache(namespace="ä \U0001f426", endpoint="127.0.0.1:9")
    text = (
        '{"code":"1","input":"i0","kind":"custom","layer":3,"model":"m",'
        '"namespace":"\\u00e4 \\ud83d\\udc26","tokenizer":"none","weight":0.5}'
    )

    assert cache.key(provenance(layer=3, weight=0.5)) == key_of(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": ""},
        {"kind": "embeddings"},
        {"tokenizer": 3},
        {"layer": True},
        {"layer": None},
        {"layer": [1]},
        {"weight": float("nan")},
        {"long": "x" * (16 << 10)},
        {f"f{number}": number for number in range(60)},
    ],
    ids=range(9),
)
def test_provenance_that_an_agent_would_refuse_is_an_error(wrong: Dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        RepresentationCache(endpoint="127.0.0.1:9").key(provenance(**wrong))


def test_each_user_has_a_namespace_and_shared_is_everybodys(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RepresentationCache().namespace.startswith("user:")
    monkeypatch.setattr(_keys.os, "getuid", lambda: 4_000_000)
    assert RepresentationCache().namespace == "user:4000000"
    monkeypatch.setenv("ROOST_NAMESPACE", "team")
    assert RepresentationCache().namespace == "team"
    RepresentationCache(namespace="shared", endpoint=agent.url).put(provenance(), array(1))

    assert RepresentationCache(namespace="other", endpoint=agent.url).get(provenance()) is None
    assert RepresentationCache(namespace="shared", endpoint=agent.url).get(provenance())


def test_a_value_that_says_that_it_is_another_is_a_miss(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url)
    cache.put(provenance(1), array(1))
    (other,) = agent.values.values()
    agent.values[cache.key(provenance(2))] = other

    assert cache.get(provenance(2)) is None


@pytest.mark.parametrize("value", [b"", b"x" * 100, b"\x08" + b"\0" * 7 + b'{"a": 1}'])
def test_a_value_that_is_no_safetensors_file_is_a_miss(agent: FakeAgent, value: bytes) -> None:
    cache = RepresentationCache(endpoint=agent.url)
    agent.values[cache.key(provenance())] = (value, "")

    assert cache.get(provenance()) is None
    assert cache.get_or_compute([provenance()], computed)[0]["a"][0] == 0


def test_more_keys_than_one_question_may_have(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url)
    asked = [provenance(number) for number in range(KEYS_MAX + 10)]

    cache.put_many((one, array(number)) for number, one in enumerate(asked))
    found = cache.get_many(asked)

    assert [int(one["a"][0]) for one in found if one] == list(range(KEYS_MAX + 10))


def test_what_does_not_fit_into_one_bundle_is_asked_for_again(
    agents: Callable[..., FakeAgent],
) -> None:
    agent = agents(bundle_bytes=2000)
    cache = RepresentationCache(endpoint=agent.url)
    asked = [provenance(number) for number in range(20)]
    cache.put_many((one, array(number)) for number, one in enumerate(asked))
    large = provenance("large")
    cache.put(large, {"a": np.zeros(1000)})

    found = cache.get_many([large, *asked])

    assert all(found) and agent.count("POST get") > 3 and agent.count("GET one") == 1


def test_a_large_value_that_was_broken_on_the_way_is_a_miss(
    agents: Callable[..., FakeAgent],
) -> None:
    agent = agents(bundle_bytes=10, etag="0" * 64)
    cache = RepresentationCache(endpoint=agent.url)
    cache.put(provenance(), array(1))

    assert cache.get(provenance()) is None and agent.count("GET one") == 1


def test_large_values_are_put_alone_and_bundles_stay_small(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url)
    sizes = [7 << 20] * 12 + [9 << 20, 70 << 20]
    arrays = [{"a": np.full(size, number, np.uint8)} for number, size in enumerate(sizes)]

    assert cache.put_many((provenance(n), one) for n, one in enumerate(arrays)) == 14
    found = cache.get_many([provenance(number) for number in range(14)])

    assert agent.count("PUT one") == 2 and agent.count("POST put") == 2
    assert all(one and np.array_equal(one["a"], arrays[n]["a"]) for n, one in enumerate(found))


def test_only_what_is_missing_is_computed_and_each_once(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url)
    cache.put(provenance(1), array(1))
    asked: List[List[int]] = []

    def compute(numbers: List[int]) -> List[Dict[str, Any]]:
        asked.append(numbers)
        return computed(numbers)

    inputs = [provenance(n) for n in (0, 1, 2, 0, 3, 4, 2)]
    found = cache.get_or_compute(inputs, compute, step=3)

    assert asked == [[0, 2, 4], [5]]
    assert [int(one["a"][0]) for one in found] == [0, 1, 2, 0, 4, 5, 2]
    again = cache.get_or_compute(inputs, lambda numbers: pytest.fail("computed again"))
    assert [int(one["a"][0]) for one in again] == [0, 1, 2, 0, 4, 5, 2]
    assert not agent.leases


def test_two_that_begin_together_compute_once(agent: FakeAgent) -> None:
    began, go_on = threading.Event(), threading.Event()
    calls: List[List[int]] = []

    def compute(numbers: List[int]) -> List[Dict[str, Any]]:
        calls.append(numbers)
        began.set()
        assert go_on.wait(30)
        return computed(numbers)

    results: List[Any] = []
    caches = [RepresentationCache(endpoint=agent.url) for _ in range(2)]

    def work(cache: RepresentationCache) -> None:
        results.append(cache.get_or_compute([provenance(n) for n in range(3)], compute))

    threads = [threading.Thread(target=work, args=(cache,)) for cache in caches]
    threads[0].start()
    assert began.wait(30)
    threads[1].start()
    while agent.count("POST lease") < 3:  # the second asks again and again
        threading.Event().wait(0.01)
    go_on.set()
    for thread in threads:
        thread.join(30)

    assert calls == [[0, 1, 2]] and len(results) == 2
    assert caches[1].stats.computed == 0 and caches[1].stats.hits == 3


def test_who_waits_computes_when_the_others_lease_ends(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url)
    key = cache.key(provenance())
    agent.lease({"keys": [key], "holder": "somebody who died", "seconds": 0.3})

    found = cache.get_or_compute([provenance()], computed)

    assert found[0]["a"][0] == 0 and key in agent.values


def test_nobody_waits_longer_than_he_wants(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url, wait_s=0.1)
    agent.lease({"keys": [cache.key(provenance())], "holder": "slow", "seconds": 3600})

    assert cache.get_or_compute([provenance()], computed)[0]["a"][0] == 0


def test_an_error_of_the_computation_is_raised_and_leases_are_given_back(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url)

    def compute(numbers: List[int]) -> List[Dict[str, Any]]:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        cache.get_or_compute([provenance(n) for n in range(3)], compute)

    assert agent.count("POST lease") == 2 and not agent.leases


def test_what_no_file_can_hold_is_computed_and_not_kept(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url)

    found = cache.get_or_compute([provenance()], lambda _: [{"a": np.array(["text"])}])

    assert found[0]["a"].tolist() == ["text"] and not agent.values and not agent.leases


@pytest.mark.parametrize("status", [400, 413, 429, 500, 503, 507])
def test_an_agent_that_refuses_is_no_error(agent: FakeAgent, status: int) -> None:
    cache = RepresentationCache(endpoint=agent.url)
    agent.fail_with = status

    assert cache.get(provenance()) is None
    assert cache.put(provenance(), array(0)) is False
    assert cache.get_or_compute([provenance()], computed)[0]["a"][0] == 0
    agent.fail_with = 0
    assert cache.put(provenance(), array(0)) is True


def test_an_agent_of_an_older_version_is_asked_once(agent: FakeAgent) -> None:
    agent.fail_with = 404
    cache = RepresentationCache(endpoint=agent.url)

    for number in range(5):
        assert cache.get_or_compute([provenance(number)], computed)[0]["a"][0] == 0

    assert agent.count("POST get") == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b"\xff" * 8,
        b'\x20\0\0\0\0\0\0\0{"entries":[{"key":["a"]},3]}    ',
        b"{" * 10_000,
    ],
)
def test_an_agent_that_answers_nonsense_is_no_error(agent: FakeAgent, garbage: bytes) -> None:
    agent.garbage = garbage
    cache = RepresentationCache(endpoint=agent.url, wait_s=0.1)

    assert cache.get(provenance()) is None
    assert cache.put(provenance(), array(0)) is False
    assert cache.get_or_compute([provenance()], computed)[0]["a"][0] == 0


def test_a_cache_goes_to_other_processes(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url, namespace="shared")
    before = pickle.dumps(cache)
    cache.put(provenance(), array(1))

    assert pickle.dumps(cache) == before, "what it did is no part of it"
    other = pickle.loads(before)
    assert other.namespace == "shared" and other.get(provenance()) is not None


def test_limits_are_those_of_the_contract() -> None:
    assert (_agent.KEYS_MAX, _agent.BUNDLE_BYTES_MAX) == (16_384, 64 << 20)
