/* decider.c - see decider.h. */
#include "decider.h"

SP_FILTER(decider) = { DECIDER("decider") };
