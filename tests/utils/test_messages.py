from nda_mm.utils.messages import describe_error, shorten


def test_lists_are_cut():
    assert shorten("abcdef", 4) == "a, b, c, d and 2 more"
    assert shorten(["a", "b"], 4) == "a, b"
    assert shorten([]) == "none"


def test_errors_are_one_line():
    assert describe_error(ValueError("first\nsecond")) == "ValueError: first"
    assert describe_error(ValueError()) == "ValueError"
