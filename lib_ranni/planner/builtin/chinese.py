"""Reading a Chinese prompt, clause by clause, by the patterns in which Chinese says what is where.

Like the English reader it knows no nouns: numbers with classifiers, place words, verbs of posture and 的
tell where a phrase begins and ends. What fits no pattern is left over and reported.
"""

from __future__ import annotations

import re

from lib_ranni.planner.builtin.chinese_patterns import (
    ADVERB,
    ANY,
    BACKGROUND,
    LEAD,
    NOT,
    ON_BACKGROUND,
    ORDER,
    ORDERS,
    SIDES,
    SPOTS,
    STYLE_END,
    clauses,
)
from lib_ranni.planner.builtin.chinese_phrases import Held, Phrases, split_list, spot_of
from lib_ranni.planner.builtin.chinese_words import AND, chinese, either, is_attribute, made_of, opening
from lib_ranni.planner.builtin.story import Spot, Story
from lib_ranni.planner.language import is_chinese

_MOST_CLAUSE = 120
"""A longer clause is no description of where things are; it is left in the base prompt."""

_MOST_CLAUSES = 200
_LINED_UP = re.compile("(?:整齐地|并排)?[站排摆坐]成一?[排行列]")
_QUOTES = 0xE100
_MOST_QUOTES = 256
_QUOTED = re.compile(r"“[^”]*”|「[^」]*」|『[^』]*』|《[^》]*》|\"[^\"]*\"")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_SPACE = re.compile(r"(?<=[^\x00-\x7f])[ \t]+(?=[^\x00-\x7f])")
_SENTENCE = re.compile(r"[。！？；!?;\n\r]+|(?<!\d)\.(?!\d)")
_CLAUSE = re.compile(r"[，,|]+")


