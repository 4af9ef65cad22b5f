"""Measure a call: repeat it, vary a setting, read it as the thesis did, count its work. Knows no model."""
from genlib.measure.as_in_thesis import repeat_as_in_thesis
from genlib.measure.repeat import repeat
from genlib.measure.sweep import sweep
from genlib.measure.work import count_flops, machine_rates, record_work

__all__ = ["count_flops", "machine_rates", "record_work", "repeat", "repeat_as_in_thesis", "sweep"]
