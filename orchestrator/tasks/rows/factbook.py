"""Tasks made of the World Factbook, which comes along: no download, and the text is public domain.

Sections: which section is what a field says from? Questions: about the fields of a country, whose
answers are spans of the section that the field stands in. Both are split by country.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from orchestrator.settings.task import Data
from orchestrator.tasks.example import Row, Where
from orchestrator.tasks.rows.stored import split_texts

# Field → the question that it answers.
_QUESTIONS = {
    "Capital: name": "What is the capital of {}?",
    "Area: total": "How large is {}?",
    "Population": "How many people live in {}?",
    "Median age: total": "What is the median age in {}?",
    "Birth rate": "How high is the birth rate of {}?",
    "Death rate": "How high is the death rate of {}?",
    "Life expectancy at birth: total population": "How long do people in {} live?",
    "Infant mortality rate: total": "How high is infant mortality in {}?",
    "Total fertility rate": "How many children are born per woman in {}?",
    "Elevation extremes: highest point": "What is the highest point of {}?",
    "Elevation extremes: lowest point": "What is the lowest point of {}?",
    "Coastline": "How long is the coast of {}?",
    "Climate": "What is the climate of {} like?",
    "Natural resources": "Which natural resources does {} have?",
    "Government type": "What type of government does {} have?",
    "National holiday": "What is the national holiday of {}?",
    "Independence": "When did {} become independent?",
    "Suffrage": "Who may vote in {}?",
    "GDP - per capita (PPP)": "What is the GDP per capita of {}?",
    "Inflation rate (consumer prices)": "How high is inflation in {}?",
    "Internet country code": "What is the internet country code of {}?",
    "Roadways: total": "How long are the roads of {}?",
}
_ASIDE = re.compile(r"\s*(\(|;| - note|$)")  # what follows is no part of an answer


def section_rows(data: Data, split: str) -> Iterator[Row]:
    for document, where in _documents(data, split):
        for line, field in zip(document["text"][1:], document["fields"], strict=True):
            values = {
                "text": _said(line, field),
                "section": field["section"],
                "field": field["field"],
                "country": document["country"],
            }
            yield Row(values, where)


def question_rows(data: Data, split: str) -> Iterator[Row]:
    for document, where in _documents(data, split):
        sections: dict[str, str] = {}
        found: list[tuple[str, str, int, str]] = []  # field, section, where in it, answer
        for line, field in zip(document["text"][1:], document["fields"], strict=True):
            context = sections.get(field["section"], "")
            begin = len(context) + len(field["field"]) + 2
            sections[field["section"]] = f"{context}{line}\n"
            said = _said(line, field)
            answer = said[: _end(said)]
            if field["field"] in _QUESTIONS and answer:
                found.append((field["field"], field["section"], begin, answer))
        for name, section, begin, answer in found:
            values = {
                "question": _QUESTIONS[name].format(document["country"]),
                "context": sections[section],
                "answers": {"text": [answer], "answer_start": [begin]},
                "country": document["country"],
            }
            yield Row(values, where)


def _documents(data: Data, split: str) -> Iterator[tuple[dict[str, Any], Where]]:
    for file, text in split_texts(data, split):
        for number, line in enumerate(text.splitlines(), 1):
            yield json.loads(line), Where(file, number)


def _said(line: str, field: dict[str, str]) -> str:
    return line.removeprefix(f"{field['field']}: ")


def _end(said: str) -> int:
    aside = _ASIDE.search(said)
    return aside.start() if aside else len(said)
