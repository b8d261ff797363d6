"""Questions of SQuAD's JSON, 1.1 and 2.0, as rows of question, context and answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.errors import RequestError
from orchestrator.settings.task import Data
from orchestrator.tasks.example import Row, Where
from orchestrator.tasks.rows.stored import split_texts


def squad_rows(data: Data, split: str) -> Iterator[Row]:
    for file, text in split_texts(data, split):
        try:
            yield from _rows(json.loads(text), file)
        except ValueError as err:
            raise RequestError(f"{file} is not JSON: {err}.") from err
        except (KeyError, TypeError, AttributeError) as err:
            raise RequestError(
                f"{file} is not SQuAD's JSON: {type(err).__name__} {err}.",
                hint="It holds data[].paragraphs[].context and .qas[].question, .id, .answers[].",
            ) from err


def _rows(plain: Any, file: str) -> Iterator[Row]:
    for article in plain["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
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
                yield Row(values, Where(file, str(question["id"]), "question"))
