"""Third-party weights made into ONNX networks on this machine, once, without PyTorch.

A `Recipe` says which weight, how its tensors become a graph, and what the graph must answer to a made-up signal.
`network` gives the path of the finished file: from the cache, or built, checked against the stored answers of PyTorch,
and put there in one step. The file's name carries its own digest, so a damaged one is noticed and built anew.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prep.errors import ModelError
from prep.models.registry import Progress, ensure, weight
from prep.models.unpickle import Tensor, flat, read_tensors
from prep.store import write_atomic

Floats = npt.NDArray[np.float32]
OPSET = 17
IR_VERSION = 9
"""Old enough for every onnxruntime that voxprep allows."""
AGREE = 1e-4
REFERENCES = Path(__file__).with_name("references.npz")
PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "coreml": ("CoreMLExecutionProvider", "CPUExecutionProvider"),
}


@dataclass(frozen=True)
class Recipe:
    """How one weight becomes a network.

    Args:
        weight: name in the registry.
        version: of the builder; changed whenever it makes another graph.
        build: tensors by name -> a serialised ONNX model with one input and one output.
        probe: what the check feeds in.
        reference: name in `references.npz` of what PyTorch answered to the probe.
    """

    weight: str
    version: str
    build: Callable[[Mapping[str, Tensor]], bytes]
    probe: Callable[[], Floats]
    reference: str

    @property
    def digest(self) -> str:
        """Identity of the network, for the keys of results: weights and builder."""
        return hashlib.sha256(f"{weight(self.weight).digest} {self.version}".encode()).hexdigest()


def network(
    recipe: Recipe,
    cache: Path,
    *,
    explicit: Path | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The checked ONNX file of a recipe, `CACHE/models/onnx/WEIGHT-DIGEST-SHA256.onnx`.

    Args:
        recipe: what to build.
        cache: root of the cache.
        explicit: the PyTorch file, where the user named one.
        offline: fetch nothing.
        progress: told the bytes of a download.

    Raises:
        ModelError: the weight could not be had, is not what it should be, or the network's answers differ from
            PyTorch's.
        OSError: the cache cannot be written.
    """
    folder, stem = cache / "models" / "onnx", f"{recipe.weight}-{recipe.digest[:12]}"
    for path in sorted(folder.glob(f"{stem}-*.onnx")):
        if hashlib.sha256(path.read_bytes()).hexdigest()[:16] == path.stem.rpartition("-")[2]:
            return path
    source = ensure(recipe.weight, cache=cache, explicit=explicit, offline=offline, progress=progress)
    try:
        model = recipe.build(flat(read_tensors(source)))
    except (KeyError, ValueError) as error:
        raise ModelError(f"{source.name} has not the tensors of {recipe.weight}: {error}") from error
    require_agreement(recipe, model)
    path = folder / f"{stem}-{hashlib.sha256(model).hexdigest()[:16]}.onnx"
    write_atomic(path, model)
    return path


def require_agreement(recipe: Recipe, model: bytes) -> None:
    """Compare a network's answer to the probe with the stored one of PyTorch.

    Raises:
        ModelError: some number differs by more than `AGREE`.
    """
    answer = run(open_session(model), recipe.probe())
    with np.load(REFERENCES) as stored:
        wanted = stored[recipe.reference]
    thinned = answer[:, :: -(-answer.shape[1] // wanted.shape[1])]  # the file holds every tenth frame of a long one
    apart = float(np.max(np.abs(thinned - wanted))) if thinned.shape == wanted.shape else float("inf")
    if not apart <= AGREE:
        raise ModelError(f"{recipe.weight}: built network is {apart:.2g} off PyTorch's answer, allowed {AGREE:g}")


def open_session(model: Path | bytes, provider: str = "cpu") -> Any:
    """An onnxruntime session of one thread.

    With its memory arena, which holds the largest batch seen (fixed by the callers: 4 windows of 10 s, 16 of 1.5 s):
    8 to 20 % faster than asking the system for each buffer.

    Args:
        model: a file, or a serialised model.
        provider: a key of `PROVIDERS`.

    Raises:
        ModelError: an unknown provider, or no model that onnxruntime can run.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    if provider not in PROVIDERS:
        raise ModelError(f"unknown provider {provider!r}; known: {', '.join(PROVIDERS)}")
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    bad = (states.Fail, states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf, states.NoSuchFile)
    try:
        return onnxruntime.InferenceSession(source, providers=list(PROVIDERS[provider]), sess_options=options)
    except (*bad, ValueError) as error:
        raise ModelError(f"{model if isinstance(model, Path) else 'model'}: {error}") from error


def run(session: Any, values: Floats) -> Floats:
    """The first output of a session for its one input."""
    (first, *_) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(values, np.float32)})
    return np.asarray(first, np.float32)


def made_up(shape: Sequence[int], seed: int) -> Floats:
    """Numbers in [-1, 1) that are the same on every machine, for a probe."""
    raw = random.Random(seed).randbytes(2 * int(np.prod(shape)))
    return np.asarray(np.frombuffer(raw, "<i2") / 32768, np.float32).reshape(shape)


class Graph:
    """Collects nodes and constants of a network; names are given by counting."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def const(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """A constant; gives its name."""
        from onnx import numpy_helper

        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        """A constant 1-D list of int64: axes, shapes, repeats."""
        return self.const(values, np.int64)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; gives the output's name."""
        from onnx import helper

        name = f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def model(
        self, entry: str, entry_shape: Sequence[str | int], result: str, result_shape: Sequence[str | int]
    ) -> bytes:
        """The serialised model; `result` is the name of the node that is the output.

        Raises:
            ValueError: the graph is not valid ONNX.
        """
        import onnx
        from onnx import TensorProto, checker, helper

        graph = helper.make_graph(
            [*self._nodes, helper.make_node("Identity", [result], ["output"])],
            self._name,
            [helper.make_tensor_value_info(entry, TensorProto.FLOAT, list(entry_shape))],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(result_shape))],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="voxprep")
        model.ir_version = IR_VERSION
        try:
            checker.check_model(model)
        except onnx.checker.ValidationError as error:
            raise ValueError(str(error)) from error
        return bytes(model.SerializeToString())
