__version__ = "0.9.0.dev0"  # no release yet; the version of the API's schema too
