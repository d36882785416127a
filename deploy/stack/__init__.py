"""The native stack: the whole mesh as supervised processes under one directory, without Docker."""
