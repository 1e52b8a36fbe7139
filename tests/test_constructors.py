"""What couriers say of themselves, and of arguments that they cannot use."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis

from task_helpers.couriers.redis import RedisClientTaskCourier
from task_helpers.durations import seconds


def test_a_courier_shows_where_it_leads_and_no_password() -> None:
    connection = redis.Redis(host="db", port=6380, password="sesame")
    courier = RedisClientTaskCourier(connection, prefix="shop")
    assert repr(courier) == "<RedisClientTaskCourier db:6380 prefix='shop'>"


@pytest.mark.parametrize(
    ("connection", "name"),
    [(redis.asyncio.Redis(), r"redis\.asyncio\.client\.Redis"), ("redis://", r"builtins\.str")],
    ids=["asynchronous", "URL"],
)
def test_what_is_no_client_is_named_in_full(connection: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"not {name}: cluster clients cannot"):
        RedisClientTaskCourier(connection)


@pytest.mark.parametrize("value", ["x", "5", b"5", None, [], float("nan"), -1, timedelta(-1)])
def test_what_is_no_duration_is_refused_by_the_name_of_the_option(value: Any) -> None:
    with pytest.raises(ValueError, match="lease must be "):
        RedisClientTaskCourier(redis.Redis(), lease=value)


@pytest.mark.parametrize("value", [5, 5.0, Decimal(5), timedelta(seconds=5)])
def test_numbers_and_timedeltas_are_durations(value: Any) -> None:
    assert seconds(value, "timeout") == 5
