"""A small package index of our own, wheels to put into it, and real clients that install them."""

from tests.pip.index import Index
from tests.pip.wheels import Wheel, make_source, make_wheel

__all__ = ["Index", "Wheel", "make_source", "make_wheel"]
