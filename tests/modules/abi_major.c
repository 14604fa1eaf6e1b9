/* abi_major.c - a module of another major version */
#include <sallyport/filter.h>

SP_FILTER(abi_major) = {
	.abi_major = SP_ABI_MAJOR + 1,
	.abi_minor = 0,
	.size = (uint32_t)sizeof(struct sp_filter),
	.name = "abi_major",
	.summary = "a module of another major version"
};
