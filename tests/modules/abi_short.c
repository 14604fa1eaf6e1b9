/* abi_short.c - a module whose descriptor is too short */
#include <sallyport/filter.h>

SP_FILTER(abi_short) = {
	.abi_major = SP_ABI_MAJOR,
	.abi_minor = SP_ABI_MINOR,
	.size = 16,
	.name = "abi_short",
	.summary = "a module whose descriptor is too short"
};
