"""Users in the admin: operators add hospital admins, who set their password with a link.

Django's UserAdmin is not used, because a user's hospitals define the permissions, and users set their own passwords.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.forms import AuthenticationForm
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminTextInputWidget,
)

from devices.accounts import notifications, sessions, two_factor, users
from devices.admin import confirmation, step_up
from devices.admin.account import sessions_ended
from devices.admin.audit_export import AuditExportMixin
from devices.admin.audit_log import AuditLogMixin
from devices.admin.base import OperatorOnlyMixin, RegistryModelAdmin
from devices.models import Hospital, StaffUser
from devices.registry import device_fields

admin.site.unregister(User)
admin.site.unregister(Group)


class SignInForm(AuthenticationForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Email or user name")

    def clean_username(self) -> str:
        text: str = self.cleaned_data["username"]
        return text if User.objects.filter(username=text).exists() else users.normalize_username(text)


admin.site.login_form = SignInForm


SIGN_IN_FIELDS = ("email", "hospitals", "is_active")
KEPT_FIELDS = ("first_name", *SIGN_IN_FIELDS, "_save", "_continue", "_addanother")  # for step_up


def why_protected(request: HttpRequest, user: StaffUser) -> str:
    """Return why the admin cannot change how this user signs in, or an empty string.

    With the stolen session of an operator, an attacker must not be able to change the sign-in of any operator.
    """
    if not user.is_superuser and user.pk != request.user.pk:
        return ""
    return render_to_string("admin/protected_user.html", {"user": user, "is_self": user.pk == request.user.pk})


class UserForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    first_name = forms.CharField(label=_("Name"), max_length=150, widget=UnfoldAdminTextInputWidget)
    email = forms.EmailField(
        label=_("Email"),
        help_text=_("Used to sign in."),
        max_length=150,  # the length of a user name, because it becomes one
        widget=UnfoldAdminEmailInputWidget,
    )
    hospitals = forms.ModelMultipleChoiceField(
        Hospital.objects.order_by("name"), label=_("Hospitals"), widget=UnfoldAdminSelect2MultipleWidget
    )

    class Meta:
        model = StaffUser
        fields = ("first_name", "email", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["hospitals"] = self.instance.hospitals.all()

    def clean_first_name(self) -> str:
        return device_fields.clean_text(self.cleaned_data["first_name"])

    def clean_email(self) -> str:
        email = users.normalize_username(self.cleaned_data["email"])
        if StaffUser.objects.filter(username=email).exclude(pk=self.instance.pk).exists():
            raise ValidationError(users.USERNAME_TAKEN)
        return email


@admin.register(StaffUser)
class UserAdmin(AuditLogMixin, AuditExportMixin, OperatorOnlyMixin, RegistryModelAdmin):
    form = UserForm
    list_display = ("__str__", "username", "hospital_names", "is_superuser", "is_active", "last_login")
    list_filter = (("hospitals", RelatedDropdownFilter), "is_superuser", "is_active", "last_login")
    lookups = (
        *("hospitals__id__exact", "is_superuser__exact", "is_active__exact"),
        *("last_login__gte", "last_login__lt", "last_login__isnull"),
    )
    list_filter_submit = True
    search_fields = ("first_name", "last_name", "username", "hospitals__name_folded")
    ordering = ("first_name", "username")
    actions = ("send_link", "reset_two_factor", "end_sessions")
    add_view = step_up.required(*KEPT_FIELDS)(RegistryModelAdmin.add_view)
    change_view = step_up.required(*KEPT_FIELDS, reading=False)(RegistryModelAdmin.change_view)

    def get_queryset(self, request: HttpRequest) -> QuerySet[StaffUser]:
        queryset: QuerySet[StaffUser] = super().get_queryset(request).prefetch_related("hospitals")
        return queryset

    def get_fieldsets(self, request: HttpRequest, obj: StaffUser | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("first_name", "email", "hospitals")})]
        reason = why_protected(request, obj)
        fields = ("first_name", "email", "hospital_names" if reason else "hospitals", "is_active", "number_of_sessions")
        return [(None, {"fields": fields, "description": reason})]

    def get_readonly_fields(self, request: HttpRequest, obj: StaffUser | None = None) -> Any:
        protected = (*SIGN_IN_FIELDS, "hospital_names") if obj and why_protected(request, obj) else ()
        return ("number_of_sessions", *protected)

    def has_delete_permission(self, request: HttpRequest, obj: StaffUser | None = None) -> bool:
        return False  # the history refers to users: deactivate them instead

    @admin.display(description=_("hospitals"))
    def hospital_names(self, user: StaffUser) -> str:
        return ", ".join(sorted(hospital.name for hospital in user.hospitals.all())) or "–"

    @admin.display(description=_("sessions"))
    def number_of_sessions(self, user: StaffUser) -> int:
        return sessions.sessions_of(user).count()

    def save_model(self, request: HttpRequest, obj: StaffUser, form: UserForm, change: bool) -> None:
        values = form.cleaned_data
        if not change:
            obj.pk = users.invite(values["first_name"], values["email"], values["hospitals"]).pk
            return
        obj.username = values.get("email", obj.username)
        obj.save()
        if "hospitals" in form.changed_data:
            obj.hospitals.set(values["hospitals"])
            notifications.notify(obj, notifications.HOSPITALS_CHANGED)

    def response_add(self, request: HttpRequest, obj: StaffUser, post_url_continue: str | None = None) -> HttpResponse:
        stored = StaffUser.objects.get(pk=obj.pk)  # read again: the token depends on the stored row
        return self._show_link(request, stored)

    @admin.action(description=_("New link to set a password"), permissions=["change"])
    @step_up.required(*step_up.ACTION)
    def send_link(self, request: HttpRequest, queryset: QuerySet[StaffUser]) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            messages.error(request, _("Select exactly one user. Each link is personal."))
            return None
        return None if self._is_protected(request, queryset) else self._show_link(request, chosen[0])

    @admin.action(description=_("Reset two-factor authentication"), permissions=["change"])
    @step_up.required(*step_up.ACTION)
    def reset_two_factor(self, request: HttpRequest, queryset: QuerySet[StaffUser]) -> HttpResponse | None:
        if self._is_protected(request, queryset):
            return None
        if page := confirmation.render_confirmation(self, request, "reset_two_factor", queryset):
            return page
        with transaction.atomic():
            for user in queryset:
                two_factor.reset(user)
        done = ngettext(
            "Two-factor authentication of %(count)d user was reset.",
            "Two-factor authentication of %(count)d users was reset.",
            len(queryset),
        )
        messages.success(request, done % {"count": len(queryset)})
        return None

    @admin.action(description=_("End all sessions"), permissions=["change"])
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[StaffUser]) -> HttpResponse | None:
        if page := confirmation.render_confirmation(self, request, "end_sessions", queryset):
            return page
        with transaction.atomic():
            counts = {user: sessions.end_others(user) for user in queryset}
            for user in filter(counts.get, counts):
                notifications.notify(user, notifications.SESSIONS_ENDED)
        messages.success(request, sessions_ended(sum(counts.values())))
        return None

    def _is_protected(self, request: HttpRequest, chosen: QuerySet[StaffUser]) -> bool:
        """Return whether one of these users is protected. If so, show the reason."""
        reason = next(filter(None, (why_protected(request, user) for user in chosen)), "")
        if reason:
            messages.error(request, reason)
        return bool(reason)

    def _show_link(self, request: HttpRequest, user: StaffUser) -> HttpResponse:
        url = request.build_absolute_uri(users.create_password_link(user))
        return self.render_page(request, "admin/password_link.html", title=str(user), recipient=user, text=url)
