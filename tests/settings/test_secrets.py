from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.settings.secrets import MASK, mask, names_held_by, secret_values

SECRET = "s3cr3t-value-0123456789"


@pytest.mark.parametrize(
    "name",
    [
        *("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "BASIC_AUTH"),
        *("SENTRY_DSN", "SLACK_WEBHOOK", "SLACK_WEBHOOK_URL", "github_token", "MY_CREDENTIALS"),
        *("KEY_PASSPHRASE", "PROXY_AUTHORIZATION"),
    ],
)
def test_a_variable_with_a_secret_sounding_name_is_a_secret(name: str) -> None:
    assert secret_values({name: SECRET}) == {name: SECRET}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("HOME", "/home/ada1234"), ("SSH_AUTH_SOCK", "sock-1234567"), ("EDITOR", SECRET)],
        *[("RAY_AUTH_TOKEN_PATH", "x/y/z/token1"), ("AUTH_URL", "https://login.example.com")],
        *[("TOKENIZERS_PARALLELISM", "false"), ("RAY_AUTH_MODE", "tokens123")],
        *[("GOOGLE_APPLICATION_CREDENTIALS", "/etc/google.json"), ("API_KEY", "")],
        # Set by CI services and containers; the name stands in every README and licence.
        *[("GIT_AUTHOR_NAME", "Ada Lovelace"), ("GIT_AUTHOR_EMAIL", "ada@example.com")],
    ],
)
def test_paths_modes_words_and_names_of_people_are_no_secrets(name: str, value: str) -> None:
    assert secret_values({name: value}) == {}


VALUES = st.text("ab01-", min_size=8, max_size=12).filter(lambda text: not text.isalpha())


@given(st.lists(VALUES, max_size=4), st.text("ab01- ", max_size=20))
def test_no_part_of_a_masked_text_is_a_secret(values: list[str], filler: str) -> None:
    secrets = {f"KEY{i}": value for i, value in enumerate(values)}
    text = filler + filler.join(values) + filler
    masked = mask(text, secrets)
    assert not any(value in masked for value in values)


@given(VALUES, st.text("ab01-", min_size=1, max_size=6))
def test_a_secret_that_begins_with_another_leaves_no_tail(short: str, tail: str) -> None:
    secrets = {"A_KEY": short, "B_KEY": short + tail}
    assert mask(f"x {short + tail} y", secrets) == f"x {MASK} y"
    assert mask(f"x {short + tail} y", dict(reversed(secrets.items()))) == f"x {MASK} y"


def test_the_environment_is_what_is_masked_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", SECRET)
    assert mask(f"curl -H {SECRET} x") == f"curl -H {MASK} x"


def test_bytes_tell_the_names_and_not_the_values() -> None:
    secrets = {"A_KEY": SECRET, "B_KEY": "other-value-1", "C_KEY": "clé-secrète-1"}
    data = b"\xff\x00" + f"{SECRET} clé-secrète-1".encode()
    assert names_held_by(data, secrets) == ["A_KEY", "C_KEY"]


def test_a_secret_that_is_no_text_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAW_TOKEN", b"raw-\xff\xfe-bytes-1".decode(errors="surrogateescape"))
    secrets = secret_values()
    assert names_held_by(b"<raw-\xff\xfe-bytes-1>", secrets) == ["RAW_TOKEN"]
    assert names_held_by(b"nothing", secrets) == []
