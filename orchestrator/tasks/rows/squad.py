"""Questions of SQuAD's JSON, 1.1 and 2.0, as rows of question, context and answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.errors import RequestError
from orchestrator.settings.task import Data
from orchestrator.tasks.example import Row, Where
from orchestrator.tasks.rows.stored import split_texts

_FORM = "It holds data[].paragraphs[].context and .qas[].question, .id, .answers[]."


def squad_rows(data: Data, split: str) -> Iterator[Row]:
    for file, text in split_texts(data, split):
        try:
            yield from _rows(json.loads(text), file)
        except (ValueError, RecursionError) as err:
            raise RequestError(f"{file} is not JSON: {err}.") from err
        except (KeyError, TypeError, AttributeError) as err:
            said = f"{file} is not SQuAD's JSON: {type(err).__name__} {err}."
            raise RequestError(said, hint=_FORM) from err


def _rows(plain: Any, file: str) -> Iterator[Row]:
    number = 0
    for article in plain["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                number += 1
                yield _row(article, paragraph, question, file, number)


def _row(article: Any, paragraph: Any, question: Any, file: str, number: int) -> Row:
    try:
        where = Where(file, str(question["id"]), "question")
    except (KeyError, TypeError) as err:
        raise RequestError(f"{file}: question {number:,} has no id.", hint=_FORM) from err
    try:
        answers = question["answers"]
        values = {
            "id": question["id"],
            "title": article.get("title"),
            "question": question["question"],
            "context": paragraph["context"],
            "answers": {
                "text": [answer["text"] for answer in answers],
                "answer_start": [answer["answer_start"] for answer in answers],
            },
        }
    except KeyError as err:
        raise RequestError(f"{where} has no {err.args[0]}.", hint=_FORM) from err
    except TypeError as err:
        raise RequestError(f"{where} has no list of answers.", hint=_FORM) from err
    return Row(values, where)
