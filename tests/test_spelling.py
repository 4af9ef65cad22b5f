"""What a message says of a name that nobody knows."""
import pytest

from genlib.spelling import meant


@pytest.mark.parametrize("name, said", [
    ("dmo", " (did you mean 'demo'?)"), ("DEMO", " (did you mean 'demo'?)"), ("weights", ""), ("", ""), (None, ""),
    ("tesla", " (did you mean 'Tesla'?)")])
def test_the_known_name_that_resembles_it_is_named_in_its_own_capitals(name, said):
    assert meant(name, ["demo", "published", "Tesla", "TESLA"]) == said
