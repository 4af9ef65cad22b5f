"""Measure a call: `repeat`, `count_flops`, and the thesis's own way of reading. Knows no model."""
from genlib.measure.as_in_thesis import repeat_as_in_thesis
from genlib.measure.repeat import count_flops, repeat

__all__ = ["count_flops", "repeat", "repeat_as_in_thesis"]
