"""Merge hospitals whose names are equal after normalization, and print each of them. Decision 21 has the reasons."""

from typing import Any

from django.db import migrations


def forwards(apps: Any, _editor: Any) -> None:
    """Use the registry's own functions, so that clients of the change feed receive the changes.

    They need the columns of the current models. A database without hospitals, which may not have them yet, is skipped.
    """
    if apps.get_model("devices", "Hospital").objects.exists():
        from devices.registry.equal_hospitals import merge_equal_hospitals

        for line in merge_equal_hospitals():
            print(f"\n    {line}", end="")


class Migration(migrations.Migration):
    dependencies = [("devices", "0003_keys_of_several_hospitals")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
