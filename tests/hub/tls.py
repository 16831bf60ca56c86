"""A CA of our own and a certificate of it for this machine, by the openssl command."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


@dataclass(frozen=True)
class Certificates:
    ca_file: Path  # what clients must trust
    context: ssl.SSLContext  # the server's


def make_certificates(folder: Path) -> Certificates:
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    request, names = folder / "server.csr", folder / "server.ext"
    certificate, key = folder / "server.pem", folder / "server.key"
    names.write_text(_NAMES)
    new = ("req", "-newkey", "rsa:2048", "-nodes", "-keyout")
    _openssl(*new, ca_key, "-x509", "-days", "2", "-subj", "/CN=a CA of our own", "-out", ca)
    _openssl(*new, key, "-subj", "/CN=localhost", "-out", request)
    signer = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial")
    sign = ("x509", "-req", "-in", request, *signer, "-days", "2", "-extfile", names)
    _openssl(*sign, "-out", certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return Certificates(ca, context)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)
