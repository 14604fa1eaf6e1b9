/* abi_minor.c - a module of a higher minor version */
#include <sallyport/filter.h>

SP_FILTER(abi_minor) = {
	.abi_major = SP_ABI_MAJOR,
	.abi_minor = SP_ABI_MINOR + 8,
	.size = (uint32_t)sizeof(struct sp_filter),
	.name = "abi_minor",
	.summary = "a module of a higher minor version"
};
