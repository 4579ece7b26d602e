"""Audio-visual question answering: scores by type, the head, and pictures of predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from official import write_official

from bench.datasets.avqa_types import TYPES
from bench.streams.load import outline_stream
from bench.tasks.avqa import AVQA
from bench.tasks.avqa_head import QuestionHead

WIDTHS = {"vision": 6, "audio": 4, "text": 5}
KNOWN_LOGITS = [
    -1.15141357,
    -0.47273554,
    0.38566335,
    0.27546560,
    -0.80465807,
    0.37680507,
    -1.18269882,
]  # of weights and inputs from NumPy


@pytest.fixture(scope="module")
def inputs():
    models = {"vision": "vision-v2", "audio": "audio-v1", "text": "text-v2"}
    return {name: outline_stream(f"embedded:{model}").input for name, model in models.items()}


@pytest.fixture(scope="module")
def samples(tmp_path_factory, inputs):
    return AVQA(times=3).samples(write_official(tmp_path_factory.mktemp("avqa"), "avqa"), "val", inputs)


def head(times: int = 3) -> QuestionHead:
    torch.manual_seed(0)
    model = QuestionHead(WIDTHS, 8, times, 7)
    model.special = {"vision": 1, "audio": 2, "text": 0}
    return model.eval()


def states(times: int = 3, texts: int = 1) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    vision = torch.randn(2, times, 5, 6, generator=generator)
    audio = torch.randn(2, times, 4, 4, generator=generator)
    text = torch.randn(2, 1, 6, 5, generator=generator).expand(-1, texts, -1, -1)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6], dtype=torch.bool)[:, None].expand(-1, texts, -1)
    return {"vision": vision, "audio": audio, "text": text}, {"text": mask}


def test_scores_are_the_shares_of_right_answers_of_all_of_each_kind_and_of_each_type():
    answer, kind = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, TYPES.index(("Visual", "Location"))])
    output = torch.eye(2)[torch.tensor([0, 1, 0, 1])]  # the first two are right
    task = AVQA()
    measured = task.score(output, {"answer": answer, "type": kind})
    assert task.per_sample(measured)["accuracy"].tolist() == [100, 100, 0, 0]
    assert task.summarize(measured) == {
        "accuracy": 50.0,
        "audio": pytest.approx(200 / 3),
        "visual": 0.0,
        "audio_counting": 50.0,
        "audio_comparative": 100.0,
        "visual_location": 0.0,
    }
    assert {*task.summarize(measured)} < {*task.metrics} and len(task.metrics) == 1 + 3 + 9


def test_a_sample_has_so_many_seconds_and_one_text(samples):
    sample = samples[0]
    assert sample["vision"].shape == (3, 3, 48, 48) and len(sample["audio"]) == 3 and len(sample["text"]) == 1
    assert samples.release.answers[sample["answer"]] == samples.release.questions[0].answer
    assert TYPES[sample["type"]] == ("Audio", "Counting")
    assert samples.groups[0] == samples.groups[1] == "10000000"
    assert np.shares_memory(samples[1]["vision"], sample["vision"]), "questions about one video share what is decoded"


def test_a_text_for_each_second_is_as_one_for_the_sample():
    logits = head()(*states())
    assert logits.shape == (2, 7)
    torch.testing.assert_close(head()(*states(texts=3)), logits)


def test_padding_does_not_matter_and_every_input_does():
    model, (x, masks) = head(), states()
    logits = model(x, masks)
    padded = x["text"].clone()
    padded[0, 0, 4:] = 9.0
    torch.testing.assert_close(model({**x, "text": padded}, masks), logits)
    for name in x:
        changed = x[name].clone()
        changed[:, -1, -1, 0] += 1  # the last second's last token, which is no padding of the second sample
        assert not torch.allclose(model({**x, name: changed}, masks)[1], logits[1]), name


def test_the_order_of_seconds_and_of_places_matters():
    model, (x, masks) = head(), states()
    logits = model(x, masks)
    reverse = {**x, "vision": x["vision"].flip(1), "audio": x["audio"].flip(1)}
    assert not torch.allclose(model(reverse, masks), logits)
    mirrored = torch.cat([x["vision"][:, :, :1], x["vision"][:, :, [2, 1, 4, 3]]], dim=2)
    assert not torch.allclose(model({**x, "vision": mirrored}, masks), logits)


def test_the_head_returns_the_known_logits():
    rng = np.random.default_rng(0)
    model = head().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.standard_normal(parameter.shape) * 0.3))
    shapes = {"vision": (1, 3, 5, 6), "audio": (1, 3, 4, 4), "text": (1, 1, 6, 5)}
    x = {name: torch.from_numpy(rng.standard_normal(shape)) for name, shape in shapes.items()}
    masks = {"text": torch.tensor([[[True] * 4 + [False] * 2]])}
    assert model(x, masks)[0].tolist() == pytest.approx(KNOWN_LOGITS, abs=1e-6)


def test_the_head_has_the_answers_of_training_or_those_of_the_release(samples):
    assert AVQA(hidden=8).head(WIDTHS, samples).classify[-1].out_features == len(samples.release.answers)
    assert AVQA(hidden=8).head(WIDTHS, None).classify[-1].out_features == 42


def test_a_split_whose_answers_are_all_the_same_is_refused(samples):
    task = AVQA(times=3)
    read = [(number, {"answer": torch.tensor(samples.answers[number])}) for number in range(len(samples))]
    assert task.flaw(samples, read) is None
    message = task.flaw(samples, [read[0], read[0]])
    assert message == f"all questions have the same answer, such as {samples.names[0]}"


def test_only_the_light_is_augmented():
    generator = torch.Generator().manual_seed(0)
    batch = {"vision": torch.randint(256, (2, 3, 3, 8, 8), dtype=torch.uint8), "audio": torch.randn(2, 3, 98, 16)}
    changed = AVQA().augment(dict(batch), generator)
    assert not torch.equal(changed["vision"], batch["vision"]) and changed["audio"] is batch["audio"]
    assert AVQA(augmentation=False).augment(batch, generator) is batch


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"hidden": 6}, "hidden must be a multiple of 4"), ({"times": 0}, "times must be from 1 to 60, not 0")],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AVQA(**settings)


def test_a_prediction_is_drawn_with_frames_question_and_answers(samples):
    task, number = AVQA(times=3), samples.answers[0]
    right, wrong = (np.eye(len(samples.release.answers))[place] for place in (number, number - 1))
    pictures = [task.draw(samples, 0, {"output": logits}) for logits in (right, wrong)]
    assert pictures[0].size == pictures[1].size and pictures[0].width == 3 * 144 + 2 * 4
    from bench.tasks import draw

    colors = [{color for _, color in picture.getcolors(1 << 20)} for picture in pictures]
    assert draw.PREDICTED not in colors[0] and draw.PREDICTED in colors[1] and draw.TRUE in colors[1]
