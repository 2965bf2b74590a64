"""What the vendor tests share: a user's own file for a vendor, with one limit changed."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.toml import configs_folder
from pipelines.vendors import Vendor, load_vendor

UPLOADING = ["ai302", "kling", "qhaigc", "qiniu", "qwen"]
BY_HAND = ["cartesia", "cosyvoice", "elevenlabs", "fish", "minimax", "siliconflow"]
NAMES = sorted(UPLOADING + BY_HAND)
WITH_TEXT = ["ai302", "qhaigc", "siliconflow"]


def changed(folder: Path, name: str, rule: str, values: str) -> Vendor:
    """A shipped vendor with the values of its first limit on a rule changed (or one added), as the user's file."""
    text = (configs_folder() / "vendors" / f"{name}.toml").read_text("utf-8")
    lines = "\n".join(values.split("; "))
    found = re.search(rf'rule = "{rule}"\n((?:(?:min|max|one_of) = .*\n)+)', text)
    if found:
        text = text[: found.start(1)] + lines + "\n" + text[found.end(1) :]
    else:
        text += f'\n[[limit]]\nrule = "{rule}"\n{lines}\n'
        text += 'kind = "hard"\nsource = "a letter"\ndate = "2027-01-01"\nconfidence = "documented"\n'
    (folder / f"{name}.toml").write_text(text, "utf-8")
    return load_vendor(name)
