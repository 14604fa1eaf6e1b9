/*
 * heloname.c - a filter for Sallyport: what is the name in a client's HELO worth?
 *
 * Facts, known from HELO on:
 *   heloname.matches    (bool) the name has the client's address in the DNS
 *   heloname.forbidden  (bool) the name is in a file of names that no client may use
 *
 * Everything that Sallyport offers comes by <sallyport/filter.h>; nothing else of it is needed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sallyport/filter.h>

enum { NAME_MAX_LEN = 255, NAMES_MAX = 100000 };

/* One use of the filter in a policy. The host fills in the parameters, load() the rest. */
struct heloname_conf {
	const char *file;
	char **names; /* lower case; ".example.com" stands for all below it */
	size_t count;
};
static const struct sp_param params[] = {
	{ .name = "forbidden",
		.type = SP_FILE,
		.offset = offsetof(struct heloname_conf, file),
		.fallback = "\"/dev/null\"",
		.help = "names that no client may use, one a line" },
	SP_PARAMS_END
};

enum { MATCHES, FORBIDDEN };
static const struct sp_fact_decl facts[] = { [MATCHES] = { .name = "matches",
						     .type = SP_BOOL,
						     .stage = SP_HELO,
						     .help = "HELO name has the client's address" },
	[FORBIDDEN] = { .name = "forbidden",
		.type = SP_BOOL,
		.stage = SP_HELO,
		.help = "HELO name may not be used" },
	SP_FACTS_END };

/* ---- the file of names ---------------------------------------------------------------------- */

static void
lower(char *s)
{
	for (; *s != '\0'; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s + ('a' - 'A'));
}

/* What load_alloc() gives lives as long as the configuration, so there is no unload(). */
static enum sp_status
names_read(struct sp_load *load, const struct sp_host *host, struct heloname_conf *conf, FILE *file)
{
	char line[NAME_MAX_LEN + 2];

	conf->names = host->load_alloc(load, NAMES_MAX * sizeof(*conf->names));
	if (conf->names == NULL)
		return SP_SYSTEM;
	for (unsigned number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
		size_t len = strcspn(line, " \t\r\n#");

		if (line[strcspn(line, "\n")] == '\0' && !feof(file)) {
			sp_load_error(host, load, conf->file, number, 1,
				"a name has at most %d octets", NAME_MAX_LEN);
			return SP_INVALID;
		}
		line[len] = '\0';
		if (len == 0)
			continue;
		if (conf->count == NAMES_MAX) {
			sp_load_error(host, load, conf->file, number, 1,
				"there may be at most %d names", NAMES_MAX);
			return SP_INVALID;
		}
		conf->names[conf->count] = host->load_alloc(load, len + 1);
		if (conf->names[conf->count] == NULL)
			return SP_SYSTEM;
		lower(line);
		memcpy(conf->names[conf->count++], line, len + 1);
	}
	return ferror(file) ? SP_SYSTEM : SP_OK;
}

static int
name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Runs in the master, before there are workers: the one place where files may be read. */
static enum sp_status
heloname_load(struct sp_load *load, const struct sp_host *host, void *data,
	struct sp_entry *entries, size_t count)
{
	struct heloname_conf *conf = data;
	FILE *file = fopen(conf->file, "r");
	enum sp_status st;

	(void)entries;
	(void)count;
	if (file == NULL) {
		sp_load_error(host, load, conf->file, 0, 0, "%s", strerror(errno));
		return SP_INVALID;
	}
	st = names_read(load, host, conf, file);
	fclose(file);
	if (st == SP_OK)
		qsort(conf->names, conf->count, sizeof(*conf->names), name_cmp);
	return st;
}

/* ---- at HELO -------------------------------------------------------------------------------- */

/* The name itself, or ".parent" of it for any parent. */
static bool
is_forbidden(const struct heloname_conf *conf, struct sp_span helo)
{
	char name[NAME_MAX_LEN + 1];
	const char *at = name;

	if (helo.len == 0 || helo.len > NAME_MAX_LEN || conf->count == 0)
		return false;
	memcpy(name, helo.ptr, helo.len);
	name[helo.len] = '\0';
	lower(name);
	for (; at != NULL; at = strchr(at + 1, '.'))
		if (bsearch(&at, conf->names, conf->count, sizeof(*conf->names), name_cmp) != NULL)
			return true;
	return false;
}

/* Suspends this session only, while the DNS is asked. */
static enum sp_status
heloname_on_helo(struct sp_ctx *ctx, const struct sp_helo *ev)
{
	struct sp_addrs addrs;
	enum sp_status st;

	sp_fact_bool(ctx, FORBIDDEN, is_forbidden(ctx->conf, ev->name));
	if (ev->name.len > 0 && ev->name.ptr[0] == '[') {
		sp_fact_bool(ctx, MATCHES, false); /* an address is not a name */
		return SP_OK;
	}
	st = sp_dns_addrs(ctx, ev->name, &addrs);
	if (st == SP_OK)
		sp_fact_bool(ctx, MATCHES, sp_addrs_have(&addrs, ev->client));
	else if (st == SP_NONE || st == SP_INVALID) /* there surely is no such name */
		sp_fact_bool(ctx, MATCHES, false);
	else
		return st; /* not found out: the fact is unknown, and the policy says what that
			      means */
	return SP_OK;
}

SP_FILTER(heloname) = { SP_FILTER_HEAD, .name = "heloname",
	.summary = "what the name in HELO is worth", .facts = facts, .params = params,
	.conf_size = sizeof(struct heloname_conf), .load = heloname_load,
	.on_helo = heloname_on_helo };
