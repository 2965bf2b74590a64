"""Imports run one way, and importing costs nothing."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS = (
    {"prep.errors", "prep.span", "prep.clip", "prep.text", "prep.witness", "prep.parallel"},
    {"prep.models", "prep.audio", "prep.store", "prep.stage", "prep.manifest"},
    {"prep.recordings", "prep.stages", "prep.measures", "prep.providers", "prep.hosting", "prep.exports"},
    {"pipelines"},
)
"""Each may import from its own layer and those before it. `prep.recordings` opens what stages made for measures."""
HEAVY = {
    "matplotlib",
    "torch",
    "faster_whisper",
    "av",
    "onnxruntime",
    "ctranslate2",
    "librosa",
    "pandas",
    "scipy",
    "pyloudnorm",
}
FILES = sorted([*(ROOT / "prep").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """`prep.stages.ingest` -> `prep.stages`; all of `pipelines` is one part."""
    return "pipelines" if module.split(".")[0] == "pipelines" else ".".join(module.split(".")[:2])


def layer_of(module: str) -> int:
    for i, layer in enumerate(LAYERS):
        if part_of(module) in layer:
            return i
    pytest.fail(f"{module} is in no layer: give it one in {Path(__file__).name}")


def imports_of(path: Path, top_only: bool = False) -> set[str]:
    """Modules a file imports; `top_only` leaves out imports inside functions and for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {submodule(node.module or "", alias.name) for alias in node.names}
    return found


def submodule(module: str, name: str) -> str:
    """`from prep.measures import level` imports `prep.measures.level`."""
    folder = ROOT.joinpath(*module.split("."))
    return f"{module}.{name}" if (folder / f"{name}.py").exists() or (folder / name).is_dir() else module


def ours(modules: set[str]) -> set[str]:
    return {module for module in modules if module.split(".")[0] in {"prep", "pipelines"}}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_run_one_way(path):
    module = module_of(path)
    if module == "prep":
        assert ours(imports_of(path)) == set()
        return
    upward = {other for other in ours(imports_of(path)) if layer_of(other) > layer_of(module)}
    assert upward == set()


def test_no_module_imports_itself_around_a_corner():
    graph = {module_of(path): ours(imports_of(path, top_only=True)) for path in FILES}

    def reach(module: str, seen: frozenset[str]) -> set[str]:
        out = set()
        for other in graph.get(module, set()) - seen:
            out |= {other} | reach(other, seen | out | {other})
        return out

    assert [module for module in graph if module in reach(module, frozenset())] == []


def test_values_stand_on_values_alone():
    standing = {name: ours(imports_of(ROOT / "prep" / f"{name}.py")) for name in ("errors", "span", "clip")}
    assert standing == {"errors": set(), "span": set(), "clip": {"prep.span"}}


@pytest.mark.parametrize(
    "library",
    [
        "av",
        "soundfile",
        "soxr",
    ],
)
def test_one_module_touches_codecs(library):
    users = {
        module_of(path)
        for path in FILES
        if module_of(path).startswith("prep") and library in {name.split(".")[0] for name in imports_of(path)}
    }
    assert users == {"prep.audio"}


def in_a_new_process(code: str) -> dict[str, object]:
    head = "import json, sys, time\nbegan = time.perf_counter()\n"
    tail = "\nprint(json.dumps({'s': time.perf_counter() - began, 'modules': sorted(sys.modules)}))"
    ran = subprocess.run(
        [sys.executable, "-c", head + code + tail], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout)


def test_importing_the_library_is_quick():
    assert min(in_a_new_process("import prep")["s"] for _ in range(3)) < 0.3


@pytest.mark.parametrize("module", ["prep", "prep.clip", "prep.errors", "prep.store", "prep.stage"])
def test_importing_values_and_stages_loads_nothing_heavy(module):
    loaded = {name.split(".")[0] for name in in_a_new_process(f"import {module}")["modules"]}
    assert loaded & (HEAVY | {"numpy"}) == set()


def test_importing_everything_loads_no_model_and_no_torch():
    modules = [module_of(path) for path in FILES if module_of(path).startswith("prep")]
    loaded = {name.split(".")[0] for name in in_a_new_process("\n".join(f"import {m}" for m in modules))["modules"]}
    assert loaded & {"matplotlib", "torch", "faster_whisper", "onnxruntime", "ctranslate2", "librosa"} == set()


def needed(name: str) -> set[str]:
    found = re.match(r"[A-Za-z0-9._-]+", name)
    assert found
    return {re.sub(r"[-_.]+", "-", found[0]).lower()}


def test_nothing_a_user_installs_brings_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    todo = set().union(*(needed(line) for line in project["dependencies"]))
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        seen.add(name)
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # for another platform or Python
            continue
        todo |= set().union(*(needed(line) for line in lines if "extra ==" not in line)) - seen
    assert len(seen) > 30
    assert seen & {"torch", "torchaudio", "tensorflow", "jax", "nvidia-cudnn-cu12", "triton"} == set()
