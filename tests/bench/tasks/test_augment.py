from __future__ import annotations

import torch

from bench.tasks.augment import gain, mirror, relight


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_mask_is_mirrored_with_its_picture():
    columns = torch.arange(6).expand(8, 5, 4, 6)
    pictures, masks = mirror([columns[:, :, None].expand(-1, -1, 3, -1, -1), columns], generator())
    flipped = masks[:, :, 0, 0] == 5
    assert 0 < flipped.float().mean() < 1
    assert torch.equal(pictures, masks[:, :, None].expand_as(pictures))
    assert torch.equal(masks[flipped], columns[flipped].flip(-1)) and torch.equal(masks[~flipped], columns[~flipped])


def test_light_and_loudness_change_by_chance_around_what_they_were():
    pictures = torch.full((200, 2, 3, 2, 2), 128, dtype=torch.uint8)
    lit = relight(pictures, generator())
    assert abs(lit.mean() - 128 / 255) < 0.03 and 0.15 < lit.std() < 0.35
    assert (lit.amax((-2, -1)) == lit.amin((-2, -1))).all()
    sound = torch.zeros(200, 2, 4, 3)
    louder = gain(sound, generator())
    assert 0.5 < louder[..., 0, 0].std() < 0.9
    assert (louder.amax((-2, -1)) == louder.amin((-2, -1))).all()


def test_one_seed_gives_one_augmentation():
    pictures = torch.randint(0, 256, (4, 2, 3, 5, 5), dtype=torch.uint8)
    assert torch.equal(relight(pictures, generator()), relight(pictures, generator()))
    assert torch.equal(mirror([pictures], generator())[0], mirror([pictures], generator())[0])
