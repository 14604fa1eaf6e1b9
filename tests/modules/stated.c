/*
 * stated.c - states results of SPF and DKIM that the policy dictates, so that suites can test what others make of them.
 *
 *     filter stated { spf "pass example.com" dkim "a.example fail:b.example" }
 *
 * spf: "RESULT DOMAIN" of MAIL FROM, "RESULT helo:NAME" of HELO, or nothing; dkim: domains, with "RESULT:" before those
 * that did not pass.
 */
#include <string.h>

#include <sallyport/filter.h>

enum { WORD_MAX = 16 };

struct stated_conf {
	struct sp_span spf, dkim;
};
static const struct sp_param stated_params[] = {
	{ .name = "spf", .type = SP_STRING, .offset = offsetof(struct stated_conf, spf), .fallback = "\"\"", .help = "result and domain" },
	{ .name = "dkim", .type = SP_STRING, .offset = offsetof(struct stated_conf, dkim), .fallback = "\"\"", .help = "domains" },
	SP_PARAMS_END
};

/* Takes what stands before c, or all, off s. */
static struct sp_span
cut(struct sp_span *s, char c)
{
	const char *at = s->len > 0 ? memchr(s->ptr, c, s->len) : NULL;
	struct sp_span ret = { s->ptr, at != NULL ? (size_t)(at - s->ptr) : s->len };

	s->ptr = at != NULL ? at + 1 : NULL;
	s->len -= ret.len + (at != NULL ? 1 : 0);
	return ret;
}

static enum sp_status
state(struct sp_ctx *ctx, const char *method, struct sp_span result, struct sp_auth_prop prop)
{
	char word[WORD_MAX + 1] = "";
	struct sp_auth_result r = { method, word, { NULL, 0 }, &prop, 1 };

	if (result.len > WORD_MAX)
		return SP_INVALID;
	memcpy(word, result.ptr, result.len);
	return sp_result_add(ctx, &r);
}

static enum sp_status
stated_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	const struct stated_conf *conf = ctx->conf;
	struct sp_span domain = conf->spf, result = cut(&domain, ' ');
	struct sp_auth_prop prop = { "smtp", "mailfrom", domain };

	(void)ev;
	if (domain.len > 5 && memcmp(domain.ptr, "helo:", 5) == 0)
		prop = (struct sp_auth_prop){ "smtp", "helo", { domain.ptr + 5, domain.len - 5 } };
	return conf->spf.len > 0 ? state(ctx, "spf", result, prop) : SP_OK;
}

static enum sp_status
stated_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	const struct stated_conf *conf = ctx->conf;
	struct sp_span rest = conf->dkim;
	enum sp_status st = SP_OK;

	(void)ev;
	while (rest.len > 0 && st == SP_OK) {
		struct sp_span domain = cut(&rest, ' '), result = { "pass", 4 };

		if (domain.len > 0 && memchr(domain.ptr, ':', domain.len) != NULL)
			result = cut(&domain, ':');
		st = state(ctx, "dkim", result, (struct sp_auth_prop){ "header", "d", domain });
	}
	return st;
}

SP_FILTER(stated) = { SP_FILTER_HEAD, .name = "stated", .summary = "results as the policy dictates them",
	.params = stated_params, .conf_size = sizeof(struct stated_conf), .on_mail = stated_on_mail,
	.on_eom = stated_on_eom, .states_results = true };
