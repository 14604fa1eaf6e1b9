/* abi_name.c - a module under another's file name */
#include <sallyport/filter.h>

SP_FILTER(abi_name) = {
	.abi_major = SP_ABI_MAJOR,
	.abi_minor = SP_ABI_MINOR,
	.size = (uint32_t)sizeof(struct sp_filter),
	.name = "other",
	.summary = "a module under another's file name"
};
