"""Low-rank updates of a UNet's weights that are trained apart from it, and written as a kohya LoRA."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lib_ranni.standalone.training.export import unet_name


class LowRank(nn.Module):
    """W + up @ down for every linear layer and convolution of a network, whose own weights stay as they are.

    `up` starts at zero, so that training starts from the network itself.
    """

    def __init__(self, network: nn.Module, rank: int, seed: int = 0) -> None:
        super().__init__()
        self.rank = rank
        self._base: dict[str, Tensor] = {}
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        generator = torch.Generator().manual_seed(seed)
        for name, module in network.named_modules():
            if not isinstance(module, (nn.Linear, nn.Conv2d)):
                continue
            weight = module.weight.detach()
            inputs = weight[0].numel()
            start = torch.randn(rank, inputs, generator=generator) * inputs**-0.5
            key = name.replace(".", "/")  # a ParameterDict takes no dots
            self._base[name] = weight
            self.down[key] = nn.Parameter(start.to(weight))
            self.up[key] = nn.Parameter(weight.new_zeros(len(weight), rank))

    def weights(self) -> dict[str, Tensor]:
        """The updated weights, by the names of the network's parameters."""
        return {f"{name}.weight": base + self._delta(name) for name, base in self._base.items()}

    def _delta(self, name: str) -> Tensor:
        key = name.replace(".", "/")
        return (self.up[key] @ self.down[key]).view_as(self._base[name])


def kohya_tensors(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """A `LowRank`'s state as fp16 tensors under kohya's names for the latent-diffusion layout.

    `shapes` are those of the network's weights; alpha equals the rank, so that weight 1 is what was trained.
    """
    out: dict[str, Tensor] = {}
    for key, down in state.items():
        kind, _, module = key.partition(".")
        if kind != "down":
            continue
        up = state[f"up.{module}"]
        name = module.replace("/", ".")
        size, rank = shapes[f"{name}.weight"][1:], len(down)
        stem = "lora_unet_" + unet_name(f"{name}.weight").removesuffix(".weight").replace(".", "_")
        ones = (1,) * (len(size) - 1)
        out[f"{stem}.lora_down.weight"] = down.reshape(rank, *size)
        out[f"{stem}.lora_up.weight"] = up.reshape(len(up), rank, *ones)
        out[f"{stem}.alpha"] = torch.tensor(float(rank))
    return {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in out.items()}
