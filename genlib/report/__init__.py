"""Say what came out: tables, figures and sentences from saved runs, in English and Ukrainian. Never loads torch."""
