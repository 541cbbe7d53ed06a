"""Generated clients: the generators, with pinned versions, and programs that use the clients they generate."""
