/*
 * config.c - see config.h: the tables of settings, what is refused and why, and the struct.
 */
#include "proxy/milter/config.h"


#include "policy/kit/span.h"
#include "proxy/inspect/inspect.h"
#include "proxy/inspect/loader.h"
#include "proxy/master/names.h"
#include "proxy/master/services.h"
#include "proxy/net/net.h"
#include "proxy/smtp/address.h"

enum { ARENA_BLOCK = 4096, ARENA_MAX = 1 << 20 };

#define SECONDS(n) ((int64_t)(n) * 1000)
#define NO_LIMIT INT64_MAX

static const char *const format_words[] = { "logfmt", "json", NULL };
static const char *const bare_words[] = { "refuse", "take", NULL };

static const struct policy_setting_decl program_settings[] = {
	{ "socket", POLICY_SET_ENDPOINT, .help = "where the mail server asks: address:port or unix:/path; -p says otherwise" },
	{ "socket group", POLICY_SET_STRING, .help = "the group that may use a unix socket; default: that of the user" },
	{ "user", POLICY_SET_STRING, .help = "account to run as once the socket is open; default: as started" },
	{ "log", POLICY_SET_STRING, .fallback = "stderr", .help = "stderr, syslog, or a file's path" },
	{ "log format", POLICY_SET_ENUM, .fallback = "logfmt", .words = format_words, .help = "form of log lines" },
	{ "resolver", POLICY_SET_ENDPOINT, .list = true, .help = "DNS resolvers, address:port; default: those of resolv.conf" },
	{ "dns timeout", POLICY_SET_DURATION, .fallback = "5s", .min = 10, .max = SECONDS(60), .help = "of one try of a question" },
	{ "dns cache", POLICY_SET_INT, .fallback = "10000", .min = 0, .max = 10000000, .help = "answers kept" },
	{ "dns budget", POLICY_SET_DURATION, .fallback = "20s", .min = 10, .max = NO_LIMIT, .help = "for all that filters ask the DNS about one message" },
	{ "budget", POLICY_SET_DURATION, .fallback = "25s", .min = 10, .max = NO_LIMIT, .help = "for all filters of a transaction together; less than the mail server waits for a milter" },
	{ "hostname", POLICY_SET_STRING, .help = "our name; default: the system's" },
	{ "authserv-id", POLICY_SET_STRING, .help = "our name in Authentication-Results; default: the hostname" },
	{ "authentication results", POLICY_SET_BOOL, .fallback = "yes", .help = "write what the filters found; those that claim our name are removed in any case" },
	{ "several from", POLICY_SET_BOOL, .fallback = "no", .help = "take a message with several From fields" },
	{ "bare line ends", POLICY_SET_ENUM, .fallback = "refuse", .words = bare_words, .help = "bare CR, bare LF and NUL in a body: refuse the message, or take it as it is" },
	{ "max message", POLICY_SET_SIZE, .fallback = "50M", .min = 1024, .max = NO_LIMIT, .help = "octets of a message" },
	{ "max header", POLICY_SET_SIZE, .fallback = "256K", .min = 1024, .max = 16 << 20, .help = "octets of a header block" },
	{ "max line", POLICY_SET_SIZE, .fallback = "1M", .min = 998, .max = NO_LIMIT, .help = "octets of a line of text" },
	{ "max recipients", POLICY_SET_INT, .fallback = "1000", .min = 1, .max = 100000, .help = "of one message" },
	{ 0 }
};

static const struct policy_setting_decl spool_settings[] = {
	{ "directory", POLICY_SET_FILE, .help = "for temporary files; default /var/tmp" },
	{ "memory", POLICY_SET_SIZE, .fallback = "256K", .min = 4096, .max = NO_LIMIT, .help = "octets of a message kept in memory" },
	{ "total", POLICY_SET_SIZE, .fallback = "64M", .min = 1 << 20, .max = NO_LIMIT, .help = "memory for all messages" },
	{ 0 }
};

static const struct policy_block_decl blocks[] = {
	{ "", POLICY_HEAD_NONE, true, program_settings, "settings of the milter" },
	{ "spool", POLICY_HEAD_NONE, true, spool_settings, "where messages wait for their verdict" },
	{ NULL, POLICY_HEAD_NONE, false, NULL, NULL }
};

static const char no_process[] = "a milter is one process: it ends at SIGTERM, and the mail server takes care of what was open";

