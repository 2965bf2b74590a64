"""What the user sees while it works: bars on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

SAY_EVERY_S = 5.0


class Console:
    """Progress on stderr, events as NDJSON where asked for; a context manager.

    Args:
        quiet: only errors.
        events: a file to append one JSON object per event to.
    """

    def __init__(self, quiet: bool = False, events: Path | None = None) -> None:
        self._quiet = quiet
        self._rich = RichConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._events: IO[str] | None = events.open("a", encoding="utf-8") if events else None
        self._started = time.monotonic()
        self._bar: Progress | None = None
        self._task: Any = None
        self._said_at = 0.0

    def __enter__(self) -> Console:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._end_bar()
        if self._events is not None:
            self._events.close()

    def say(self, text: str) -> None:
        """One line of progress."""
        self.event("progress", text=text)
        if not self._quiet:
            self._end_bar()
            self._rich.print(f"[{time.monotonic() - self._started:6.1f} s] {text}")

    def passed(self, point: str) -> None:
        """A point of an upload that was passed: an event, and a line where something takes a while."""
        self.event("upload", point=point)
        words = {
            "host:begun": "hosting a clip",
            "create:begun": "asking the vendor to make the voice",
            "slot:begun": "asking for a voice slot",
            "follow:begun": "in training; asking how it goes until it is done",
        }
        if point in words and not self._quiet:
            self._end_bar()
            self._rich.print(f"[{time.monotonic() - self._started:6.1f} s] {words[point]}")

    def event(self, kind: str, **facts: Any) -> None:
        """One line of NDJSON, with seconds since the start."""
        if self._events is not None:
            self._events.write(
                json.dumps({"event": kind, "t_s": round(time.monotonic() - self._started, 3), **facts}) + "\n"
            )
            self._events.flush()

    def fetching(self, done_bytes: int, total_bytes: int | None, what: str) -> None:
        """Weights are coming: a bar on a terminal, a line every few seconds elsewhere."""
        if self._quiet:
            return
        if self._rich.is_terminal:
            self._show_bar(done_bytes, total_bytes, what)
        elif time.monotonic() - self._said_at > SAY_EVERY_S or done_bytes == total_bytes:
            self._said_at = time.monotonic()
            total = f" of {total_bytes / 1e6:.0f}" if total_bytes else ""
            self._rich.print(f"fetching {what}: {done_bytes / 1e6:.0f}{total} MB")

    def _show_bar(self, done: int, total: int | None, what: str) -> None:
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._rich, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(what, total=total)
        self._bar.update(self._task, completed=done, total=total, description=f"fetching {what}")

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Rows as a table on stdout, as wide as the terminal."""
    from rich.table import Table

    made = Table(show_lines=False, header_style="bold")
    for name in columns:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*(str(row.get(name, "")) for name in columns))
    RichConsole(file=sys.stdout, highlight=False, markup=False).print(made)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False, default=str) + "\n")
