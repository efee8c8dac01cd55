"""LoRAs of prompts: those that do not act are told of, and blocks of them are filtered."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_ranni.lora.layout import Target, host_name, table
from tests.webui.fake_host import Host, installed, parse_prompt
from tests.webui.fake_networks import FakeNetworks

TARGETS = [target for target, place in table("shapes").items() if len(place.shape) == 2]


def written(path: Path, targets: list[Target], *, kohya: bool = True) -> Path:
    """Matrices of rank 2 for some modules, under kohya's names or those of a diffusers pipeline."""
    found = {}
    for target in targets:
        place = table("shapes")[target]
        dotted = f"{'unet' if target.component == 'unet' else 'text_encoder'}.{place.diffusers}"
        for side, shape in (("down", (2, place.shape[1])), ("up", (place.shape[0], 2))):
            key = f"{host_name(target, 'shapes')}.lora_{side}" if kohya else f"{dotted}.lora.{side}"
            found[f"{key}.weight"] = torch.ones(shape)
    save_file(found, path)
    return path


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    whole = written(tmp_path / "whole.safetensors", TARGETS)
    written(tmp_path / "raw.safetensors", TARGETS, kohya=False)
    renamed = {key.replace("_attn2_to_q", "_attn3_to_q"): tensor for key, tensor in load_file(whole).items()}
    save_file(renamed, tmp_path / "part.safetensors")
    torch.save(load_file(whole), tmp_path / "pickle.safetensors")
    (tmp_path / "page.safetensors").write_text("<!doctype html><p>not found")
    save_file({"bundle_emb.word.clip_l": torch.ones(1, 64)}, tmp_path / "word.safetensors")
    networks = FakeNetworks(tmp_path)
    monkeypatch.setitem(sys.modules, "networks", networks)
    with installed(Host(None, tmp_path)) as made:  # type: ignore[arg-type]
        made.shared.sd_model.network_layer_mapping = networks.mapping
        made.networks = networks  # type: ignore[attr-defined]
        yield made


def processing() -> Any:
    comments: list[str] = []
    return SimpleNamespace(comments=comments, comment=comments.append, extra_generation_params={})


def activated(host: Any, prompt: str, p: Any = None) -> Any:
    """A job whose prompt has these tags, after the host has loaded them."""
    from lib_ranni.webui import script

    p = p or processing()
    data = parse_prompt(prompt)[1]
    tags = [tag for kind in data for tag in data[kind]]
    weights = [float(tag.positional[1]) if len(tag.positional) > 1 else 1.0 for tag in tags]
    host.networks.load_networks([tag.positional[0] for tag in tags], weights, weights, [None] * len(tags))
    script.RanniScript().after_extra_networks_activate(p, extra_network_data=data)
    return p


def test_what_acts_is_not_told(host: Host) -> None:
    p = activated(host, "a cat <lora:whole:1> <lora:word:1> <lora:nope:1>")
    assert (p.comments, p.extra_generation_params, host.reported) == ([], {}, [])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "raw",
            "raw does nothing: the WebUI finds none of its 131 modules (diffusers, for shapes)",
        ),
        ("part", "of the LoRA part only 121 of 131 modules act (kohya, for shapes)"),
        ("pickle", "as the WebUI could not load it: it is a pickle that is named .safetensors"),
        ("page", "page does nothing: "),
    ],
)
def test_what_does_not_act_is_told_once(host: Host, name: str, told: str) -> None:
    prompt = f"a cat <lora:{name}:1> <lora:whole:1>"
    p = activated(host, prompt)
    assert len(p.comments) == 1
    assert told in p.comments[0]
    assert told in p.extra_generation_params["Ranni LoRA problem"]
    for _ in range(2):  # the next batch, and the hires pass
        activated(host, prompt, p)
    assert p.extra_generation_params["Ranni LoRA problem"].count("does nothing") <= 1
    assert host.reported == []


def test_a_file_is_looked_into_once_until_it_changes(host: Host, tmp_path: Path) -> None:
    from lib_ranni.webui import lora_check

    read: list[Path] = []
    original = lora_check.read_lora
    lora_check.read_lora = lambda path: read.append(path) or original(path)  # type: ignore[assignment,func-returns-value]
    for _ in range(3):
        assert "does nothing" in activated(host, "<lora:raw:1>").comments[0]
    assert len(read) == 1
    written(tmp_path / "raw.safetensors", TARGETS)
    host.networks.networks_in_memory.clear()  # type: ignore[attr-defined]
    host.networks.loaded_networks.clear()  # type: ignore[attr-defined]
    assert activated(host, "<lora:raw:1>").comments == []


def test_a_checkpoint_of_another_kind_is_told(host: Any, tmp_path: Path) -> None:
    host.networks._keys = {}
    p = activated(host, "<lora:whole:1>")
    assert "the checkpoint that is loaded is of another kind; choose one of sd1" in p.comments[0]


def test_the_setting_switches_it_off(host: Host) -> None:
    host.shared.opts.ranni_lora_check = False
    assert activated(host, "<lora:raw:1>").comments == []


