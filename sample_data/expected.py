"""Render expected.toml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from talk import Facts

HEADER = """\
# What each sample file is and what voxprep must say of it. Written by make.py from script.toml: edit that.
#
# made         how it was made, in one line
# seconds      what was written or, where the file is damaged, what can be decoded (0 = nothing); a coder may
#              pad the end by up to 0.05 s
# declared_s   what the header promises, where that is more
# speech       the lines as mixed, in seconds from the file's zero (the container's start) and of the whole
#              file, also where it is cut; text is what the voice was asked to say
# overlap_s    both voices at once: [start, end] of each talk-over
# snr_db       speech over background at the mix: rms over the lines against rms of the background
# *_dbfs       rms against a full scale of 1.0
# expect.verdict    set: this file alone satisfies every vendor's set. usable: a clip or more is kept.
#                   rejected: no clip is kept. no_speech: no clip is kept, for that. failed: one `failed` row
# expect.reason     a check that at least one rejected clip, or the row of the source, must name
# expect.cause      the kind of error, to be said in words
# expect.channel, expect.language    what kept clips must carry in that column
# expect.settings   what `--set` it is asked with
# expect.needs      not to be asked before that issue is done
"""


def to_toml(found: Mapping[str, Facts]) -> str:
    """Render expected.toml."""
    tables = []
    for name, facts in found.items():
        rows = "".join(f"{key} = {toml_value(value, deep=False)}\n" for key, value in facts.items())
        tables.append(f'["{name}"]\n{rows}')
    return HEADER + "\n" + "\n".join(tables)


def toml_value(value: Any, deep: bool = True) -> str:
    """Render one value; an outermost list of tables gets a line for each."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list) and not deep and value and isinstance(value[0], dict):
        return "[\n" + "".join(f"  {toml_value(part)},\n" for part in value) + "]"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(part) for part in value) + "]"
    return json.dumps(value, ensure_ascii=False)  # a JSON string, number or boolean is a TOML one
