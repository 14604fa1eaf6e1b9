/* The services that modules get: facts, memory, DNS, connections, time; and the client's confirmed reverse name. */
#include "tests/unit/inspect_env.h"

#include <unistd.h>

#include "proxy/dns/dns.h"
#include "proxy/net/net.h"

/* ---- a DNS of our own: these stand in for proxy/dns ------------------------------------------ */

static enum sp_status ptr_status, addrs_status;
static struct sp_span ptr_names[3];
static size_t ptr_count;
static struct sp_ip addr;
static int asked;
static int64_t asked_until;

enum sp_status
dns_ptr(const struct sp_ip *ip, int64_t deadline_ms, struct arena *a, struct sp_names *ret)
{
	(void)ip;
	(void)a;
	asked++;
	asked_until = deadline_ms;
	*ret = (struct sp_names){ ptr_names, ptr_count };
	return ptr_status;
}

enum sp_status
dns_addrs(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_addrs *ret)
{
	static const struct sp_ip other = { 4, { 203, 0, 113, 9 } };
	(void)deadline_ms;
	(void)a;
	asked++;
	*ret = (struct sp_addrs){ span_eq(name, SPAN_LIT("other.example")) ? &other : &addr, 1 };
	return addrs_status;
}

enum sp_status
dns_txt(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_names *ret)
{
	(void)name;
	(void)deadline_ms;
	(void)a;
	(void)ret;
	return SP_NONE;
}

enum sp_status
dns_mx(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_mxs *ret)
{
	(void)name;
	(void)deadline_ms;
	(void)a;
	(void)ret;
	return SP_TIMEOUT;
}

static int family_asked;

enum sp_status
dns_a(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_addrs *ret)
{
	family_asked = 4;
	return dns_addrs(name, deadline_ms, a, ret);
}

enum sp_status
dns_aaaa(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_addrs *ret)
{
	family_asked = 6;
	return dns_addrs(name, deadline_ms, a, ret);
}

/* Each name is its own text. */
enum sp_status
dns_texts(const struct dns_batch *ask, int64_t deadline_ms, struct arena *a, struct sp_texts *ret)
{
	(void)deadline_ms;
	(void)a;
	for (size_t n = 0; n < ask->count; n++)
		ret[n] = (struct sp_texts){ SP_OK, { &ask->names[n], 1 } };
	return SP_OK;
}

/* ---- client.name --------------------------------------------------------------------------------------- */

static const struct name_case {
	enum sp_status ptr, addrs;
	const char *names[3];
	uint8_t last; /* of the address found */
	const char *want; /* null: unknown */
} name_cases[] = {
	{ SP_OK, SP_OK, { "MX.example.org" }, 1, "mx.example.org" },
	{ SP_OK, SP_OK, { "other.example", "mx.example.org" }, 1, "mx.example.org" },
	{ SP_OK, SP_OK, { "mx.example.org" }, 2, "" },
	{ SP_OK, SP_NONE, { "mx.example.org" }, 1, "" },
	{ SP_OK, SP_TEMPFAIL, { "mx.example.org" }, 1, NULL },
	{ SP_OK, SP_OK, { "evil\r\nMAIL" }, 1, "" },
	{ SP_OK, SP_OK, { "a b.example" }, 1, "" },
	{ SP_NONE, SP_OK, { NULL }, 1, "" },
	{ SP_TIMEOUT, SP_OK, { NULL }, 1, NULL },
};

static void
client_name(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(name_cases) / sizeof(name_cases[0]); n++) {
		const struct name_case *c = &name_cases[n];
		struct world w;
		char text[512];

		ptr_status = c->ptr;
		addrs_status = c->addrs;
		addr = (struct sp_ip){ 4, { 192, 0, 2, c->last } };
		for (ptr_count = 0; ptr_count < 3 && c->names[ptr_count] != NULL; ptr_count++)
			ptr_names[ptr_count] = span_str(c->names[ptr_count]);
		snprintf(text, sizeof(text), "policy 1\nrules {\n r : if %s%s reject 550 5.7.1 \"no\"\n accept\n}\n",
			c->want == NULL || c->want[0] == '\0' ? "not client.name" : "client.name == ",
			c->want == NULL ? "" : c->want);
		asked = 0;
		world_init(&w, text);
		w.verdict = inspect_connect(w.in, 12345);
		assert_int_equal(w.verdict.verdict, c->want != NULL ? POLICY_REJECT : POLICY_DEFER);
		assert_string_equal(world_rule(&w), "r");
		assert_int_equal(asked_until, 12345);
		assert_true(asked >= 1 && asked <= 3);
		world_fini(&w);
	}
}