def test_a_check_that_fails_costs_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_ranni.webui import lora_check

    monkeypatch.setattr(lora_check, "read_keys", lambda _: 1 / 0)
    assert activated(host, "<lora:raw:1>").comments == []
    assert "LoRAs are not checked" in host.reported[0]


def acting(host: Any) -> dict[str, float]:
    """Weights by module of all that is loaded."""
    return {
        key: module.multiplier()
        for net in host.networks.loaded_networks
        for key, module in net.modules.items()
    }


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ("down*", {"down": 0.8}),
        ("down*@0.5", {"down": 0.4, "mid": 0.8, "up": 0.8, "text": 0.8}),
        ("down*@0.5,mid", {"down": 0.4, "mid": 0.8}),
        ("down*@0.5+mid", {"down": 0.4, "mid": 0.8}),
        ("text", {"text": 0.8}),
        ("unet", {"down": 0.8, "mid": 0.8, "up": 0.8}),
        ("te*@0", {"down": 0.8, "mid": 0.8, "up": 0.8}),
    ],
)
def test_a_tag_lets_some_blocks_act(host: Any, blocks: str, expected: dict[str, float]) -> None:
    p = activated(host, f"<lora:whole:0.8:blocks={blocks}>")
    starts = {
        "down": "diffusion_model_input_blocks",
        "mid": "diffusion_model_middle",
        "up": "diffusion_model_output_blocks",
        "text": "transformer",
    }
    found = acting(host)
    for name, start in starts.items():
        weights = {round(weight, 6) for key, weight in found.items() if key.startswith(start)}
        assert weights == ({expected[name]} if name in expected else set())
    assert p.comments == []
    # The host tells sets of networks apart by their names.
    assert [net.name for net in host.networks.loaded_networks] == [f"whole [{blocks}]"]


def test_what_the_host_keeps_stays_whole(host: Any) -> None:
    activated(host, "<lora:whole:1:blocks=mid> <lora:part:0.5>")
    filtered, other = host.networks.loaded_networks
    assert (len(filtered.modules), len(other.modules)) == (12, 121)
    assert {module.multiplier() for module in other.modules.values()} == {0.5}
    activated(host, "<lora:whole:1>")
    assert set(acting(host).values()) == {1.0}
    assert len(acting(host)) == len(TARGETS)


@pytest.mark.parametrize(
    ("blocks", "told"),
    [("(x)", "all blocks of whole act: '(x)' is no block"), ("te2", "it has no module in the blocks te2")],
)
def test_blocks_that_cannot_be_are_told(host: Any, blocks: str, told: str) -> None:
    assert told in activated(host, f"<lora:whole:1:blocks={blocks}>").comments[0]


def test_a_file_that_is_not_there_moves_no_filter(host: Any) -> None:
    activated(host, "<lora:nope:1:blocks=text> <lora:part:1> <lora:whole:1:blocks=mid>")
    assert [net.name for net in host.networks.loaded_networks] == ["part", "whole [mid]"]


def test_elements_loras_leave_filters_as_they_are(host: Any) -> None:
    from lib_ranni.panel.types import Lora
    from lib_ranni.webui.networks import ElementNetworks

    activated(host, "<lora:whole:1:blocks=mid>")
    before = list(host.networks.loaded_networks)
    own, p = ElementNetworks(), processing()
    for _ in range(2):
        with own.added((Lora("raw", 0.5),)):
            assert [net.name for net in host.networks.loaded_networks] == ["whole [mid]", "raw"]
            assert host.networks.loaded_networks[0] is before[0]
        assert host.networks.loaded_networks == before
    with own.added((Lora("whole", 0.5),)):
        assert set(acting(host).values()) == {0.5}
        assert len(acting(host)) == len(TARGETS)
    assert host.networks.loaded_networks == before
    assert set(acting(host).values()) == {1.0}
    own.look(p, ["raw"])
    assert "raw does nothing" in p.comments[0]


def test_the_host_finds_files_and_matches_them(host: Any, tmp_path: Path) -> None:
    from lib_ranni.errors import InputError, MissingError
    from lib_ranni.webui.host import WebUI

    ours = WebUI()
    assert ours.lora_file("whole") == tmp_path / "whole.safetensors"
    with pytest.raises(MissingError, match="has no LoRA"):
        ours.lora_file("../whole")
    assert (ours.matched_modules("whole"), ours.matched_modules("raw")) == (len(TARGETS), 0)
    assert (ours.matched_modules("pickle"), ours.matched_modules("nope")) == (None, None)
    written(tmp_path / "new.safetensors", TARGETS[:1])
    ours.list_loras()
    assert ours.matched_modules("new") == 1
    host.shared.sd_model.sd_checkpoint_info = None
    assert ours.checkpoint() is None
    host.shared.sd_model.sd_checkpoint_info = SimpleNamespace(filename="/models/x.safetensors")
    assert ours.checkpoint() == Path("/models/x.safetensors")
    ours.require_local("do this")
    host.shared.cmd_opts.disable_extension_access = True
    with pytest.raises(InputError, match="open to other machines, so pages write no files; do this"):
        ours.require_local("do this")
