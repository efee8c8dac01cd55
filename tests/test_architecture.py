"""The layers of the design and the house rules that a machine can check.

Our own source is read with `ast`; what importing does is seen in a process of its own.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_LIBRARY = _ROOT / "lib_ranni"
_FILES = sorted(_LIBRARY.rglob("*.py"))
_MAX_LINES = 400

# Package -> (our packages it may import, others' packages it may import). `errors` serves all of them.
_LAYERS: dict[str, tuple[set[str], set[str]]] = {
    "errors": ({"panel"}, set()),
    "panel": (set(), {"msgspec", "PIL"}),
    "planner": (
        {"panel"},
        {"msgspec", "httpx", "httpx_sse", "torch", "transformers", "peft", "safetensors", "jinja2"},
    ),
    "guidance": ({"panel"}, {"msgspec", "torch", "numpy", "safetensors"}),
    "sampling": (set(), {"msgspec", "torch", "safetensors"}),
    "lora": (set(), {"msgspec", "torch", "safetensors", "peft"}),
    "evaluation": ({"panel"}, {"msgspec", "numpy", "PIL", "pyarrow"}),
    "service": (
        {"panel", "planner", "guidance", "lora", "sampling"},
        {"msgspec", "torch", "PIL", "gradio", "fastapi", "starlette", "anyio"},
    ),
    "webui": (
        {"panel", "planner", "guidance", "sampling", "lora", "evaluation", "service"},
        {
            "msgspec",
            "torch",
            "numpy",
            "PIL",
            "safetensors",
            "modules",
            "ldm",
            "gradio",
            "fastapi",
            "starlette",
            "anyio",
            "dynamicprompts",
        },
    ),
    "standalone": (
        {"panel", "planner", "guidance", "sampling", "lora", "evaluation", "service"},
        {
            *("msgspec", "torch", "numpy", "PIL", "safetensors", "accelerate", "diffusers", "omegaconf"),
            *("tokenizers", "transformers", "tqdm", "yaml", "httpx"),
            *("gradio", "fastapi", "starlette", "uvicorn", "anyio"),
        },
    ),
}

# Allowed only inside functions, so that importing the library stays quick and needs none of them.
_LAZY = {
    "planner": {"torch", "transformers", "peft", "safetensors", "jinja2"},
    "lora": {"peft"},
    "evaluation": {"pyarrow"},
    "guidance": {"safetensors"},
}
_LIGHT = ("panel", "planner", "evaluation")


def _name(path: Path) -> str:
    parts = path.relative_to(_ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _package(path: Path) -> str:
    """The layer a file belongs to: `panel`, ..., `errors`, or nothing for lib_ranni/__init__.py."""
    part = path.relative_to(_LIBRARY).parts[0].removesuffix(".py")
    return "" if part == "__init__" else part


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imports(node: ast.AST, lazy: bool = False) -> Iterator[tuple[str, bool]]:
    """Every (imported module, whether only when a function runs or a type checker reads)."""
    for child in ast.iter_child_nodes(node):
        inner = lazy or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_type_checking(child)
        if isinstance(child, ast.Import):
            yield from ((alias.name, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"relative import in line {child.lineno}"
            module = child.module or ""
            yield from ((f"{module}.{alias.name}", lazy) for alias in child.names)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith(
            ("import_module", "__import__")
        ):
            if child.args and isinstance(child.args[0], ast.Constant):
                yield str(child.args[0].value), True
            yield from _imports(child, inner)
        else:
            yield from _imports(child, inner)


def _fault(path: Path, module: str, lazy: bool) -> str | None:
    package = _package(path)
    ours, others = _LAYERS.get(package, (set(), set()))
    top, _, rest = module.partition(".")
    if top in sys.stdlib_module_names:
        return None
    if top == "lib_ranni":
        target = rest.split(".")[0]
        fine = target in {package, "errors", "__version__"} or target in ours
    else:
        fine = top in others and (lazy or top not in _LAZY.get(package, set()))
    return None if fine else f"{path.relative_to(_ROOT)} imports {module}"


def test_every_package_is_in_the_layer_table() -> None:
    assert {_package(path) for path in _FILES} <= {"", *_LAYERS}


def test_packages_import_only_what_their_layer_may() -> None:
    found = [
        fault
        for path in _FILES
        for module, lazy in _imports(ast.parse(path.read_text(encoding="utf-8")))
        if (fault := _fault(path, module, lazy))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("place", "source", "faulty"),
    [
        ("panel/x.py", "import numpy", True),
        ("panel/x.py", "def f():\n    import torch", True),
        ("panel/x.py", "from lib_ranni.planner import protocol", True),
        ("planner/x.py", "from lib_ranni import guidance", True),
        ("planner/x.py", "import transformers", True),
        ("planner/x.py", "def f():\n    import transformers", False),
        ("guidance/x.py", "import diffusers", True),
        ("guidance/x.py", "from importlib import import_module\nimport_module('modules.shared')", True),
        ("standalone/x.py", "from modules import shared", True),
        ("standalone/x.py", "import diffusers\nfrom lib_ranni.panel import types", False),
        ("webui/x.py", "import gradio\nfrom modules import shared", False),
        ("webui/x.py", "from lib_ranni.standalone import engine", True),
        ("service/x.py", "import gradio\nfrom lib_ranni.planner import protocol", False),
        ("service/x.py", "from modules import shared", True),
        ("service/x.py", "from lib_ranni.webui import host", True),
        ("planner/x.py", "from lib_ranni.service import host", True),
        ("errors.py", "from typing import Any", False),
    ],
)
def test_this_check_sees_what_it_should(place: str, source: str, faulty: bool) -> None:
    found = [_fault(_LIBRARY / place, *item) for item in _imports(ast.parse(source))]
    assert any(found) == faulty


@pytest.mark.parametrize("path", _FILES, ids=_name)
def test_files_are_short_and_named_by_what_they_hold(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= _MAX_LINES
    assert not {"utils", "helpers", "misc", "manager", "util", "helper", "common"} & {
        path.stem,
        path.parent.name,
    }


def _words(tree: ast.AST) -> Iterator[str]:
    """Names that the code gives: of modules, classes, functions, arguments, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_names_are_spelled_as_in_the_us() -> None:
    british = re.compile(r"colour|centre|grey|normalis|initialis|behaviour|neighbour|labell", re.IGNORECASE)
    found = [
        f"{path.relative_to(_ROOT)}: {word}"
        for path in _FILES
        for word in [path.stem, *_words(ast.parse(path.read_text(encoding="utf-8")))]
        if british.search(word)
    ]
    assert found == []


