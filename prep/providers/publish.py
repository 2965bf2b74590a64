"""Put samples where a vendor can fetch them, prove that it can, and take them away again.

Every file is in the ledger before it is sent anywhere, so a killed process leaves nothing that the next run
does not find and remove.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from prep.errors import ConfigError, ProviderError
from prep.hosting.base import Host, Hosted, without_query
from prep.hosting.check import is_public, verify
from prep.providers.base import EnrolRequest, SampleFile
from prep.providers.ledger import Enrolment, HostedRow, Ledger, Plan

MEDIA_TYPES = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".m4a": "audio/mp4"}

Open = Callable[[str], Host]
Verify = Callable[[Hosted, bytes, str], None]


@dataclass
class Publisher:
    """Where samples of one upload go; by default nowhere.

    Args:
        spec: the `--hosting` text; empty = the vendor takes the bytes themselves.
        open_host: opens a host by its spec.
        public: whether the vendor is another machine, which cannot fetch from this one's loopback.
        left: after `sweep`, what is still there and why, one sentence each.
    """

    spec: str = ""
    open_host: Open | None = None
    public: bool = True
    check: Verify = verify
    left: list[str] = field(default_factory=list)
    _urls: dict[str, str] = field(default_factory=dict, repr=False)

    def publish(self, request: EnrolRequest, ledger: Ledger, enrolment: Enrolment) -> EnrolRequest:
        """The request with a URL for every sample, each fetched and compared once; as it is without a spec.

        Raises:
            ProviderError, ConfigError: it could not be put there, or what is seen there is not the file.
        """
        if not self.spec or not request.samples:
            return request
        with closing(self._open(self.spec)) as host:
            samples = tuple(self._published(sample, host, ledger, enrolment) for sample in request.samples)
        return replace(request, samples=samples)

    def _open(self, spec: str) -> Host:
        if self.open_host is None:
            raise ConfigError(f"{spec}: nothing here can open this hosting")
        return self.open_host(spec)

    def _published(self, sample: SampleFile, host: Host, ledger: Ledger, enrolment: Enrolment) -> SampleFile:
        if sample.sha256 not in self._urls:
            suffix = PurePath(sample.path.name).suffix
            media_type = MEDIA_TYPES.get(suffix.lower(), "application/octet-stream")
            key = host.place(sample.data, suffix)
            number = ledger.begin_hosting(enrolment, host.spec, key)
            hosted = host.put(key, sample.data, media_type)
            ledger.note_hosted(number, hosted.key, "there" if hosted.removable else "kept")
            self._check(hosted, sample, media_type)
            self._urls[sample.sha256] = hosted.url
        return replace(sample, url=self._urls[sample.sha256])

    def _check(self, hosted: Hosted, sample: SampleFile, media_type: str) -> None:
        if self.public and not is_public(hosted.url):
            raise ConfigError(
                f"{hosted.spec}: the file would be seen only on this machine or network, and the vendor is elsewhere;"
                " use a host that the internet reaches"
            )
        self.check(hosted, sample.data, media_type)

    def sweep(self, ledger: Ledger, plan: Plan) -> None:
        """Remove every hosted file of this enrolment that can be; `left` tells of the others."""
        self.left = [self._swept(row, ledger) for row in ledger.hosted(plan) if row.state != "removed"]
        self.left = [line for line in self.left if line]
        self._urls.clear()

    def _swept(self, row: HostedRow, ledger: Ledger) -> str:
        if row.state == "kept":
            return f"{row.spec}: {without_query(row.key)} stays there; it cannot be removed from here"
        try:
            with closing(self._open(row.spec)) as host:
                if not host.removable:  # begun and never known to be there
                    ledger.note_hosted(row.n, row.key, "kept")
                    return f"{row.spec}: {without_query(row.key)} may be there; it cannot be removed from here"
                host.remove(row.key)
        except (ProviderError, ConfigError) as error:
            return f"{row.spec}: {without_query(row.key)} is still there ({error}); the next run removes it"
        ledger.note_hosted(row.n, row.key, "removed")
        return ""
