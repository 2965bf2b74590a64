"""Write `report.html` for a finished run."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from pipelines.config import Config
from pipelines.prepare import PrepareResult
from pipelines.report.pictures import clip_picture
from pipelines.vendorset import VendorSet
from pipelines.words import clock, fix, sentence, what
from prep.audio import read_mono
from prep.store import Store, digest, write_atomic

TEMPLATE = Path(__file__).parent / "page.html.j2"
MAX_ROWS = 2000


def write_report(result: PrepareResult, config: Config, store: Store) -> Path:
    """The report of a run, beside its manifest; all text is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"clock": clock, "sentence": sentence, "url": lambda path: quote(path)}
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    path = result.out / "report.html"
    page = template.render(**_facts(result, config, store))
    write_atomic(path, page.encode("utf-8", "replace"))
    return path


def _facts(result: PrepareResult, config: Config, store: Store) -> dict[str, Any]:
    kept, rejected = result.seconds("kept"), result.seconds("rejected")
    return {
        "verdict": verdict(result),
        "kept_s": kept,
        "rejected_s": rejected,
        "funnel": [(what(c), c, s, 100 * s / max(kept + rejected, 1e-9), fix(c)) for c, s in result.funnel().items()],
        "sets": [_set_facts(made, store) for made in result.sets],
        "sources": result.sources,
        "timelines": _timelines(result),
        "rows": result.rows[:MAX_ROWS],
        "n_more": max(0, len(result.rows) - MAX_ROWS),
        "voices": list(result.voices),
        "gates": config.gates,
        "run": result.run,
    }


def verdict(result: PrepareResult) -> list[str]:
    """The run in a few plain sentences."""
    kept, total = result.seconds("kept"), result.seconds("kept") + result.seconds("rejected")
    out = [f"{kept:.0f} of {total:.0f} seconds are usable."]
    for made in result.sets:
        n = len(made.document["clips"])
        out.append(f"{made.vendor}: the set is {'complete' if made.satisfied else 'not complete'}, {n} file(s).")
        out += [f"{p['fix'][0].upper()}{p['fix'][1:]}." for p in made.document["problems"] if p["rule"] != "candidate"]
    failed = [source for source in result.sources if source["status"] == "failed"]
    out += [f"{source['source']} could not be used: {source['error']}." for source in failed]
    worst = next(iter(result.funnel().items()), None)
    if worst is not None and fix(worst[0]):
        out.append(f"Most was lost to: {what(worst[0])} ({worst[1]:.0f} s). To do: {fix(worst[0])}.")
    return out


def _picture(path: Path, sha256: str, store: Store) -> bytes:
    """A clip's picture, from the store where it has it: librosa takes seconds to load."""
    kept = store.blob_path(digest("picture", "1", sha256), ".png")
    if not kept.exists():
        write_atomic(kept, clip_picture(*read_mono(path)))
    return kept.read_bytes()


def _set_facts(made: VendorSet, store: Store) -> dict[str, Any]:
    folder = made.path.parent
    clips = []
    for clip in made.document["clips"]:
        data = base64.b64encode(_picture(folder / clip["file"], clip["sha256"], store)).decode("ascii")
        clips.append(
            {**clip, "picture": f"data:image/png;base64,{data}", "href": f"vendors/{made.vendor}/{clip['file']}"}
        )
    return {"vendor": made.vendor, "satisfied": made.satisfied, "problems": made.document["problems"], "clips": clips}


def _timelines(result: PrepareResult) -> list[dict[str, Any]]:
    """Per working copy the share of its length each tile takes, for the coloured bar."""
    out = []
    for source in result.sources:
        if source["status"] != "processed":
            continue
        rows = [r for r in result.rows if r["source"] == source["source"] and r["channel"] == source["channel"]]
        tiles = [
            {"class": _class(row), "percent": 100 * row["duration_s"] / source["duration_s"], "row": row}
            for row in rows
        ]
        out.append({"source": source, "tiles": tiles})
    return out


def _class(row: dict[str, Any]) -> str:
    return "chosen" if row["chosen_for"] else str(row["status"])
