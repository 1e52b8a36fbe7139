from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext

from django_task_helpers import courier
from shop import views
from shop.models import Product
from task_helpers.exceptions import CourierUnavailable, QueueFull, TaskExpired, TaskTimeout
from tests.support.waiting import PATIENCE, in_thread, wait_until

URL = "/products/"
QUEUE = "bulk_data_saving"
TOMATO = {"name": "tomato", "price": "12.45"}


def post(client, data: Any) -> Any:
    body = data if isinstance(data, str) else json.dumps(data)
    return client.post(URL, body, content_type="application/json")


def post_async(data: Any) -> Any:
    """To the async view, in an event loop of its own."""
    return asyncio.run(
        AsyncClient(enforce_csrf_checks=True).post(
            "/products/async/", data, content_type="application/json"
        )
    )


def refuse(*_: Any, **__: Any) -> None:
    raise DatabaseError("secret")


def answer(future: Future[Any]) -> Any:
    return future.result(PATIENCE)


def test_a_caller_gets_its_saved_row(client, work) -> None:
    # when
    response = in_thread(post, client, TOMATO)
    work(QUEUE)
    # then
    product = Product.objects.get()
    assert (product.name, str(product.price)) == ("tomato", "12.45")
    assert answer(response).status_code == 201
    assert answer(response).json() == {"id": product.pk, "status": "active", **TOMATO}


def test_many_callers_share_one_insert_and_each_gets_its_own_row(client, work) -> None:
    # given
    names = [f"product {n}" for n in range(30)]
    responses = {
        name: in_thread(post, client, {"name": name, "price": n}) for n, name in enumerate(names)
    }
    wait_until(lambda: courier.get_queue_stats(QUEUE).waiting == len(names))
    # when
    with CaptureQueriesContext(connection) as queries:
        work(QUEUE, tasks=len(names))
    # then
    assert sum(query["sql"].startswith("INSERT") for query in queries) == 1
    saved = dict(Product.objects.values_list("name", "pk"))
    assert {name: answer(response).json()["id"] for name, response in responses.items()} == saved


def test_an_async_caller_gets_its_saved_row(work) -> None:
    # when
    response = in_thread(post_async, TOMATO)
    work(QUEUE)
    # then
    assert answer(response).status_code == 201
    saved = {"id": Product.objects.get().pk, "status": "active", **TOMATO}
    assert answer(response).json() == saved


def test_the_errors_of_an_async_view_are_answers_too(work, monkeypatch) -> None:
    # when
    invalid = in_thread(post_async, {"price": "1.00"})
    # then
    assert answer(invalid).status_code == 400
    assert answer(invalid).json() == {"errors": {"name": ["This field is required."]}}
    # when
    monkeypatch.setattr(QuerySet, "bulk_create", refuse)
    failed = in_thread(post_async, TOMATO)
    work(QUEUE)
    # then
    assert answer(failed).status_code == 502
    assert answer(failed).json()["task_id"]


def test_a_direct_caller_saves_its_own_row(client, db) -> None:
    # when
    with CaptureQueriesContext(connection) as queries:
        response = client.post("/products/direct/", TOMATO, content_type="application/json")
    # then
    assert response.status_code == 201
    assert response.json() == {"id": Product.objects.get().pk, "status": "active", **TOMATO}
    assert sum(query["sql"].startswith("INSERT") for query in queries) == 1
    assert courier.get_queue_stats(QUEUE).waiting == 0


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"price": "1.00"}, {"name": ["This field is required."]}),
        ({"name": "tomato", "price": "cheap"}, {"price": ["Enter a number."]}),
        (
            {"name": "tomato", "price": -1},
            {"price": ["Ensure this value is greater than or equal to 0."]},
        ),
        (
            {"name": ["tomato"], "price": True},
            {"name": ["This field is required."], "price": ["This field is required."]},
        ),
        ('{"name": "tomato", "price": NaN}', {"price": ["Enter a number."]}),
        (["tomato"], {"__all__": ["The body must be a JSON object."]}),
        ("{", {"__all__": ["The body must be a JSON object."]}),
        ("[" * 100_000, {"__all__": ["The body must be a JSON object."]}),
    ],
)
def test_bad_input_is_rejected_before_it_becomes_a_task(client, data, complaint) -> None:
    # when
    response = post(client, data)
    # then
    assert (response.status_code, response.json()) == (400, {"errors": complaint})
    assert courier.get_queue_stats(QUEUE).waiting == 0


def test_text_that_no_store_can_hold_is_bad_input(client) -> None:
    response = post(client, {"name": "\ud800", "price": 1})
    assert response.status_code == 400
    assert "Unicode" in response.json()["errors"]["__all__"][0]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TaskTimeout(), 504),
        (TaskExpired("late"), 504),
        (CourierUnavailable("away"), 503),
        (QueueFull("full"), 503),
    ],
)
def test_no_answer_in_time_asks_to_try_again(client, monkeypatch, error, status) -> None:
    # given
    class NoAnswer:
        def call(self, *_: Any, **__: Any) -> None:
            raise error

    monkeypatch.setattr(views, "courier", NoAnswer())
    # when
    response = post(client, TOMATO)
    # then
    assert response.status_code == status
    assert response["Retry-After"] == "5"
    assert response.json()["detail"].endswith("Try again later.")


def test_a_failed_task_is_a_bad_gateway_that_names_the_task_but_no_cause(
    client, work, monkeypatch
) -> None:
    # given
    monkeypatch.setattr(QuerySet, "bulk_create", refuse)
    # when
    response = in_thread(post, client, TOMATO)
    work(QUEUE)
    # then
    assert answer(response).status_code == 502
    assert answer(response).json()["task_id"]
    assert "secret" not in answer(response).content.decode()


def test_the_newest_products_come_first(client, db) -> None:
    for name in ("older", "newer"):
        Product.objects.create(name=name, price=1)
    products = client.get(URL).json()["products"]
    assert [product["name"] for product in products] == ["newer", "older"]


def test_products_are_in_the_admin(admin_client) -> None:
    Product.objects.create(name="tomato", price="12.45")
    page = admin_client.get("/admin/shop/product/")
    assert b"tomato" in page.content
