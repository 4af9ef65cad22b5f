"""Say what came out: tables, figures and conclusions of saved runs. Never loads torch."""
from genlib.report.report import Report
from genlib.report.uses import Limits

__all__ = ["Limits", "Report"]
