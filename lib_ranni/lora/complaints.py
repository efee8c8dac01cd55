"""What is wrong with a LoRA file, in sentences that say what to do; the worst come first."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lib_ranni.lora.checks import asks_alpha, finite, host_opens, idle
from lib_ranni.lora.containers import printable
from lib_ranni.lora.layout import PLANS, Target, table
from lib_ranni.lora.reading import Lora


def complaints(lora: Lora, loads: int) -> Iterator[str]:
    """All complaints. `loads` is how many modules the host matches in the file as it is."""
    yield from _file_warnings(lora)
    yield from _match_warnings(lora, loads)
    yield from _alpha_warnings(lora)
    damaged = [target for target, delta in lora.modules.items() if not finite(delta)]
    if damaged:
        yield f"{len(damaged)} modules hold NaN or infinite numbers, the first is {damaged[0].name}"
    useless = sum(idle(delta) for delta in lora.modules.values())
    if useless:
        yield f"{useless} of {len(lora.modules)} modules change nothing: their matrices are all zero"
    if any(delta.axis == "out" for delta in lora.modules.values()):
        yield (
            "its DoRA magnitudes are over outputs, the WebUI takes them over inputs: it fails, or is "
            "silently wrong where a layer is square; convert it with --base CHECKPOINT"
        )
    if any(delta.kind == "glora" and delta.strength != 1 for delta in lora.modules.values()):
        yield "the WebUI leaves out GLoRA's alpha; convert it"
    yield from (f"left out: {fault}" for fault in lora.faults[:5])
    if len(lora.faults) > 5:
        yield f"left out: {len(lora.faults) - 5} more modules that are incomplete"
    if lora.embeddings:
        yield "its embeddings are of pivotal tuning; convert it, which writes them for the embeddings folder"
    if lora.contents.left_out:
        names = ", ".join(map(printable, lora.contents.left_out[:5]))
        yield f"beside tensors it holds {names}; that is not used"


def _file_warnings(lora: Lora) -> Iterator[str]:
    """What keeps the host from opening the file at all."""
    suffix = lora.path.suffix.lower()
    if lora.contents.container == "pickle":
        if suffix == ".safetensors":
            yield (
                "it is a pickle that is named .safetensors: the WebUI fails to read it and draws without it; "
                "convert it"
            )
        else:
            yield "it is a pickle, which other programs may execute; convert it to safetensors"
    elif suffix in (".pt", ".ckpt"):
        yield "it is no pickle as its name says: the WebUI fails to read it; name it .safetensors"
    if suffix not in (".safetensors", ".pt", ".ckpt"):
        yield f"the WebUI does not list files that end in {suffix or 'nothing'}; convert it"


def _match_warnings(lora: Lora, loads: int) -> Iterator[str]:
    modules = len(lora.modules)
    if host_opens(lora) and loads < modules:
        if loads:
            yield f"as it is, the WebUI would use {loads} of its {modules} modules; convert it"
        else:
            yield "as it is, it matches zero modules: the WebUI would load it and draw without it; convert it"
    if lora.family is None:
        yield "neither names nor widths tell which base model it is for"
        return
    known = table(lora.family)
    outside = [target for target in lora.modules if target not in known]
    if outside:
        yield f"{len(outside)} modules are not in {lora.family}, the first is {printable(outside[0].name)}"
    if modules and not any(_fits(lora, target) for target in lora.modules):
        yield "its widths are those of no model known here; it fits only the checkpoint it was made for"
    elif not lora.evidence.sure:
        others = " or ".join(lora.evidence.others) or "another"
        yield f"its modules do not tell {lora.family} from {others}"
    stated = lora.evidence.stated
    if stated and stated != PLANS[lora.family].kin:
        yield f"its metadata says {stated}, its modules say {lora.family}"


def _fits(lora: Lora, target: Target) -> bool:
    place = table(lora.family).get(target) if lora.family else None
    shape = lora.modules[target].shape()
    # Kinds whose parts do not tell a shape count as fitting: nothing speaks against it.
    return place is not None and (shape is None or math.prod(shape) == math.prod(place.shape))


def _off(ratio: float) -> str:
    return f"{ratio:g} x too strong" if ratio >= 1 else f"{1 / ratio:g} x too weak"


def _alpha_warnings(lora: Lora) -> Iterator[str]:
    low = [delta for delta in lora.modules.values() if delta.kind == "lora"]
    if not low:
        return
    if any(not math.isfinite(delta.strength) for delta in low):
        yield "some alphas are not finite; the WebUI would draw noise or black pictures"
    if all(delta.strength == 0 for delta in low):
        yield "alpha is 0: it changes nothing"
    off = [1 / abs(delta.strength) for delta in low if 1e-9 < abs(delta.strength) < 1e9]
    worst = max(off, key=lambda ratio: abs(math.log(ratio)), default=1.0)
    if lora.alpha_from == "metadata" and worst != 1:
        yield f"alpha is missing from its keys: the WebUI would make it {_off(worst)}; convert it"
    elif lora.alpha_from == "config" and worst != 1:
        yield f"alpha is not in its keys: taken for the rank, it would be {_off(worst)}; convert it"
    elif lora.alpha_from == "none" and asks_alpha(lora):
        default = 4 if lora.format == "diffsynth" else 8
        rank = max(delta.rank or 1 for delta in low)
        usual = "" if rank == default else f": with the usual {default} it would be {_off(rank / default)}"
        yield f"alpha is missing, and its trainer does not take the rank for it{usual}; give --alpha"
    stated = lora.contents.metadata.get("ss_network_alpha")
    found = {round(delta.strength * (delta.rank or 1), 4) for delta in low}
    try:
        if stated and lora.alpha_from == "keys" and round(float(stated), 4) not in found:
            shown = ", ".join(f"{alpha:g}" for alpha in sorted(found)[:4])
            yield f"its metadata says alpha {printable(stated)}, its keys {shown}; the keys count"
    except ValueError:
        pass
