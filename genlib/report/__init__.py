"""Say what came out: tables, figures and conclusions of saved runs. Never loads torch."""
from genlib.report.report import Report

__all__ = ["Report"]
