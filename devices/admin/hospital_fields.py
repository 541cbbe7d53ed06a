"""The form field for the hospitals of a user or an API key."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from devices.admin.base import is_id
from devices.models import Hospital


class HospitalsField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # not generic at run time
    """Choose any number of hospitals. Ids that no database can store are invalid choices, as all unknown ids are."""

    widget = UnfoldAdminSelect2MultipleWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(Hospital.objects.order_by("name"), **options)

    def clean(self, value: Any) -> Any:
        for sent in value if isinstance(value, list | tuple) else ():
            if not is_id(str(sent)):
                raise ValidationError(self.error_messages["invalid_choice"], "invalid_choice", {"value": sent})
        return super().clean(value)
