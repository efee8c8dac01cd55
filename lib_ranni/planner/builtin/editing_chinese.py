"""Chinese instructions -> steps, clause by clause, by the patterns in which Chinese asks for a change."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from lib_ranni.panel.types import Panel
from lib_ranni.planner.builtin import editing_steps as steps
from lib_ranni.planner.builtin.chinese_words import is_attribute, opening
from lib_ranni.planner.builtin.editing_chinese_phrases import ChinesePhrases, degree, distance
from lib_ranni.planner.builtin.editing_steps import Beside, References, Shift, Step
from lib_ranni.planner.builtin.story import Spot

_MOST_CLAUSE = 100
_BREAK = re.compile(
    r"[，,。；;！!？?\n]+|(?:并且|然后|接着|同时|而且|最后)|(?:并|再|又)?(?=[把将让])(?<!^)|并(?=[移缩放变改涂删换])|(?<=.)(?=再(?:[加添放画]|删|去掉))"
)
_POLITE = re.compile(
    "^(?:请你?|帮我|帮忙|麻烦你?|给我|能不能|能否|可以|可不可以|我想要?|我要|你|那|就|也|还要?|先|再(?![加添放画来])|然后|并且?|接着|同时|最后|现在)+"
)
_TAIL = re.compile("(?:吗|吧|呢|啊|好吗|可以吗|一下|谢谢|行吗|好不好|了)+$")

_IN_PICTURE = re.compile("^在?(?:画面|图片|照片|图)(?:里面?|上面?|中(?![间央心]))(?![的方])")
_NO_SUBJECT = re.compile("移|挪|放|变|改|涂|缩小|换成|往|向|朝|染|戴|再?[大小高]")

_RM = (
    "(?:删除掉?|删掉|删去|删了|去掉|去除|移除|拿掉|拿走|擦掉|擦除|抹掉|抹去|消除|清除|清掉|移走|弄走|不要|去了"
    "|拿开|删)"
)
_BA = "(?:把|将|让|使|令|给)?"
_EVEN = "[再更变得弄做调稍微略画改]{0,6}"
_BY = r"[一二两三四五六七八九十百分之\d.%％点儿些很许好多到至为原来的成了大小稍微倍半]{0,16}"
"""Characters of amounts. Words would be more exact, but repeated ones can be split in too many ways."""

_BIG = (
    "放大|变大|扩大|增大|加大|缩小|变小|减小|调大|调小|变高|增高|加高|拉高|变矮|变宽|加宽|拉宽|变窄|变长|大|小"
    "|高|矮|宽|窄"
)
_INTO = (
    "(?:替换成|替换为|更换为|更换成|换成|换为|变成|变为|改成|改为|变作|替代为|转成|转换成|转换为|设为|设成|设置为"
    "|调成|弄成|改|换)"
)
_PAINT = "(?:涂成|染成|刷成|漆成|画成|涂上|染上|涂|染)"
_ADD = (
    "(?:添加上?|增加|加入|加上|加个|加(?![大宽高长])|添上?|新增|画上?(?![面中里])"
    r"|多[加来画放添]?(?=[\d一两二三四五六七八九十几])|放上?|放置|摆上?|插入|生成|来)"
)
_MOVE = "(?:移动|移|挪动|挪|放置|放|摆|搬|推|拉|拖|平移|靠|走|飞|去|往|到|站|坐|弄|调整|调)"
_WAY = "(?P<way>左上|左下|右上|右下|左|右|上|下)(?:方|边|面|侧)?"
_WAYS = {"左": (-1, 0), "右": (1, 0), "上": (0, -1), "下": (0, 1)}
_GROWN = {"大": (1, 1), "小": (1, 1), "高": (0, 1), "矮": (0, 1), "宽": (1, 0), "窄": (1, 0), "长": (1, 0)}


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Whole clauses, the more special before the more general; the names are those of the readers."""
    canvas = "(?:整个|整张|全)?(?:画面|图片|画布|图|屏)"
    way = f"(?:向|往|朝|{_MOVE}向)(?:画面)?的?{_WAY}"
    table = {
        "keep": rf"(?:只|仅|就)(?:保留|留下|留|要)(?P<a>.+)|(?:{_RM})?除了?(?P<b>.+?)(?:之外|以外|外)?的?"
        rf"，?(?:{_RM})?(?:其他|其它|别的|其余|所有|全部)(?:的|所有|东西|元素|物体)*(?:都|全部|全|给|也)*(?:{_RM})?",
        "remove": rf"(?:{_RM})(?P<a>.+)|(?:把|将)?(?P<b>.+?)(?:都|全部|全|给|也)*(?:{_RM})",
        "swap": r"(?:交换|对调|互换|调换)(?:一下)?(?P<a>.+?)(?:的?位置)?|(?:把|将|让)?(?P<b>.+?)的?(?:位置)?"
        r"(?:交换|对调|互换|调换|换)(?:一下)?(?:位置)?",
        "base": rf"{_BA}(?:换个?|更换|改变)?(?:整个|图片的?|画面的?|图的?)?(?P<kind>背景|场景|风格|画风)都?"
        rf"(?:{_INTO}|应该是|是|为|用|要|:|：)(?P<t>.+)",
        "style": rf"{_BA}(?:整个|整张)?(?:画面|图片|画|图)?(?:用|{_INTO})(?P<t>.+?(?:风格|画风))",
        "instead": r"用(?P<t>.+?)来?(?:替换掉?|代替|取代|替代|换掉)(?P<a>.+)",
        "paint": rf"{_BA}(?P<a>.+?)(?:的颜色)?{_PAINT}(?P<t>.+)",
        "equip": r"(?:给|让|为)(?P<a>.+?)(?:加上?|戴上?|穿上?|配上?|添上?|系上?|围上?|拿着?"
        r"|(?=一[顶个条件副只把]))(?P<t>.+)",
        "fill": rf"{_BA}(?P<a>.+?)(?:放大到?|占满|充满|填满|铺满|布满|撑满){canvas}",
        "match": rf"{_BA}(?P<a>.+?)(?:变得|放大到|缩小到|变成)?[和跟与像同](?P<b>.+?)(?:一样|同样|一般)"
        r"(?P<side>大|高|宽)?小?",
        "near": rf"{_BA}(?P<a>.+?)(?:离|距离|和|与|跟|靠|向|往)(?P<b>.+?)(?:离|靠|隔|分)?得?"
        rf"(?P<how>近|远|靠近|靠拢|开){_BY}(?:移动?)?",
        "toward": rf"{_BA}(?P<a>.+?)(?:靠近|接近|移近|远离)(?P<b>.+?){_BY}",
        "put": rf"在?(?P<p>.+?)[再也还]*{_ADD}(?P<t>.+)",
        "add": rf"(?P<more>再|又|还要?)?{_ADD}(?P<t>.+?)(?:放?[在到](?P<p>.+))?",
        "shift": rf"{_BA}(?P<a>.+?)[再都稍微略]{{0,4}}{way}(?P<by>{_BY}){_MOVE}?动?(?:过去)?(?P<by2>{_BY})",
        "shift2": rf"{_BA}(?P<a>.+?){_MOVE}动?(?P<by>{_BY})[向往朝]?{_WAY}(?P<by2>{_BY})",
        "shift3": rf"[向往朝]{_WAY}(?:移动|移|挪动|挪|推|拉|平移)(?P<a>.+?)(?P<by>{_BY})",
        "raise": rf"{_BA}(?P<a>.+?)(?P<way>上|下|左|右)移动?(?P<by>{_BY})",
        "place": rf"{_BA}(?P<a>.+?)(?:应该)?{_MOVE}[动回置]?[到至在去往进入]?(?P<p>.+)",
        "stands": rf"{_BA}(?P<a>.+?)(?:应该|要)?在(?P<p>.+)",
        "place2": r"(?:移动|移|挪动|挪|搬)(?P<a>.+?)[到至去](?P<p>.+)",
        "there": r"在?(?P<p>.+?)(?:应该|要)?有(?P<t>.+)",
        "size": rf"{_BA}(?P<a>.+?){_EVEN}(?P<how>{_BIG})(?P<by>{_BY})",
        "size2": rf"(?P<how>放大|缩小)(?P<a>.+?)(?P<by>{_BY})",
        "into": rf"{_BA}(?P<a>.+?)(?P<color>的颜色)?(?:都|全部|全|整个)*{_INTO}(?P<t>.+)",
        "is": rf"{_BA}(?P<a>.+?)(?P<color>的颜色)?[都全]?"
        r"(?:应该是|应当是|应该|要是|得是|是|变得?|看起来)(?P<t>.+)",
        "look": r"(?:让|使|令)(?P<a>.+?)(?P<t>[^的]+的)",
    }
    return [(name, re.compile(pattern)) for name, pattern in table.items()]


