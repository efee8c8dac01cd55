"""A double of the host's Lora extension: files by name, matched to modules by the keys' heads, and loaded.

`tests/webui_live/test_lora_check.py` asks the real one the same.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from safetensors.torch import load_file

from lib_ranni.lora.layout import host_names, table, underscored


class Network:
    """A file that was loaded: its modules by the host's names."""

    def __init__(self, name: str, on_disk: Any, modules: dict[str, Any]) -> None:
        self.name, self.network_on_disk = name, on_disk
        self.te_multiplier = self.unet_multiplier = 1.0
        self.dyn_dim = None
        self.modules = modules


class NetworkModule:
    """One module's change; its weight is that of the network that it names as its own."""

    def __init__(self, network: Network, key: str, network_key: str) -> None:
        self.network, self.sd_key, self.network_key = network, key, network_key

    def multiplier(self) -> float:
        is_text = "transformer" in self.sd_key[:20]
        return self.network.te_multiplier if is_text else self.network.unet_multiplier


class FakeNetworks(ModuleType):
    """The extension's module, for a model of the family `shapes`."""

    def __init__(self, folder: Path) -> None:
        super().__init__("networks")
        self.available_networks: dict[str, Any] = {}
        self.available_network_aliases = self.available_networks
        self.loaded_networks: list[Any] = []
        self.networks_in_memory: dict[str, Any] = {}
        self._folder = folder
        self._keys = {name: self._key(target) for name, target in host_names("shapes").items()}
        self.mapping = dict.fromkeys(self._keys.values())
        self.list_available_networks()

    def list_available_networks(self) -> None:
        self.available_networks.clear()
        for path in self._folder.glob("*.safetensors"):
            self.available_networks[path.stem] = SimpleNamespace(name=path.stem, filename=str(path))

    def load_network(self, name: str, on_disk: Any) -> Network:
        network = Network(name, on_disk, {})
        for network_key in load_file(on_disk.filename):
            key = self._keys.get(network_key.partition(".")[0])
            if key is not None:
                network.modules.setdefault(key, NetworkModule(network, key, network_key))
        return network

    def load_networks(self, names: list[str], te: list[float], unet: list[float], dyn: list[Any]) -> None:
        present = {net.name: net for net in self.loaded_networks}
        self.loaded_networks.clear()
        for n, name in enumerate(names):
            on_disk = self.available_networks.get(name)
            network = present.get(name) or self.networks_in_memory.get(name)
            try:
                network = network or (self.load_network(name, on_disk) if on_disk else None)
            except Exception:
                continue  # The host prints it, and goes on.
            if network is not None:
                network.te_multiplier, network.unet_multiplier, network.dyn_dim = te[n], unet[n], dyn[n]
                self.loaded_networks.append(network)
        self.networks_in_memory.clear()

    @staticmethod
    def _key(target: Any) -> str:
        if target.component != "unet":
            return f"transformer_{target.name}"
        return f"diffusion_model_{underscored(table('shapes')[target].ldm)}"
