"""A report on a LoRA file as text for people."""

from __future__ import annotations

from collections.abc import Mapping

from lib_ranni.lora.report import Report


def describe(report: Report) -> str:
    """A report as lines for people."""
    base = report.family or "unknown base model"
    components = ", ".join(f"{name} {count}" for name, count in report.components.items())
    lines = [
        f"{report.path}",
        f"  {report.format} in {report.container}, {report.size / 1e6:.1f} MB, for {base}",
        f"  {report.modules} modules ({components or 'none'}), {report.loads} of them load as the file is",
    ]
    if report.ranks:
        alphas = _counted("alpha", report.alphas) if report.alphas else "alpha not told"
        lines.append(f"  {_counted('rank', report.ranks)}; {alphas}")
    lines.append(
        f"  {', '.join((*report.kinds, *report.traits)) or 'no changes'}; {', '.join(report.dtypes)}"
    )
    for block in report.blocks:
        ranks = ", ".join(map(str, block.ranks)) or "-"
        count = f"{block.modules:4} module{' ' if block.modules == 1 else 's'}"
        lines.append(f"    {block.name:14}{count}  rank {ranks:8} strength {block.strength:.4g}")
    for embedding in report.embeddings:
        sizes = ", ".join(f"{name} {rows} x {width}" for name, (rows, width) in embedding.encoders.items())
        lines.append(f"  embedding {embedding.name}: {sizes}")
    if report.triggers:
        lines.append(f"  trained with: {', '.join(report.triggers)}")
    if report.unmatched:
        shown = ", ".join(report.unmatched[:3])
        lines.append(f"  {len(report.unmatched)} keys are no part of a change: {shown}")
    lines += [f"  ! {warning}" for warning in report.warnings]
    return "\n".join(lines)


def _counted(name: str, values: Mapping[int, int] | Mapping[float, int]) -> str:
    items = list(values.items())
    if len(items) == 1:
        return f"{name} {items[0][0]:g}"
    shown = ", ".join(f"{value:g} ({count})" for value, count in items[:6])
    return f"{name}s {shown}" + (" ..." if len(items) > 6 else "")
