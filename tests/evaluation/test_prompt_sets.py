"""Prompt files of every known layout, what expressions choose out of them, and files that are hostile."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tracemalloc
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lib_ranni.errors import InputError, MissingError
from lib_ranni.evaluation.prompt_sets.expression import Condition, Wanted, parse
from lib_ranni.evaluation.prompt_sets.folder import PromptFolder
from lib_ranni.evaluation.prompt_sets.reading import PromptSet, read_prompts

_CATEGORIES = ("Animals", "Food & Beverage", "Indoor Scenes")


def parti(folder: Path, rows: int = 1632) -> Path:
    """A table of PartiPrompts' shape: a quote that begins a prompt, commas, brackets, mostly empty notes."""
    table = ["Prompt\tCategory\tChallenge\tNote"]
    for n in range(rows):
        words = '"G I G G L E" painted in thick colors' if n == 7 else f"a thing (number {n}), on a table"
        table.append(f"{words}\t{_CATEGORIES[n % 3]}\tBasic\t{'a note' if n % 20 == 0 else ''}")
    path = folder / "PartiPrompts.tsv"
    path.write_text("\n".join(table) + "\n", "utf-8")
    return path


def chosen(path: Path, words: str = "") -> PromptSet:
    return read_prompts(path, parse(f"x:{words}"))


def texts(path: Path, words: str = "") -> list[str]:
    return [row.text for row in chosen(path, words).prompts]


def test_parti_prompts_are_1632_rows_of_4_cells(tmp_path: Path) -> None:
    found = chosen(parti(tmp_path))
    assert (found.kind, found.container, found.skipped) == ("PartiPrompts", "tsv", {})
    assert len(found.prompts) == 1632
    assert {len(row.cells) for row in found.prompts} == {4}
    assert found.prompts[7].text == '"G I G G L E" painted in thick colors'
    mangled = list(csv.reader(io.StringIO((tmp_path / "PartiPrompts.tsv").read_text()), delimiter="\t"))
    assert mangled[8][0] != found.prompts[7].text, "which is why quotes mean nothing here"


@pytest.mark.skipif("RANNI_PROMPT_DATA" not in os.environ, reason="set RANNI_PROMPT_DATA to a folder with it")
def test_the_published_file_has_1632_rows_of_4_cells() -> None:
    found = PromptFolder(Path(os.environ["RANNI_PROMPT_DATA"])).read("parti")
    assert (len(found.prompts), found.skipped) == (1632, {})
    assert {len(row.cells) for row in found.prompts} == {4}
    assert sum(row.cells["Category"] == "Animals" for row in found.prompts) == 314


def test_an_expression_is_read() -> None:
    assert parse("parti:Category=Animals|Food & Beverage;n=8;seed=1;offset=2") == Wanted(
        "parti", (Condition("Category", "=", ("Animals", "Food & Beverage")),), 8, 1, 2
    )
    assert parse(r"C:\sets\parti.tsv:n=2") == Wanted(r"C:\sets\parti.tsv", (), 2)
    assert parse("notes.txt") == Wanted("notes.txt")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("", "names no prompt set"),
        (":n=2", "names no prompt set"),
        ("parti:n=0", "whole number in 1"),
        ("parti:seed=-1", "whole number in 0"),
        ("parti:n=" + "9" * 5000, "at most 2000 characters"),
        ("parti:animals", "is no condition"),
        ("parti:width>=big", "compares with a number"),
    ],
)
def test_what_is_no_expression_is_refused(words: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        parse(words)


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("Category=animals;n=3", [0, 3, 6]),
        ("category!=Animals;n=3", [1, 2, 4]),
        ("Category~scenes|food;n=4", [1, 2, 4, 5]),
        ("Note=a note;n=3;offset=1", [20, 40, 60]),
        ("id=3|5", [2, 4]),
        ("id<=2", [0, 1]),
        ("id>1630;Category=Indoor Scenes", [1631]),
    ],
)
def test_conditions_choose_rows(tmp_path: Path, words: str, numbers: list[int]) -> None:
    assert texts(parti(tmp_path), words) == [f"a thing (number {n}), on a table" for n in numbers]


def test_a_sample_is_stable(tmp_path: Path) -> None:
    path = parti(tmp_path)
    eight = texts(path, "n=8;seed=1")
    assert len(set(eight)) == 8
    assert texts(path, "n=3;seed=1") == eight[:3]
    assert texts(path, "n=3;seed=1;offset=5") == eight[5:]
    assert texts(path, "n=8;seed=2") != eight
    # Neither the order of a file nor rows before these change what is drawn of texts by ids of their own.
    rows = [{"image_name": f"{n}.png", "prompt": f"thing {n}"} | _DIFFUSION for n in range(100)]
    there, back = tmp_path / "there.jsonl", tmp_path / "back.jsonl"
    there.write_text("\n".join(json.dumps(row) for row in rows))
    back.write_text("\n".join(json.dumps(row) for row in rows[::-1]))
    assert texts(there, "n=5;seed=3") == texts(back, "n=5;seed=3")


