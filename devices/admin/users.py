"""Users in the admin: operators add hospital admins, who set their password with a link.

Django's UserAdmin is not used, because a user's hospitals define the permissions, and users set their own passwords.
"""

from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminTextInputWidget,
)

from devices.accounts import notifications, sessions, two_factor, user_states, users
from devices.accounts.user_states import UserState
from devices.admin import confirmation, step_up
from devices.admin.account import sessions_ended
from devices.admin.audit_export import AuditExportMixin
from devices.admin.audit_log import AuditLogMixin
from devices.admin.base import OperatorOnlyMixin, RegistryModelAdmin, is_id
from devices.admin.hospital_fields import HospitalsField
from devices.admin.times import show_time
from devices.models import Hospital, StaffUser
from devices.registry import device_fields

admin.site.unregister(User)
admin.site.unregister(Group)


LINK = "password_link"  # in the session: a created link that was not yet shown
STATE_COLORS = {
    UserState.INVITED: "info",
    UserState.LINK_EXPIRED: "warning",
    UserState.ACTIVE: "success",
    UserState.LOCKED: "danger",
    UserState.INACTIVE: "default",
}
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
    hospitals = HospitalsField(label=_("Hospitals"))

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
    list_display = ("__str__", "sign_in_name", "hospital_names", "state", "two_factor", "last_sign_in")
    list_filter = (("hospitals", RelatedDropdownFilter), "is_superuser", "is_active", "last_login")
    lookups = (
        *("hospitals__id__exact", "is_superuser__exact", "is_active__exact"),
        *("last_login__gte", "last_login__lt", "last_login__isnull"),
    )
    list_filter_submit = True
    search_help_text = _("Name, email, hospital")
    search_fields = ("first_name", "last_name", "username", "hospitals__name_folded")
    ordering = ("first_name", "username")
    actions = ("send_link", "reset_two_factor", "end_sessions")
    actions_detail = ("new_link", "reset_two_factor_of", *AuditExportMixin.actions_detail)
    change_view = step_up.required(*KEPT_FIELDS, reading=False)(RegistryModelAdmin.change_view)

    def get_queryset(self, request: HttpRequest) -> QuerySet[StaffUser]:
        queryset: QuerySet[StaffUser] = super().get_queryset(request).prefetch_related("hospitals")
        return user_states.with_states(queryset)

    def get_custom_urls(self) -> tuple[Any, ...]:
        page = f"{self.opts.app_label}_{self.opts.model_name}_link"
        return (*super().get_custom_urls(), ("<path:object_id>/link/", page, self.show_link))

    def get_fieldsets(self, request: HttpRequest, obj: StaffUser | None = None) -> Any:
        if obj is None:
            invitation = render_to_string("admin/invitation.html", {"has_hospitals": Hospital.objects.exists()})
            return [(None, {"fields": ("first_name", "email", "hospitals"), "description": invitation})]
        reason = why_protected(request, obj)
        hospitals = "hospital_names" if reason else "hospitals"
        states = ("state_in_words", "two_factor_in_words", "number_of_sessions")
        return [(None, {"fields": ("first_name", "email", hospitals, "is_active", *states), "description": reason})]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return self._add_view(request, form_url, {"title": _("Invite a hospital admin"), **(extra_context or {})})

    @step_up.required(*KEPT_FIELDS)
    def _add_view(self, request: HttpRequest, *view: Any) -> HttpResponse:
        return super().add_view(request, *view)  # type: ignore[no-any-return]

    def render_change_form(self, request: HttpRequest, context: Any, add: bool = False, **view: Any) -> HttpResponse:
        if add:  # the next page shows the link
            context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, add=add, **view)  # type: ignore[no-any-return]

    def get_readonly_fields(self, request: HttpRequest, obj: StaffUser | None = None) -> Any:
        protected = (*SIGN_IN_FIELDS, "hospital_names") if obj and why_protected(request, obj) else ()
        return ("state_in_words", "two_factor_in_words", "number_of_sessions", *protected)

    def has_delete_permission(self, request: HttpRequest, obj: StaffUser | None = None) -> bool:
        return False  # the history refers to users: deactivate them instead

    @admin.display(description=_("hospitals"))
    def hospital_names(self, user: StaffUser) -> Any:
        if user.is_superuser:
            return _("Operator")
        return ", ".join(sorted(hospital.name for hospital in user.hospitals.all())) or "–"

    @admin.display(description=_("last login"), ordering="last_login", empty_value="–")
    def last_sign_in(self, user: StaffUser) -> str | None:
        return show_time(user.last_login) if user.last_login else None

    @admin.display(description=_("email or user name"), ordering="username")
    def sign_in_name(self, user: StaffUser) -> str | None:
        return user.username if str(user) != user.username else None

    @display(description=_("status"), label=STATE_COLORS)  # type: ignore[untyped-decorator]
    def state(self, user: StaffUser) -> Any:
        found = user_states.state_of(user)
        return found.value, found.label

    @admin.display(description=_("status"))
    def state_in_words(self, user: StaffUser) -> Any:
        """Return the status, and how a locked user can sign in again."""
        found = user_states.state_of(user)
        until = user_states.locked_until(user) if found is UserState.LOCKED else None
        if until is None:
            return found.label
        text = gettext(
            "Locked until %(time)s after too many wrong passwords. A new link to set a password ends this earlier."
        )
        return text % {"time": date_format(timezone.localtime(until), "TIME_FORMAT")}

    @display(description=_("2FA"), label={"on": "success", "off": "default"})  # type: ignore[untyped-decorator]
    def two_factor(self, user: Any) -> Any:
        return "on" if user.has_two_factor else "off", self.two_factor_in_words(user)

    @admin.display(description=_("two-factor authentication"))
    def two_factor_in_words(self, user: Any) -> Any:
        return _("On") if user.has_two_factor else _("Off")

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
        return self._create_link(request, stored, is_new=True)

    @admin.action(description=_("New link to set a password"), permissions=["change"])
    @step_up.required(*step_up.ACTION)
    def send_link(self, request: HttpRequest, queryset: QuerySet[StaffUser]) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            messages.error(request, _("Select exactly one user. Each link is personal."))
            return None
        return None if self._is_protected(request, queryset) else self._create_link(request, chosen[0])

    def has_sign_in_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Return whether the buttons that change how this user signs in are shown."""
        if not self.has_change_permission(request):
            return False
        user = StaffUser.objects.filter(pk=object_id).first() if object_id and is_id(object_id) else None
        return not (user and why_protected(request, user))

    @action(  # type: ignore[untyped-decorator]
        description=_("New link"), url_path="new-link", permissions=["sign_in"], icon="password"
    )
    @step_up.required(*step_up.ACTION)
    def new_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        chosen = self._only(request, object_id)
        if page := confirmation.render_confirmation(self, request, "send_link", chosen):
            return page
        response: HttpResponse | None = self.send_link(request, chosen)
        return response or redirect(request.get_full_path())

    @action(  # type: ignore[untyped-decorator]
        description=_("Reset two-factor authentication"),
        url_path="reset-two-factor",
        permissions=["sign_in"],
        icon="lock_reset",
    )
    @step_up.required(*step_up.ACTION)
    def reset_two_factor_of(self, request: HttpRequest, object_id: str) -> HttpResponse:
        response: HttpResponse | None = self.reset_two_factor(request, self._only(request, object_id))
        return response or redirect("admin:devices_staffuser_change", object_id)

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

    def _only(self, request: HttpRequest, object_id: str) -> QuerySet[StaffUser]:
        """Return the query set with this user.

        Raises:
            Http404: there is no such user.
        """
        chosen = self.get_queryset(request).filter(pk=int(object_id) if is_id(object_id) else 0)
        if not chosen.exists():
            raise Http404
        return chosen

    def _create_link(self, request: HttpRequest, user: StaffUser, *, is_new: bool = False) -> HttpResponse:
        """Keep the new link in the session, whose data is encrypted, until the next page has shown it."""
        link = request.build_absolute_uri(users.create_password_link(user))
        request.session[LINK] = {"user": user.pk, "link": link, "is_new": is_new}
        return redirect("admin:devices_staffuser_link", user.pk)

    def show_link(self, request: HttpRequest, object_id: str, **_kwargs: Any) -> HttpResponse:
        """Show the link once. After a reload of the page, the link is not shown or created again."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        user = self._only(request, object_id).get()
        created = request.session.pop(LINK, None) or {}
        if created.get("user") != user.pk:
            messages.info(request, _("A link is shown only once. If it was not sent, create a new one."))
            return redirect("admin:devices_staffuser_change", user.pk)
        message = render_to_string(
            "admin/password_link_message.html",
            {
                "user": user,
                "link": created["link"],
                "url": request.build_absolute_uri(reverse("admin:index")),
                "expires": timezone.localtime(timezone.now() + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)),
            },
        )
        mail = {"subject": gettext("Your access to the device registry"), "body": message}
        return self.render_page(
            request,
            "admin/password_link.html",
            title=(_("{name} was added") if created["is_new"] else _("Link for {name}")).format(name=user),
            recipient=user,
            text=created["link"],
            message=message,
            whatsapp_url=f"https://wa.me/?{urlencode({'text': message}, quote_via=quote)}",
            email_url=f"mailto:{quote(user.email, safe='@')}?{urlencode(mail, quote_via=quote)}",
        )
