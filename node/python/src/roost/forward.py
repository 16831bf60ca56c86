"""cached_forward: hidden states, attentions and logits of a transformer, one key a call."""

from __future__ import annotations

import hashlib
import inspect
import logging
from typing import Any, Dict, Iterator, List, Optional, Tuple

from . import _lazy
from ._keys import canonical_json, json_digest
from ._modules import Uncacheable, _is_plain
from ._tensors import is_torch, stored
from ._torch_keys import Fields, code_of, device_type, module_fields
from .cache import RepresentationCache

log = logging.getLogger("roost")

_PACKAGES = ("transformers", "torch")
_EMPTY = "empty"  # stands where a tuple has no member
_BARE = ""  # the name of an answer that is one tensor


class Outputs(Dict[str, Any]):
    """What a model returned, by name, attribute or number: tensors and tuples of tensors."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: Any) -> Any:
        if isinstance(name, (int, slice)):
            return self.to_tuple()[name]
        return super().__getitem__(name)

    def to_tuple(self) -> Tuple[Any, ...]:
        return tuple(self.values())


class CachedForward:
    """A model whose calls are kept: `forward(**inputs, output_hidden_states=True)`.

    Runs without gradients. A model in training mode, inputs that are not tensors, and outputs that
    are no tensors are computed as ever and not kept. Tensors come back on the device of the model.
    """

    def __init__(
        self,
        model: Any,
        cache: Optional[RepresentationCache] = None,
        *,
        model_digest: Optional[str] = None,
        tokenizer_digest: str = "none",
    ) -> None:
        self.model = model
        self.cache = cache if cache is not None else RepresentationCache()
        self.model_digest = model_digest
        self.tokenizer_digest = tokenizer_digest

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        torch = _lazy.torch()
        named = self._named(args, kwargs)
        with torch.no_grad():
            try:
                provenance = self._provenance(named)
            except Uncacheable as reason:
                log.info("a forward pass is computed without the cache: %s", reason)
                return self.model(*args, **kwargs)
            return self._once(provenance, named)

    def _once(self, provenance: Fields, named: Dict[str, Any]) -> Any:
        untold: List[Any] = []  # an answer that the cache cannot hold

        def compute(_: List[int]) -> List[Dict[str, Any]]:
            answer = self.model(**named)
            try:
                return [_flatten(answer)]
            except Uncacheable:
                untold.append(answer)
                raise

        try:
            (arrays,) = self.cache.get_or_compute([provenance], compute, framework="torch")
        except Uncacheable as reason:
            log.info("a forward pass is not kept: %s", reason)
            return untold[0]
        try:
            return _unflatten(arrays, self._device(named))
        except ValueError:  # somebody else's value under this key
            log.warning("a representation is no answer of a model; it is computed")
            return self.model(**named)

    def _named(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Dict[str, Any]:
        """All arguments by name. A key/value cache would be an answer that is no tensor."""
        signature = inspect.signature(self.model.forward)
        named: Dict[str, Any] = {}
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                named.update(value)
            else:
                named[name] = value
        if "use_cache" in signature.parameters:
            named.setdefault("use_cache", False)
        return named

    def _provenance(self, named: Dict[str, Any]) -> Fields:
        if any(part.training for part in self.model.modules()):
            raise Uncacheable("the model is in training mode, call eval()")
        tensors = {name: value for name, value in named.items() if is_torch(value)}
        plain = {name: value for name, value in named.items() if name not in tensors}
        if not tensors or not _is_plain(plain):
            raise Uncacheable("an argument is neither a tensor nor text nor a number")
        wanted = [name for name in ("hidden_states", "attentions") if plain.get(f"output_{name}")]
        return {
            "kind": wanted[-1].replace("_", "-") if wanted else "logits",
            "code": code_of(*_PACKAGES),
            **module_fields(self.model, self.model_digest),
            "tokenizer": self.tokenizer_digest,
            "device": device_type(self._device(named)),
            "input": _input_digest(tensors),
            "call": json_digest(canonical_json(plain)),
        }

    def _device(self, named: Dict[str, Any]) -> Any:
        device = getattr(self.model, "device", None)
        if device is not None:
            return device
        return next(value.device for value in named.values() if is_torch(value))


def cached_forward(
    model: Any,
    cache: Optional[RepresentationCache] = None,
    *,
    model_digest: Optional[str] = None,
    tokenizer_digest: str = "none",
) -> CachedForward:
    """Wraps a model of `transformers`, or any torch module whose forward takes tensors.

    model_digest      what the weights are, if the caller knows and answers for it (see
                      `digest_of`); by default they are hashed.
    tokenizer_digest  of what made the token ids, for those who want it in the key; the ids
                      themselves always are."""
    return CachedForward(model, cache, model_digest=model_digest, tokenizer_digest=tokenizer_digest)


def _input_digest(tensors: Dict[str, Any]) -> str:
    parts: List[Any] = []
    for name in sorted(tensors):
        try:
            dtype, shape, data = stored(tensors[name])
        except TypeError as error:
            raise Uncacheable(str(error)) from None
        parts.append([name, dtype, list(shape), hashlib.sha256(data).hexdigest()])
    return json_digest(parts)


def _flatten(answer: Any) -> Dict[str, Any]:
    """One array for each tensor; those of a tuple are NAME.0, NAME.1 …; a number before each name
    keeps their order."""
    if is_torch(answer):
        answer = {_BARE: answer}
    elif not hasattr(answer, "items"):
        raise Uncacheable(f"the model returned a {type(answer).__name__}")
    arrays: Dict[str, Any] = {}
    for at, (name, value) in enumerate(answer.items()):
        for rest, tensor in _members(name, value):
            here = tensor.detach().to("cpu")
            try:
                stored(here)
            except TypeError as error:
                raise Uncacheable(str(error)) from None
            arrays[f"{at}.{name}{rest}"] = here
    if not arrays:
        raise Uncacheable("the model returned no tensor")
    return arrays


def _members(name: str, value: Any) -> Iterator[Tuple[str, Any]]:
    if "." in name:
        raise Uncacheable(f"an output is called {name}")
    if is_torch(value):
        yield "", value
    elif isinstance(value, (tuple, list)) and not value:
        yield f".{_EMPTY}", _lazy.torch().empty(0)
    elif isinstance(value, (tuple, list)) and all(map(is_torch, value)):
        for number, tensor in enumerate(value):
            yield f".{number}", tensor
    else:
        raise Uncacheable(f"{name} is a {type(value).__name__}")


def _unflatten(arrays: Dict[str, Any], device: Any) -> Any:
    outputs: Dict[int, Tuple[str, Any]] = {}
    for path, tensor in sorted(arrays.items(), key=lambda item: _numbers(item[0])):
        at, name, *number = path.split(".", 2)  # ValueError if it is not of our making
        moved = tensor.to(device)
        if not at.isdecimal() or not (number in ([], [_EMPTY]) or number[0].isdecimal()):
            raise ValueError("not of our making")
        if not number:
            outputs[int(at)] = (name, moved)
        elif number == [_EMPTY]:
            outputs[int(at)] = (name, ())
        else:
            _, members = outputs.setdefault(int(at), (name, ()))
            outputs[int(at)] = (name, (*members, moved))
    found = Outputs({name: value for _, (name, value) in sorted(outputs.items())})
    return found[_BARE] if set(found) == {_BARE} else found


def _numbers(path: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in path.split(".") if part.isdecimal())
