"""Who may see what: the hub's answers to private and gated repositories."""

from __future__ import annotations

from typing import Collection, Mapping

from tests.hub.answers import Answer, error_answer
from tests.hub.repos import Repo

ANY_REPO = "*"


class Access:
    """`tokens` maps each known token to the ids of private and gated repos it opens ("*": all)."""

    def __init__(self, tokens: Mapping[str, Collection[str]] | None = None) -> None:
        self.tokens: dict[str, set[str]] = {
            token: set(repos) for token, repos in (tokens or {}).items()
        }

    def opens(self, token: str | None, repo: Repo) -> bool:
        repos = self.tokens.get(token or "", set())
        return repo.id in repos or ANY_REPO in repos

    def refuse_sight(self, token: str | None, repo: Repo | None) -> Answer | None:
        """A refusal for who may not even know of the repo: missing and private look the same."""
        if repo is not None and (not repo.private or self.opens(token, repo)):
            return None
        if token is None:
            return error_answer(401, "RepoNotFound", "Invalid username or password.")
        return error_answer(404, "RepoNotFound", "Repository not found")

    def refuse_files(self, token: str | None, repo: Repo) -> Answer | None:
        """A refusal for who may see a gated repo's page but not download from it."""
        if not repo.gated or self.opens(token, repo):
            return None
        restricted = f"Access to {repo.type} {repo.id} is restricted"
        if token is None:
            message = f"{restricted}. You must be authenticated to access it."
            return error_answer(401, "GatedRepo", message)
        message = f"{restricted} and you are not in the authorized list."
        return error_answer(403, "GatedRepo", message)
