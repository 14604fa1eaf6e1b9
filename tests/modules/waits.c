/*
 * waits.c - waits in on_final, as one does that signs by a key elsewhere, so that suites can see what comes between.
 *
 *     filter waits { time 500ms }
 */
#include <sallyport/filter.h>

struct waits_conf {
	int64_t time;
};
static const struct sp_param waits_params[] = {
	{ .name = "time", .type = SP_DURATION, .offset = offsetof(struct waits_conf, time), .fallback = "500ms", .help = "how long" },
	SP_PARAMS_END
};

static enum sp_status
waits_on_final(struct sp_ctx *ctx, const struct sp_final *ev)
{
	const struct waits_conf *conf = ctx->conf;
	enum sp_status st;

	(void)ev;
	sp_log(ctx, SP_LOG_INFO, "waiting");
	st = sp_sleep(ctx, conf->time);
	return st == SP_OK ? sp_header_insert(ctx, 0, "Waited", (struct sp_span){ "1", 1 }) : st;
}

SP_FILTER(waits) = { SP_FILTER_HEAD, .name = "waits", .summary = "waits in on_final", .params = waits_params,
	.conf_size = sizeof(struct waits_conf), .on_final = waits_on_final };
