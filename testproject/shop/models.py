from django.core.validators import MinValueValidator
from django.db import models


class Product(models.Model):
    class Status(models.TextChoices):
        ACTIVE = "active"
        SOLD_OUT = "sold_out"

    name = models.CharField(max_length=200)
    price = models.DecimalField(max_digits=10, decimal_places=2, validators=[MinValueValidator(0)])
    status = models.CharField(max_length=20, choices=Status, default=Status.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self):
        return self.name

    def as_dict(self):
        """What the API shows of a product."""
        return {"id": self.pk, "name": self.name, "price": self.price, "status": self.status}
