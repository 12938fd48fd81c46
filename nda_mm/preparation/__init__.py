"""Subcommands of ``tools/prepare_data.py``: ``verbs`` has their options, ``commands`` their implementations.

Each command takes the parsed arguments and prints what it did.
"""
