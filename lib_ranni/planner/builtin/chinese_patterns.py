"""The patterns in which Chinese says what is where, for whole clauses and for modifiers before 的."""

from __future__ import annotations

import re
from functools import lru_cache

from lib_ranni.planner.builtin.chinese_words import either
from lib_ranni.planner.builtin.story import Spot

SPOTS = {
    "左上角": Spot(0.0, 0.0),
    "右上角": Spot(1.0, 0.0),
    "左下角": Spot(0.0, 1.0),
    "右下角": Spot(1.0, 1.0),
    "正中央": Spot(0.5, 0.5),
    "正中间": Spot(0.5, 0.5),
    "正中": Spot(0.5, 0.5),
    "中央": Spot(0.5, 0.5),
    "中心": Spot(0.5, 0.5),
    "中间": Spot(0.5, 0.5),
    "顶部": Spot(None, 0.0),
    "顶端": Spot(None, 0.0),
    "底部": Spot(None, 1.0),
    "角落": Spot(1.0, 1.0),
    "背景": Spot(behind=True),
    "远处": Spot(behind=True),
    "远方": Spot(behind=True),
    "前景": Spot(None, 1.0),
    "近处": Spot(None, 1.0),
}
"""Places in the picture."""

SIDES = {
    "left": Spot(0.0),
    "right": Spot(1.0),
    "above": Spot(None, 0.0),
    "on": Spot(None, 0.0),
    "below": Spot(None, 1.0),
    "under": Spot(None, 1.0),
    "front": Spot(None, 1.0),
    "behind": Spot(behind=True),
    "middle": Spot(0.5, 0.5),
}
"""What "on the left" and the like mean when nothing says of what."""

PICTURE = "(?:画面|图片|图像|图中|照片|整个画面)?(?:的)?最?"
_HANDS = (
    "(?:(?:正在?|在)?(?:左手|右手|双手|手上|手里|手中|嘴里|嘴上|怀里|头上|身上|脖子上|肩上|背上|脚上|一手)"
    "(?:里|中|上)?|正在|正)?"
)
ORDERS = {
    "左到右": ("x", False),
    "左至右": ("x", False),
    "左往右": ("x", False),
    "右到左": ("x", True),
    "右至左": ("x", True),
    "上到下": ("y", False),
    "上至下": ("y", False),
    "上往下": ("y", False),
    "下到上": ("y", True),
    "下至上": ("y", True),
}
ORDER = re.compile(
    rf"(?P<lead>.*?)(?:从|由|自)(?P<order>{'|'.join(ORDERS)})"
    r"(?:地|依次|分别|顺序|排列|排成一排|摆放|摆|放|站|有|是|为|着|了|[:：]|\s)*(?P<rest>.*)"
)
_BARE = "骑(?![士手兵])|抱(?!枕)|拿(?!铁)|牵(?!牛)|提(?![琴拉子篮包])|举(?!重)|捧|遛"
"""Verbs that need no 着 before their object, unless a word such as 抱枕 begins with them."""

NOT = r"(?:没有|不要有|不要|不含有?|不包含|不带|不能有|不出现|无|避免|去掉|别画|没)"
ANY = r"(?:任何|其他|其它|一点)?的?"
ADVERB = r"(?:还|也|各|正在|正|都|同时|则|分别|就|静静地|并排|一起|并肩|安静地|悠闲地)*"

STYLE_END = re.compile(
    r".*(?:风格|画风|质感|画质|分辨率|镜头|光线|光影|光照|构图|氛围|色调|虚化|细节|渲染|特写|视角|感|质量)"
)
LEAD = re.compile(
    r"(?:请|帮我|给我|为我|我想要|想要|我要)*(?:(?:画(?![面像家框廊板中])|绘制|生成|创作|拍摄)(?:出|了|着)?)?"
    r"(?:(?:图片|画面|照片|图像|图|场景)(?:里面|里|中|上)?(?:一共|共)?(?:有着|有|是|显示|展示|描绘)(?:着|了)?"
    r"|这是|那里有|这里有|一共有|共有|只有|还有|展示了|描绘了|有|其中|并且|而且|同时|然后)?"
)
BACKGROUND = re.compile(
    r"(?:以)?.*(?:为|作为)背景|背景(?:是|为|[:：])?.+|(?:在)?[^在]*背景(?:上|下|前|中|里)?"
)
ON_BACKGROUND = re.compile(r"(?:在)?(?P<b>[^在，]*?背景)(?:上|下|前|中|里)(?:有|是|站着|坐着|放着)?(?P<a>.+)")