def test_a_sample_draws_rows_evenly(tmp_path: Path) -> None:
    path = parti(tmp_path, rows=40)
    counts = dict.fromkeys(texts(path), 0)
    for seed in range(100):
        for text in texts(path, f"n=10;seed={seed}"):
            counts[text] += 1
    assert sum(counts.values()) == 1000
    assert min(counts.values()) >= 8
    assert max(counts.values()) <= 45, "25 are to be expected, give or take 4.3"


def test_what_nothing_fits_is_told_with_what_there_is(tmp_path: Path) -> None:
    path = parti(tmp_path)
    with pytest.raises(InputError, match=r"Category is, among others: 'Animals', 'Food & Beverage'"):
        chosen(path, "Category=Cats")
    with pytest.raises(InputError, match=r"no column 'Kind'; there are: 'Prompt', 'Category'"):
        chosen(path, "Kind=Cats")
    with pytest.raises(InputError, match="nothing fits all conditions together"):
        chosen(path, "Category=Animals;id=2")
    with pytest.raises(InputError, match="no more than offset=2000"):
        chosen(path, "offset=2000")


_DIFFUSION = {"part_id": 1, "seed": 7, "step": 50, "cfg": 7.0, "sampler": 8, "prompt_nsfw": 0.1}


@pytest.mark.parametrize(
    ("name", "content", "kind", "container", "found"),
    [
        ("color_val.txt", "a bench\r\na red car\r\n\r\na cat", "", "text", ["a bench", "a red car", "a cat"]),
        (
            "evaluation_metadata.jsonl",
            '{"tag": "counting", "include": [{"class": "cup", "count": 2}], "prompt": "two cups"}\n'
            '{"tag": "colors", "include": [], "exclude": [], "prompt": "a red cup"}\n',
            "GenEval", "jsonl", ["two cups", "a red cup"],
        ),
        (
            "train_anno.jsonl",
            '{"img_path": "1.jpg", "prompt": "https://s.mj/x a cat, oil --ar 16:9 --no dogs, cars --v 5"}\n'
            '{"img_path": "2.jpg", "prompt": "well-known man —stylize 10"}',
            "JourneyDB", "jsonl", ["a cat, oil", "well-known man"],
        ),
        (
            "meta_data.json",
            '{"00aa": {"category": "animals", "prompt": "a {cat}, \\"old\\""},\n'
            ' "00bb": {"category": "art", "prompt": "ink"}}',
            "MJHQ-30K", "json", ['a {cat}, "old"', "ink"],
        ),
        (
            "part-000001.json",
            '{"a.png":{"p":"castle, 4 k, ","se":1,"c":7.0,"st":50,"sa":"k_lms"},'
            '"b.png":{"p":"castle, 4 k","se":2,"c":7.0,"st":50,"sa":"ddim"}}',
            "DiffusionDB", "json", ["castle, 4 k"],
        ),
        ("list.json", '[\n"a cat",\n{"caption": "a dog"}]', "", "json", ["a cat", "a dog"]),
        ("mine.csv", 'id,text\n1,"a cat, and\na dog"\n2,a cup\n', "", "csv", ["a cat, and a dog", "a cup"]),
        ("bom.tsv", "\ufefftext\tmood\na cat\tgood\n", "", "tsv", ["a cat"]),
    ],
)  # fmt: skip
def test_every_layout_is_known_by_its_content(
    tmp_path: Path, name: str, content: str, kind: str, container: str, found: list[str]
) -> None:
    # By its content alone: under any name it is read alike.
    for path in (tmp_path / name, tmp_path / "prompts.dat"):
        path.write_bytes(content.encode())
        made = chosen(path)
        assert (made.kind, made.container) == (kind, container)
        assert [row.text for row in made.prompts] == found
        assert made.skipped == {}


def test_cells_of_json_are_filtered_like_columns(tmp_path: Path) -> None:
    path = tmp_path / "meta_data.json"
    rows = {f"id{n}": {"category": "art" if n % 2 else "food", "prompt": f"p{n}"} for n in range(9)}
    path.write_text(json.dumps(rows))
    assert [(row.id, row.text) for row in chosen(path, "category=art;n=2").prompts] == [
        ("id1", "p1"),
        ("id3", "p3"),
    ]
    assert texts(path, "id=id4") == ["p4"]
    part = tmp_path / "part.json"
    entry = {"p": "a cat", "se": 3, "c": 7.5, "st": 50, "sa": "k_lms"}
    part.write_text(json.dumps({"x.png": entry, "y.png": entry | {"p": "a dog", "st": 20}}))
    assert texts(part, "step<50") == ["a dog"]
    assert texts(part, "sampler=k_lms;cfg>=7.5;n=1") == ["a cat"]