_IMPORT_ALL = """
import importlib, json, socket, sys, builtins, threading
problems = []
def refuse(*args, **kwargs):
    problems.append("opened a connection")
    raise OSError("no network here")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import os
def audit(event, args):
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        if not str(args[0]).endswith((".pyc", os.devnull)) and ".pyc." not in str(args[0]):
            problems.append(f"wrote {args[0]}")
    elif event in ("os.mkdir", "os.remove", "subprocess.Popen", "socket.connect"):
        problems.append(f"{event} {args[:1]}")
    elif event == "open" and str(args[0]).endswith((".safetensors", ".ckpt", ".pt", ".bin")):
        problems.append(f"read {args[0]}")
watched = sys.argv[1] == "watch"
if watched:
    sys.addaudithook(audit)
for name in sys.argv[2:]:
    importlib.import_module(name)
print(json.dumps({
    "problems": problems,
    "threads": threading.active_count(),
    "modules": sorted({name.split(".")[0] for name in sys.modules}),
}))
"""


def _import_all(names: list[str], *, watch: bool) -> dict[str, list[str]]:
    command = [sys.executable, "-B", "-c", _IMPORT_ALL, "watch" if watch else "free", *names]
    # Both hosts set this before gradio is imported, which asks the network for news otherwise.
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return result


def _modules(*packages: str) -> list[str]:
    """Our modules of these packages that can be imported without a WebUI, as names."""
    return [_name(path) for path in _FILES if _package(path) in packages and path.stem != "__main__"]


@pytest.mark.parametrize("package", _LIGHT)
def test_light_packages_need_no_torch(package: str) -> None:
    seen = _import_all(_modules(package), watch=True)
    heavy = {"torch", "transformers", "diffusers", "peft", "gradio", "fastapi", "modules"}
    assert heavy & set(seen["modules"]) == set()
    assert seen["problems"] == []


def test_importing_everything_touches_nothing() -> None:
    """No connection, no file written, no weights read, no process or thread started."""
    ours = _modules("", "errors", "panel", "planner", "guidance", "sampling", "lora", "evaluation")
    seen = _import_all(ours, watch=True)
    assert seen["problems"] == []
    assert seen["threads"] == 1


def test_importing_standalone_and_service_reaches_no_network() -> None:
    """Their third-party packages may make folders for themselves; ours still open no connection."""
    seen = _import_all(_modules("standalone", "service"), watch=False)
    assert "opened a connection" not in seen["problems"]
    assert "modules" not in seen["modules"]


def test_modules_run_no_statements_when_imported() -> None:
    """At the top level stand definitions, imports and constants; a bare call would register something."""
    found = []
    for path in _FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            loop = isinstance(node, (ast.For, ast.While, ast.With))
            if (call or loop) and path.stem != "__main__":
                found.append(f"{path.relative_to(_ROOT)}:{node.lineno}")
    assert found == []