@lru_cache(maxsize=1)
def modifiers() -> dict[str, re.Pattern[str]]:
    """What can stand before 的, and actions with an object."""
    places, posture = either("places"), either("posture", "flying")
    sides, holding = "|".join(SPOTS), either("holding", "riding")
    return {
        "place": re.compile(
            rf"(?:正)?(?P<v>{posture})?着?(?P<at>在|于)?(?P<b>.+?)的?(?P<loc>{places})(?:{posture}着?)?的(?=.)"
        ),
        "spot": re.compile(
            rf"(?:{posture})?(?:在)?{PICTURE}(?:(?P<spot>{sides})|(?P<loc>{places}))(?:里|中|处)?的(?=.)"
        ),
        "none": re.compile(r"(?:没有|不带|不含|没戴|无)(?P<b>.+?)的(?=.)"),
        "hold": re.compile(rf"{_HANDS}(?P<v>{holding})(?:着|了)?(?P<b>.+?)的(?=.)"),
        "wear": re.compile(rf"{_HANDS}{either('wearing')}着?.*?{either('clothing', 'body')}的(?=.)"),
        "style": re.compile(r"(?P<b>.*?(?:风格|画风(?!格)))的?(?=.)"),
        "held": re.compile(
            rf"(?P<a>.*?){_HANDS}(?:(?P<v>{holding})(?:着|了|(?=[一二两三四五六七八九十几\d]))"
            rf"|(?<=正在)(?P<doing>{either('holding')})|(?P<bare>{_BARE}))(?P<b>.+)"
        ),
    }


@lru_cache(maxsize=1)
def clauses() -> dict[str, re.Pattern[str]]:
    """Whole clauses."""
    places, posture = either("places"), either("posture", "flying")
    existing, classifiers = either("existing"), either("classifiers", "measures", "pairs")
    number = rf"(?=(?:[一二两三四五六七八九十几]+|\d+){classifiers}|许多|很多)"
    wearing, clothing, spots = either("wearing"), either("clothing"), "|".join(SPOTS)
    tail = r"(?:的?(?:位置|地方|角落|处|区域|部分))?"
    return {
        "exist": re.compile(
            rf"(?:在)?(?P<b>.*?)的?(?P<loc>{places}){tail}{ADVERB}(?P<v>{existing}|{number})(?P<a>.+)"
        ),
        "exist_not": re.compile(rf"(?:在)?(?P<b>.+?)的?(?P<loc>{places}){NOT}{ANY}(?P<a>.+)"),
        "spot": re.compile(
            rf"(?:在)?{PICTURE}(?P<spot>{spots})(?:里|中|处|上)?{tail}{ADVERB}"
            rf"(?P<v>{existing}|{number})(?P<a>.+)"
        ),
        "at_spot": re.compile(
            rf"{PICTURE}(?:(?P<spot>{spots})|(?P<loc>{places}))(?:里|中|处|上)?{tail}"
            rf"(?P<rest>{ADVERB}(?:{posture}着?)?)"
        ),
        "place": re.compile(rf"(?P<b>.+?)的?(?P<loc>{places}){tail}(?P<rest>(?!的).*)"),
        "scene_have": re.compile(
            rf"(?:在)?(?P<b>(?:.*的)?{either('scenes')})(?:里|上|中)?(?P<v>{existing})(?P<a>.+)"
        ),
        "scene": re.compile(rf"(?P<b>(?:.{{0,8}}?的)?{either('scenes')})(?P<rest>.*)"),
        "verb": re.compile(
            rf"(?P<a>.*?)(?:[\u4e00-\u9fff]{{1,4}}地)?{ADVERB}"
            rf"(?P<v>(?:(?![长铺位装盛印写]){posture})?)(?:着|了|落|立|卧|放)?"
        ),
        "posture": re.compile(rf"(?P<a>.+?){ADVERB}(?:在)?(?P<v>{posture}{{1,3}})(?:着|了)?"),
        "picture": re.compile(rf"(?:一[张幅副])?(?P<a>.+?)的(?P<p>[^的]{{0,4}}{either('pictures')})"),
        "picture_of": re.compile(rf"(?:一[张幅副])(?P<p>[^的]{{0,4}}{either('pictures')})"),
        "wear": re.compile(
            r"(?P<a>.*?)(?:头上|身上|脖子上|脚上|手上)?"
            rf"(?P<b>{wearing}着?.*{either('clothing', 'body')})"
        ),
        "clothes": re.compile(
            rf"({wearing}着?[^，。、]*?{clothing})(?:和|与|、|以及)([^，。、和与]*?{clothing})"
        ),
        "handful": re.compile(rf"({either('holding')}着[^，。的和与]{{1,10}})(?:和|与)([^，。的]{{1,10}}的)"),
        "is": re.compile(r"(?P<a>.+?)(?:都|全)?是(?P<b>.+?)的?"),
        "lacks": re.compile(rf"(?P<a>.+?)(?:没有|不带|没戴|不戴){ANY}(?P<b>[^的]+)"),
    }
