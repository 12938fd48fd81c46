"""The subcommands of ``tools/prepare_data.py``: their options in ``verbs``, what they do in ``commands``.

Each function takes the parsed arguments and prints what it did.
"""
