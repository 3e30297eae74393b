"""What was probably meant by a word that is no valid one."""

import difflib


def did_you_mean(word, valid, count=1):
    """ "; did you mean 'x'?" with the `count` nearest `valid` words, "" where none is near."""
    names = [str(name) for name in valid]
    near = difflib.get_close_matches(str(word), names, n=count, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
