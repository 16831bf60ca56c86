"""The real clients that tests run against: pinned, and each in an environment of its own (see
`setup`)."""
