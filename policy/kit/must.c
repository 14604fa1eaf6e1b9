/* must.c - see must.h */
#include "policy/kit/must.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void
must_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "sallyport: bug: %s:%d: '%s' is false\n", file, line, what);
	abort();
}
