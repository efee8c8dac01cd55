"""The configurations in SDXS' diffusers folder, as far as they decide what a host has to build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from lib_ranni.errors import ModelError
from lib_ranni.lora.layout import Plan

T = TypeVar("T")

MAX_BYTES = 1 << 20

OPEN_CLIP_SIZES = ((1024, 23),)
"""Width and layers of the OpenCLIP encoders that hosts can build; the last layer is not used and left out."""

Channels = Annotated[int, Meta(ge=32, le=4096, multiple_of=32)]
Count = Annotated[int, Meta(ge=1, le=4)]
Heads = Annotated[int, Meta(ge=1, le=4096)]
Down = Literal["DownBlock2D", "CrossAttnDownBlock2D"]
Up = Literal["UpBlock2D", "CrossAttnUpBlock2D"]


class UNet(Struct, frozen=True):
    """A compact UNet: whatever is not listed here is as in every Stable Diffusion."""

    block_out_channels: Annotated[tuple[Channels, ...], Meta(min_length=2, max_length=4)]
    down_block_types: tuple[Down, ...]
    up_block_types: tuple[Up, ...]
    cross_attention_dim: Annotated[int, Meta(ge=1, le=4096)]
    mid_block_type: None
    attention_head_dim: Heads | tuple[Heads, ...] = 8
    layers_per_block: Count = 2
    num_attention_heads: Heads | tuple[Heads, ...] | None = None
    transformer_layers_per_block: Count = 1
    use_linear_projection: bool = False
    only_cross_attention: bool | tuple[bool, ...] = False
    in_channels: Literal[4] = 4
    out_channels: Literal[4] = 4
    norm_num_groups: Literal[32] = 32
    act_fn: Literal["silu"] = "silu"
    freq_shift: Literal[0] = 0
    class_embed_type: None = None
    addition_embed_type: None = None

    def plan(self) -> Plan:
        """How its modules are laid out. Raises `ModelError` for a UNet that is not symmetric."""
        depths = tuple(
            self.transformer_layers_per_block * kind.startswith("Cross") for kind in self.down_block_types
        )
        mirrored = [kind.replace("Up", "Down") for kind in reversed(self.up_block_types)]
        if mirrored != [*self.down_block_types] or len(depths) != len(self.block_out_channels):
            raise ModelError("the UNet's levels differ on its way down and up; hosts cannot build that")
        return Plan(
            kin="sd1",
            channels=self.block_out_channels,
            depths=depths,
            context=self.cross_attention_dim,
            linear=self.use_linear_projection,
            text_encoders=(),
            per_level=self.layers_per_block,
            middle=False,
            cross_only=self.cross_only,
        )

    @property
    def cross_only(self) -> bool:
        """Whether the finest level's first attention looks at the text too, as in SDXS-512-0.9."""
        finest, *others = self._cross_only_levels()
        if any(others):
            raise ModelError("only the finest level of SDXS' UNet may have cross-attention alone")
        return finest

    def _cross_only_levels(self) -> tuple[bool, ...]:
        given = self.only_cross_attention
        return (given,) * len(self.block_out_channels) if isinstance(given, bool) else given

    def params(self) -> dict[str, Any]:
        """The parameters of the host's UNet class. Raises `ModelError` for heads it cannot have."""
        first = self.block_out_channels[0]
        plan = self.plan()
        return {
            "image_size": 64,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": first,
            "attention_resolutions": [2**level for level, depth in enumerate(plan.depths) if depth],
            "num_res_blocks": self.layers_per_block,
            "channel_mult": [channels // first for channels in self.block_out_channels],
            **self._heads(),
            "use_spatial_transformer": True,
            "use_linear_in_transformer": self.use_linear_projection,
            "transformer_depth": self.transformer_layers_per_block,
            "context_dim": self.cross_attention_dim,
            "disable_self_attentions": [self.cross_only, *[False] * (len(plan.depths) - 1)],
            "use_checkpoint": False,
            "legacy": False,
        }

    def _heads(self) -> dict[str, int]:
        # diffusers' old name: it is the number of heads, not their width.
        heads = self.num_attention_heads or self.attention_head_dim
        each = (heads,) * len(self.block_out_channels) if isinstance(heads, int) else heads
        pairs = list(zip(self.block_out_channels, each, strict=False))
        if len(each) == len(self.block_out_channels) and not any(width % count for width, count in pairs):
            if isinstance(heads, int):
                return {"num_heads": heads}
            widths = {width // count for width, count in pairs}
            if len(widths) == 1:
                return {"num_head_channels": widths.pop()}
        raise ModelError(f"hosts cannot build a UNet of {self.block_out_channels} channels with {each} heads")


class Text(Struct, frozen=True):
    """A CLIP text encoder."""

    hidden_size: Annotated[int, Meta(ge=1, le=4096)]
    num_hidden_layers: Annotated[int, Meta(ge=1, le=64)]
    vocab_size: Annotated[int, Meta(ge=1, le=1 << 20)]
    hidden_act: Literal["quick_gelu", "gelu"] = "quick_gelu"
    max_position_embeddings: Literal[77] = 77

    @property
    def is_open_clip(self) -> bool:
        """Whether it is Stable Diffusion 2's. Raises `ModelError` for one of a size no host has."""
        if self.hidden_act == "quick_gelu":
            return False
        if (self.hidden_size, self.num_hidden_layers) in OPEN_CLIP_SIZES:
            return True
        raise ModelError(
            f"hosts have no OpenCLIP text encoder of {self.num_hidden_layers} layers, {self.hidden_size} wide"
        )


class Schedule(Struct, frozen=True):
    """A noise schedule of Stable Diffusion's kind."""

    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["scaled_linear"] = "scaled_linear"
    num_train_timesteps: Literal[1000] = 1000
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon"


def read_config(folder: Path, kind: type[T], name: str = "config.json") -> T:
    """A part's configuration. Raises `ModelError` saying what is missing, or cannot be built."""
    file = folder / name
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ModelError(f"{file} is larger than any configuration; download it again")
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except OSError as error:
        raise ModelError(f"there is no {file}; give the whole diffusers folder of SDXS") from error
    except msgspec.MsgspecError as error:
        raise ModelError(
            f"{file} is not what SDXS has: {error}; give the diffusers folder of an SDXS model"
        ) from error
