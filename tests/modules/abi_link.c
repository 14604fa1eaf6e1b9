/* abi_link.c - a shared object that calls what nobody has */
#include <sallyport/filter.h>

int nobody_has_this(void);

static enum sp_status
abi_link_on_data(struct sp_ctx *ctx)
{
	(void)ctx;
	return nobody_has_this() == 0 ? SP_OK : SP_SYSTEM;
}

SP_FILTER(abi_link) = { SP_FILTER_HEAD, .name = "abi_link", .on_data = abi_link_on_data };
