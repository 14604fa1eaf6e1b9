/* abi_good.c - a module as it should be */
#include <sallyport/filter.h>

static const char *const after[] = { "abi_older", NULL };

SP_FILTER(abi_good) = {
	.abi_major = SP_ABI_MAJOR,
	.abi_minor = SP_ABI_MINOR,
	.size = (uint32_t)sizeof(struct sp_filter),
	.name = "abi_good",
	.summary = "a module as it should be",
	.states_results = true,
	.after = after
};
