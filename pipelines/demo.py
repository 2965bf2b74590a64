"""`make demo`: the whole road on the shipped samples and a rehearsal vendor; needs no key, sends nothing out."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pipelines import cli
from pipelines.sandbox.app import running

OUT = Path("demo")
SAMPLES = Path("sample_data")


def step(text: str) -> None:
    """A heading on stdout."""
    sys.stdout.write(f"\n== {text}\n")
    sys.stdout.flush()


def call(*arguments: str) -> int:
    """One command as a user would type it; shown, then run."""
    step("voxprep " + " ".join(arguments))
    return cli.run(arguments)


def main() -> int:
    """Prepare, check, enrol at the sandbox with two vendors, speak; gives the first exit code that is not 0, or 0."""
    shutil.rmtree(OUT, ignore_errors=True)
    step("a talking video in, a vendor-ready set out (first run: fetches 182 MB of networks, once)")
    consent = OUT / "consent.toml"
    code = call("prepare", str(SAMPLES / "talk.mp4"), "--for", "qhaigc", "--for", "kling", "--out", str(OUT))
    if code:
        return code
    with running() as sandbox:
        os.environ.update(sandbox.environment)
        enrol = (
            "upload",
            str(OUT),
            "--to",
            "qhaigc",
            "--name",
            "Demo voice",
            "--option",
            "contact_email=you@example.com",
        )
        # a vendor that takes only URLs; the sandbox's 302.AI hosts the clip
        by_url = ("upload", str(OUT), "--to", "kling", "--name", "Demo voice", "--hosting", "ai302")
        steps = (
            (*enrol, "--dry-run"),
            ("consent", "new", "--self", "--speaker", "Demo speaker", "--purpose", "rehearsal", "--out", str(consent)),
            (*enrol, "--consent", str(consent)),
            ("voices", "list", "--provider", "qhaigc"),
            ("voices", "say", "--provider", "qhaigc", "Demo voice", "Hello.", "--out", str(OUT / "hello.wav")),
            (*by_url, "--consent", str(consent)),
            ("voices", "list", "--provider", "kling"),
        )
        for arguments in steps:
            code = call(*arguments)
            if code:
                return code
    step(f"done: open {OUT / 'report.html'} in a browser; the clips are in {OUT / 'vendors' / 'qhaigc'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
