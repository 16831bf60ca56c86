"""What is remembered of an object for as long as it lives and has not changed."""

from __future__ import annotations

import weakref
from typing import Any, Callable, Dict, Tuple

from ._locks import ForkSafeLock

_lock = ForkSafeLock()
_known: Dict[Tuple[str, int], Tuple[Any, Any, Any]] = {}


def remembered(what: str, owner: Any, mark: Any, make: Callable[[], Any]) -> Any:
    """`make()`, or what it gave last time if `mark` is as it was then."""
    place = (what, id(owner))
    with _lock:
        reference, old_mark, result = _known.get(place, (None, None, None))
    if reference is not None and reference() is owner and old_mark == mark:
        return result
    result = make()
    try:
        reference = weakref.ref(owner, lambda _: _known.pop(place, None))
    except TypeError:  # has no weak references: made anew each time
        return result
    with _lock:
        _known[place] = (reference, mark, result)
    return result


def forget(owner: Any) -> None:
    with _lock:
        for place in [place for place in _known if place[1] == id(owner)]:
            del _known[place]
