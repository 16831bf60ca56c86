"""RepresentationCache: arrays under the digest of everything that decided them."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from . import _tensors
from ._agent import ALONE_BYTES, BUNDLE_BYTES_MAX, KEYS_MAX, Agent, Away, Refused
from ._keys import Provenance, canonical, default_namespace, key_of, with_namespace
from ._locks import ForkSafeLock
from ._tensors import Arrays, Value

log = logging.getLogger("roost")

_METADATA = "roost.provenance"
_ENTRY_BYTES = 128  # more than one entry takes in the header of a bundle

# Gets the numbers of what is to be computed, in the order of the question; gives their arrays.
Compute = Callable[[List[int]], Iterable[Arrays]]

_agents: Dict[Optional[str], Agent] = {}
_agents_lock = ForkSafeLock()


def _agent_at(endpoint: Optional[str]) -> Agent:
    """One for each place, so that all caches of a process know when it is away."""
    with _agents_lock:
        return _agents.setdefault(endpoint, Agent(endpoint))


@dataclass
class Stats:
    """What one cache has done since it was made."""

    hits: int = 0  # values that came from the agent
    computed: int = 0  # values that this program computed because nobody had them
    stored: int = 0  # of these, values that the agent keeps now


class RepresentationCache:
    """Threads: any. May be pickled and forked. An agent that is away, or fails, is never an error
    here: reading finds nothing, writing keeps nothing.

    namespace  part of every key. By default one for each user (`user:NAME`, or $ROOST_NAMESPACE);
               "shared" is everybody's.
    endpoint   the agent's address. By default HF_ENDPOINT if that is a roost agent on this node,
               else ROOST_ENDPOINT, else http://127.0.0.1:8377.
    lease_s    for how long others wait for what this program has begun to compute.
    wait_s     for how long this program waits for what others have begun to compute.
    """

    def __init__(
        self,
        *,
        namespace: Optional[str] = None,
        endpoint: Optional[str] = None,
        lease_s: int = 120,
        wait_s: float = 300.0,
    ) -> None:
        self.namespace = namespace or default_namespace()
        self.endpoint = endpoint
        self.lease_s = min(max(int(lease_s), 1), 3600)
        self.wait_s = wait_s
        self.stats = Stats()
        self._agent = _agent_at(endpoint)

    def __getstate__(self) -> Dict[str, Any]:
        """Without counters and locks: equal caches pickle to equal bytes (`datasets` compares)."""
        names = ("namespace", "endpoint", "lease_s", "wait_s")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # -- by hand -----------------------------------------------------------------------------------

    def key(self, provenance: Provenance) -> str:
        """ValueError if the provenance is not complete or holds more than text and numbers."""
        return self._keyed(provenance)[0]

    def get(self, provenance: Provenance, framework: str = "np") -> Optional[Dict[str, Any]]:
        return self.get_many([provenance], framework)[0]

    def get_many(
        self, provenances: Sequence[Provenance], framework: str = "np"
    ) -> List[Optional[Dict[str, Any]]]:
        """The arrays of each, or None. framework: "np" or "torch" (tensors on the CPU)."""
        keyed = [self._keyed(provenance) for provenance in provenances]
        values = self._fetch(dict(keyed), framework)
        self.stats.hits += sum(key in values for key, _ in keyed)
        return [values.get(key) for key, _ in keyed]

    def put(self, provenance: Provenance, arrays: Arrays) -> bool:
        return self.put_many([(provenance, arrays)]) == 1

    def put_many(self, items: Iterable[Tuple[Provenance, Arrays]]) -> int:
        """How many are kept now. TypeError for arrays that safetensors has no type for."""
        return sum(self._store((self._keyed(provenance), arrays) for provenance, arrays in items))

    # -- once --------------------------------------------------------------------------------------

    def get_or_compute(
        self,
        provenances: Sequence[Provenance],
        compute: Compute,
        *,
        step: int = 1024,
        framework: str = "np",
    ) -> List[Dict[str, Any]]:
        """The arrays of each, from the cache or by `compute`, which is called with the numbers of
        at most `step` of them at a time, each key once. What others are computing is waited for.
        What `compute` raises is raised."""
        keyed = [self._keyed(provenance) for provenance in provenances]
        texts = dict(keyed)
        number: Dict[str, int] = {}
        for at, (key, _) in enumerate(keyed):
            number.setdefault(key, at)
        values = self._fetch(texts, framework)
        self.stats.hits += sum(key in values for key, _ in keyed)
        work = _Work(self, texts, number, compute, step, framework, values)
        left = [key for key in number if key not in values]
        for begin in range(0, len(left), KEYS_MAX):
            work.run(left[begin : begin + KEYS_MAX])
        return [values[key] for key, _ in keyed]

    # -- inside ------------------------------------------------------------------------------------

    def _keyed(self, provenance: Provenance) -> Tuple[str, str]:
        text = canonical(with_namespace(provenance, self.namespace))
        return key_of(text), text

    def _fetch(self, texts: Dict[str, str], framework: str) -> Dict[str, Dict[str, Any]]:
        """The arrays of those keys that the agent has."""
        found: Dict[str, Dict[str, Any]] = {}
        keys = list(texts)
        try:
            for begin in range(0, len(keys), KEYS_MAX):
                values = self._agent.get(keys[begin : begin + KEYS_MAX])
                for key, buffer in values.items():
                    arrays = _arrays(buffer, texts[key], framework)
                    if arrays is not None:
                        found[key] = arrays
        except (Away, Refused):
            pass
        return found

    def _store(self, items: Iterable[Tuple[Tuple[str, str], Arrays]]) -> List[bool]:
        """Whether each is kept now."""
        kept: List[bool] = []
        for bundle in _bundles(self._encoded(items)):
            try:
                if len(bundle) == 1 and len(bundle[0][2]) >= ALONE_BYTES:
                    self._agent.put_one(bundle[0][0], bundle[0][2], bundle[0][1])
                    kept.append(True)
                else:
                    kept += self._agent.put([value for _, _, value in bundle])
            except (Away, Refused) as failure:
                log.debug("%d representations are not kept: %s", len(bundle), failure)
                kept += [False] * len(bundle)
        self.stats.stored += sum(kept)
        return kept

    @staticmethod
    def _encoded(
        items: Iterable[Tuple[Tuple[str, str], Arrays]],
    ) -> Iterator[Tuple[str, str, bytes]]:
        for (key, text), arrays in items:
            yield key, text, _tensors.encode(arrays, {_METADATA: text})


class _Work:
    """Computes what nobody has, and waits for what others compute."""

    def __init__(
        self,
        cache: RepresentationCache,
        texts: Dict[str, str],
        number: Dict[str, int],
        compute: Compute,
        step: int,
        framework: str,
        values: Dict[str, Dict[str, Any]],  # where the results go
    ) -> None:
        self._cache, self._texts, self._number = cache, texts, number
        self._compute, self._step, self._framework = compute, max(step, 1), framework
        self._values = values
        self._holder = f"python-{uuid.uuid4().hex}"

    def run(self, keys: List[str]) -> None:
        wait_until = time.monotonic() + self._cache.wait_s
        while keys:
            mine, others, pause = self._ask(keys, time.monotonic() < wait_until)
            self._do(mine)
            keys = others
            if keys:
                time.sleep(min(pause, max(wait_until - time.monotonic(), 0)))

    def _ask(self, keys: List[str], may_wait: bool) -> Tuple[List[str], List[str], float]:
        """What to compute, what others compute, and the pause. In doubt it is ours."""
        agent = self._cache._agent
        try:
            if not may_wait:
                return keys, [], 0.0
            lease = agent.lease(keys, self._holder, self._cache.lease_s)
        except (Away, Refused):
            return keys, [], 0.0
        if lease.present:
            texts = {key: self._texts[key] for key in lease.present}
            found = self._cache._fetch(texts, self._framework)
            self._values.update(found)
            self._cache.stats.hits += len(found)
        busy = set(lease.others) - set(lease.granted)
        left = [key for key in keys if key not in self._values]
        mine = [key for key in left if key not in busy]
        return mine, [key for key in left if key in busy], lease.retry_s

    def _do(self, keys: List[str]) -> None:
        renewed = time.monotonic()
        done = 0
        try:
            while done < len(keys):
                if time.monotonic() - renewed > self._cache.lease_s / 2:
                    self._renew(keys[done:])
                    renewed = time.monotonic()
                part = keys[done : done + self._step]
                self._do_part(part)
                done += len(part)
        finally:
            if done < len(keys):
                self._release(keys[done:])

    def _do_part(self, keys: List[str]) -> None:
        results = list(self._compute([self._number[key] for key in keys]))
        if len(results) != len(keys):
            raise ValueError(f"{len(keys)} results were asked for, {len(results)} computed")
        self._cache.stats.computed += len(keys)
        for key, arrays in zip(keys, results):
            self._values[key] = dict(arrays)
        try:
            kept = self._cache._store(
                ((key, self._texts[key]), arrays) for key, arrays in zip(keys, results)
            )
        except (TypeError, ValueError) as error:
            log.warning("computed, but not kept: %s", error)
            kept = [False] * len(keys)
        self._release([key for key, ok in zip(keys, kept) if not ok])

    def _renew(self, keys: List[str]) -> None:
        try:
            self._cache._agent.lease(keys, self._holder, self._cache.lease_s)
        except (Away, Refused):
            pass

    def _release(self, keys: List[str]) -> None:
        if not keys:
            return
        try:
            self._cache._agent.release(keys, self._holder)
        except (Away, Refused):
            pass


def _arrays(buffer: memoryview, text: str, framework: str) -> Optional[Dict[str, Any]]:
    """None, a miss, for what is no safetensors file, or says that it is something else."""
    try:
        value: Value = _tensors.decode(buffer)
        told = value.metadata.get(_METADATA)
        if told is not None and told != text:
            log.warning("a representation says that it is another one; not used")
            return None
        return value.arrays(framework)
    except (ValueError, TypeError) as error:
        log.warning("a representation cannot be used: %s", error)
        return None


def _bundles(
    items: Iterable[Tuple[str, str, bytes]],
) -> Iterator[List[Tuple[str, str, bytes]]]:
    """What is put in one request."""
    bundle: List[Tuple[str, str, bytes]] = []
    size = 0
    for item in items:
        length = len(item[2]) + _ENTRY_BYTES
        alone = len(item[2]) >= ALONE_BYTES
        full = size + length > BUNDLE_BYTES_MAX - _ENTRY_BYTES or len(bundle) == KEYS_MAX
        if bundle and (alone or full):
            yield bundle
            bundle, size = [], 0
        if alone:
            yield [item]
        else:
            bundle.append(item)
            size += length
    if bundle:
        yield bundle