/* Asked only when a rule reads it, and once in a session. */
static void
client_name_lazy(void **state)
{
	struct world w;

	(void)state;
	asked = 0;
	ptr_status = SP_NONE;
	world_init(&w, "policy 1\nrules {\n r : if client.port == 1 and client.name == a.test reject 550 5.7.1 \"no\"\n accept\n}\n");
	assert_int_equal(world_connect(&w), POLICY_ACCEPT);
	assert_int_equal(asked, 0);
	world_fini(&w);
	world_init(&w, "policy 1\nrules {\n r : if client.name == a.test reject 550 5.7.1 \"no\"\n"
		" s : if client.helo == \"ask\" and client.name == b.test reject 550 5.7.1 \"no\"\n accept\n}\n");
	world_connect(&w);
	world_helo(&w, "ask");
	world_helo(&w, "ask");
	assert_int_equal(asked, 1);
	world_fini(&w);
}

/* ---- a module that does what a test says at MAIL ---------------------------------------------------------- */

static void (*at_mail)(struct sp_ctx *ctx);

static enum sp_status
svc_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	(void)ev;
	at_mail(ctx);
	return SP_OK;
}

enum { SVC_EARLY, SVC_WORD, SVC_NAME, SVC_SET, SVC_SCORE, SVC_UNREAD };
static const struct sp_fact_decl svc_facts[] = {
	[SVC_EARLY] = { .name = "early", .type = SP_INT, .stage = SP_CONNECT, .help = "too late at MAIL" },
	[SVC_WORD] = { .name = "word", .type = SP_ENUM, .stage = SP_MAIL, .help = "a word", .words = watch_words },
	[SVC_NAME] = { .name = "name", .type = SP_DOMAIN, .stage = SP_MAIL, .help = "a domain" },
	[SVC_SET] = { .name = "set", .type = SP_DOMAINS, .stage = SP_MAIL, .help = "domains" },
	[SVC_SCORE] = { .name = "score", .type = SP_SCORE, .stage = SP_MAIL, .help = "points" },
	[SVC_UNREAD] = { .name = "unread", .type = SP_INT, .stage = SP_MAIL, .help = "no rule reads it" },
	SP_FACTS_END
};

struct svc_conf {
	struct sp_keys keys;
};
static const struct sp_param svc_params[] = {
	{ .name = "keys", .type = SP_FACT, .offset = offsetof(struct svc_conf, keys) },
	SP_PARAMS_END
};
static const struct sp_filter svc_module = {
	SP_FILTER_HEAD, .name = "svc", .summary = "uses services", .facts = svc_facts, .params = svc_params,
	.conf_size = sizeof(struct svc_conf), .on_mail = svc_on_mail
};

static enum sp_status
svc_find(void *arg, const char *name, const struct sp_filter **ret, const char **reterr)
{
	(void)arg;
	*ret = &svc_module;
	*reterr = "no such module";
	return strcmp(name, "svc") == 0 ? SP_OK : SP_NONE;
}

static const char *const *
svc_names(void *arg)
{
	static const char *const names[] = { "svc", NULL };

	(void)arg;
	return names;
}

static const struct policy_env svc_env = { .spaces = inspect_spaces, .blocks = env_blocks, .filter_find = svc_find,
	.filter_names = svc_names, .host = &inspect_host };

static const char *svc_keys = ""; /* more of them */

static struct policy_verdict after_rcpt;

