"""Families of image encoders beside ViT and DINOv2, compared with the encoders' own forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import Family, check_added_tokens, check_gradients, last_hidden_state
from torch import Tensor, nn
from transformers import (
    BeitConfig,
    BeitModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    DeiTConfig,
    DeiTModel,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    Siglip2VisionConfig,
    Siglip2VisionModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTMAEConfig,
    ViTMAEModel,
)

from bench.errors import BenchError
from bench.streams.beit import BeitStream
from bench.streams.clip import ClipVisionStream
from bench.streams.inputs import ImageInput
from bench.streams.prenorm import DeiTStream, Dinov2RegistersStream
from bench.streams.siglip import Siglip2VisionStream, SiglipVisionStream
from bench.streams.vit_mae import ViTMAEStream

IMAGE = ImageInput(size=32, mean=(0.5,) * 3, std=(0.5,) * 3)
SIZE = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 48, "patch_size": 8}
VISION = {"image_size": 32, **SIZE}


def interpolated(encoder: Any, images: Tensor) -> Tensor:
    return encoder(images, interpolate_pos_encoding=True).last_hidden_state


def clip_forward(encoder: Any, images: Tensor) -> Tensor:
    """Return all tokens after the norm that CLIP applies to the class token."""
    output = encoder(images, interpolate_pos_encoding=True)
    tokens = encoder.post_layernorm(output.last_hidden_state)
    torch.testing.assert_close(tokens[:, 0], output.pooler_output)
    return tokens


def mae_forward(encoder: Any, images: Tensor) -> Tensor:
    """Return the tokens of all patches in their order: those of the lowest noise are kept first."""
    noise = torch.arange((images.shape[2] // 8) * (images.shape[3] // 8)).expand(len(images), -1)
    return encoder(images, noise=noise, interpolate_pos_encoding=True).last_hidden_state


def beit(**values: bool) -> BeitModel:
    settings = {"use_mean_pooling": False, **values}
    return BeitModel(BeitConfig(**VISION, drop_path_rate=0.5, layer_scale_init_value=0.1, **settings))


def beit_mean_forward(encoder: Any, images: Tensor) -> Tensor:
    """Return all tokens after the norm that this form of BEiT applies to the mean of the patches."""
    return encoder.pooler.layernorm(encoder(images).last_hidden_state)


def patches_of(image: Tensor) -> Tensor:
    """Return patches of 8 x 8 pixels as SigLIP 2's image processor does: by rows, channels last."""
    corners = [(y, x) for y in range(0, image.shape[1], 8) for x in range(0, image.shape[2], 8)]
    return torch.stack([image[:, y : y + 8, x : x + 8].permute(1, 2, 0).flatten() for y, x in corners])


def siglip2_forward(encoder: Any, images: Tensor) -> Tensor:
    patches = torch.stack([patches_of(image) for image in images])
    mask, shapes = torch.ones(patches.shape[:2], dtype=torch.long), [[side // 8 for side in images.shape[2:]]]
    shapes = torch.tensor(shapes).expand(len(images), -1)
    return encoder(patches, pixel_attention_mask=mask, spatial_shapes=shapes).last_hidden_state


FAMILIES = {
    "deit": Family(DeiTStream, lambda: DeiTModel(DeiTConfig(**VISION), add_pooling_layer=False), interpolated, IMAGE),
    "dinov2-registers": Family(
        Dinov2RegistersStream,
        lambda: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**VISION, num_register_tokens=3)),
        last_hidden_state,
        IMAGE,
    ),
    "dinov2-registers-swiglu": Family(
        Dinov2RegistersStream,
        lambda: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**VISION, use_swiglu_ffn=True, mlp_ratio=2)),
        last_hidden_state,
        IMAGE,
    ),
    "mae": Family(ViTMAEStream, lambda: ViTMAEModel(ViTMAEConfig(**VISION, mask_ratio=0.0)), mae_forward, IMAGE),
    "beit": Family(BeitStream, lambda: beit(use_relative_position_bias=True), last_hidden_state, IMAGE),
    "beit-shared": Family(
        BeitStream,
        lambda: beit(use_shared_relative_position_bias=True, use_absolute_position_embeddings=True),
        last_hidden_state,
        IMAGE,
    ),
    "beit-mean": Family(
        BeitStream, lambda: beit(use_relative_position_bias=True, use_mean_pooling=True), beit_mean_forward, IMAGE
    ),
    "clip": Family(ClipVisionStream, lambda: CLIPVisionModel(CLIPVisionConfig(**VISION)), clip_forward, IMAGE),
    "siglip": Family(SiglipVisionStream, lambda: SiglipVisionModel(SiglipVisionConfig(**VISION)), interpolated, IMAGE),
    "siglip2": Family(
        Siglip2VisionStream,
        lambda: Siglip2VisionModel(Siglip2VisionConfig(**SIZE, num_patches=16)),
        siglip2_forward,
        IMAGE,
    ),
}
SPECIAL = {"deit": 2, "dinov2-registers": 4, "dinov2-registers-swiglu": 5, "siglip": 0, "siglip2": 0}  # others: 1


def images(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("training", [False, True])
def test_stages_equal_the_encoders_own_forward(family, dtype, tolerance, training):
    stream, x = family.make(dtype).train(training), images(32, 32, dtype=dtype)
    expected = family.forward(stream.encoder, x)
    torch.testing.assert_close(stream(x), expected, rtol=tolerance, atol=tolerance)
    rows, columns = stream.grid
    assert expected.shape == (2, stream.special + rows * columns, stream.width)


@pytest.mark.parametrize("size", [(48, 48), (24, 40)])
def test_other_image_sizes_are_interpolated_as_the_encoder_does(name, family, stream, size):
    if name.startswith("beit") and size[0] != size[1]:
        with pytest.raises(BenchError, match="24 x 40 pixels"):
            stream(images(*size))
        return
    torch.testing.assert_close(stream(images(*size)), family.forward(stream.encoder, images(*size)))


def test_gradients_are_those_of_the_encoder(family, stream):
    check_gradients(stream, family.forward, images(32, 32))


def test_tokens_added_by_a_method_have_no_positions(stream):
    check_added_tokens(stream, images(32, 32))


def test_linears_are_those_of_the_blocks(stream):
    blocks = [n for n, m in stream.encoder.named_modules() if isinstance(m, nn.Linear) and "layer" in n]
    assert sorted(stream.all_linears()) == sorted(blocks)
    assert [stream.features(1, role) for role in "qkvo"] == [(32, 32)] * 4


def test_special_tokens_come_first(name, stream):
    assert stream.special == SPECIAL.get(name, 1)
    tokens, brighter = stream.embed(images(32, 32)), stream.embed(images(32, 32) + 1)
    same = (tokens == brighter).all(-1).all(0)
    assert same.sum() == stream.special and same[: stream.special].all()


def test_only_streams_with_special_tokens_have_a_class_token(stream):
    x = torch.randn(2, 20, 32)
    torch.testing.assert_close(stream.summary(x, "mean"), x.mean(1))
    torch.testing.assert_close(stream.summary(x, "cls"), x[:, 0] if stream.special else x.mean(1))


def test_drop_path_of_beit_is_set_to_0():
    stream, x = FAMILIES["beit"].make().train(), images(32, 32)
    assert BeitConfig().drop_path_rate == 0.1
    torch.testing.assert_close(stream(x), stream(x))
    assert stream.encoder.config.drop_path_rate == 0
