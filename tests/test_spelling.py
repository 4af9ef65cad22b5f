"""What a message says of a name that nobody knows."""
import pytest

from genlib.spelling import meant


@pytest.mark.parametrize("name, said", [
    ("dmo", ", which may be meant for 'demo'"), ("DEMO", ", which may be meant for 'demo'"), ("weights", ""), ("", ""), (None, ""),
    ("tesla", ", which may be meant for 'Tesla'")])
def test_the_known_name_that_resembles_it_is_named_in_its_own_capitals(name, said):
    assert meant(name, ["demo", "published", "Tesla", "TESLA"]) == said
