/* abi_symbol.c - a shared object without the descriptor that its name promises */
#include <sallyport/filter.h>

SP_FILTER(something_else) = { SP_FILTER_HEAD, .name = "something_else" };
