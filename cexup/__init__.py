__version__ = "1.0.0"  # the newest version in CHANGELOG.md
