"""References, places and amounts in Chinese instructions: 左边的第二个苹果, 狗和猫之间, 一点."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from lib_ranni.panel.types import Panel
from lib_ranni.planner.builtin.chinese_patterns import SPOTS
from lib_ranni.planner.builtin.chinese_phrases import split_list
from lib_ranni.planner.builtin.chinese_words import Noun, chinese, either, finish_noun, number, opening
from lib_ranni.planner.builtin.editing_english_places import A_BIT, FAR, STEP
from lib_ranni.planner.builtin.editing_references import named_by
from lib_ranni.planner.builtin.editing_steps import Beside, Extreme, Place, Reference, References
from lib_ranni.planner.builtin.story import Spot

_EVERYTHING = re.compile(
    "(?:画面(?:中|里|上)?的?)?(?:所有|一切|全部|整个|每[一个]*)?的?(?:东西|元素|物体|物品|内容|全部|所有|一切)"
)
_PRONOUNS = {"它": False, "他": False, "她": False, "这个": False, "那个": False, "它们": True, "他们": True}
_ALL = re.compile("(?:所有|全部|每一?|一切|任何|这些|那些)的?")
_SIDE = re.compile(
    "(?:画面|图片|图)?(?:中|里|上)?(?:的)?(?:处于|位于|在)?(?P<most>最)?(?P<side>左上角?|右上角?|左下角?|右下角?|左|右|上|下|中间|正中间|中央|顶部|底部)"
    "(?P<tail>边|侧|面|方|端)?的?(?=.)"
)
_SIDES: dict[str, tuple[Extreme, ...]] = {
    **{
        "左": ("left",),
        "右": ("right",),
        "上": ("top",),
        "下": ("bottom",),
        "顶": ("top",),
        "底": ("bottom",),
    },
    **{"左上": ("left", "top"), "右上": ("right", "top"), "左下": ("left", "bottom")},
    **{"右下": ("right", "bottom"), "中间": ("middle",), "正中间": ("middle",), "中央": ("middle",)},
}
_SIZE = re.compile(
    "(?:最|更|较|比较)?(?P<size>大|小|高|矮)(?:一点|一些|点|些)?(?:的|(?=那))(?=.)|(?:最)(?P<most>大|小|高|矮)(?:的)?(?=.)"
)
_FROM: dict[str, Literal["left", "right", "top", "bottom"]] = {
    "左": "left",
    "右": "right",
    "上": "top",
    "下": "bottom",
}
_SPOT = re.compile(
    "(?:整个)?(?:画面|图片|图像|照片|画布|图)?(?:中|里|上)?的?最?(?:靠)?"
    "(?P<side>左上|右上|左下|右下|左|右|上|下|顶|底|正?中间?|中央|正中央|中心)"
    "(?:角|边|侧|面|方|端|部)?(?:缘|沿)?(?:落|位置|处|里|去)?"
)
_SKY = {
    "天上": 0.15,
    "天空": 0.15,
    "天空中": 0.15,
    "空中": 0.2,
    "天空上": 0.15,
    "地上": 0.9,
    "地面": 0.9,
    "地面上": 0.9,
}
_EXCEPT = re.compile(
    "除了?(?P<b>.+?)(?:之外|以外|外)?的?[，,]?(?:其他|其它|其余|别的|所有)(?:的|所有|全部)?(?P<rest>.*?)(?:东西|元素|物体)?"
)
_BETWEEN = re.compile("(?P<b>.+?[和与跟].+?)的?(?:之间|中间)的(?P<rest>.+)")
_ADVERBS = re.compile("(?:都|也|全|再|还|全部|稍微|略微)+$")
_PERCENT = re.compile(r"(?P<digits>\d+(?:\.\d+)?)\s?[%％]|百分之(?P<words>[\d一二两三四五六七八九十百]+)")
_TIMES = re.compile(r"(?P<number>\d+(?:\.\d+)?|[一二两三四五六七八九十]+)倍")
_LITTLE = re.compile("一点点|一点儿|一点|一些|稍微|略微|少许|稍稍|微微|[点些]$")
_MUCH = re.compile("很多|许多|大幅|很远|非常|好多|远远")


@lru_cache(maxsize=1)
def _ordinal() -> re.Pattern[str]:
    classifiers = either("classifiers", "measures", "pairs")
    return re.compile(
        rf"(?:(?:从)?(?P<side>[左右上下])(?:边|面|侧)?(?:开始|起|往[左右上下])?(?:数)?)?"
        rf"(?:(?P<back>倒数)?第(?P<number>\d{{1,3}}|[一二两三四五六七八九十]+)|(?P<last>最后一?|最末)){classifiers}?的?"
        rf"|(?P<end>前|后|最后)(?=[\d两二三四五六七八九十]+{classifiers})"
    )


@lru_cache(maxsize=1)
def _that() -> re.Pattern[str]:
    return re.compile(rf"(?:那|这)(?:一)?{either('classifiers', 'measures', 'pairs')}?(?=.)")


@lru_cache(maxsize=1)
def _related() -> re.Pattern[str]:
    return re.compile(rf"(?P<b>.+?)的?(?P<loc>{either('places')})的(?P<rest>.+)")


@lru_cache(maxsize=1)
def _placed() -> re.Pattern[str]:
    return re.compile(rf"(?P<b>.+?)的?(?P<loc>{either('places')})(?:去|来|的?(?:位置|地方))?")


class ChinesePhrases:
    """Reads references and places of instructions on one panel."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.every = False
        """Whether the clause says 都, which makes bare nouns plural."""
        self._ids = {element.id.lower(): element.id for element in panel.elements}

    def references(self, text: str) -> References | None:
        """A list of references; None where there is none."""
        text = text.strip(" 的，,")
        text = _ADVERBS.sub("", text) or text
        if match := _EXCEPT.fullmatch(text):
            but = self.references(match["b"]) or ()
            rest = self.reference(match["rest"]) if match["rest"] else Reference(text)
            return (replace(rest, said=text, many=True, but=but),)
        if match := _BETWEEN.fullmatch(text):
            return (
                replace(
                    self.reference(match["rest"]),
                    said=text,
                    relation="between",
                    targets=self.references(match["b"]) or (),
                ),
            )
        return tuple(self.reference(part) for part in split_list(text)[:50]) if text else None

    def part(self, text: str) -> tuple[str, str]:
        """(the element, the part of it) of 男孩的衬衫, where no element is a 衬衫."""
        owner, _, part = text.rpartition("的")
        if not owner or part in {"颜色", ""} or named_by(self.panel, self._split(part)[1]):
            return text, ""
        return (
            (owner, part) if named_by(self.panel, self._split(owner.rpartition("的")[2])[1]) else (text, "")
        )

    def reference(self, said: str) -> Reference:
        """One reference."""
        text = re.sub("^(?:其中|另外?|我的)的?", "", said.strip()) or said.strip()
        if text.lower() in self._ids:
            return Reference(said, id=self._ids[text.lower()])
        if text in _PRONOUNS:
            return Reference(said, pronoun=True, many=_PRONOUNS[text])
        if _EVERYTHING.fullmatch(text) or text in {"所有", "全部", "一切"}:
            return Reference(said, many=True)
        return self._noun(said, text)

    def _noun(self, said: str, text: str) -> Reference:
        many, count, ordinal = False, None, None
        counted_from: Literal["", "left", "right", "top", "bottom"] = ""
        extremes: list[Extreme] = []
        attributes: list[str] = []
        relation: str = ""
        targets: References = ()
        for _ in range(10):
            before = text
            if (match := _ordinal().match(text)) and match.end():
                value = -1 if match["last"] else number(match["number"] or "") or 1
                value = -value if match["end"] in {"后", "最后"} else value
                ordinal = -value if match["back"] else value
                counted_from = _FROM[match["side"]] if match["side"] else counted_from
            elif match := _ALL.match(text):
                many = True
            elif (match := _that().match(text)) and not named_by(self.panel, text):
                pass
            elif (match := _SIZE.match(text)) and not named_by(self.panel, text):
                extremes.append("large" if (match["size"] or match["most"]) in {"大", "高"} else "small")
            elif (match := _SIDE.match(text)) and not named_by(self.panel, text):
                extremes += _SIDES[match["side"].removesuffix("角").removesuffix("部")]
            text = text[match.end() :] if match else text
            found = opening(text)
            if found.end and found.new and found.end < len(text):
                count, text = found.count, text[found.end :]
            if text == before:
                break
        if (match := _related().fullmatch(text)) and named_by(self.panel, match["rest"]):
            targets = self.references(match["b"]) or ()
            relation, text = chinese().lookup("places", match["loc"]) or "next", match["rest"]
        *segments, core = text.split("的")
        attributes += [_that().sub("", s) for s in segments if s]
        core = _that().sub("", core, count=1) if not named_by(self.panel, core) else core
        if not core and attributes:
            core = attributes.pop()
        glued, head = self._split(core)
        return Reference(
            said,
            head,
            (*attributes, *glued),
            many=many or (count or 0) > 1 or (self.every and ordinal is None and not extremes),
            count=count if not (many and count == 1) else None,
            ordinal=ordinal,
            counted_from=counted_from,
            extremes=tuple(extremes),
            relation=relation,
            targets=targets,
        )

    def _split(self, core: str) -> tuple[list[str], str]:
        """(attributes glued to the noun, the noun): 灰, 猫 of 灰猫, unless something is named 灰猫."""
        if named_by(self.panel, core):
            return [], core
        noun = Noun()
        finish_noun(noun, core)
        lead = core[: len(core) - len(noun.head)]
        return ([lead] if lead else []), noun.head

    def place(self, text: str) -> Place | None:
        """The place that a text names, in the picture or beside elements."""
        text = re.sub("^(?:在|到|至|往|向|去|朝)+", "", text.strip(" ，,")).removesuffix("去")
        sky = text.removesuffix("里").removesuffix("中") if text not in _SKY else text
        if sky in _SKY and not named_by(self.panel, sky):
            return Spot(None, _SKY[sky])
        for name, spot in SPOTS.items():
            if text.endswith(name) and re.fullmatch(
                "(?:整个)?(?:画面|图片|图像|照片|画布|图)?(?:的)?最?", text[: -len(name)]
            ):
                return Spot(spot.x, spot.y)
        if match := _SPOT.fullmatch(text):
            return _spot(match["side"])
        match = _placed().fullmatch(text)
        if match is None:
            return None
        stem = match["b"]
        if not named_by(self.panel, stem.rpartition("的")[2]):
            stem = re.sub("(?<=.)的?[头身肩背脸手]$", "", stem)
        targets = self.references(stem)
        if targets is None:
            return None
        relation = chinese().lookup("places", match["loc"]) or "next"
        if relation in {"middle", "between"}:
            several = len(targets) > 1 or targets[0].many
            relation = "between" if several else "inside"
        return Beside(relation, targets)


