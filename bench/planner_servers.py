"""How plans by a real language model hold: prompts of GenEval, planned through an OpenAI-compatible server.

Each prompt goes to `LanguagePlanner`, with the built-in planner behind it. The table says how many plans were
right as the model wrote them, after mends, after asking again, or made without it, and how long they took.
`--without-schema` puts a server in between that takes out whatever holds a reply to its schema. `--start`
starts a server anew for each prompt, for those that answer only once.

    python bench/planner_servers.py evaluation_metadata.jsonl --url http://127.0.0.1:8080/v1 --limit 60
    python bench/planner_servers.py evaluation_metadata.jsonl --start "cyllama server -m M.gguf --port {port}"
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import re
import shlex
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib_ranni.evaluation.planner_suite import load_geneval
from lib_ranni.evaluation.suite import limited
from lib_ranni.panel.reading import check
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.llm.manner import Manner
from lib_ranni.planner.llm.openai import OpenAIBackend
from lib_ranni.planner.llm.planner import LanguagePlanner
from lib_ranni.planner.llm.servers import Server
from lib_ranni.planner.protocol import Done, ElementReady, Event, Planner, PlanRequest

STRUCTURE = ("response_format", "tools", "tool_choice")
"""What in a request holds a reply to a schema."""

COURSES = ("as written", "after repair", "after re-ask", "fell back", "failed")
OUR_FAULT = "please report this"
"""Ends the reasons that are errors of the planner itself."""

SECONDS_TO_START = 60.0
SECONDS_TO_CANCEL = 5.0


class Trial(NamedTuple):
    """One prompt: how its plan came about, why not by the model, and its times in seconds.

    `wrong` counts what the plan is known to have wrong about its prompt; `refused` says that the panel has
    problems; `late` that it was cancelled for want of time, `hung` that it did not end even then.
    """

    prompt: str
    course: str
    seconds: float
    first: float | None = None
    asked: int = 0
    wrong: int = 0
    reason: str = ""
    raised: str = ""
    refused: bool = False
    late: bool = False
    hung: bool = False


def main() -> int:
    """Plan, print."""
    args = _arguments()
    prompts = [entry.prompt for entry in limited(load_geneval(args.prompts), args.limit)]
    trials: list[Trial] = []
    with contextlib.closing(_planners(args)) as planners:
        for number, (prompt, planner) in enumerate(zip(prompts, planners, strict=False)):
            trials.append(tried(planner, PlanRequest(prompt, seed=number), args.longest))
            print(f"{number + 1} of {len(prompts)}: {trials[-1]}", file=sys.stderr, flush=True)
    print(table(trials))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prompts", type=Path, help="GenEval's evaluation_metadata.jsonl, or rows like its")
    parser.add_argument("--url", default="http://127.0.0.1:8080/v1")
    parser.add_argument("--start", default="", metavar="COMMAND", help="starts a server on port {port}")
    parser.add_argument("--model", default="", help="the server's name of the model (its first)")
    parser.add_argument("--without-schema", action="store_true")
    parser.add_argument("--limit", type=int, default=60, help="so many prompts, of all categories (60)")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--asks-again", type=int, default=2)
    parser.add_argument("--longest", type=float, default=600.0, help="seconds, then a plan is cancelled")
    return parser.parse_args()


def _planners(args: argparse.Namespace) -> Generator[LanguagePlanner, None, None]:
    """A planner for each prompt: always the same, or one at a server of its own."""
    while args.start:
        with _started(args.start) as url, _planner(args, url) as planner:
            yield planner
    with _planner(args, args.url) as planner:
        while True:
            yield planner


@contextlib.contextmanager
def _planner(args: argparse.Namespace, url: str) -> Iterator[LanguagePlanner]:
    manner = Manner(asks_again=args.asks_again, max_tokens=args.max_tokens)
    with _without_schema(url) if args.without_schema else contextlib.nullcontext(url) as address:
        backend = OpenAIBackend(Server(address, args.model))
        yield LanguagePlanner(backend, manner=manner, fallback=BuiltinPlanner())


def tried(planner: Planner, request: PlanRequest, longest: float) -> Trial:
    """Plan in a thread of its own, so that one that hangs is seen."""
    trials: list[Trial] = []
    thread = threading.Thread(target=lambda: trials.append(_trial(planner, request, longest)), daemon=True)
    thread.start()
    thread.join(longest + SECONDS_TO_CANCEL)
    return trials[0] if trials else Trial(request.prompt, "failed", longest, late=True, hung=True)


def _trial(planner: Planner, request: PlanRequest, longest: float) -> Trial:
    began = time.monotonic()
    first, raised = None, ""
    last: Event | None = None
    try:
        for event in planner.plan(request, lambda: time.monotonic() > began + longest):
            last = event
            if first is None and isinstance(event, ElementReady):
                first = time.monotonic() - began
    except Exception as error:
        raised = repr(error)
    seconds = time.monotonic() - began
    if not isinstance(last, Done):
        return Trial(request.prompt, "failed", seconds, first, raised=raised, late=seconds > longest)
    report = last.report
    course = "as written"
    if report.fallback:
        course, first = "fell back", None
    elif report.asked > 1:
        course = "after re-ask"
    elif report.repairs:
        course = "after repair"
    raised = report.fallback if report.fallback.endswith(OUR_FAULT) else raised
    wrong = sum(note.startswith("still wrong") for note in report.notes)
    refused = not isinstance(check(to_document(last.panel)), Panel)
    return Trial(
        request.prompt, course, seconds, first, report.asked, wrong, report.fallback, raised, refused
    )


def table(trials: Sequence[Trial]) -> str:
    """The figures, a line each."""
    count = len(trials)
    courses = Counter(trial.course for trial in trials)
    lines = [("plans", f"{count}")]
    lines += [(name, f"{courses[name]} ({courses[name] / count:.0%})") for name in COURSES]
    reasons = Counter(kind_of(trial.reason) for trial in trials if trial.reason)
    lines += [(f"  {reason}", f"{n}") for reason, n in reasons.most_common()]
    kept = [trial for trial in trials if trial.course in COURSES[:3]]
    firsts = [trial.first for trial in kept if trial.first is not None]
    lines += [
        ("by the model, wrong in a way that is certain", f"{sum(trial.wrong > 0 for trial in kept)}"),
        ("panels with problems", f"{sum(trial.refused for trial in trials)}"),
        ("exceptions", f"{sum(bool(trial.raised) for trial in trials)}"),
        ("out of time / hung", f"{sum(t.late for t in trials)} / {sum(t.hung for t in trials)}"),
        ("times asked (mean)", f"{statistics.mean(trial.asked for trial in trials):.2f}"),
        ("s to the first element (median, by the model)", _median(firsts)),
        ("s to the plan (median / longest)", _median([t.seconds for t in trials])),
    ]
    lines[-1] = (lines[-1][0], f"{lines[-1][1]} / {max(t.seconds for t in trials):.1f}")
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{width}}  {value}" for name, value in lines)


def kind_of(reason: str) -> str:
    """A reason without what it quotes and counts, so that like ones are counted together."""
    return re.sub(r"\d+", "N", re.split(r"[:;,('\"]", reason, maxsplit=1)[0]).strip()


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f}" if values else "-"


@contextlib.contextmanager
def _started(command: str) -> Iterator[str]:
    """The address of a server of this command, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    words = [word.replace("{port}", str(port)) for word in shlex.split(command)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/v1"
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{url}/models", timeout=5, trust_env=False)
                break
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _without_schema(url: str) -> Iterator[str]:
    """The address of a server that passes everything on to `url`, except what holds replies to a schema."""
    parts = urlsplit(url)

    class Passing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._pass_on(None)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._pass_on({name: value for name, value in body.items() if name not in STRUCTURE})

        def _pass_on(self, body: dict[str, object] | None) -> None:
            there = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=600)
            with contextlib.closing(there), contextlib.suppress(ConnectionError):
                content = None if body is None else json.dumps(body).encode()
                there.request(self.command, self.path, content, {"Content-Type": "application/json"})
                answer = there.getresponse()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
                self.end_headers()
                while piece := answer.read1(65536):
                    self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{parts.path}"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    sys.exit(main())
