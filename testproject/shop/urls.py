from django.urls import path

from django_task_helpers.views import TaskResultView
from shop import views

urlpatterns = [
    path("products/", views.ProductsView.as_view(), name="products"),
    path("products/async/", views.AsyncProductsView.as_view(), name="async-products"),
    path("products/direct/", views.DirectProductsView.as_view(), name="direct-products"),
    path("reports/", views.ReportsView.as_view(), name="reports"),
    path(
        "reports/<uuid:task_id>/",
        TaskResultView.as_view(queue_name="reports"),
        name="report",
    ),
]
