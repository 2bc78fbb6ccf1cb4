"""Who may see and change which rows of the configuration pages (IEC 62351-8 roles).

Engineers change the configuration of their pilots. Users and tokens belong to the security administrator, role grants to
the role administrator, the audit trail to security auditors. Whoever is none of these sees nothing, staff or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from pilots.models import Pilot, Role, User

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline


def person(request: HttpRequest) -> User | None:
    """The staff member who asks; None for everybody else."""
    user = request.user
    return user if isinstance(user, User) and user.is_active and user.is_staff else None


def actor_of(request: HttpRequest) -> str:
    """The name the audit trail gives who asks."""
    return request.user.get_username()


def acts_everywhere(request: HttpRequest, *roles: Role) -> bool:
    """Whether who asks has one of the roles at every pilot."""
    user = person(request)
    if user is None:
        return False
    rights = user.rights()
    return any(rights.has_role(role) for role in roles)


def pilots_where(request: HttpRequest, *roles: Role) -> QuerySet[Pilot]:
    """The pilots where who asks has one of the roles."""
    user = person(request)
    return Pilot.objects.none() if user is None else user.rights().pilots_where(*roles)


class ByPilot:
    """Rows are seen and changed where who asks has one of `roles` at the row's pilot."""

    roles: ClassVar[tuple[Role, ...]] = (Role.ENGINEER,)
    pilot_path: ClassVar[str] = "pilot"
    editable: ClassVar[bool] = True

    def _may(self, request: HttpRequest, obj: Model | None = None) -> bool:
        pilots = pilots_where(request, *self.roles)
        if obj is None or obj.pk is None:
            return acts_everywhere(request, *self.roles) or pilots.exists()
        pilot = self.pilot_of(obj)
        return pilot is not None and pilots.filter(pk=pilot.pk).exists()

    def pilot_of(self, obj: Model) -> Pilot | None:
        """The pilot a row belongs to."""
        found: Any = obj
        for step in self.pilot_path.split("__") if self.pilot_path else []:
            found = getattr(found, step)
        return found if isinstance(found, Pilot) else None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        if acts_everywhere(request, *self.roles):
            return rows
        path = f"{self.pilot_path}__in" if self.pilot_path else "pk__in"
        return rows.filter(Q(**{path: pilots_where(request, *self.roles).values("pk")}))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.editable and self._may(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.editable and self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.editable and self._may(request, obj)


class Everywhere:
    """Rows belong to no pilot: only who has one of the roles at every pilot sees or changes them."""

    viewers: ClassVar[tuple[Role, ...]] = (Role.SECADM,)
    editors: ClassVar[tuple[Role, ...]] = (Role.SECADM,)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return acts_everywhere(request, *self.viewers, *self.editors)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return acts_everywhere(request, *self.viewers, *self.editors)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return acts_everywhere(request, *self.editors)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return acts_everywhere(request, *self.editors)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return acts_everywhere(request, *self.editors)
