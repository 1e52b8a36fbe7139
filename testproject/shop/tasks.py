"""Functions that tasks of the queue "reports" may name. `tasks` modules are found by themselves."""

from datetime import datetime
from decimal import Decimal

from django.db.models import Avg, Count, Max, Min, Sum

from shop.models import Product
from task_helpers import task_function


@task_function
def build_report(month):
    """The products added in a month "YYYY-MM": their number, prices and statuses."""
    first_day = datetime.strptime(month, "%Y-%m")
    products = Product.objects.filter(
        created_at__year=first_day.year, created_at__month=first_day.month
    )
    prices = products.aggregate(
        total=Sum("price"), average=Avg("price"), cheapest=Min("price"), dearest=Max("price")
    )
    by_status = products.values_list("status").annotate(Count("pk")).order_by("status")
    return {
        "month": month,
        "products": products.count(),
        **{name: _in_cents(price) for name, price in prices.items()},
        "by_status": dict(by_status),
    }


def _in_cents(price):
    """SQLite computes with floats. None, where there are no products, stays None."""
    return None if price is None else Decimal(price).quantize(Decimal("0.01"))
