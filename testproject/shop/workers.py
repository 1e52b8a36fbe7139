"""`manage.py runworker bulk_data_saving` finds the worker here."""

from django_task_helpers.bulk import BulkCreateWorker
from shop.models import Product


class BulkSaveWorker(BulkCreateWorker):
    """Saves the products of many requests at once and answers each request with its own row."""

    queue_name = "bulk_data_saving"
    model = Product
    validate = False  # the form of the view did that

    def result(self, product):
        return product.as_dict()