/* The verdict at MAIL of "if CONDITION reject; accept", with fn run in the module's hook. */
static struct policy_verdict
run_with(const char *condition, void (*fn)(struct sp_ctx *), int64_t budget_ms)
{
	const struct inspect_client c = { .ip = { 4, { 192, 0, 2, 1 } }, .listener = SPAN_LIT("*:25") };
	struct command_path mail = { .size = -1 };
	struct policy_diag d;
	struct policy *p;
	struct inspect *in;
	struct policy_verdict v;
	char text[512];

	snprintf(text, sizeof(text), "policy 1\nfilter svc { keys client.ip%s }\n"
		"rules {\n r : if %s reject 550 5.7.1 \"no\"\n accept\n}\n", svc_keys, condition);
	policy_diag_init(&d);
	p = policy_compile_text("test.policy", span_str(text), &svc_env, &d);
	if (p == NULL)
		fail_msg("%s", buf_cstr(&d.text));
	policy_diag_fini(&d);
	assert_int_equal(address_parse_bare(SPAN_LIT("a@Example.ORG"), &mail.address), ADDRESS_OK);
	at_mail = fn;
	logged[0] = '\0';
	inspect_log_to(env_keep_log, logged);
	in = inspect_new(p, &c);
	inspect_connect(in, RT_NEVER);
	v = inspect_mail(in, &mail, budget_ms);
	v.rule = NULL;
	after_rcpt = inspect_rcpt(in, &mail.address, RT_NEVER);
	inspect_free(&in);
	policy_free(&p);
	return v;
}

/* ---- facts ------------------------------------------------------------------------------------------------- */

static void
set_all(struct sp_ctx *ctx)
{
	char name[] = "Name.Example.", item[] = "One.Example";
	struct sp_span items[] = { span_str(item), SPAN_LIT("two.example") };
	struct sp_value set = { SP_DOMAINS, { .set = { items, 2 } } };

	sp_fact_number(ctx, SVC_WORD, SP_ENUM, 1);
	sp_fact_text(ctx, SVC_NAME, SP_DOMAIN, span_str(name));
	sp_fact_value(ctx, SVC_SET, &set);
	sp_fact_score(ctx, SVC_SCORE, 1.5);
	sp_fact_number(ctx, SVC_UNREAD, SP_INT, 1);
	memset(name, 'x', sizeof(name) - 1); /* all was copied */
	memset(item, 'x', sizeof(item) - 1);
	items[1] = span_str(item);
}

static void
set_wrong(struct sp_ctx *ctx)
{
	sp_fact_number(ctx, SVC_EARLY, SP_INT, 1);
	assert_non_null(strstr(logged, "filter svc: svc.early: set too late"));
	sp_fact_number(ctx, SVC_WORD, SP_ENUM, 2);
	assert_non_null(strstr(logged, "svc.word: a value of the wrong type or range"));
	logged[0] = '\0';
	sp_fact_number(ctx, SVC_NAME, SP_INT, 2);
	assert_non_null(strstr(logged, "svc.name: a value"));
	logged[0] = '\0';
	sp_fact_number(ctx, 99, SP_INT, 2);
	ctx->host->fact_set(ctx, 7, 0, &(struct sp_value){ SP_INT, { .integer = 1 } });
	assert_string_equal(logged, "");
}

static void
facts_set(void **state)
{
	(void)state;
	assert_int_equal(run_with("svc.word == bad and svc.name == name.example and svc.set == one.example and "
		"svc.set == two.example and svc.score > 1.4", set_all, 60000).verdict, POLICY_REJECT);
	assert_int_equal(run_with("svc.early == 1 or svc.word == bad or svc.name == a.b", set_wrong, 60000).verdict,
		POLICY_DEFER);
}

static void
read_keys(struct sp_ctx *ctx)
{
	const struct svc_conf *conf = ctx->conf;
	struct sp_value v;

	assert_int_equal(conf->keys.count, 2);
	assert_int_equal(sp_fact_read(ctx, conf->keys.refs[0], &v), SP_OK);
	assert_int_equal(v.u.ip.bytes[0], 192);
	assert_int_equal(sp_fact_read(ctx, conf->keys.refs[1], &v), SP_OK);
	assert_true(span_eq(v.u.text, SPAN_LIT("example.org")));
	sp_fact_score(ctx, SVC_SCORE, 1);
}