def test_diffusiondb_gives_each_prompt_once_and_nothing_marked(tmp_path: Path) -> None:
    path = tmp_path / "metadata.jsonl"
    prompts = ["a cat, ", "a cat", "a dog", "a pin-up", "a cat"]
    rows = [{"prompt": text, **_DIFFUSION, "prompt_nsfw": 0.9 if "pin" in text else 0.2} for text in prompts]
    path.write_text("\n".join(map(json.dumps, rows)))
    for words in ("", "n=9;seed=1"):
        found = chosen(path, words)
        assert sorted(row.text for row in found.prompts) == ["a cat", "a dog"]
        assert found.skipped == {"marked as not safe for work": 1}
    assert found.prompts[0].cells["sampler"] == "k_lms"


HOSTILE = [
    ("nul.txt", b"a cat\na\0dog\n", "NUL characters"),
    ("latin.txt", b"a cat\ncaf\xe9\n", "not in UTF-8"),
    ("long.txt", b"a cat\n" + b"x" * (3 << 20) + b"\n", "longer than 1 MiB"),
    ("wordy.txt", b"a cat\n" + b"x " * 6000 + b"\n", "a prompt of more than 10000 characters"),
    ("bad.jsonl", b'{"prompt": "a cat"}\n{"prompt": \n', "no JSON"),
    ("first.jsonl", b'{"prompt": oops}\n{"prompt": "a cat"}\n', "no JSON"),
    ("number.jsonl", b'{"prompt": "a cat"}\n{"prompt": 3}\n', "no prompt"),
    ("deep.jsonl", b'{"prompt": "a cat"}\n{"prompt": ' + b"[" * 100_000 + b"\n", "no JSON"),
    ("half.jsonl", b'{"prompt": "a cat"}\n{"prompt": "\\ud800"}\n', ""),
    ("list.jsonl", b'{"prompt": "a cat"}\n[1, 2]\n', "no prompt"),
    ("short.tsv", b"prompt\tkind\na cat\tx\na dog\n", "not 2 cells"),
    ("short.csv", b"prompt,kind\na cat,x\na dog\n", "not 2 cells"),
    ("quote.csv", b'prompt,kind\na cat,x\n"' + b"never closed\n" * 20_000, "no row of CSV"),
    ("cut.json", b'{"1": {"prompt": "a cat"}, "2": {"prom', "cut short at the file's end"),
    ("broken.json", b'{"1": {"prompt": "a cat"}, "2": {"prompt" "x"}}', "no JSON"),
    ("huge.json", b'["a cat", "' + b"x" * (3 << 20) + b'"]', "longer than 1 MiB"),
    ("empty.txt", b"a cat\n \x01 \n", "an empty prompt"),
]


@pytest.mark.parametrize(("name", "content", "why"), HOSTILE, ids=[name for name, _, _ in HOSTILE])
def test_damaged_rows_are_passed_over_and_told(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found = chosen(path)
    assert [row.text for row in found.prompts] == ["a cat"]
    assert sum(found.skipped.values()) >= 1
    assert not why or found.skipped.get(why, 0) >= 1
    assert any(f"left out ({why}" in remark for remark in found.remarks())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "it is empty"),
        ("a cat\n".encode("utf-16"), "in UTF-16; save it in UTF-8"),
        (bytes(range(256)) * 100, "not in UTF-8|NUL"),
        (b"{" * 300_000, "cut short"),
        (b"[]", "it is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "NUL|UTF-8"),
    ],
)
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        chosen(path)


@pytest.mark.parametrize("kind", ["jsonl", "json", "txt"])
def test_a_large_file_is_not_in_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"large.{kind}"
    rows = (f"thing {n} " + "word" * 1000 for n in range(5000))
    written = [json.dumps({"prompt": row}) if kind != "txt" else row for row in rows]
    path.write_text("[" + ",".join(written) + "]" if kind == "json" else "\n".join(written))
    size = path.stat().st_size
    assert size > 18e6
    tracemalloc.start()
    try:
        assert len(texts(path, "n=5;seed=1")) == 5
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 6e6


def test_a_document_is_cut_at_any_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_ranni.evaluation.prompt_sets import entries

    rows = {
        'k"\\': {"prompt": 'a \\"b\\\\'},
        "é": {"prompt": "[c], {d}"},
        "n": {"prompt": "e", "x": [[{}], 1]},
    }
    path = tmp_path / "x.json"
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), "utf-8")
    for size in (1, 2, 3, 7, 64):
        monkeypatch.setattr(entries, "_CHUNK", size)
        assert [(row.id, row.text) for row in chosen(path).prompts] == [
            (name, row["prompt"]) for name, row in rows.items()
        ]


