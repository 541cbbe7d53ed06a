"""The people who sign in to the admin: one form makes a hospital admin, and a link lets them choose a password."""

from contextlib import nullcontext
from typing import Any

import axes.utils
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import Group, User
from django.contrib.auth.views import PasswordChangeView, PasswordResetConfirmView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.html import escape
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from unfold.contrib.filters.admin import DropdownFilter
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminTextInputWidget,
)

from devices import drafts, notifications, people, second_factor, sessions
from devices.admin import confirmation, step_up
from devices.admin.access import OnlyForOperators, WritesByVerbs, is_id
from devices.admin.audit import WithAuditLog
from devices.admin.trails import WithTrail
from devices.current_password import is_current_password
from devices.models import Hospital, Person
from devices.origin import Origin

admin.site.unregister(User)  # rights follow from being a hospital's admin: there is nothing to tick
admin.site.unregister(Group)


class SignInForm(AuthenticationForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("E-mail or user name")

    def clean_username(self) -> str:
        text: str = self.cleaned_data["username"]
        return text if User.objects.filter(username=text).exists() else people.login_name(text)


admin.site.login_form = SignInForm


SIGN_IN_FIELDS = ("email", "hospitals", "is_active")
FIELDS = ("first_name", *SIGN_IN_FIELDS)
BUTTONS = ("_save", "_continue", "_addanother")
YOURSELF = _(
    "This is you. To change your password, two-factor sign-in or sessions, click your name at the lower left. Your "
    "email address is changed on the server: manage.py change_user %(username)s."
)
OPERATOR = _(
    "%(name)s is an operator. How an operator signs in is changed on the server only, by these commands: manage.py "
    "make_password_link %(username)s, manage.py reset_second_factor %(username)s, manage.py change_user %(username)s."
)


def why_protected(request: HttpRequest, person: Person) -> str:
    """Return why the way this person signs in is not changed here, or an empty string.

    An operator whose session was stolen must not lose more than that session, nor may the other operators.
    """
    if person.pk == request.user.pk:
        return YOURSELF % {"username": person.username}
    return OPERATOR % {"name": person, "username": person.username} if person.is_superuser else ""


class PersonForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's takes no parameter when it runs
    first_name = forms.CharField(label=_("Name"), max_length=150, widget=UnfoldAdminTextInputWidget)
    email = forms.EmailField(
        label=_("E-mail"),
        help_text=_("They sign in with it."),
        max_length=150,  # of the user name, which it becomes
        widget=UnfoldAdminEmailInputWidget,
    )
    hospitals = forms.ModelMultipleChoiceField(
        Hospital.objects.order_by("name"), label=_("Hospitals"), widget=UnfoldAdminSelect2MultipleWidget
    )

    is_protected = False  # set by PersonAdmin: only the name can be changed here

    class Meta:
        model = Person
        fields = ("first_name", "email", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["hospitals"].initial = self.instance.hospitals.all()
            self.fields["hospitals"].required = not self.instance.is_superuser
        for name in SIGN_IN_FIELDS if self.is_protected else ():
            field = self.fields[name]
            field.disabled, field.required, field.help_text = True, False, ""

    def clean_first_name(self) -> str:
        return drafts.clean_text(self.cleaned_data["first_name"])

    def clean_email(self) -> str:
        email = people.login_name(self.cleaned_data["email"])
        if Person.objects.filter(username=email).exclude(pk=self.instance.pk).exists():
            raise ValidationError(people.TAKEN)
        return email


class WorksAtFilter(DropdownFilter):
    title = _("hospital")
    parameter_name = "hospital"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(str(pk), name) for pk, name in Hospital.objects.order_by("name").values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Person]) -> QuerySet[Person]:
        return queryset.filter(hospitals=int(self.value())) if is_id(self.value() or "") else queryset


