"""Tests of whole clusters: real agent processes, real clients, the hub of the tests.

.cache/tests/harness/bin/python -m pytest tests/cluster [-m quick]
"""
