"""The page on which users see and end their own sessions."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache

from devices import sessions, step_up
from devices.admin import step_up as admin_step_up


@never_cache
def your_sessions(request: HttpRequest) -> HttpResponse:
    """Show the user's sessions; end one of them (`session`, its id), or all but the current one (`others`)."""
    user: Any = request.user
    if request.method == "POST":
        if not step_up.is_fresh(request):
            answer: HttpResponse = admin_step_up.ask(request, ("session", "others"), lambda: your_sessions(request))
            return answer
        chosen = request.POST.get("session")
        count = sessions.end(user, chosen) if chosen else sessions.end_others(user)
        ended = ngettext("%(count)d session was ended.", "%(count)d sessions were ended.", count)
        messages.success(request, ended % {"count": count})
        return redirect("your_sessions")
    context = {"title": _("Your sessions"), "sessions": sessions.of_user(user), "current_id": sessions.current_id()}
    return render(request, "admin/your_sessions.html", {**admin.site.each_context(request), **context})
