"""The few pages of django-allauth that this product uses, and what a person chooses for themselves."""

from __future__ import annotations

from allauth.account import views
from django.urls import path

from pilots.ui.access import public, signed_in
from pilots.ui.preferences import choose_clock, preferences

urlpatterns = [
    path("login/", public(views.login), name="account_login"),
    path("inactive/", public(views.account_inactive), name="account_inactive"),
    path("logout/", signed_in(views.logout), name="account_logout"),
    path("preferences/", preferences, name="preferences"),
    path("clock/", choose_clock, name="choose_clock"),
    path("password/change/", signed_in(views.password_change), name="account_change_password"),
]
