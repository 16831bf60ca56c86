"""cached: any function from text to arrays."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from ._keys import SCHEMA, canonical_json, json_digest, text_digest
from ._modules import _is_plain, _plain
from ._tensors import is_torch
from .cache import RepresentationCache

log = logging.getLogger("roost")

_ONE = "output"  # the name of the array of a function that returns one


class CachedFunction:
    """A function from text to arrays that keeps what it computes; see `cached`."""

    def __init__(
        self,
        function: Callable[..., Any],
        version: str,
        cache: Optional[RepresentationCache],
        model: Optional[str],
        tokenizer: str,
        batched: bool,
        torch: bool,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.version = version
        self.cache = cache if cache is not None else RepresentationCache()
        self.batched = batched
        self.framework = "torch" if torch else "np"
        what = f"{function.__module__}.{function.__qualname__}"
        source = text_digest(_source(function))
        self.shared = {
            "kind": "custom",
            "model": model or source,
            "tokenizer": tokenizer,
            "code": f"{SCHEMA} {what} {version} {source}",
        }

    def __call__(self, text: Any, *args: Any, **kwargs: Any) -> Any:
        if args or not _is_plain(kwargs) or not self._is_input(text):
            return self.function(text, *args, **kwargs)
        texts: List[str] = list(text) if self.batched else [text]
        call = json_digest([canonical_json(_plain(kwargs)), _surroundings(self.function)])
        provenances = [{**self.shared, "input": text_digest(one), "call": call} for one in texts]

        def compute(numbers: List[int]) -> Sequence[Dict[str, Any]]:
            if not self.batched:
                return [_named(self.function(text, **kwargs))]
            chosen = [texts[number] for number in numbers]
            return _rows(self.function(chosen, **kwargs), len(chosen))

        found = self.cache.get_or_compute(provenances, compute, framework=self.framework)
        given = [_unnamed(arrays) for arrays in found]
        return given if self.batched else given[0]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """By name, with what it computes beside it: `datasets` compares pickles to see whether a
        function has changed. One inside another function goes by its content, if `dill` pickles."""
        name = self.function.__qualname__
        if "<locals>" in name:
            return super().__reduce_ex__(protocol)
        return _named_function, (self.function.__module__, name, canonical_json(self.shared))

    def _is_input(self, text: Any) -> bool:
        if self.batched:
            return isinstance(text, (list, tuple)) and all(isinstance(one, str) for one in text)
        return isinstance(text, str)


def cached(
    *,
    version: str,
    cache: Optional[RepresentationCache] = None,
    model: Optional[str] = None,
    tokenizer: str = "none",
    batched: bool = False,
    torch: bool = False,
) -> Callable[[Callable[..., Any]], CachedFunction]:
    """Decorates a function from text to an array, or to a dictionary of arrays.

    The key has the function's name and source, `version`, the text, the keyword arguments (plain
    values), and the numbers and texts that the function reads from around it. It does not have what
    else the function depends on, such as functions that it calls: change `version` when that
    changes, and say by `model` what weights it uses (`digest_of(path)`).

    batched  the function takes a list of texts and returns one result for each: a list, an array
             by rows, or a dictionary of such. Each text has a key of its own, and the decorated
             function always returns a list.
    torch    results are torch tensors on the CPU, not NumPy arrays.

    Positional arguments after the text, and input that is no text, go to the function uncached."""
    if not isinstance(version, str) or not version:
        raise ValueError('cached needs a version, such as version="1": change it with the function')

    def decorate(function: Callable[..., Any]) -> CachedFunction:
        return CachedFunction(function, version, cache, model, tokenizer, batched, torch)

    return decorate


def _surroundings(function: Callable[..., Any]) -> Any:
    """Numbers and texts that the function reads from around it, as they are now; what is no plain
    value is for `version` to tell."""
    try:
        around = inspect.getclosurevars(function)
    except (TypeError, ValueError):
        return []
    defaults = (function.__defaults__ or (), function.__kwdefaults__ or {})
    return [
        [[name, _plain(value)] for name, value in sorted(names.items()) if _is_scalar(value)]
        for names in (around.nonlocals, around.globals)
    ] + [_plain(part) for part in defaults if _is_plain(part)]


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _named_function(module: str, name: str, _: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _source(function: Callable[..., Any]) -> str:
    """Without one (typed into a console) the code that was compiled."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        if code is None:
            raise TypeError("cached is for functions that are written in Python") from None
        return f"{code.co_code.hex()} {code.co_names} {_constants(code)}"


def _constants(code: Any) -> List[Any]:
    """Without addresses of functions inside."""
    return [
        [inner.co_code.hex(), inner.co_names, _constants(inner)]
        if hasattr(inner, "co_code")
        else repr(inner)
        for inner in code.co_consts
    ]


def _named(result: Any) -> Dict[str, Any]:
    named = dict(result) if hasattr(result, "items") else {_ONE: result}
    return {
        name: array.detach().to("cpu") if is_torch(array) else np.asarray(array)
        for name, array in named.items()
    }


def _unnamed(arrays: Dict[str, Any]) -> Any:
    return arrays[_ONE] if set(arrays) == {_ONE} else arrays


def _rows(results: Any, count: int) -> List[Dict[str, Any]]:
    """One dictionary for each text, of what a batched function returned."""
    if hasattr(results, "items"):
        columns = {name: list(column) for name, column in results.items()}
        wrong = [name for name, column in columns.items() if len(column) != count]
        if wrong:
            raise ValueError(f"{wrong[0]} has not one row for each of {count} texts")
        return [_named({name: col[at] for name, col in columns.items()}) for at in range(count)]
    rows = [_named(result) for result in results]
    if len(rows) != count:
        raise ValueError(f"the function returned {len(rows)} results for {count} texts")
    return rows
