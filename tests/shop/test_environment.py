from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import environment


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///shop.sqlite3", "shop.sqlite3"),
        ("sqlite:////var/lib/shop.sqlite3", "/var/lib/shop.sqlite3"),
        ("sqlite:////with%20space/100%25.sqlite3", "/with space/100%.sqlite3"),
    ],
)
def test_a_sqlite_file_is_shared_by_web_server_and_worker(url, name) -> None:
    database = environment.database(url)
    assert (database["ENGINE"], database["NAME"]) == ("django.db.backends.sqlite3", name)
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_the_parts_of_the_address_of_a_server(scheme) -> None:
    database = environment.database(f"{scheme}://shop:p%40ss@db.example:5433/shop")
    parts = {key: database[key] for key in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")}
    assert parts == {
        "ENGINE": f"django.db.backends.{scheme}",
        "NAME": "shop",
        "USER": "shop",
        "PASSWORD": "p@ss",
        "HOST": "db.example",
        "PORT": 5433,
    }


@pytest.mark.parametrize("url", ["oracle://root:secret@db/shop", "sqlite:///", "shop.sqlite3"])
def test_another_database_is_an_error_that_shows_no_password(url) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL must be") as caught:
        environment.database(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "is_on"), [("1", True), ("True", True), ("on", True), ("0", False), ("no", False)]
)
def test_a_flag_is_on_or_off(monkeypatch, value, is_on) -> None:
    monkeypatch.setenv("SHOP_FLAG", value)
    assert environment.flag("SHOP_FLAG", default=not is_on) is is_on


def test_a_flag_that_is_not_set_has_its_default(monkeypatch) -> None:
    monkeypatch.setenv("SHOP_FLAG", "")
    assert environment.flag("SHOP_FLAG", default=True) is True


def test_words_stand_between_commas(monkeypatch) -> None:
    monkeypatch.setenv("SHOP_WORDS", "a.example, b.example,")
    assert environment.words("SHOP_WORDS") == ["a.example", "b.example"]
