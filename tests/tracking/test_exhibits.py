from __future__ import annotations

import pytest

from orchestrator.runs.storage import Storage
from orchestrator.tracking.exhibits import Exhibit, list_exhibits, write_picture, write_table


def test_tables_and_pictures_are_found_again_by_step(storage: Storage) -> None:
    picture = write_picture(storage, "confusion", 400, b"\x89PNG", "png")
    table = write_table(storage, "examples", 50, ["text", "label"], [["fine", 1], ["bad", None]])
    storage.write("exhibits/notes.txt", b"not one")
    assert list_exhibits(storage) == [table, picture]
    assert storage.read(picture.path) == b"\x89PNG"
    columns, rows = Exhibit.table(storage.read(table.path))
    assert (columns, rows) == (["text", "label"], [["fine", 1], ["bad", None]])


@pytest.mark.parametrize(("name", "suffix"), [("../escape", "png"), ("UPPER", "png"), ("a", "gif")])
def test_a_name_that_is_no_file_name_is_refused(storage: Storage, name: str, suffix: str) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        write_picture(storage, name, 1, b"", suffix)
