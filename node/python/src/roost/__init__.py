"""Embeddings, hidden states and attention outputs computed once for a whole cluster.

    import roost
    encode = roost.cached_encode(SentenceTransformer("org/model"))
    vectors = encode(["one text", "another"])

Needs a roost agent on this node; without one everything is computed as ever. How to:
docs/how-to/representations.md of roost.
"""

from ._files import digest_of
from ._memory import forget
from ._modules import Uncacheable
from .cache import RepresentationCache, Stats
from .encode import CachedEncoder, cached_encode
from .forward import CachedForward, Outputs, cached_forward
from .functions import CachedFunction, cached
from .prepared import bring_prepared

__all__ = [
    "CachedEncoder",
    "CachedForward",
    "CachedFunction",
    "Outputs",
    "RepresentationCache",
    "Stats",
    "Uncacheable",
    "bring_prepared",
    "cached",
    "cached_encode",
    "cached_forward",
    "digest_of",
    "forget",
]
