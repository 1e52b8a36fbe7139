"""`TaskErrorMiddleware`: what clients are told when a task cannot be done in time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from task_helpers import exceptions
from task_helpers.exceptions import CourierUnavailable, QueueFull, StoreFull, TaskExpired

ERRORS: dict[str, Exception] = {
    "full": QueueFull("the secret queue is full", retry_after=2.4),
    "store": StoreFull("Redis at secret is full"),
    "away": CourierUnavailable("Redis at secret is away"),
    "timeout": exceptions.TaskTimeout("no result yet of task secret"),
    "expired": TaskExpired("secret"),
    "foreign": TimeoutError("of something else"),
    "refused": ConnectionRefusedError("of something else"),
    "failed": exceptions.PerformTaskError("the task failed"),
}
NOT_NOW = "This cannot be taken on now. Try again later."
NOT_KNOWN = "It is not known whether this was taken on. Try again later."
TOO_LATE = "No answer in time. Try again later."


def fail(request: HttpRequest, name: str) -> HttpResponse:
    raise ERRORS[name]


async def fail_async(request: HttpRequest, name: str) -> HttpResponse:
    raise ERRORS[name]


urlpatterns = [path("sync/<name>", fail), path("async/<name>", fail_async)]


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = ["django_task_helpers.middleware.TaskErrorMiddleware"]


Get = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def get(request: pytest.FixtureRequest, client: Client) -> Get:
    """Asks a view that raises the error of this name."""
    kind = request.param
    return lambda name, **headers: client.get(f"/{kind}/{name}", headers=headers)


@pytest.mark.parametrize(
    ("name", "status", "retry_after", "detail"),
    [
        ("full", 503, "3", NOT_NOW),
        ("store", 503, "5", NOT_NOW),
        ("away", 503, "5", NOT_KNOWN),
        ("timeout", 504, "5", TOO_LATE),
        ("expired", 504, "5", TOO_LATE),
    ],
)
def test_an_error_of_a_courier_is_an_answer_that_says_when_to_try_again(
    get: Get, name: str, status: int, retry_after: str, detail: str
) -> None:
    response = get(name)
    assert (response.status_code, response["Retry-After"]) == (status, retry_after)
    assert response["Content-Type"] == "application/problem+json"
    title = response.reason_phrase
    assert response.json() == {"title": title, "status": status, "detail": detail}


@pytest.mark.parametrize("name", ["foreign", "refused", "failed"])
def test_other_errors_pass(get: Get, name: str) -> None:
    with pytest.raises(type(ERRORS[name])) as caught:
        get(name)
    assert caught.value is ERRORS[name]


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/problem+json"),
        ("application/json", "application/json"),
        (BROWSER, "text/plain; charset=utf-8"),
        ("text/plain, application/json;q=0.5", "text/plain; charset=utf-8"),
        ("image/png", "application/problem+json"),
    ],
)
def test_the_body_is_what_the_client_prefers(get: Get, accept: str, content_type: str) -> None:
    response = get("full", accept=accept)
    assert response["Content-Type"] == content_type
    assert response["Vary"] == "Accept", "a cache must not give one client the answer of another"
    assert NOT_NOW in response.content.decode()


def test_the_error_goes_to_the_log_once_and_not_to_the_client(
    get: Get, caplog: pytest.LogCaptureFixture
) -> None:
    response = get("full")
    assert "secret" not in response.content.decode()
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (record.name, record.levelno) == ("django_task_helpers.middleware", logging.WARNING)
    assert record.getMessage().startswith("Service Unavailable at /")
    assert record.getMessage().endswith("full: QueueFull: the secret queue is full")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_under_asgi_it_is_the_same(async_client: AsyncClient, kind: str) -> None:
    response = async_to_sync(async_client.get)(f"/{kind}/timeout")
    assert (response.status_code, response["Retry-After"]) == (504, "5")
