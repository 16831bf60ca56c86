"""Tests of roost. A package, so that `python3 -m tests.hub` works from the top of the tree."""