@admin.register(Person)
class PersonAdmin(WithAuditLog, WithTrail, WritesByVerbs, OnlyForOperators):
    form = PersonForm
    list_display = ("__str__", "username", "at", "is_superuser", "is_active", "last_login")
    list_filter = (WorksAtFilter, "is_superuser", "is_active", "last_login")
    lookups = (
        *("hospital", "is_superuser__exact", "is_active__exact"),
        *("last_login__gte", "last_login__lt", "last_login__isnull"),
    )
    list_filter_submit = True
    search_fields = ("first_name", "last_name", "username", "hospitals__name_folded")
    ordering = ("first_name", "username")
    actions = ("send_link", "reset_second_factor", "end_sessions")
    readonly_fields = ("number_of_sessions",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Person]:
        people: QuerySet[Person] = super().get_queryset(request).prefetch_related("hospitals")
        return people

    def get_fields(self, request: HttpRequest, obj: Person | None = None) -> Any:
        fields = ("first_name", "email", "hospitals")
        return fields if obj is None else (*fields, "is_active", "number_of_sessions")

    def has_delete_permission(self, request: HttpRequest, obj: Person | None = None) -> bool:
        return False  # history names them: whoever leaves is made inactive

    def get_form(self, request: HttpRequest, obj: Person | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)  # a class made for this request
        form.is_protected = bool(obj and why_protected(request, obj))
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Person | None = None) -> Any:
        reason = why_protected(request, obj) if obj else ""
        return [(None, {"fields": self.get_fields(request, obj), "description": escape(reason)})]

    @step_up.required(*FIELDS, *BUTTONS)
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return super().add_view(request, form_url, extra_context)  # type: ignore[no-any-return]

    @step_up.required(*FIELDS, *BUTTONS, reading=False)
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return super().change_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]

    @admin.display(description=_("hospitals"))
    def at(self, person: Person) -> str:
        return ", ".join(sorted(hospital.name for hospital in person.hospitals.all())) or "–"

    @admin.display(description=_("sessions"))
    def number_of_sessions(self, person: Person) -> int:
        return sessions.of_user(person).count()

    def save_model(self, request: HttpRequest, obj: Person, form: PersonForm, change: bool) -> None:
        name, email = form.cleaned_data["first_name"], form.cleaned_data["email"]
        if not change:
            obj.pk = people.invite(name, email, form.cleaned_data["hospitals"]).pk
            return
        if not obj.is_superuser:  # an operator's name was chosen on the command line
            obj.username = email
        obj.save()
        obj.hospitals.set(form.cleaned_data["hospitals"])
        if "hospitals" in form.changed_data:
            notifications.notify(obj, notifications.HOSPITALS_CHANGED)

    def response_add(self, request: HttpRequest, obj: Person, post_url_continue: str | None = None) -> HttpResponse:
        return self._show_link(request, Person.objects.get(pk=obj.pk))  # with the password that it has not

    @admin.action(description=_("New link to choose a password"), permissions=["change"])
    @step_up.required(*step_up.ACTION)
    def send_link(self, request: HttpRequest, queryset: QuerySet[Person]) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            messages.error(request, _("Choose one person: the link is theirs alone."))
            return None
        if self._protected(request, queryset):
            return None
        return self._show_link(request, chosen[0])

    @admin.action(description=_("Reset two-factor sign-in"), permissions=["change"])
    @step_up.required(*step_up.ACTION)
    def reset_second_factor(self, request: HttpRequest, queryset: QuerySet[Person]) -> HttpResponse | None:
        if self._protected(request, queryset):
            return None

        @transaction.atomic
        def reset(by: Origin) -> int:
            for person in queryset:
                second_factor.reset(person)
            return len(queryset)

        return confirmation.carry_out(
            self,
            request,
            queryset,
            reset,
            action="reset_second_factor",
            title=_("Reset two-factor sign-in"),
            will=ngettext_lazy(
                "%(count)d person signs in with the password alone, until they set it up anew. Make sure who asks.",
                "%(count)d people sign in with the password alone, until they set it up anew. Make sure who asks.",
                "count",
            ),
            done=ngettext_lazy(
                "Two-factor sign-in of %(count)d person was reset.",
                "Two-factor sign-in of %(count)d people was reset.",
                "count",
            ),
        )

    @admin.action(description=_("End all sessions"), permissions=["change"])
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[Person]) -> HttpResponse | None:
        @transaction.atomic
        def end(by: Origin) -> int:
            return sum(self._end_sessions(person) for person in queryset)

        return confirmation.carry_out(
            self,
            request,
            queryset,
            end,
            action="end_sessions",
            title=_("End all sessions"),
            will=ngettext_lazy(
                "%(count)d user is signed out everywhere. Your own session does not end.",
                "%(count)d users are signed out everywhere. Your own session does not end.",
                "count",
            ),
            done=ngettext_lazy("%(count)d session was ended.", "%(count)d sessions were ended.", "count"),
        )

    def _end_sessions(self, person: Person) -> int:
        count = sessions.end_others(person)
        if count:
            notifications.notify(person, notifications.SESSIONS_ENDED)
        return count

    def _protected(self, request: HttpRequest, chosen: QuerySet[Person]) -> bool:
        """Return whether one of these people is protected, and if so, show why."""
        reasons = [reason for person in chosen if (reason := why_protected(request, person))]
        for reason in reasons[:1]:
            messages.error(request, reason)
        return bool(reasons)

    def _show_link(self, request: HttpRequest, person: Person) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": str(person),
            "warning": _(
                "Send this link to %(name)s only: whoever opens it chooses the password for %(email)s. "
                "It works once, and for three days."
            )
            % {"name": person, "email": person.username},
            "text": request.build_absolute_uri(people.make_password_link(person)),
            "copy": _("Copy"),
            "copied": _("Copied"),
        }
        return render(request, "admin/key_issued.html", context)


class ChangePasswordForm(AdminOwnPasswordChangeForm):
    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        """Check it as elsewhere: Django's form counts no wrong ones.

        Raises:
            TooManyAttempts, HashingBusy: see current_password.py.
        """
        text: str = self.cleaned_data["old_password"]
        if not is_current_password(self.request, text):
            raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        return text


class ChangePassword(PasswordChangeView):
    """The admin's own page, which takes no form of ours."""

    form_class = ChangePasswordForm
    success_url = reverse_lazy("admin:password_change_done")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**admin.site.each_context(self.request), **super().get_context_data(**kwargs)}


@method_decorator(login_not_required, "dispatch")
class ChoosePassword(PasswordResetConfirmView):
    template_name = "admin/choose_password.html"
    token_generator = people.link_tokens
    success_url = reverse_lazy("admin:login")
    title = _("Choose a password")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with transaction.atomic() if request.method == "POST" else nullcontext():
            return super().dispatch(request, *args, **kwargs)

    def get_user(self, uidb64: str) -> Any:
        """Return whom the link is for, locked for who sends the form: of two who do, one finds the link used."""
        user = super().get_user(uidb64)
        if user is None or self.request.method != "POST":
            return user
        return User.objects.select_for_update().filter(pk=user.pk).first()

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        for field in form.fields.values():
            field.widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
        return form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        gone = _(
            "This link has been used, is older than three days, or was replaced by a newer one. "
            "Ask an operator for a new one."
        )
        context = {**admin.site.each_context(self.request), "gone": gone, "save": _("Save the password")}
        return context | super().get_context_data(**kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        axes.utils.reset(username=form.user.get_username())  # a new password is what the page of a lock advises
        messages.success(self.request, _("Your password is set. You can sign in now."))
        return response
