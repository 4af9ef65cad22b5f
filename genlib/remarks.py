"""What is remarked of a run while it is measured: English in its record, translated in reports."""
import re

from genlib.locale import N_
from genlib.record import BLACKENED

CLOCK_SET_BACK = N_("the clock stood at {now}, before the start of an earlier run: it was set back, and this run is dated just after that "
                    "one; set the clock")
CLOCK_SET = N_("the clock was set by {seconds} s during iteration {iteration}: its time is by the monotonic clock, not by the thesis's")
NO_QUALITY = N_("the quality of the pictures is missing: {error}")
NO_DRIVER = N_("the GPU's driver gave no answer within {seconds} s and was not asked again: readings of the whole GPU are missing; check "
               "whether nvidia-smi answers")
LIMIT_REACHED = N_("the limit of {n} iterations was reached before the mean time was known to ± {goal}: close other programs, or raise the "
                   "limit")
REMARKS = (BLACKENED, CLOCK_SET_BACK, CLOCK_SET, NO_QUALITY, NO_DRIVER, LIMIT_REACHED)


def parts(remark: str) -> tuple[str, dict[str, str]]:
    """The sentence that was remarked, with its {places}, and what stood in them; other text is itself."""
    for sentence in REMARKS:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.{,500})", re.escape(sentence))  # bounded: a stranger's text may be long
        if found := re.fullmatch(pattern, remark, re.DOTALL):
            return sentence, found.groupdict()
    return remark, {}
