"""Plans that a model writes as a list in plain words, a table or YAML: one thing and four numbers a line."""

from __future__ import annotations

import re
import unicodedata

from lib_ranni.planner.llm.reply_boxes import box_of
from lib_ranni.planner.llm.reply_plan import Entry, Plan

_MOST_LINES = 20_000
_LONGEST = 2_000
_N = r"[+-]?\d{1,6}(?:\.\d{0,9})?%?"
_SEP = r"\s{0,3}(?:,|\||;|\s|(?:\s?[),(]\s?){1,4})\s{0,3}"
_NAME = r"(?:[a-z_]{1,8}\d?\s?[=:]\s?)?"
_FOUR = re.compile(
    rf"[\[(<{{|=:]\s{{0,3}}\(?\s?{_NAME}({_N}){_SEP}{_NAME}({_N}){_SEP}{_NAME}({_N}){_SEP}{_NAME}({_N})"
    r"\s{0,3}(?:[\])>}|.;]|$)",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^[\s>#|]*(?:[-*•+]\s+|\(?\d{1,4}[.):、]\s*|[-*•])?[\s*_`\"'|]*")
_LABEL = re.compile(
    r"(base|style|background|scene|negative|elements|description|box|bbox|bounding box|position|coordinates"
    r"|location|id)\b[\s*_`\"']*[:=]\s*(.*)$",
    re.IGNORECASE,
)
_TAGS = re.compile(r"<\|?/?(?:object_ref|box|ref|quad|p|b|li)(?:_start|_end)?\|?>", re.IGNORECASE)
_LISTED = re.compile(r"\n[ \t]{0,40}-[ \t]{0,9}([\d.]{1,9}%?)[ \t]{0,9}(?=\n|\Z)")
_LEAD = re.compile(r"(?:(?:and|then|the)\s{1,3}){1,3}", re.IGNORECASE)
_TRAIL = re.compile(
    r"(?:\s{0,3}\((?:id:?\s?)?[a-z]{1,7}_?\d{1,4}\)|\s(?:is|are|at|located|placed|positioned|box|bbox)\b){1,4}\W*$",
    re.IGNORECASE,
)
_EDGES = " \t*_`\"'|:-–—=>→,.(["
_PLACES = ("box", "bbox", "bounding box", "position", "coordinates", "location")


def plan_in_lines(text: str) -> Plan:
    """The things of a text that have four numbers on or below their line."""
    plan = Plan()
    heading = ""
    text = _LISTED.sub(r" \1", text)
    for line in text.split("\n", _MOST_LINES)[:_MOST_LINES]:
        line = _TAGS.sub(" ", unicodedata.normalize("NFKC", line[:_LONGEST])).rstrip()
        words = _BULLET.sub("", line, count=1)
        matches = list(_FOUR.finditer(words))
        if not matches:
            label = _LABEL.match(words)
            if label is None:
                heading = _named(words) or heading
            else:
                heading = _told(plan, label[1].lower(), label[2].strip(_EDGES), heading)
        begin = 0
        for match in matches:
            name = _named(words[begin : match.start()])
            begin = match.end()
            if name.lower() in _PLACES or not name:
                name, heading = heading, ""
            box = box_of(list(match.groups()))
            if box is not None and any(map(str.isalpha, name)):
                plan.entries.append(Entry({"description": name}, box))
    if plan.entries:
        plan.note = "a list in words was read as a plan"
    return plan


def _named(words: str) -> str:
    """The thing without what sets it off: marks, its id, and the words that lead to its place."""
    words = _LEAD.sub("", words.replace("**", "").strip(_EDGES))
    return _TRAIL.sub("", words).strip(_EDGES)


def _told(plan: Plan, label: str, words: str, heading: str) -> str:
    """Take note of a labeled line; the heading from here on."""
    if label in ("base", "style", "background", "scene"):
        plan.base = ", ".join(filter(None, (plan.base, words)))
    elif label == "negative":
        plan.negative = "" if words.lower() in ("none", "n/a") else words
    elif label == "description":
        return words
    return heading
