"""Fixtures of the sign-in tests."""

from devices.tests.support.admin.sign_in import _one_window, hashes, protected, user

__all__ = ["_one_window", "hashes", "protected", "user"]  # fixtures
