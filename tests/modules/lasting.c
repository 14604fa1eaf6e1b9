/* lasting.c - the same, with a session that lasts as long as the client's once it was called for: see decider.h. */
#include "decider.h"

SP_FILTER(lasting) = { DECIDER("lasting"), .lasts = true };