def _spot(side: str) -> Spot:
    if "中" in side:
        return Spot(0.5, 0.5)
    x = 0.0 if "左" in side else 1.0 if "右" in side else None
    y = 0.0 if side[-1] in "上顶" else 1.0 if side[-1] in "下底" else None
    return Spot(x, y)


def share(text: str) -> float | None:
    """The share that a percentage names, 0.2 for 20% or 百分之二十."""
    match = _PERCENT.search(text)
    if match is None:
        return None
    if match["digits"]:
        return float(match["digits"]) / 100
    value = number(match["words"])
    return None if value is None else value / 100


def distance(text: str) -> float:
    """How far the words for an amount mean, in 0..1 of the canvas."""
    percent = share(text)
    if percent is not None:
        return min(1.0, percent)
    if _LITTLE.search(text):
        return A_BIT
    return FAR if _MUCH.search(text) else STEP


def degree(text: str, shrinking: bool) -> float:
    """The factor that the words after 放大 or 缩小 mean."""
    percent = share(text)
    if percent is not None:
        if "到" in text or "为" in text:
            return max(0.01, percent)
        return max(0.01, 1 - percent) if shrinking else 1 + percent
    if "一半" in text:
        return 0.5 if shrinking or "到" in text else 1.5
    times = _TIMES.search(text)
    if times is not None:
        value = (
            float(times["number"]) if times["number"][0].isdigit() else float(number(times["number"]) or 1)
        )
        value = 2.0 if value <= 1 else min(100.0, value)
        return 1 / value if shrinking else value
    factor = 1.15 if _LITTLE.search(text) else 1.7 if _MUCH.search(text) else 1.3
    return 1 / factor if shrinking else factor
