from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shop.models import Product
from shop.tasks import build_report


def post(client, data: Any) -> Any:
    return client.post("/reports/", json.dumps(data), content_type="application/json")


@pytest.fixture
def products(db: None) -> None:
    """Three of November 2026, one of the month after."""
    november = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
    december = datetime(2026, 12, 1, tzinfo=UTC)
    prices = [("1.00", november), ("2.50", november), ("3.00", november), ("99.00", december)]
    for price, created_at in prices:
        product = Product.objects.create(name="product", price=price)
        Product.objects.filter(pk=product.pk).update(created_at=created_at)
    Product.objects.filter(price="3.00").update(status=Product.Status.SOLD_OUT)


def test_a_report_is_started_polled_and_read(client, work, products) -> None:
    # given
    started = post(client, {"month": "2026-11"})
    assert started.status_code == 202
    assert started["Location"] == started.json()["url"]
    assert started.json()["task_id"] in started["Location"]
    # then it is not there before a worker has built it
    assert client.get(started["Location"]).status_code == 202
    # when
    work("reports")
    # then
    polled = client.get(started["Location"])
    assert polled.status_code == 200
    assert polled.json()["result"] == {
        "month": "2026-11",
        "products": 3,
        "total": "6.50",
        "average": "2.17",
        "cheapest": "1.00",
        "dearest": "3.00",
        "by_status": {"active": 2, "sold_out": 1},
    }


def test_a_month_without_products_has_a_report_too(db) -> None:
    report = build_report("2020-01")
    assert (report["products"], report["total"], report["by_status"]) == (0, None, {})


@pytest.mark.parametrize("month", ["2026-13", "November", "", None, 7])
def test_no_month_no_report(client, month) -> None:
    response = post(client, {"month": month})
    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["month"]
