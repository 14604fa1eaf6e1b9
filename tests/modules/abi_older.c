/* abi_older.c - a module of a lower minor version, which is taken */
#include <sallyport/filter.h>

SP_FILTER(abi_older) = {
	.abi_major = SP_ABI_MAJOR,
	.abi_minor = SP_ABI_MINOR - 1,
	.size = SP_FILTER_SIZE_MIN,
	.name = "abi_older",
	.summary = "a module of a lower minor version, which is taken"
};