class ChineseReader(Phrases):
    """Reads one prompt; `story` is the result."""

    def __init__(self, prompt: str) -> None:
        super().__init__()
        self._quotes: list[str] = []
        text = _PRIVATE.sub("", prompt).replace("\u3000", " ")
        text = _QUOTED.sub(self._keep_quote, text)
        self._text = _SPACE.sub("", text)
        self._anchor: list[int] = []
        self._axis: tuple[str, bool] | None = None
        self._row: list[int] = []
        self._spotted = False

    def read(self) -> Story:
        """Read the whole prompt."""
        count = 0
        for sentence in _SENTENCE.split(self._text):
            self._anchor, self._spotted = [], False
            for clause in _CLAUSE.split(self._protected(sentence)):
                clause = clause.strip(" \t、:：()（）[]【】{}<>")
                if clause and count < _MOST_CLAUSES:
                    count += 1
                    self._read_clause(_LINED_UP.sub("", clause) or clause)
                elif clause:
                    self.story.unread.append(clause)
            self._close_row()
        self._restore()
        return self.story

    def _keep_quote(self, match: re.Match[str]) -> str:
        """Quoted words stay together: one character stands for them until the end."""
        if len(self._quotes) == _MOST_QUOTES:
            return match[0]
        self._quotes.append(match[0])
        return chr(_QUOTES + len(self._quotes) - 1)

    def _protected(self, sentence: str) -> str:
        """An "and" between clothes or between held things does not split a list of things."""
        if len(sentence) > 4 * _MOST_CLAUSE:
            return sentence
        for name in ("clothes", "handful"):
            for _ in range(4):
                sentence, changes = clauses()[name].subn(rf"\1{AND}\2", sentence)
                if not changes:
                    break
        return sentence

    def _restore(self) -> None:
        table = {_QUOTES + n: quote for n, quote in enumerate(self._quotes)} | {ord(AND): "和"}
        for thing in self.story.things:
            thing.text, thing.head = thing.text.translate(table), thing.head.translate(table)
            thing.negatives = [text.translate(table) for text in thing.negatives]
        story = self.story
        for texts in (story.scene, story.negatives, story.unread):
            texts[:] = [text.translate(table) for text in texts]

    def _close_row(self) -> None:
        row = list(dict.fromkeys(self._row))
        if self._axis is not None and len(row) > 1:
            axis, back = self._axis
            self.story.rows.append(("x" if axis == "x" else "y", tuple(row[::-1] if back else row)))
        self._axis, self._row = None, []

    def _read_clause(self, clause: str) -> None:
        if len(clause) > _MOST_CLAUSE:
            self.story.unread.append(clause)
            return
        if not is_chinese(clause):
            self._foreign(clause)
            return
        before = len(self.story.things)
        lead = LEAD.match(clause)
        bare = clause[lead.end() :] if lead is not None else clause
        if not self._scenic(clause):
            self._say(bare or clause)
        if self._axis is not None:
            self._row += range(before, len(self.story.things))

    def _say(self, clause: str) -> None:
        """Try the patterns, the most telling first."""
        for pattern in (self._order, self._picture, self._negated, self._exists, self._located):
            if pattern(clause):
                return
        found = self._figures(clause)
        if found:
            self.topic, self._anchor, self._spotted = found, [], False

    def _foreign(self, clause: str) -> None:
        """A clause without Chinese characters is read as English and appended."""
        if not re.search("[A-Za-z]", clause):
            if any(char.isalnum() for char in clause) or ord(clause[0]) >= _QUOTES:
                self.story.unread.append(clause)
            return
        self.topic = self.foreign(clause) or self.topic

    def _scenic(self, clause: str) -> bool:
        """Style, background, place or time: it goes to the base prompt."""
        on = ON_BACKGROUND.fullmatch(clause)
        if on is not None and not is_attribute(on["a"]) and opening(on["a"]).end:
            self.story.scene.append(on["b"])
            self._say(on["a"])
            return True
        bare = clause.removeprefix("在")
        for end in ("里", "上", "中", "下", "里面", ""):
            if bare.endswith(end) and self.scenery(bare.removesuffix(end)) and len(bare) < 12:
                self.story.scene.append(clause)
                return True
        patterns = clauses()
        styled = made_of(clause, "styles", "pictures", also=r"[的、\s]") or patterns["picture_of"].fullmatch(
            clause
        )
        ends = STYLE_END.fullmatch(clause) is not None and not opening(clause).end and len(clause) <= 12
        if styled or ends or self._is_background(clause):
            self.story.scene.append(clause)
            return True
        return False

    def _is_background(self, clause: str) -> bool:
        spot = clauses()["spot"].fullmatch(clause)
        there = spot is not None and spot["spot"] == "背景" and (spot["v"] != "是" and spot["v"] != "为")
        return BACKGROUND.fullmatch(clause) is not None and not there and not opening(clause).end

    def _order(self, clause: str) -> bool:
        match = ORDER.fullmatch(clause)
        if match is None:
            return False
        self._close_row()
        self._axis = ORDERS[match["order"]]
        for part in (match["lead"], match["rest"]):
            if part:
                self.topic = self.things(part)
        if not match["lead"] and not match["rest"]:
            self._row = list(self.topic)
        return True

    def _picture(self, clause: str) -> bool:
        """一张猫的照片: the picture is a style."""
        match = clauses()["picture"].fullmatch(clause)
        if match is None or self.story.things:
            return False
        self.story.scene.append(match["p"])
        self._say(match["a"])
        return True

    def _negated(self, clause: str) -> bool:
        match = re.fullmatch(rf"(?:但是|但|也|并)?(?:里面)?{NOT}{ANY}(?P<b>[^的]+)", clause)
        if match is not None:
            self.story.negatives += re.split(r"、|和|或者|或|与|及|，", match["b"])
            return True
        there = clauses()["exist_not"].fullmatch(clause)
        if there is not None:
            if not self.scenery(there["b"]):
                self.topic = self.things(there["b"])
            else:
                self.story.scene.append(there["b"] + there["loc"])
            self.story.negatives += split_list(there["a"])
            return True
        lacks = clauses()["lacks"].fullmatch(clause)
        if lacks is None or "在" in lacks["a"]:
            return False
        self.topic = self.things(lacks["a"])
        for index in self.topic:
            self.story.things[index].negatives += split_list(lacks["b"])
        return True

    def _exists(self, clause: str) -> bool:
        """桌子上放着一只猫, 左边是一只狗, 海边有一座灯塔."""
        spot = clauses()["spot"].fullmatch(clause)
        if spot is not None:
            self._put(self._figures(spot["a"]), SPOTS[spot["spot"]])
            return True
        match = clauses()["exist"].fullmatch(clause)
        if match is None or "在" in match["b"] or self._active(match["b"]):
            return self._scene_has(clause)
        place, relation = (
            match["b"].removeprefix("画面").removeprefix("图片").strip("的"),
            chinese().lookup("places", match["loc"]),
        )
        figures = self._figures_or_text(match["a"])
        if not place:
            self._beside_topic(relation or "next", figures, picture=bool(match["b"]))
        elif self.scenery(place):
            self.story.scene.append(match["b"] + match["loc"])
            self.topic = figures or self.topic
        else:
            known = self.things(place)
            if not figures:
                self.describe(known, match["v"] + match["a"])
                return True
            relation = "on" if relation == "middle" and len(known) == 1 else relation
            self.link(self.meaning(relation or "next", match["v"]), figures, known)
            self._anchor = known if relation in {"left", "right", "above", "below"} else []
            self.topic, self._spotted = figures, False
        return True

    def _figures_or_text(self, text: str) -> list[int]:
        return [] if text and _QUOTES <= ord(text[0]) < _QUOTES + _MOST_QUOTES else self._figures(text)

    def _active(self, text: str) -> bool:
        held = self.held(text)
        return held is not None and bool(held.before)

    def _scene_has(self, clause: str) -> bool:
        match = clauses()["scene_have"].fullmatch(clause)
        if match is None or not self.scenery(match["b"]):
            return False
        self.story.scene.append(match["b"])
        self.topic = self._figures(match["a"])
        return True

    def _beside_topic(self, relation: str, figures: list[int], picture: bool) -> None:
        """旁边有一只狗: beside what was spoken of last; 左边是 can be a place in the picture."""
        anchor = self._anchor or self.topic
        if relation in SIDES and (picture or self._spotted or not anchor):
            self._put(figures, SIDES[relation])
            return
        self.link(relation, figures, [n for n in anchor if n not in figures])
        self._anchor = anchor if relation in {"left", "right", "above", "below"} else []
        self.topic = figures or self.topic

    def _put(self, figures: list[int], spot: Spot) -> None:
        for index in figures:
            self.story.things[index].spot = spot
        self.topic, self._spotted = figures or self.topic, True
        self._anchor = []

    def _located(self, clause: str) -> bool:
        """一只猫坐在沙发上, 一个女孩在公园里散步."""
        for match in re.finditer("位于|处于|在|于|到", clause):
            before, after = clause[: match.start()], clause[match.end() :]
            if after and self._at(before, after):
                return True
        return False

    def _at(self, before: str, after: str) -> bool:
        verb = clauses()["verb"].fullmatch(before)
        doer, posture = (verb["a"], verb["v"]) if verb is not None else (before, "")
        if doer and opening(doer).end == len(doer):
            return False
        spot = clauses()["at_spot"].fullmatch(after)
        if spot is not None:
            there = spot_of(spot)
            if there is not None:
                self._put(self._subjects(doer), there)
                return True
        place = clauses()["place"].fullmatch(after)
        scene = clauses()["scene"].fullmatch(after)
        if (
            scene is not None
            and (place is None or len(scene["b"]) > len(place["b"]))
            and self.scenery(scene["b"])
        ):
            place = None
            subjects, rest = self._subjects(doer), scene["rest"].removeprefix("里").removeprefix("上")
            if rest.startswith("的"):
                return False
            self.story.scene.append(scene["b"])
        elif place is not None:
            subjects, rest = self._subjects(doer), place["rest"]
            self._stand(subjects, posture, place)
        else:
            return False
        self.topic = subjects or self.topic
        if rest:
            self._rest(subjects, rest)
        return True

    def _stand(self, subjects: list[int], posture: str, place: re.Match[str]) -> None:
        relation = chinese().lookup("places", place["loc"]) or "next"
        if self.scenery(place["b"]):
            self.story.scene.append(place["b"] + place["loc"])
            return
        meaning = self.meaning(relation, posture or place["rest"])
        self.link(meaning, subjects, self._figures(place["b"]))
        self._anchor, self._spotted = [], False

    def _subjects(self, text: str) -> list[int]:
        """Who is spoken of; without words, the topic."""
        return self._figures(text) if text else self.topic

    def _rest(self, subjects: list[int], rest: str) -> None:
        """What else somebody does there."""
        posture = re.fullmatch(rf"{ADVERB}{either('posture', 'flying')}{{1,3}}(?:着|了)?", rest)
        if posture is not None or self._located(rest):
            return
        held = self.held(rest)
        if held is not None and not held.before:
            self._hold(held, subjects)
        elif len(rest) <= 8 and subjects:
            self.describe(subjects, rest)
        else:
            self.story.unread.append(rest)

    def _figures(self, text: str) -> list[int]:
        """The things that a clause without a place is about."""
        text = text.strip()
        held = self.held(text)
        if held is not None and not self._relative(held.before, text):
            subjects = self._subjects(held.before.strip())
            self._hold(held, subjects)
            return subjects
        worn = clauses()["wear"].fullmatch(text)
        if worn is not None and not self._relative(worn["a"], text):
            subjects = self._subjects(worn["a"].strip())
            self.describe(subjects, worn["b"])
            return subjects
        equal = clauses()["is"].fullmatch(text)
        if equal is not None and is_attribute(equal["b"]):
            subjects = self.things(equal["a"])
            self.describe(subjects, equal["b"])
            return subjects
        posture = clauses()["posture"].fullmatch(text)
        if posture is not None and opening(posture["a"]).end < len(posture["a"]) and len(posture["v"]) > 1:
            subjects = self.things(posture["a"])
            self.describe(subjects, posture["v"])
            return subjects
        if is_attribute(text.rstrip("的")) and self.topic and text not in chinese().sets["plain_shapes"]:
            self.describe(self.topic[-1:], text.rstrip("的"))
            return self.topic
        return self.things(text)

    def _relative(self, before: str, text: str) -> bool:
        """抱着猫的女孩: the action is a modifier of what follows."""
        lead = opening(before)
        if before and lead.end < len(before):
            # A modifier can stand before another one: 一只白色的抱着球的狗.
            return before.endswith("的") and "的" in text[len(before) :]
        tail = text.rpartition("的")
        return bool(tail[1]) and bool(tail[2]) and (bool(before) or not self.topic)

    def _hold(self, held: Held, subjects: list[int]) -> None:
        target, _, place = held.object.partition("在")
        if place and self._at_place(place, subjects):
            held = held._replace(object=target)
        objects = self.things(held.object.replace(AND, "和"))
        self.link(held.relation, subjects, objects)

    def _at_place(self, place: str, subjects: list[int]) -> bool:
        topic, self.topic = self.topic, subjects
        if self._at("", place):
            return True
        self.topic = topic
        return False


def read_chinese(prompt: str) -> Story:
    """What a Chinese prompt says is in the picture, and where."""
    return ChineseReader(prompt).read()
