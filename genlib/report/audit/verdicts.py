"""What the audit may say of a published figure."""
from genlib.locale import N_

REPRODUCED, NOT_REPRODUCED = N_("reproduced", "verdict"), N_("not reproduced")
SOUND, UNSOUND = N_("the method is sound"), N_("the method leaves out a part")
DISTURBED = N_("cannot be judged here (the first image or other programs disturbed the times)")
IMPOSSIBLE, NOTHING_AGAINST, CONTRADICTS = N_("cannot be what it says"), N_("nothing speaks against it"), N_("contradicts itself")
CONFIRMED, REFUTED = N_("confirmed", "verdict"), N_("refuted", "verdict")
