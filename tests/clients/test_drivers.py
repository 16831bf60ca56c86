"""Real clients against the imitation of the hub, with nothing between: what tests of the endpoint
compare with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.drive import drive, missing
from tests.clients.loads import LOADS, MODEL, QUICK_LOADS, Load, contents, move_branches
from tests.clients.repos import digests
from tests.hub import Hub

WEIGHTS = "model.safetensors"
DOWNLOADERS = ("hub2", "hub1", "hub036", "js", "rust", "curl")  # by "file", whatever it is
RUST_GETS = [load for load in LOADS if load.client == "rust" and load.action != "download"]


@pytest.fixture(autouse=True)
def can_run(request: pytest.FixtureRequest) -> None:
    """Skips what this machine has no client for."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    client = getattr(parameters.get("load"), "client", parameters.get("client", "hub2"))
    if why := missing(client):
        pytest.skip(f"{client} cannot be run here: {why}")


@pytest.mark.quick
@pytest.mark.parametrize("load", QUICK_LOADS, ids=str)
def test_every_client_loads_from_the_hub(load: Load, hub: Hub, home: Path) -> None:
    load.assert_right(load.run(home, hub.url))


@pytest.mark.parametrize("load", [load for load in LOADS if load not in QUICK_LOADS], ids=str)
def test_every_way_of_loading_works(load: Load, hub: Hub, home: Path) -> None:
    load.assert_right(load.run(home, hub.url))


@pytest.mark.parametrize("load", [load for load in LOADS if load.keeps], ids=str)
def test_second_time_downloads_no_file_again(load: Load, hub: Hub, home: Path) -> None:
    load.assert_right(load.run(home, hub.url))
    hub.reset_stats()

    load.assert_right(load.run(home, hub.url))

    again = [file for file, sent in hub.ledger.per_file.items() if sent > 1]
    if (load.client, load.action) == ("rust", "download"):
        assert again, "hf-hub's `download` asks for all bytes every time"
    else:
        assert not again, "one byte is how JavaScript and Rust ask for a file's size"


@pytest.mark.parametrize("load", [load for load in LOADS if load.offline], ids=str)
def test_offline_finds_what_was_loaded(load: Load, hub: Hub, home: Path) -> None:
    load.assert_right(load.run(home, hub.url))

    load.assert_right(load.run(home, None))


@pytest.mark.parametrize("load", LOADS, ids=str)
def test_moved_branch_is_followed(load: Load, hub: Hub, home: Path) -> None:
    load.assert_right(load.run(home, hub.url))
    move_branches(hub)

    second = load.run(home if load.keeps else home / "second", hub.url)

    # hf-hub's `get` looks into its cache first, under the commit that the branch had.
    load.assert_right(second, version=1 if load in RUST_GETS else 2)


@pytest.mark.parametrize("client", ("hub2", "hub1", "hub036", "js", "rust"))
def test_listing_names_every_file(client: str, hub: Hub, home: Path) -> None:
    listed = drive(client, "list", home=home, repo=MODEL, endpoint=hub.url)
    assert sorted(listed.more["names"]) == sorted(contents(1)[MODEL])


ERRORS = {
    "no such file": {
        "hub2": "RemoteEntryNotFoundError",
        "hub1": "RemoteEntryNotFoundError",
        "hub036": "EntryNotFoundError",
        "js": "Error",
        "rust": "RequestError",
        "curl": "HttpError",
    },
    "no such revision": {
        "hub2": "RevisionNotFoundError",
        "hub1": "RevisionNotFoundError",
        "hub036": "RevisionNotFoundError",
        "js": "HubApiError",
        "rust": "RequestError",
        "curl": "HttpError",
    },
    "no such repo": {
        "hub2": "RepositoryNotFoundError",
        "hub1": "RepositoryNotFoundError",
        "hub036": "RepositoryNotFoundError",
        "js": "HubApiError",
        "rust": "RequestError",
        "curl": "HttpError",
    },
    "gated": {
        "hub2": "GatedRepoError",
        "hub1": "GatedRepoError",
        "hub036": "GatedRepoError",
        "js": "HubApiError",
        "rust": "RequestError",
        "curl": "HttpError",
    },
}
ASKED = {
    "no such file": {"repo": MODEL, "files": ["none.txt"]},
    "no such revision": {"repo": MODEL, "files": ["config.json"], "revision": "none"},
    "no such repo": {"repo": "org/none", "files": ["config.json"]},
    "gated": {"repo": "org/gated", "files": ["config.json"]},
}


@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.parametrize("client", DOWNLOADERS)
def test_errors_are_the_clients_own(client: str, case: str, hub: Hub, home: Path) -> None:
    hub.add_repo("org/gated", files=contents(1)[MODEL], gated=True)

    outcome = drive(client, "file", home=home, endpoint=hub.url, **ASKED[case])

    assert outcome.error == ERRORS[case][client], outcome.text


@pytest.mark.parametrize("client", DOWNLOADERS)
def test_token_opens_a_private_repo(client: str, hub: Hub, home: Path) -> None:
    files = contents(1)[MODEL]
    hub.add_repo("org/private", files=files, private=True)
    hub.access.tokens["hf_member"] = {"org/private"}
    place = {"repo": "org/private", "files": [WEIGHTS], "token": "hf_member"}

    got = drive(client, "file", home=home, endpoint=hub.url, **place)

    assert got.ok and got.files[WEIGHTS] == digests(files)[WEIGHTS], got.text
    # hf-hub 0.5 hands its token to whatever host it is sent to.
    assert bool(hub.ledger.leaks) == (client == "rust")


@pytest.mark.parametrize("client", ("hub036", "rust", "curl"))
def test_cut_download_goes_on_in_the_next_process(client: str, hub: Hub, home: Path) -> None:
    """These keep what they had and ask for the rest; the other clients begin again."""
    size = len(contents(1)[MODEL][WEIGHTS])
    place = {"repo": MODEL, "files": [WEIGHTS]}
    hub.fault("reset", origin="cdn", after_bytes=size // 2, times=1)
    cut = drive(client, "file", home=home, endpoint=hub.url, **place)
    assert not cut.ok, "a cut body is an error"

    whole = drive(client, "file", home=home, endpoint=hub.url, **place)

    assert whole.files == digests({WEIGHTS: contents(1)[MODEL][WEIGHTS]}), whole.text


@pytest.mark.parametrize("client", DOWNLOADERS)
def test_no_client_looks_at_the_hash(client: str, hub: Hub, home: Path) -> None:
    """Which is why the agent must."""
    hub.fault("corrupt", path=WEIGHTS, at=1000)

    got = drive(client, "file", home=home, endpoint=hub.url, repo=MODEL, files=[WEIGHTS])

    assert got.ok and got.files != digests({WEIGHTS: contents(1)[MODEL][WEIGHTS]})
