"""The learning rate at every step."""

import math


def step(progress, peak):
    """The paper's (section 4.2): a tenth after half of the training, a hundredth after three quarters."""
    return peak * (1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01)


def onecycle(progress, peak):
    """Up for the first fifth, then down along a cosine: better where epochs are few."""
    if progress < 0.2:
        return peak * (0.05 + 0.95 * progress / 0.2)
    return peak * (1e-3 + (1 - 1e-3) * (1 + math.cos(math.pi * (progress - 0.2) / 0.8)) / 2)


SCHEDULES = {"step": step, "onecycle": onecycle}
