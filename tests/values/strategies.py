"""Random patterns and texts for the pattern tests.

In: hypothesis draws. Out: ECMAScript pattern sources, small enough for any engine, and texts over
the same few characters, so that matches happen.
"""

from hypothesis import strategies as st

UNITS = st.sampled_from([*"abAB01_- .\n", "é", "É", "\u2028"])
TEXTS = st.text(UNITS, max_size=10)
_ATOMS = st.sampled_from(
    [
        *["a", "b", "A", "0", "é", "-", r"\.", "."],
        *[r"\d", r"\w", r"\W", r"\s", r"\S", r"\n", r"\x61", r"\u0062", r"\cA", r"\0"],
        *["[ab]", "[^a]", "[a-b0]", r"[\d-]", r"[^\w.]", "[]", "[^]", "{", "]", "}", "a{,2}"],
    ]
)
_EDGES = st.sampled_from(["^", "$", r"\b", r"\B"])
_COUNTS = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,}", "{0,2}", "{1,3}?"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join).map("(?:{})".format),
        inner.map("({})".format),
        inner.map("(?={})".format),
        inner.map("(?!{})".format),
        st.tuples(inner.map("({})".format), _COUNTS).map("".join),
        st.tuples(inner.map("(?:{})".format), _COUNTS).map("".join),
        st.tuples(_ATOMS, _COUNTS).map("".join),
        st.tuples(_EDGES, inner).map("".join),
        st.tuples(inner, _EDGES).map("".join),
        st.tuples(inner, inner).map("|".join),
    )


FLAGS = st.sampled_from(["", "i"])
SOURCES = st.recursive(_ATOMS, _grown, max_leaves=7)