static void
facts_read(void **state)
{
	(void)state;
	svc_keys = ", mail.domain";
	assert_int_equal(run_with("svc.score == 1.0", read_keys, 60000).verdict, POLICY_REJECT);
	svc_keys = "";
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

static void
use_memory(struct sp_ctx *ctx)
{
	const char *p = sp_alloc(ctx, 1000);
	size_t got = 0;

	assert_non_null(p);
	for (int n = 0; n < 1000; n++)
		assert_int_equal(p[n], 0);
	while (sp_alloc(ctx, 1 << 20) != NULL)
		assert_true(++got < 64); /* it has an end */
	assert_true(got > 1);
	assert_int_equal(ctx->host->now_ms(ctx) > 0, 1);
	sp_log(ctx, SP_LOG_WARNING, "two\nlines %s", "\x1b[1m");
	assert_string_equal(logged, "filter svc: two?lines ?[1m");
	sp_fact_score(ctx, SVC_SCORE, 1);
}

static void
memory_has_an_end(void **state)
{
	(void)state;
	assert_int_equal(run_with("svc.score == 1.0", use_memory, 60000).verdict, POLICY_REJECT);
}

/* ---- what came with ABI 0.2 ----------------------------------------------------------------------------------- */

static void
use_newer(struct sp_ctx *ctx)
{
	const struct sp_span names[] = { SPAN_LIT("a.example"), SPAN_LIT("b.example") };
	const struct sp_value key = { SP_DOMAIN, { .text = SPAN_LIT("a.example") } };
	struct sp_addrs addrs;
	struct sp_texts texts[2];

	addrs_status = SP_OK;
	for (int family = 0; family <= 10; family++) {
		family_asked = 0;
		assert_int_equal(sp_dns_ips(ctx, names[0], family, &addrs), family == 4 || family == 6 ? SP_OK : SP_INVALID);
		assert_int_equal(family_asked, family == 4 || family == 6 ? family : 0);
	}
	assert_int_equal(sp_dns_texts(ctx, names, 2, texts), SP_OK);
	assert_true(span_eq(texts[1].names.items[0], names[1]));
	assert_false(sp_table_has(ctx, NULL, &key));
	assert_false(ctx->host->table_has(NULL, &key));
	assert_true(span_eq(ctx->host->auth_id(ctx), SPAN_LIT("localhost"))); /* no listener has said otherwise */
	assert_true(span_eq(ctx->host->results_text(ctx), SPAN_LIT("localhost; none")));
	sp_fact_score(ctx, SVC_SCORE, 1);
}

static void
newer_services(void **state)
{
	(void)state;
	assert_int_equal(run_with("svc.score == 1.0", use_newer, 60000).verdict, POLICY_REJECT);
}

/* A transaction without memory is deferred, by no rule. */
static void
leave_nothing(struct sp_ctx *ctx)
{
	for (size_t size = 1 << 20; size > 0; size /= 2)
		while (sp_alloc(ctx, size) != NULL)
			;
}

static void
no_memory_defers(void **state)
{
	(void)state;
	assert_int_equal(run_with("rcpt.local == \"x\" and svc.score == 1.0", leave_nothing, 60000).verdict, POLICY_UNDECIDED);
	assert_int_equal(after_rcpt.verdict, POLICY_DEFER);
	assert_null(after_rcpt.rule);
	assert_int_equal(after_rcpt.code, 451);
	assert_true(span_eq(after_rcpt.enhanced, SPAN_LIT("4.3.0")));
}

/* ---- waiting: in a coroutine ------------------------------------------------------------------------------------- */

static int listener;
static uint16_t port;
static bool ran;

static void
serve(void *arg)
{
	struct sp_ip ip;
	uint16_t from;
	struct rt_fd *wait = rt_fd_new(listener);
	struct stream *s;
	int fd;

	(void)arg;
	while (rt_fd_wait(wait, CO_READ, rt_deadline(5000)) != SP_OK)
		;
	fd = net_accept(listener, &ip, &from);
	rt_fd_free(&wait);
	assert_true(fd >= 0);
	s = stream_new(fd);
	assert_non_null(s);
	assert_int_equal(stream_fill(s, rt_deadline(5000)), SP_OK);
	assert_int_equal(stream_write(s, stream_input(s), rt_deadline(5000)), SP_OK);
	assert_int_equal(stream_flush(s, rt_deadline(5000)), SP_OK);
	stream_consume(s, stream_input(s).len);
	assert_int_equal(stream_fill(s, rt_deadline(5000)), SP_GONE); /* the module forgot to close: the host did */
	stream_free(&s);
	ran = true;
	rt_stop();
}

static void
talk(struct sp_ctx *ctx)
{
	char endpoint[64], text[8];
	struct sp_conn *conn = NULL;
	size_t len, all = 0;

	snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", port);
	assert_int_equal(sp_connect(ctx, "nonsense", 1000, &conn), SP_INVALID);
	assert_int_equal(sp_connect(ctx, endpoint, 1000, &conn), SP_OK);
	assert_int_equal(ctx->host->conn_write(conn, SPAN_LIT("hello"), 1000), SP_OK);
	while (all < 5) {
		assert_int_equal(ctx->host->conn_read(conn, text + all, 2, 1000, &len), SP_OK);
		assert_true(len >= 1 && len <= 2);
		all += len;
	}
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(ctx->host->conn_read(conn, text, 2, 10, &len), SP_TIMEOUT);
	sp_fact_score(ctx, SVC_SCORE, 1);
}

static void
client(void *arg)
{
	(void)arg;
	assert_int_equal(run_with("svc.score == 1.0", talk, 60000).verdict, POLICY_REJECT);
}

static void
connections(void **state)
{
	struct net_endpoint e;

	(void)state;
	assert_int_equal(rt_init(), SP_OK);
	assert_int_equal(net_endpoint_parse(SPAN_LIT("127.0.0.1:0"), 25, &e), SP_OK);
	listener = net_listen(&e, 5);
	assert_true(listener >= 0);
	port = net_local_port(listener);
	ran = false;
	assert_int_equal(co_start(serve, NULL, NULL), SP_OK);
	assert_int_equal(co_start(client, NULL, NULL), SP_OK);
	rt_run();
	assert_true(ran);
	close(listener);
	rt_fini();
}

static void
add_one(void *arg)
{
	++*(int *)arg;
}

static void
sleep_long(struct sp_ctx *ctx)
{
	int n = 0;

	assert_int_equal(sp_blocking(ctx, add_one, &n), SP_OK);
	assert_int_equal(n, 1);
	assert_int_equal(sp_sleep(ctx, 1), SP_OK);
	assert_int_equal(sp_sleep(ctx, 3600 * 1000), SP_TIMEOUT); /* the budget ends it */
}

static void
sleeper(void *arg)
{
	int64_t began = rt_now_ns();

	(void)arg;
	assert_int_equal(run_with("svc.score == 1.0", sleep_long, 50).verdict, POLICY_DEFER);
	assert_true(rt_now_ns() - began < (int64_t)10 * 1000 * 1000 * 1000);
	ran = true;
	rt_stop();
}

static void
time_has_an_end(void **state)
{
	(void)state;
	assert_int_equal(rt_init(), SP_OK);
	ran = false;
	assert_int_equal(co_start(sleeper, NULL, NULL), SP_OK);
	rt_run();
	assert_true(ran);
	rt_fini();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_name),
		cmocka_unit_test(client_name_lazy),
		cmocka_unit_test(facts_set),
		cmocka_unit_test(facts_read),
		cmocka_unit_test(memory_has_an_end),
		cmocka_unit_test(newer_services),
		cmocka_unit_test(no_memory_defers),
		cmocka_unit_test(connections),
		cmocka_unit_test(time_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
