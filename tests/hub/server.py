"""The hub as an object: add repositories, start, look at what was served, make it misbehave."""

from __future__ import annotations

import json
import ssl
import threading
from pathlib import Path
from typing import Any, Collection, Iterable, Mapping

from tests.hub.access import Access
from tests.hub.answers import Answer, Request, error_answer, json_answer
from tests.hub.cdn import CdnRoutes, Signer
from tests.hub.content import LFS_THRESHOLD_BYTES, make_content
from tests.hub.faults import Fault, Faults
from tests.hub.ledger import Ledger
from tests.hub.repos import Repo, Repos
from tests.hub.routes import HubRoutes
from tests.hub.uploads import STORE, Upload, Uploads
from tests.hub.wire import Origin

Files = Mapping[str, "bytes | str | Path"] | Path


class Hub:
    """Two origins on threads of this process. A context manager; every method may be called from
    any thread."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        cdn_port: int = 0,
        cdn_host: str | None = None,
        tokens: Mapping[str, Collection[str]] | None = None,
        rate: int | None = None,
        log: Path | None = None,
        url_ttl_s: float = 3600,
        lfs_threshold: int = LFS_THRESHOLD_BYTES,
        control: bool = True,
        tls: ssl.SSLContext | None = None,
        prefix: str = "",
    ) -> None:
        """`cdn_host` is the name in signed URLs (default: the one by which the client reached the
        hub); `rate` is in body bytes per second and connection; `control` lets HTTP clients change
        faults. With `tls` both origins speak HTTPS; `prefix` ("/hf") stands before every path of
        the hub's own."""
        self.repos = Repos()
        self.access = Access(tokens)
        self.faults = Faults()
        self.ledger = Ledger(log)
        self._signer = Signer(url_ttl_s)
        self._cdn_host = cdn_host
        self._control = control
        self._lfs_threshold = lfs_threshold
        self._hub_routes = HubRoutes(self.repos, self.access, self._signer, self._cdn_base)
        self._cdn_routes = CdnRoutes(self.repos, self._signer)
        self._uploads = Uploads(self.repos, self.access, self._cdn_base)
        common = (self.ledger, self.faults, lambda token: token in self.access.tokens)
        self._hub = Origin("hub", host, port, self._respond_hub, *common, tls, prefix)
        self._cdn = Origin("cdn", host, cdn_port, self._respond_cdn, *common, tls)
        self.rate = rate

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> "Hub":
        self._hub.open()
        self._cdn.open()
        return self

    def stop(self) -> None:
        for origin in (self._hub, self._cdn):
            origin.stopping.set()
        self.faults.clear()
        for origin in (self._hub, self._cdn):
            origin.close()
        self.ledger.close()

    def __enter__(self) -> "Hub":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return _url(self._hub)

    @property
    def cdn_url(self) -> str:
        return _url(self._cdn)

    # -- content -----------------------------------------------------------------------------------

    def add_repo(
        self,
        id: str,
        type: str = "model",
        files: Files | None = None,
        private: bool = False,
        gated: bool = False,
        branch: str = "main",
        lfs: Iterable[str] | None = None,
        xet: bool = False,
    ) -> str:
        """Makes a repo with one commit on `branch`; returns the commit's hash.

        `files` is {path: bytes, text, or the Path of a file}, or the Path of a folder. `lfs` names
        the files to be stored in LFS; by default suffix and size decide. `xet` tells clients that
        they lie in Xet storage."""
        self.repos.add(Repo(id, type, private, gated, xet))
        return self.commit(
            id, files or {}, type=type, branch=branch, message="initial commit", lfs=lfs
        )

    def commit(
        self,
        id: str,
        files: Files,
        type: str = "model",
        branch: str = "main",
        delete: Iterable[str] = (),
        message: str = "commit",
        lfs: Iterable[str] | None = None,
    ) -> str:
        """Adds or replaces `files` and removes `delete` on `branch` (a new one starts from
        main)."""
        named = _folder_files(files) if isinstance(files, Path) else files
        in_lfs = None if lfs is None else set(lfs)
        contents = {
            path: make_content(
                path,
                source.encode() if isinstance(source, str) else source,
                None if in_lfs is None else path in in_lfs,
                self._lfs_threshold,
            )
            for path, source in named.items()
        }
        return self.repos.commit(type, id, contents, tuple(delete), branch, message).id

    def tag(self, id: str, name: str, commit: str, type: str = "model") -> None:
        repo = self.repos.find(type, id)
        if repo is None or commit not in repo.commits:
            raise KeyError(f"no commit {commit} in {type} {id}")
        repo.tags[name] = commit

    def add_tree(self, root: Path) -> None:
        """Adds every repo below `root`: {models,datasets,spaces,kernels}/ORG/NAME/files."""
        for type in ("model", "dataset", "space", "kernel"):
            for folder in sorted((root / f"{type}s").glob("*/*")):
                if folder.is_dir():
                    self.add_repo(f"{folder.parent.name}/{folder.name}", type, folder)

    # -- what was served ---------------------------------------------------------------------------

    @property
    def egress_bytes(self) -> int:
        """Body bytes of repo files sent by both origins."""
        return self.ledger.egress_bytes

    def egress_of(self, id: str, path: str, type: str = "model") -> int:
        repo = self.repos.find(type, id)
        if repo is None:
            raise KeyError(f"no {type} {id}")
        return self.ledger.per_file[repo.label(path)]

    @property
    def requests(self) -> list[dict[str, Any]]:
        return list(self.ledger.requests)

    @property
    def uploads(self) -> list[Upload]:
        """What clients sent, in the order of arrival."""
        return list(self._uploads.received)

    def reset_stats(self) -> None:
        self.ledger.reset()

    # -- misbehaviour ------------------------------------------------------------------------------

    @property
    def rate(self) -> int | None:
        return self._hub.rate

    @rate.setter
    def rate(self, bytes_per_s: int | None) -> None:
        self._hub.rate = self._cdn.rate = bytes_per_s or None

    def fault(self, kind: str, **fields: Any) -> int:
        """Switches a fault on (see tests.hub.faults); returns its id for `clear_fault`."""
        id = self.faults.add(Fault(kind, **fields))
        self._apply_refusals()
        return id

    def clear_fault(self, id: int | None = None) -> None:
        """Ends one fault, or all."""
        self.faults.clear(id)
        self._apply_refusals()

    def expire_urls(self) -> None:
        """Every signed URL handed out so far answers 403 from now on."""
        self._signer.expire_all()

    @property
    def page_size(self) -> int:
        return self._hub_routes.page_size

    @page_size.setter
    def page_size(self, entries: int) -> None:
        self._hub_routes.page_size = entries

    def _apply_refusals(self) -> None:
        for origin in (self._hub, self._cdn):
            if self.faults.refused(origin.name):
                origin.close()
            else:
                origin.open()

    # -- answers -----------------------------------------------------------------------------------

    def _cdn_base(self, request: Request) -> str:
        return f"{request.scheme}://{self._cdn_host or request.host}:{self._cdn.port}"

    def _respond_hub(self, request: Request) -> Answer:
        return (
            self._respond_own(request)
            or self._uploads.answer(request)
            or self._hub_routes.answer(request)
        )

    def _respond_cdn(self, request: Request) -> Answer:
        if request.method == "PUT" and request.path.startswith(STORE):
            return self._uploads.store(request)
        return self._respond_own(request) or self._cdn_routes.answer(request)

    def _respond_own(self, request: Request) -> Answer | None:
        """/_stats and /_control, on both origins: one stays reachable while the other is
        refused."""
        if request.path == "/_stats":
            return json_answer(
                {**self.ledger.stats(), "faults": self.faults.describe(), "rate": self.rate}
            )
        if request.path == "/_control":
            if not self._control or request.method != "POST":
                return error_answer(403, None, "Control is off, or the method is not POST")
            try:
                return json_answer(self._command(json.loads(request.body)))
            except (ValueError, TypeError, KeyError) as error:
                return error_answer(400, None, f"Bad command: {error}")
        return None

    def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Several at once are fine: {"fault": {"kind": ..., ...}}, {"clear": ID or "all"},
        {"rate": N}, {"expire_urls": true}, {"reset_stats": true},
        {"add_repo": {"id": ..., "type": ..., "folder": ...}}."""
        unknown = set(command) - {
            "fault",
            "clear",
            "rate",
            "expire_urls",
            "reset_stats",
            "add_repo",
        }
        if unknown:
            raise ValueError(f"unknown command {', '.join(sorted(unknown))}")
        done: dict[str, Any] = {"ok": True}
        if "clear" in command:
            self.faults.clear(None if command["clear"] == "all" else int(command["clear"]))
        if "fault" in command:
            done["id"] = self.faults.add(Fault(**command["fault"]))
        if "rate" in command:
            self.rate = command["rate"]
        if command.get("expire_urls"):
            self.expire_urls()
        if command.get("reset_stats"):
            self.reset_stats()
        if "add_repo" in command:
            repo = dict(command["add_repo"])
            done["commit"] = self.add_repo(files=Path(repo.pop("folder")), **repo)
        if {"clear", "fault"} & set(command):
            # On a thread of its own: closing an origin waits for the thread that answers here.
            threading.Thread(target=self._apply_refusals, daemon=True).start()
        return done


def _url(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{origin.scheme}://{host}:{origin.port}{origin.prefix}"


def _folder_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    return {
        str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
