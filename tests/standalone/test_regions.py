"""Regional training rows: boxes around objects, and the very attention that guidance computes."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import torch
from transformers import CLIPTokenizer

from lib_ranni.evaluation.scenes import random_scene
from lib_ranni.guidance.guides import Row
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import PanelTexts, Text
from lib_ranni.guidance.weights import Mixing
from lib_ranni.panel.types import Box, Element
from lib_ranni.standalone.checkpoint import SHAPES
from lib_ranni.standalone.training.attention import NarrowHeads
from lib_ranni.standalone.training.denoiser import Denoiser
from lib_ranni.standalone.training.regions import (
    SLOTS,
    RegionalCaptions,
    _tight_box,
    loose_box,
    regional_captions,
)
from lib_ranni.standalone.training.tokens import CaptionTokens


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(Path(SHAPES) / "tokenizer")


def test_boxes_hold_their_object_and_keep_clear_of_the_others() -> None:
    rng, checked = Random(3), 0
    for _ in range(200):
        scene = random_scene(rng)
        tight = [_tight_box(item) for item in scene.objects]
        for index, item in enumerate(scene.objects):
            others = tight[:index] + tight[index + 1 :]
            box, own = loose_box(tight[index], item.size, others, rng), tight[index]
            assert box.x0 <= own.x0 < own.x1 <= box.x1
            assert box.y0 <= own.y0 < own.y1 <= box.y1
            assert all(box.x1 <= o.x0 or o.x1 <= box.x0 or box.y1 <= o.y0 or o.y1 <= box.y0 for o in others)
            checked += 1
    assert checked > 200


def test_shares_sum_to_one_and_texts_are_the_scenes_own(tokenizer: CLIPTokenizer) -> None:
    rng = Random(5)
    scenes = [random_scene(rng) for _ in range(20)]
    bases, regional = regional_captions(scenes, CaptionTokens(tokenizer), rng)
    assert len(bases) == len(regional.texts) == 20
    assert sorted(regional.maps) == [16, 64, 256]
    for maps in regional.maps.values():
        assert maps.shape[:2] == (20, 1 + SLOTS)
        assert torch.allclose(maps.sum(1), torch.ones_like(maps[:, 0]), atol=1e-5)
    for scene, texts in zip(scenes, regional.texts.tolist(), strict=True):
        for item, text in zip(scene.objects, texts, strict=False):
            words = tokenizer.decode(regional.ids[text], skip_special_tokens=True)
            assert item.color in words
            assert item.shape in words


@torch.no_grad()
def test_training_hears_regions_as_guidance_does(tokenizer: CLIPTokenizer) -> None:
    torch.manual_seed(0)
    model, tokens = Denoiser(tokenizer).eval(), CaptionTokens(tokenizer)
    scene = next(s for s in (random_scene(Random(n)) for n in range(99)) if len(s.objects) == 2)
    bases, regional = regional_captions([scene], tokens, Random(1))
    latent, timestep = torch.randn(1, 4, 16, 16), torch.tensor([500])
    base = Text(model.text(tokens(bases)).last_hidden_state[0])
    own = model.text(regional.ids).last_hidden_state
    box = Box(0.1, 0.2, 0.6, 0.7)
    elements = (Element(id="a", description="x", box=box),)
    panel = PanelTexts(elements, (Text(own[1]),), (None,), base, base, Mixing(0.2))
    maps = {}
    for side in (16, 8, 4):
        shares = torch.zeros(1, 1 + SLOTS, side * side)
        shares[0, :2] = panel.maps((0,), (side, side), (16, 16)).flatten(1)
        maps[side * side] = shares
    texts = torch.tensor([[1, 0, 0, 0]])
    with GuidanceSession(model.unet, [panel]) as session:
        session.assign([Row(0, base, False)], 0.0)
        guided = model.unet(latent, timestep, base.context[None]).sample
    plain = model.unet(latent, timestep, base.context[None]).sample
    model.unet.set_attn_processor(NarrowHeads())
    trained = model(latent, timestep, tokens(bases), RegionalCaptions(regional.ids, texts, maps))
    assert torch.allclose(trained, guided, atol=1e-5)
    assert not torch.allclose(trained, plain, atol=1e-3)
