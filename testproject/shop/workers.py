"""`manage.py runworker bulk_data_saving` finds the worker here."""

import logging

from shop.models import Product
from task_helpers.workers.base import BaseWorker

logger = logging.getLogger(__name__)


class BulkSaveWorker(BaseWorker):
    """Saves the products of many requests at once and answers each request with its own row."""

    queue_name = "bulk_data_saving"

    def perform_tasks(self, tasks):
        products = Product.objects.bulk_create(Product(**task_data) for _, task_data in tasks)
        logger.info("Saved %d products.", len(products))
        return [
            (task_id, product.as_dict())
            for (task_id, _), product in zip(tasks, products, strict=True)
        ]
