"""What was remarked of a run, and its sentence in a reader's language."""
import pytest

from genlib import remarks
from genlib.locale import Language


@pytest.mark.parametrize("sentence", remarks.REMARKS)
def test_a_remark_of_a_record_is_found_again_with_what_stood_in_its_places(sentence):
    places = dict.fromkeys(remarks.parts(sentence)[1])
    values = {name: f"a {{value}} [of] {name}" for name in places}
    assert remarks.parts(sentence.format(**values)) == (sentence, values)
    assert Language("uk").say(*remarks.parts(sentence)[:1]) != sentence, "its Ukrainian"


@pytest.mark.parametrize("text", ["", "another remark", "{error}", "the clock was set by 3 s"])
def test_other_text_is_no_remark(text):
    assert remarks.parts(text) == (text, {})