class ChineseInstruction:
    """Reads an instruction step by step."""

    def __init__(self, panel: Panel, text: str, again: bool = False) -> None:
        self._text = text
        self._again = again
        self._phrases = ChinesePhrases(panel)
        self._readers: dict[str, Callable[[re.Match[str]], list[Step] | None]] = {
            "keep": self._keep,
            "remove": lambda m: self._on(m["a"] or m["b"], steps.Remove),
            "swap": lambda m: self._on(m["a"] or m["b"], steps.Swap),
            "base": lambda m: [steps.Rebase(m["t"], style=m["kind"] in {"风格", "画风"})],
            "style": lambda m: [steps.Rebase(m["t"], style=True)],
            "instead": self._into,
            "paint": self._into,
            "equip": self._equip,
            "fill": lambda m: self._on(m["a"], steps.Match),
            "match": self._match,
            "near": self._near,
            "toward": self._near,
            "shift": self._shift,
            "shift2": self._shift,
            "shift3": self._shift,
            "raise": self._shift,
            "place": self._place,
            "place2": self._place,
            "stands": self._place,
            "size": self._size,
            "size2": self._size,
            "into": self._into,
            "is": self._is,
            "put": self._put,
            "add": self._add,
            "there": self._put,
            "look": self._into,
        }

    def step(self) -> tuple[list[Step], int] | None:
        """(what the first step asks for, where in the text it ends); None if it is not understood."""
        ends = [
            match.start()
            for match in _BREAK.finditer(self._text)
            if self._text[: match.start()].strip(" ，,。")
        ]
        for end in [*ends[:3], len(self._text)]:
            clause = re.sub(r"[\s，,。；;！!？?]+", "", self._text[:end]) if end else ""
            clause = _TAIL.sub("", _POLITE.sub("", clause))
            if not clause:
                continue
            found = self._clause(clause) if len(clause) <= _MOST_CLAUSE else None
            if found is not None:
                return found, end
        rest = _TAIL.sub("", _POLITE.sub("", re.sub(r"[\s，,。；;！!？?]+", "", self._text)))
        return None if rest else ([], len(self._text))

    def _clause(self, clause: str) -> list[Step] | None:
        clause = _IN_PICTURE.sub("", clause)
        self._phrases.every = "都" in clause or "全部" in clause
        if self._again and _NO_SUBJECT.match(clause):
            # What names no element speaks of those of the step before.
            self._again = False
            found = self._clause(f"它们{clause}")
            self._again = True
            if found:
                return found
        for name, pattern in _patterns():
            match = pattern.fullmatch(clause)
            found = self._readers[name](match) if match else None
            if found:
                return found
        return None

    def _on(self, text: str, kind: Callable[[References], Step]) -> list[Step] | None:
        who = self._phrases.references(text)
        return [kind(who)] if who else None

    def _keep(self, match: re.Match[str]) -> list[Step] | None:
        who = self._phrases.references(match["a"] or match["b"])
        return [steps.Remove(who, keep=True)] if who else None

    def _match(self, match: re.Match[str]) -> list[Step] | None:
        who, like = self._phrases.references(match["a"]), self._phrases.references(match["b"])
        if not who or not like:
            return None
        side = match["side"]
        return [steps.Match(who, like, "height" if side == "高" else "width" if side == "宽" else "both")]

    def _near(self, match: re.Match[str]) -> list[Step] | None:
        who, target = self._phrases.references(match["a"]), self._phrases.references(match["b"])
        groups = match.groupdict()
        how = groups.get("how") or ("远" if "远离" in match[0] else "近")
        if not who or not target:
            return None
        away = how in {"远", "开"}
        together = re.search(f"{re.escape(match['a'])}[和与跟]{re.escape(match['b'])}", match[0])
        return [steps.Approach((*who, *target) if together else who, () if together else target, away)]

    def _shift(self, match: re.Match[str]) -> list[Step] | None:
        who = self._phrases.references(match["a"])
        if not who or match["a"][-1] in "的到在":
            return None
        dx = sum(_WAYS[way][0] for way in match["way"])
        dy = sum(_WAYS[way][1] for way in match["way"])
        words = "".join(match.groupdict().get(name) or "" for name in ("by", "by2"))
        words += "稍微" if "稍微" in match[0] or "略微" in match[0] else ""
        return [steps.Move(who, Shift(dx, dy, distance(words)))]

    def _place(self, match: re.Match[str]) -> list[Step] | None:
        who, place = self._phrases.references(match["a"]), self._phrases.place(match["p"])
        if not who or place is None:
            return None
        side = match["p"].removesuffix("去")
        if side in {"左边", "右边", "左侧", "右侧", "左", "右"} and isinstance(place, Spot):
            dx = _WAYS[side[0]][0]
            return [steps.Move(who, Shift(dx, 0, distance("")))]
        return [steps.Move(who, place)]

    def _size(self, match: re.Match[str]) -> list[Step] | None:
        who = self._phrases.references(match["a"])
        kind = match["how"][-1]
        if not who or kind not in _GROWN:
            return None
        factor = degree(match["by"] + ("稍微" if "稍微" in match[0] else ""), kind in "小矮窄")
        wide, high = _GROWN[kind]
        return [steps.Scale(who, factor if wide else 1.0, factor if high else 1.0)]

    def _equip(self, match: re.Match[str]) -> list[Step] | None:
        who = self._phrases.references(match["a"])
        return [steps.Equip(who, match["t"])] if who else None

    def _into(self, match: re.Match[str]) -> list[Step] | None:
        """Another thing, unless the words are only attributes."""
        owner, part = self._phrases.part(match["a"])
        who = self._phrases.references(owner)
        words = match["t"].strip()
        bare = words[opening(words).end :].strip("的 ")
        if not who or not bare:
            return None
        if is_attribute(bare) or words.endswith("的") or match.groupdict().get("color"):
            return [steps.Describe(who, bare, part)]
        return [steps.Replace(who, words)]

    def _is(self, match: re.Match[str]) -> list[Step] | None:
        place = self._phrases.place(match["t"]) if match["t"].startswith("在") else None
        if place is not None and (who := self._phrases.references(match["a"])):
            return [steps.Move(who, place)]
        return self._into(match)

    def _put(self, match: re.Match[str]) -> list[Step] | None:
        text = re.sub("(?:再|也|还)+$", "", match["p"])
        place = self._phrases.place(text)
        if place is None or isinstance(place, Shift):
            return None
        more = text != match["p"] or "再" in match[0]
        return [steps.Add(match["t"], place, more)]

    def _add(self, match: re.Match[str]) -> list[Step] | None:
        place: Spot | Beside | None = None
        if match["p"]:
            found = self._phrases.place(match["p"])
            if found is None or isinstance(found, Shift):
                return None
            place = found
        return [steps.Add(match["t"], place, bool(match["more"]))]