static const struct policy_refused refused[] = {
	{ "backend", "a milter has no backend: the mail server that asks it has" },
	{ "listen", "a milter serves no clients: the mail server that asks it does; where it asks is 'socket' or -p" },
	{ "atrn", "a milter serves no clients: the mail server that asks it does" },
	{ "relay", "a milter does not say who may relay: the mail server that asks it does" },
	{ "workers", no_process },
	{ "drain", no_process },
	{ "stop", no_process },
	{ "client.connections", "a milter is not told how many connections a client has" },
	{ "auth.failures", "a milter is not told of refused logins: the mail server that asks it counts them" },
	{ "tls.client.fingerprint", "a milter is not told the fingerprint of a client's certificate" },
	{ NULL, NULL }
};

const struct policy_env *
milter_env(void)
{
	static const struct policy_env env = { .spaces = inspect_spaces, .blocks = blocks, .filter_find = loader_find,
		.filter_names = loader_names, .host = &inspect_host, .shared = loader_shared, .refused = refused };

	return &env;
}

/* ---- the struct ----------------------------------------------------------------------------- */

const char *
milter_config_socket(struct milter_config *c, const char *text)
{
	static const char *const kinds[] = { "inet:", "inet6:", "unix:", "local:" };
	struct net_endpoint e;
	char ip[46];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (span_starts(span_str(text), span_str(kinds[i])))
			return arena_strdup(c->arena, span_str(text));
	if (net_endpoint_parse(span_str(text), 0, &e) != SP_OK || e.kind != NET_IP)
		return NULL;
	if (e.ip.family == 0)
		return arena_printf(c->arena, "inet:%u", (unsigned)e.port);
	return arena_printf(c->arena, "%s:%u@%s", e.ip.family == 6 ? "inet6" : "inet", (unsigned)e.port, span_from_ip(&e.ip, ip).ptr);
}

static void
build_names(struct milter_config *c, const struct policy_block *b, struct policy_diag *d)
{
	const struct names names = { c->arena, c->policy, d };

	c->hostname = names_host(&names, b, "hostname");
	c->auth_id = names_auth_id(&names, b, c->hostname);
}

static void
build_socket(struct milter_config *c, const struct policy_block *b, struct policy_diag *d)
{
	const char *written = policy_setting_text(b, "socket", 0).ptr;

	c->socket_group = policy_setting_text(b, "socket group", 0).ptr;
	if (written == NULL)
		return;
	c->socket = milter_config_socket(c, written);
	if (c->socket == NULL)
		policy_diag_at(d, c->policy, policy_setting_place(b, "socket"), false, "'%s' is no address:port and no unix:/path", written);
}

static void
build_limits(struct milter_config *c, const struct policy_block *b)
{
	c->write_results = policy_setting_int(b, "authentication results") != 0;
	c->several_from = policy_setting_int(b, "several from") != 0;
	c->bare = policy_setting_int(b, "bare line ends") == 1;
	c->message_size = policy_setting_int(b, "max message");
	c->header_size = (size_t)policy_setting_int(b, "max header");
	c->text_line = (size_t)policy_setting_int(b, "max line");
	c->recipients = (size_t)policy_setting_int(b, "max recipients");
	c->filter_ms = policy_setting_int(b, "budget");
	c->dns_ms = policy_setting_int(b, "dns budget");
}

static void
build_services(struct milter_config *c, const struct policy_block *b)
{

	c->dns = services_dns(c->policy, c->arena);
	c->log = policy_setting_text(b, "log", 0).ptr;
	c->log_format = policy_setting_int(b, "log format") == 1 ? LOG_JSON : LOG_LOGFMT;
	c->user = policy_setting_text(b, "user", 0).ptr;
	c->spool = services_spool(c->policy);
}

static struct milter_config *
build(struct policy *policy, struct policy_diag *d)
{
	struct arena *arena = policy == NULL ? NULL : arena_new(ARENA_BLOCK, ARENA_MAX);
	struct milter_config *c = arena == NULL ? NULL : arena_alloc(arena, sizeof(*c));
	const struct policy_block *b;

	if (c == NULL) {
		arena_free(&arena);
		policy_free(&policy);
		return NULL;
	}
	c->policy = policy;
	c->arena = arena;
	b = policy_block(policy, "", 0);
	build_names(c, b, d);
	build_socket(c, b, d);
	build_limits(c, b);
	build_services(c, b);
	if (d->errors > 0)
		milter_config_free(&c);
	return c;
}

struct milter_config *
milter_config_load(const char *path, struct policy_diag *d)
{
	return build(policy_compile(path, milter_env(), d), d);
}

struct milter_config *
milter_config_load_text(const char *name, struct sp_span text, struct policy_diag *d)
{
	return build(policy_compile_text(name, text, milter_env(), d), d);
}

void
milter_config_free(struct milter_config **c)
{
	struct arena *arena;

	if (*c == NULL)
		return;
	policy_free(&(*c)->policy);
	arena = (*c)->arena; /* *c lives in it */
	arena_free(&arena);
	*c = NULL;
}
