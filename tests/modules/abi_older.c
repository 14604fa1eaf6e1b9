/* abi_older.c - a module of a lower minor version, which is taken; what stands behind its end is not its */
#include <sallyport/filter.h>

static const char *const rubbish[] = { "rubbish", NULL };

static enum sp_status
rubbish_on_final(struct sp_ctx *ctx, const struct sp_final *ev)
{
	(void)ctx;
	(void)ev;
	return SP_SYSTEM;
}

SP_FILTER(abi_older) = {
	.abi_major = SP_ABI_MAJOR,
	.abi_minor = SP_ABI_MINOR - 1,
	.size = SP_FILTER_SIZE_MIN,
	.name = "abi_older",
	.summary = "a module of a lower minor version, which is taken",
	.states_results = true,
	.after = rubbish,
	.on_final = rubbish_on_final
};
