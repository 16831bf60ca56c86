"""The hub's own origin: the API and `resolve`. Answers are values; nothing here touches a
socket."""

from __future__ import annotations

import binascii
import json
from typing import Callable
from urllib.parse import parse_qs, quote, unquote

from tests.hub import listing, xet
from tests.hub.access import Access
from tests.hub.answers import Answer, Request, error_answer, json_answer, range_answer
from tests.hub.cdn import Signer, cdn_path
from tests.hub.content import Content
from tests.hub.repos import REPO_TYPES, Commit, Repo, Repos

PAGE_SIZE = 1000
_PLURALS = {f"{type}s": type for type in REPO_TYPES}
_VERBS = ("revision", "tree", "paths-info", "refs", "resolve", "xet-read-token")


class HubRoutes:
    """`cdn_base(request)` gives what signed URLs begin with for this client."""

    def __init__(
        self, repos: Repos, access: Access, signer: Signer, cdn_base: Callable[[Request], str]
    ) -> None:
        self.page_size = PAGE_SIZE
        self._repos = repos
        self._access = access
        self._signer = signer
        self._cdn_base = cdn_base

    def answer(self, request: Request) -> Answer:
        parts = request.path.strip("/").split("/")
        if parts[0] == "api":
            return self._api(request, parts[1:])
        type = _PLURALS.get(parts[0], "model")
        return self._for_repo(request, type, parts[1:] if parts[0] in _PLURALS else parts)

    # -- the API's fixed places --------------------------------------------------------------------

    def _api(self, request: Request, parts: list[str]) -> Answer:
        if parts[0] == "whoami-v2":
            return self._whoami(request)
        if parts[0] == "telemetry":
            return Answer(200)
        if parts[0] == "agent-harnesses":
            return json_answer({"standardEnvVars": [], "harnesses": {}})
        if parts[0] == "resolve-cache" and len(parts) > 2 and parts[1] in _PLURALS:
            return self._resolve_cache(request, _PLURALS[parts[1]], parts[2:])
        if parts[0] in _PLURALS:
            type = _PLURALS[parts[0]]
            if len(parts) == 1:
                visible = [
                    r
                    for r in self._repos.all(type)
                    if not self._access.refuse_sight(request.token, r)
                ]
                return json_answer([{"id": r.id, "private": r.private} for r in visible])
            return self._for_repo(request, type, parts[1:])
        return error_answer(404, None, "Sorry, we can't find the page you are looking for.")

    def _whoami(self, request: Request) -> Answer:
        if request.token not in self._access.tokens:
            return error_answer(401, None, "Invalid username or password.")
        return json_answer(
            {"type": "user", "name": "tester", "orgs": [], "auth": {"type": "access_token"}}
        )

    # -- one repo ----------------------------------------------------------------------------------

    def _for_repo(self, request: Request, type: str, parts: list[str]) -> Answer:
        """`parts` is id, verb, arguments. Ids have two parts, or one for the oldest repos."""
        id_parts = next(
            (n for n in (2, 1) if len(parts) > n and parts[n] in _VERBS), min(len(parts), 2)
        )
        repo_id = unquote("/".join(parts[:id_parts]))
        verb, arguments = (parts[id_parts : id_parts + 1] or [""])[0], parts[id_parts + 1 :]
        renamed = self._repos.new_name(type, repo_id)
        if renamed:
            path = request.path.replace("/".join(parts[:id_parts]), quote(renamed), 1)
            location = request.prefix + path
            return Answer(
                307, {"Location": location + (f"?{request.query}" if request.query else "")}
            )
        repo = self._repos.find(type, repo_id)
        refusal = self._access.refuse_sight(request.token, repo)
        if refusal or repo is None:
            return refusal or error_answer(404, "RepoNotFound", "Repository not found")
        if verb == "refs":
            return json_answer(listing.refs(repo))
        if verb == "xet-read-token":
            refusal = self._access.refuse_files(request.token, repo)
            if refusal or not repo.xet:
                return refusal or error_answer(404, None, "This repo has no Xet storage")
            return xet.read_token(request)
        if len(arguments) >= 3 and arguments[0] == "refs":  # refs/pr/N with plain slashes
            arguments = ["/".join(arguments[:3])] + arguments[3:]
        revision = unquote(arguments[0]) if arguments else "main"
        path = unquote("/".join(arguments[1:]))
        commit = repo.find_commit(revision)
        if commit is None:
            return error_answer(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if verb in ("", "revision"):
            return json_answer(listing.repo_info(repo, commit), X_Repo_Commit=commit.id)
        if verb == "tree":
            return self._tree(request, repo, commit, path)
        if verb == "paths-info":
            return self._paths_info(request, repo, commit)
        if request.method not in ("GET", "HEAD"):
            return error_answer(405, None, "Method not allowed")
        return self._resolve(request, repo, commit, path)

    def _tree(self, request: Request, repo: Repo, commit: Commit, folder: str) -> Answer:
        entries = listing.tree(
            repo, commit, folder.strip("/"), request.flag("recursive"), request.flag("expand")
        )
        if entries is None:
            return error_answer(
                404, "EntryNotFound", f"{folder} does not exist on {commit.id}", commit.id
            )
        try:
            entries, link = listing.page(entries, request, self.page_size)
        except (ValueError, binascii.Error):
            return error_answer(400, None, "Invalid limit or cursor")
        answer = json_answer(entries, X_Repo_Commit=commit.id)
        if link:
            answer.headers["Link"] = link
        return answer

    def _paths_info(self, request: Request, repo: Repo, commit: Commit) -> Answer:
        if "json" in request.headers.get("content-type", ""):
            try:
                form = json.loads(request.body)
                paths, expand = form["paths"], bool(form.get("expand"))
            except (ValueError, KeyError, TypeError):
                return error_answer(400, None, 'The body must be {"paths": [...], "expand": bool}')
        else:
            fields = parse_qs(request.body.decode())
            paths, expand = fields.get("paths", []), fields.get("expand", [""])[0].lower() == "true"
        known_folders = listing.folders(commit)
        entries = []
        for path in [paths] if isinstance(paths, str) else paths:
            if path in commit.files:
                entries.append(listing.file_entry(repo, path, commit.files[path], commit, expand))
            elif path in known_folders:
                entries.append(listing.folder_entry(path, commit, expand))
        return json_answer(entries, X_Repo_Commit=commit.id)

    # -- files -------------------------------------------------------------------------------------

    def _resolve(self, request: Request, repo: Repo, commit: Commit, path: str) -> Answer:
        """The first answer, which carries all metadata: a redirect for git files and for LFS files
        alike."""
        refusal = self._access.refuse_files(request.token, repo)
        if refusal:
            return refusal
        content = commit.files.get(path)
        if content is None:
            return error_answer(404, "EntryNotFound", "Entry not found", commit.id)
        headers = {
            "X-Repo-Commit": commit.id,
            "X-Linked-Size": str(content.size),
            "X-Linked-ETag": f'"{content.etag}"',
            "Accept-Ranges": "bytes",
        }
        if not content.lfs:
            place = f"{repo.type}s/{quote(repo.id)}/{commit.id}/{quote(path, safe='')}"
            where = f"/api/resolve-cache/{place}"
            query = f"{quote(request.path, safe='')}=&etag=%22{content.etag}%22"
            return Answer(307, {**headers, "Location": f"{request.prefix}{where}?{query}"})
        if repo.xet:
            headers |= xet.file_headers(request, repo, commit, content)
            if told := xet.file_info(request, headers, content):
                return told
        where = cdn_path(repo.type, repo.id, commit.id, path)
        headers["Location"] = f"{self._cdn_base(request)}{where}?{self._signer.sign(where)}"
        return Answer(302, headers)

    def _resolve_cache(self, request: Request, type: str, parts: list[str]) -> Answer:
        """Where git files' redirects lead. The old client drops the query, so nothing depends on
        it."""
        for id_parts in (2, 1):
            repo = self._repos.find(type, unquote("/".join(parts[:id_parts])))
            if repo and len(parts) > id_parts + 1:
                break
        else:
            return error_answer(404, "RepoNotFound", "Repository not found")
        token = request.token
        refusal = self._access.refuse_sight(token, repo) or self._access.refuse_files(token, repo)
        if refusal:
            return refusal
        commit = repo.commits.get(parts[id_parts])
        path = unquote("/".join(parts[id_parts + 1 :]))
        content: Content | None = commit.files.get(path) if commit else None
        if commit is None or content is None or content.lfs:
            return error_answer(
                404, "EntryNotFound", "Entry not found", commit.id if commit else None
            )
        headers = {
            "ETag": f'"{content.etag}"',
            "X-Repo-Commit": commit.id,
            "Content-Type": "text/plain",
        }
        if content.etag in request.headers.get("if-none-match", ""):
            return Answer(304, headers)
        return range_answer(request, content, repo.label(path), headers)
