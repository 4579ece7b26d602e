"""The task Ref-AVS: its samples, its scores against their definitions, and its head."""

from __future__ import annotations

import csv
import wave

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from bench.conformance.models import THREE, tiny_model
from bench.streams.inputs import AudioInput, ImageInput
from bench.streams.load import outline_stream
from bench.tasks.model import TaskModel
from bench.tasks.refavs import RefAVS, unpacked
from bench.tasks.scene_decoder import SceneDecoder, Standardized

RATE, SECONDS = 1000, 10
INPUTS = {
    "vision": ImageInput(16, (0.5,) * 3, (0.5,) * 3),
    "audio": AudioInput(RATE, 16, 24, -4.0, 4.0),
    "text": outline_stream("embedded:text-v2").input,
}
WIDTHS = {"vision": 32, "audio": 24, "text": 40}
EXPRESSIONS = {"train": "the left ring", "val": "the ring", "test_s": "a star", "test_u": "a heart", "test_n": "a disc"}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """One expression for each split, about a square that is at second s in column s, and absent at the last second."""
    root = tmp_path_factory.mktemp("refavs")
    rows = []
    for split, text in EXPRESSIONS.items():
        media, masks = root / "REFAVS/media" / split, root / "REFAVS/gt_mask" / split / "fid_1"
        (media / "frames").mkdir(parents=True)
        masks.mkdir(parents=True)
        for second in range(SECONDS):
            mask = np.zeros((32, 32), dtype=np.uint8)
            if split != "test_n" and second < SECONDS - 1:
                mask[8:16, second : second + 8] = 255
            Image.fromarray(mask).save(masks / f"{second:05d}.png")
            Image.fromarray(np.stack([mask, 255 - mask, mask], axis=2)).save(media / f"frames/{second}.jpg")
        with wave.open(str(media / "audio.wav"), "wb") as file:
            file.setnchannels(1), file.setsampwidth(2), file.setframerate(RATE)
            file.writeframes(np.random.default_rng(0).integers(-999, 999, SECONDS * RATE, dtype=np.int16).tobytes())
        rows.append((split, f"{split}_{'null' if split == 'test_n' else 'ring'}_1", split, 1, text))
    with (root / "REFAVS/metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("vid", "uid", "split", "fid", "exp"), *rows])
    return root


def sample_of(release, split):
    return RefAVS().samples(release, split, INPUTS)[0]


def batched(sample, count: int = 2):
    return {name: torch.from_numpy(np.stack([np.asarray(values)] * count)) for name, values in sample.items()}


def test_training_samples(release):
    samples = RefAVS().samples(release, "train", INPUTS)
    sample = samples[0]
    assert samples.names == ["train_ring_1"] and samples.groups == ["train"] and len(samples) == 1
    shapes = {name: values.shape for name, values in sample.items()}
    assert shapes["vision"] == (10, 3, 16, 16) and shapes["audio"] == (10, 24, 16) and shapes["mask"] == (10, 16, 16)
    assert shapes["text"] == shapes["mirrored"] == (1, 5) and shapes["mirrors"] == (1,)
    assert sample["mirrors"].all() and (sample["text"] != sample["mirrored"]).any()
    assert sample["mask"][0, 4:8, :4].min() == 255 and sample["mask"][0].sum() == 16 * 255
    assert not sample["mask"][9].any()


@pytest.mark.parametrize("split", ["val", "test_s", "test_u", "test_n"])
def test_scored_samples(release, split):
    sample = sample_of(release, split)
    assert set(sample) == {"vision", "audio", "text", "truth", "present", "unseen"}
    assert bool(sample["present"]) == (split != "test_n") and bool(sample["unseen"]) == (split == "test_u")
    mask = unpacked(torch.from_numpy(sample["truth"]))
    assert mask.shape == (10, 256, 256) and mask.dtype == torch.bool
    expected = torch.zeros_like(mask)
    for second in range(9 if split != "test_n" else 0):
        expected[second, 64:128, 8 * second : 8 * second + 64] = True
    assert torch.equal(mask, expected)


def drawn(count: int = 3):
    """Return logits, and truths of which the second has an empty frame and the last is all empty."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(count, SECONDS, 8, 8, generator=generator) * 2
    mask = torch.zeros(count, SECONDS, 256, 256, dtype=torch.bool)
    mask[0, :, 30:90, 40:200] = mask[1, 3:, 100:250, 10:60] = True
    truth = torch.from_numpy(np.packbits(mask.numpy().reshape(count, SECONDS, -1), axis=2))
    present = torch.tensor([True, True, False])
    return logits, mask, {"truth": truth, "present": present, "unseen": torch.tensor([False, True, False])}


def test_scores_are_those_of_their_definitions():
    """Frame by frame and threshold by threshold, as in the authors' evaluation."""
    logits, mask, batch = drawn()
    measured = RefAVS().score(logits, batch)
    probability = torch.nn.functional.interpolate(logits, (256, 256), mode="bilinear").sigmoid().numpy()
    true = mask.numpy()
    for video in range(3):
        ious, curves = [], []
        for p, m in zip(probability[video], true[video], strict=True):
            predicted = p > 0.4
            ious.append((predicted & m).sum() / (predicted | m).sum() if m.any() else (~predicted).mean())
            if m.any():
                curve = []
                for threshold in np.linspace(0, 1 - 1e-10, 255)[::6]:
                    above = p >= threshold
                    precision, recall = (above & m).sum() / max(above.sum(), 1), (above & m).sum() / m.sum()
                    curve.append(1.3 * precision * recall / max(0.3 * precision + recall, 1e-12))
                curves.append(curve)
        assert measured["miou"][video].item() == pytest.approx(100 * np.mean(ious), abs=1e-6)
        best = 100 * np.mean(curves, axis=0).max() if curves else 0.0
        assert best - 1e-3 <= measured["f_score"][video].item() <= best + 0.5  # of all thresholds, not of every sixth
        expected = 100 * np.sqrt((probability[video] > 0.5).mean())
        assert measured["null_s"][video].item() == pytest.approx(expected, abs=1e-6)


def test_each_split_has_its_scores_and_their_mean_is_that_of_seen_and_unseen():
    task = RefAVS()
    measured = {
        "miou": torch.tensor([10.0, 20.0, 60.0, 99.0]),
        "f_score": torch.tensor([30.0, 50.0, 70.0, 0.0]),
        "null_s": torch.tensor([1.0, 2.0, 3.0, 8.0]),
        "present": torch.tensor([1.0, 1.0, 1.0, 0.0]),
        "unseen": torch.tensor([0.0, 0.0, 1.0, 0.0]),
    }
    of_seen, of_unseen, of_null = (
        {name: values[part] for name, values in measured.items()} for part in ([0, 1], [2], [3])
    )
    assert task.summarize(of_seen) == {"miou": 15, "f_score": 40}
    assert task.summarize(of_unseen) == {"miou": 60, "f_score": 70}
    assert task.summarize(of_null) == {"null_s": 8}
    whole = task.summarize(measured)
    assert whole == pytest.approx({"miou": 30, "f_score": 50, "miou_mix": 37.5, "f_score_mix": 55, "null_s": 8})
    assert set(whole) == set(task.metrics) and task.metric in whole
    stored = [task.per_sample(part) for part in (of_seen, of_unseen, of_null)]
    assert [set(part) for part in stored] == [{"miou", "f_score"}, {"miou", "f_score"}, {"null_s"}]
    assert torch.cat([part["miou"] for part in stored[:2]]).mean() == whole["miou"]


def test_augmentation_treats_a_video_as_one(release):
    """All frames are mirrored or none, with mask and text; what is louder than something else stays so."""
    task, batch = RefAVS(jitter=0.0), batched(sample_of(release, "train"), 8)
    changed = task.augment(batch, torch.Generator().manual_seed(0))
    mirrored = (changed["text"] == batch["mirrored"]).all(-1)[:, 0]
    assert 0 < mirrored.sum() < 8
    for number, is_mirrored in enumerate(mirrored):
        expected = batch["mask"][number].flip(-1) if is_mirrored else batch["mask"][number]
        assert torch.equal(changed["mask"][number], expected)
        frames = batch["vision"][number].flip(-1) if is_mirrored else batch["vision"][number]
        assert_close(changed["vision"][number], frames / 255)
    gains = changed["audio"] - batch["audio"]
    assert_close(gains, gains[:, :1, :1, :1].expand_as(gains), rtol=0, atol=1e-5)
    assert gains[:, 0, 0, 0].unique().numel() == 8
    assert torch.equal(RefAVS(louder=False).augment(batch, torch.Generator())["audio"], batch["audio"])


@pytest.mark.parametrize("split", ["train", "test_n"])
def test_a_sound_split_has_no_flaw_even_if_nothing_is_there(release, split):
    samples = RefAVS().samples(release, split, INPUTS)
    assert RefAVS().flaw(samples, [(0, batched(samples[0], 1))]) is None


@pytest.mark.parametrize(("split", "name"), [("train", "mask"), ("val", "truth")])
def test_masks_that_are_all_alike_are_a_flaw(release, split, name):
    samples = RefAVS().samples(release, split, INPUTS)
    for value, kind in ((0, "empty"), (255, "full")):
        sample = {key: torch.from_numpy(np.asarray(values)) for key, values in samples[0].items()}
        sample[name] = torch.full_like(sample[name], value)
        message = RefAVS().flaw(samples, [(0, sample)])
        assert message and f"all masks are {kind}, such as" in message and "fid_1/00000.png" in message


def tokens(samples: int = 2, frames: int = 3):
    generator = torch.Generator().manual_seed(1)
    counts = {"vision": (frames, 5), "audio": (frames, 7), "text": (1, 6)}
    states = {name: torch.randn(samples, *count, WIDTHS[name], generator=generator) for name, count in counts.items()}
    return states, {"text": (torch.arange(6) < torch.tensor([[4], [6]]))[:, None]}


def decoder(**settings) -> SceneDecoder:
    torch.manual_seed(0)
    head = SceneDecoder(WIDTHS, hidden=16, layers=2, **settings).eval()
    head.special = {"vision": 1, "audio": 2, "text": 1}
    return head


@pytest.mark.parametrize("reads", ["words", "cls", "mean"])
def test_each_mask_depends_on_its_frame_on_all_sounds_and_on_the_text_without_padding(reads):
    head = decoder(reads=reads)
    states, masks = tokens()
    expected = head(states, masks)
    assert expected.shape == (2, 3, 8, 8)

    def changed(stream, index):
        value = states[stream].clone()
        value[index] += torch.linspace(-1, 1, value.shape[-1])
        return (head({**states, stream: value}, masks) - expected).abs().amax((2, 3)) > 1e-6

    assert changed("vision", (0, 1)).tolist() == [[False, True, False], [False, False, False]]
    assert changed("audio", (1, 2)).tolist() == [[False] * 3, [True] * 3]
    assert changed("text", (0, 0, slice(0, 4))).tolist() == [[True] * 3, [False] * 3]
    assert not changed("text", (0, 0, slice(4, 6))).any()


def test_features_are_standardized_over_the_training_samples_so_far():
    generator = torch.Generator().manual_seed(3)
    layer, batches = Standardized(5), [torch.randn(8, 3, 5, generator=generator) * 4 + 9 for _ in range(50)]
    for batch in batches:
        layer.follow(batch)
    standard = layer(torch.cat(batches))
    assert_close(standard.mean((0, 1)), torch.zeros(5), rtol=0, atol=0.1)
    assert_close(standard.std((0, 1)), torch.ones(5), rtol=0, atol=0.1)
    layer = Standardized(5)
    layer.follow(torch.ones(1, 1, 5))
    assert layer(torch.ones(1, 1, 5)).isfinite().all(), "of a single text"


def test_statistics_follow_in_training_only_and_not_the_padding():
    head = decoder()
    states, masks = tokens()
    head(states, masks)
    assert not head.standard_text.batches and not head.standard_audio.batches
    head.train()
    head(states, masks)
    mean = head.standard_text.mean.clone()
    assert mean.any() and head.standard_audio.mean.any()
    states["text"][0, 0, 4:] += 9
    head.standard_text.batches.zero_()
    head(states, masks)
    assert_close(head.standard_text.mean, mean)


def test_the_decoder_knows_the_time_of_sounds_and_frames():
    head = decoder()
    states, masks = tokens()
    states = {**states, "vision": states["vision"][:, :1].expand(-1, 3, -1, -1)}
    expected = head(states, masks)
    assert not torch.allclose(expected[:, 0], expected[:, 1])
    swapped = head({**states, "audio": states["audio"].flip(1)}, masks)
    assert not torch.allclose(swapped, expected)


@pytest.mark.parametrize("split", ["train", "test_s", "test_n"])
def test_random_samples_are_like_real_ones(release, split):
    real, random = batched(sample_of(release, split)), RefAVS().example(split, INPUTS, 2, torch.Generator())
    assert real.keys() == random.keys()
    for name, values in real.items():
        assert random[name].dtype == values.dtype and random[name].ndim == values.ndim, name
        assert name in ("text", "mirrored") or random[name].shape == values.shape, name
        if name in ("present", "unseen"):
            assert torch.equal(random[name], values)


def test_the_model_trains_and_is_scored_and_drawn(release):
    task = RefAVS(hidden=8, layers=1)
    model = TaskModel(tiny_model(THREE), task.head(WIDTHS, None))
    ids = torch.tensor([[[2, 5, 3]], [[2, 3, 0]]])
    train = task.augment(batched(sample_of(release, "train")), torch.Generator().manual_seed(0)) | {"text": ids}
    loss = task.loss(model(train), train)
    loss.backward()
    assert loss.isfinite() and all(p.grad.any() for p in model.head.mask.parameters())
    test = batched(sample_of(release, "test_s")) | {"text": ids}
    output = model.eval()(test).detach()
    assert output.shape == (2, 10, 8, 8)
    assert all(values.shape == (2,) for values in task.score(output, test).values())
    picture = task.draw(task.samples(release, "test_s", INPUTS), 0, {"output": output[0].numpy()})
    assert picture.width > 10 * 96 and picture.height > 3 * 96


def test_the_mirrored_text_belongs_to_the_text():
    """A control without the text must not see it."""
    assert RefAVS().columns("text") == ("text", "mirrored", "mirrors")
    assert RefAVS().columns("audio") == ("audio",)


@pytest.mark.parametrize("settings", [{"hidden": 6}, {"layers": 0}, {"jitter": -1.0}, {"shrink": 0.0}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        RefAVS(**settings)
