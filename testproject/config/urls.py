from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("shop.urls")),
    # The admin's CSS under any web server. Empty unless DEBUG is on.
    *staticfiles_urlpatterns(),
]
