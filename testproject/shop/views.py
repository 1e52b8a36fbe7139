from django.http import JsonResponse
from django.urls import reverse

from django_task_helpers import async_courier, courier
from shop.api import ApiView, validated
from shop.forms import ProductForm, ReportForm
from shop.models import Product
from shop.tasks import build_report


class ProductsView(ApiView):
    def get(self, request):
        """The newest products."""
        newest = Product.objects.order_by("-pk")[:100]
        return JsonResponse({"products": [product.as_dict() for product in newest]})

    def post(self, request):
        """A worker saves the product together with those of other requests."""
        product = courier.call("bulk_data_saving", validated(ProductForm, request), timeout=5)
        return JsonResponse(product, status=201)


class AsyncProductsView(ApiView):
    """The same under ASGI: while it waits for its row, a request holds no thread."""

    async def post(self, request):
        data = validated(ProductForm, request)
        product = await async_courier.call("bulk_data_saving", data, timeout=5)
        return JsonResponse(product, status=201)


class DirectProductsView(ApiView):
    """The usual way, to compare with: each request saves its own product."""

    def post(self, request):
        product = Product.objects.create(**validated(ProductForm, request))
        return JsonResponse(product.as_dict(), status=201)


class ReportsView(ApiView):
    def post(self, request):
        """Starts work that takes longer than a request should; its result is polled at the url."""
        month = validated(ReportForm, request)["month"]
        task_data = {"function": build_report, "args": (month,)}
        task_id = courier.add_task_to_queue("reports", task_data)
        url = reverse("report", args=[task_id])
        return JsonResponse({"task_id": task_id, "url": url}, status=202, headers={"Location": url})