@pytest.fixture
def arrow(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is read of pyarrow, by a double: a file of rows, some columns of which are no texts or numbers."""
    held: dict[str, Any] = {"rows": [], "asked": None, "batches": 0}

    class ParquetFile:
        def __init__(self, path: Path) -> None:
            kinds = {name: "binary" if name == "image" else "plain" for name in held["rows"][0]}
            self.schema_arrow = [SimpleNamespace(name=name, type=kind) for name, kind in kinds.items()]

        def iter_batches(self, batch_size: int, columns: list[str]) -> Any:
            held["asked"] = columns
            for start in range(0, len(held["rows"]), batch_size):
                held["batches"] += 1
                part = [
                    {name: row[name] for name in columns} for row in held["rows"][start : start + batch_size]
                ]
                yield SimpleNamespace(to_pylist=lambda part=part: part)

    names = ("string", "large_string", "integer", "floating", "boolean")
    package, parquet = ModuleType("pyarrow"), ModuleType("pyarrow.parquet")
    tests = {f"is_{name}": (lambda kind: kind == "plain") for name in names}
    package.__dict__.update(ArrowException=RuntimeError, types=SimpleNamespace(**tests), parquet=parquet)
    parquet.__dict__["ParquetFile"] = ParquetFile
    monkeypatch.setitem(sys.modules, "pyarrow", package)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", parquet)
    return held


def test_parquet_is_read_in_batches_without_its_pictures(tmp_path: Path, arrow: dict[str, Any]) -> None:
    arrow["rows"] = [
        {"image_name": f"{n}.png", "prompt": f"thing {n}", **_DIFFUSION, "image": b"x"} for n in range(5000)
    ]
    path = tmp_path / "metadata.parquet"
    path.write_bytes(b"PAR1 and so on")
    found = chosen(path, "n=2;offset=1")
    assert (found.kind, found.container) == ("DiffusionDB", "parquet")
    assert [(row.id, row.text) for row in found.prompts] == [("1.png", "thing 1"), ("2.png", "thing 2")]
    assert (arrow["batches"], "image" in arrow["asked"]) == (1, False)


def test_without_pyarrow_a_parquet_file_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "metadata.parquet"
    path.write_bytes(b"PAR1 and so on")
    with pytest.raises(InputError, match="pip install pyarrow, or save it as CSV"):
        chosen(path)


def test_the_real_pyarrow_reads_alike(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    rows = [{"image_name": f"{n}.png", "prompt": f"thing {n}", **_DIFFUSION, "image": b"x"} for n in range(9)]
    path = tmp_path / "metadata.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert [(row.id, row.text) for row in chosen(path, "sampler=k_lms;n=2;offset=1").prompts] == [
        ("1.png", "thing 1"),
        ("2.png", "thing 2"),
    ]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        chosen(path)


def test_a_folder_finds_files_by_short_names(tmp_path: Path) -> None:
    parti(tmp_path, rows=3)
    for name in ("t2i_compbench_color_val.txt", "t2i_compbench_shape_val.txt", "meta_data.json"):
        (tmp_path / name).write_text('["a cat"]')
    folder = PromptFolder(tmp_path)
    for name in ("parti", "PartiPrompts", "PARTIPROMPTS.TSV", "PartiPrompts.tsv"):
        assert folder.file(name).name == "PartiPrompts.tsv"
    assert folder.file("mjhq").name == "meta_data.json"
    assert [row.text for row in folder.read("mjhq:n=1").prompts] == ["a cat"]
    with pytest.raises(InputError, match="several prompt sets are called 'compbench'"):
        folder.file("compbench")
    with pytest.raises(MissingError, match=r"no prompt set 'x'; there are: meta_data.json, PartiPrompts.tsv"):
        folder.file("x")


@pytest.mark.parametrize(
    "name", ["../secret.txt", "/etc/passwd", "secret", "..", "", ".hidden", "link", "sub/a"]
)
def test_a_folder_gives_no_file_that_is_not_its_own(tmp_path: Path, name: str) -> None:
    root = tmp_path / "prompts"
    (root / "sub").mkdir(parents=True)
    for path in (tmp_path / "secret.txt", root / ".hidden.txt", root / "sub" / "a.txt", root / "key.pem"):
        path.write_text("a cat")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert PromptFolder(root).names() == []
    with pytest.raises(MissingError):
        PromptFolder(root).file(name)
    assert PromptFolder(tmp_path / "nowhere").names() == []
