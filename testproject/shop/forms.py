from django import forms

from shop.models import Product


class ProductForm(forms.ModelForm):
    class Meta:
        model = Product
        fields = ["name", "price"]


class ReportForm(forms.Form):
    month = forms.DateField(input_formats=["%Y-%m"])

    def clean_month(self):
        return self.cleaned_data["month"].strftime("%Y-%m")
