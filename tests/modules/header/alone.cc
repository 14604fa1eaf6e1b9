// alone.cc - the same in C++20, with designated initialisers
#include <sallyport/filter.h>

static enum sp_status
alone_on_data(struct sp_ctx *ctx)
{
	sp_log(ctx, SP_LOG_INFO, "%s", "here");
	return SP_OK;
}

SP_FILTER(alone) = { SP_FILTER_HEAD, .name = "alone", .on_data = alone_on_data };
