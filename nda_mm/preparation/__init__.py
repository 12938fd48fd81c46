"""What ``tools/prepare_data.py`` does: data from what the user has, checked, to where the recipes look for them.

:mod:`~nda_mm.preparation.verbs` has the verbs and their options, the other modules a function for each, which takes the
parsed arguments and prints what it did.
"""
