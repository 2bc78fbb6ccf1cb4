"""The few pages of django-allauth that this product uses."""

from __future__ import annotations

from allauth.account import views
from django.urls import path

from pilots.ui.access import public, signed_in

urlpatterns = [
    path("login/", public(views.login), name="account_login"),
    path("inactive/", public(views.account_inactive), name="account_inactive"),
    path("logout/", signed_in(views.logout), name="account_logout"),
    path("password/change/", signed_in(views.password_change), name="account_change_password"),
]
