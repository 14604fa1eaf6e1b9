/* policy_compile - what a compiled policy holds: settings, parameters, facts, filters, rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy/policy_priv.h"
#include "policy_env.h"

#define assert_text(span, text) assert_true(span_eq(span, span_str(text)))

static struct policy *
rules(const char *before, const char *lines)
{
	char text[4096];
	struct policy *p;

	snprintf(text, sizeof(text), "policy 1\n%s\nrules {\n%s\naccept\n}\n", before, lines);
	p = env_compile(text);
	assert_non_null(p);
	return p;
}

static const struct sp_fact_ref *
fact(const struct policy *p, const char *text)
{
	for (unsigned i = 0; i < policy_fact_count(p); i++) {
		assert_int_equal(policy_fact(p, i)->id, i);
		if (span_eq(policy_fact(p, i)->text, span_str(text)))
			return policy_fact(p, i);
	}
	return NULL;
}

/* ---- settings ------------------------------------------------------------------------------- */

static void
test_settings(void **state)
{
	struct policy *p = rules("listen 0.0.0.0:25 { max recipients 50 relay late backend mail certificate \"tls/a.pem\" }\n"
				 "listen [::]:25 { hostname mx.example.com }\n"
				 "backend mail { address 127.0.0.1:10025, [::1]:26 xclient yes timeout 2m }\nuser \"post fix\"\n",
		"");
	const struct policy_block *b = policy_block(p, "listen", 0);
	char path[4200], cwd[4096];

	(void)state;
	assert_text(policy_block_name(b), "0.0.0.0:25");
	assert_int_equal(policy_block_place(b).line, 2);
	assert_int_equal(policy_block_place(b).column, 8);
	assert_string_equal(policy_block_place(b).file, "test.policy");
	assert_int_equal(policy_setting_int(b, "max recipients"), 50);
	assert_int_equal(policy_setting_int(b, "relay"), 1);
	assert_text(policy_setting_text(b, "backend", 0), "mail");
	assert_false(policy_setting_given(b, "hostname"));
	assert_text(policy_setting_text(b, "hostname", 0), "localhost");
	assert_int_equal(policy_setting_count(b, "hostname"), 1);
	assert_int_equal(policy_setting_count(b, "relay to"), 0);
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(path, sizeof(path), "%s/tls/a.pem", cwd);
	assert_text(policy_setting_text(b, "certificate", 0), path);
	assert_int_equal(policy_setting_text(b, "certificate", 0).ptr[strlen(path)], '\0');
	assert_null(policy_setting_text(b, "certificate", 1).ptr);
	assert_int_equal(policy_setting_place(b, "relay").column, 39);
	assert_text(policy_block_name(policy_block(p, "listen", 1)), "[::]:25");
	assert_int_equal(policy_setting_int(policy_block(p, "listen", 1), "max recipients"), 100);
	assert_null(policy_block(p, "listen", 2));
	b = policy_block_named(p, "backend", SPAN_LIT("mail"));
	assert_int_equal(policy_setting_count(b, "address"), 2);
	assert_text(policy_setting_text(b, "address", 1), "[::1]:26");
	assert_int_equal(policy_setting_int(b, "xclient"), 1);
	assert_int_equal(policy_setting_int(b, "timeout"), 120000);
	assert_null(policy_block_named(p, "backend", SPAN_LIT("other")));
	assert_text(policy_setting_text(policy_block(p, "", 0), "user", 0), "post fix");
	assert_int_equal(policy_setting_count(policy_block(p, "", 0), "resolver"), 0);
	assert_null(policy_block(p, "spool", 0));
	policy_free(&p);
	assert_null(p);
}

static void
test_sets(void **state)
{
	struct policy *p = rules("table served : domain { example.com, .example.com }\n"
				 "listen 0.0.0.0:25 { relay to served, example.net relay to \"localhost\" relay for 10.0.0.0/8, ::1 }\n"
				 "listen 0.0.0.0:26 { relay to * }\n",
		"");
	const struct policy_block *b = policy_block(p, "listen", 0);
	struct sp_ip in = { 4, { 10, 1, 2, 3 } }, out = { 4, { 192, 0, 2, 1 } };

	(void)state;
	assert_int_equal(policy_setting_count(b, "relay to"), 3);
	assert_true(policy_setting_has_domain(b, "relay to", SPAN_LIT("example.com")));
	assert_true(policy_setting_has_domain(b, "relay to", SPAN_LIT("a.b.example.com")));
	assert_true(policy_setting_has_domain(b, "relay to", SPAN_LIT("EXAMPLE.net")));
	assert_true(policy_setting_has_domain(b, "relay to", SPAN_LIT("localhost")));
	assert_false(policy_setting_has_domain(b, "relay to", SPAN_LIT("a.example.net")));
	assert_false(policy_setting_has_domain(b, "relay to", SPAN_LIT("example.org")));
	assert_true(policy_setting_has_ip(b, "relay for", &in));
	assert_false(policy_setting_has_ip(b, "relay for", &out));
	b = policy_block(p, "listen", 1);
	assert_true(policy_setting_has_domain(b, "relay to", SPAN_LIT("example.org")));
	assert_false(policy_setting_has_ip(b, "relay for", &in));
	policy_free(&p);
}

/* ---- filters ---------------------------------------------------------------------------------- */

static void
test_params(void **state)
{
	struct policy *p = rules("filter probe {\n strict yes level 5 limit 2M wait 100ms mode harsh points -2.25 text \"a \\\"b\\\"\"\n"
				 "domain Example.COM address U@example.org pattern /a\\/b+/i file \"x/y\" ip 2001:db8::1\n"
				 "net 192.0.2.0/24 rate 10/s keys client.ip, message.header(\"List-Id\") }",
		"a : if probe.seen reject");
	const struct env_probe *conf = policy_filter(p, 0)->conf;
	struct policy *q = rules("filter probe", "a : if probe.seen reject");
	const struct env_probe *fallback = policy_filter(q, 0)->conf;

	(void)state;
	assert_true(conf->strict);
	assert_int_equal(conf->level, 5);
	assert_int_equal(conf->limit, 2 << 20);
	assert_int_equal(conf->wait, 100);
	assert_int_equal(conf->mode, 1);
	assert_true(conf->points < -2.24 && conf->points > -2.26);
	assert_text(conf->text, "a \"b\"");
	assert_text(conf->domain, "example.com");
	assert_text(conf->address, "U@example.org");
	assert_text(conf->pattern, "/a\\/b+/i");
	assert_int_equal(conf->file[0], '/');
	assert_int_equal(conf->ip.family, 6);
	assert_int_equal(conf->net.bits, 24);
	assert_int_equal(conf->rate.count, 10);
	assert_int_equal(conf->rate.period_ms, 1000);
	assert_int_equal(conf->keys.count, 2);
	assert_text(conf->keys.refs[1]->text, "message.header(\"List-Id\")");
	assert_text(conf->keys.refs[1]->name, "List-Id");
	assert_ptr_equal(policy_fact(p, conf->keys.refs[1]->id), conf->keys.refs[1]);

	assert_false(fallback->strict);
	assert_int_equal(fallback->level, 3);
	assert_int_equal(fallback->wait, 30000);
	assert_int_equal(fallback->mode, 0);
	assert_int_equal(fallback->text.len, 0);
	assert_int_equal(fallback->address.len, 0);
	assert_text(fallback->pattern, "/x/");
	assert_string_equal(fallback->file, "/dev/null");
	assert_int_equal(fallback->rate.count, 60);
	assert_text(fallback->keys.refs[0]->text, "client.ip");
	policy_free(&p);
	policy_free(&q);
}

static void
test_entries(void **state)
{
	struct policy *p = rules("filter probe\nfilter rate { a : key client.ip 60/min burst 120\n b : 5/h key mail.domain, probe.pass }",
		"x : if rate.b.over and rate.a.count > 3 reject");
	const struct policy_filter *f = policy_filter(p, 1);
	const struct env_rate_entry *a = f->entries[0].conf, *b = f->entries[1].conf;

	(void)state;
	assert_int_equal(f->entry_count, 2);
	assert_string_equal(f->entries[1].name, "b");
	assert_int_equal(a->rate.count, 60);
	assert_int_equal(a->burst, 120);
	assert_int_equal(b->rate.period_ms, 3600000);
	assert_int_equal(b->burst, 0);
	assert_int_equal(b->key.count, 2);
	assert_int_equal(f->entries[0].stage, SP_CONNECT);
	assert_int_equal(f->entries[1].stage, SP_EOM);
	assert_int_equal(fact(p, "rate.b.over")->stage, SP_EOM);
	assert_int_equal(fact(p, "rate.a.count")->stage, SP_CONNECT);
	/* what a wanted filter takes as a key is read, and wants its own filter */
	assert_true(f->wanted);
	assert_true(policy_filter(p, 0)->wanted);
	assert_non_null(fact(p, "probe.pass"));
	assert_int_equal(policy_fact_id(p, 1, 1, RATE_OVER), (int)fact(p, "rate.b.over")->id);
	assert_int_equal(policy_fact_id(p, 1, 0, RATE_COUNT), (int)fact(p, "rate.a.count")->id);
	assert_int_equal(policy_fact_id(p, 1, 0, RATE_OVER), -1);
	assert_int_equal(policy_fact_id(p, 1, 1, RATE_COUNT), -1);
	assert_int_equal(policy_fact_id(p, 0, -1, PROBE_PASS), (int)fact(p, "probe.pass")->id);
	assert_int_equal(policy_fact_id(p, 0, -1, PROBE_SEEN), -1);
	assert_int_equal(policy_fact_id(p, 0, -1, 1000), -1);
	assert_int_equal(policy_fact_id(p, 1, 2, RATE_OVER), -1);
	assert_int_equal(policy_fact_id(p, 2, -1, 0), -1);
	policy_free(&p);
}

static void
test_wanted(void **state)
{
	struct policy *p = rules("filter probe one\nfilter probe two\nfilter rate { a : key two.result 5/s }\nfilter scan { socket \"x\" }\n"
				 "filter picky",
		"a : if one.seen reject\nb : if not auth.user filter scan");

	(void)state;
	assert_true(policy_filter(p, 0)->wanted);
	assert_false(policy_filter(p, 1)->wanted); /* only an unwanted filter reads it */
	assert_false(policy_filter(p, 2)->wanted);
	assert_null(fact(p, "two.result"));
	assert_true(policy_filter(p, 3)->wanted && policy_filter(p, 3)->on_demand);
	assert_true(policy_filter(p, 4)->wanted); /* it states no facts: it runs for what it does */
	assert_text(policy_filter(p, 1)->name, "two");
	assert_string_equal(policy_filter(p, 1)->module->name, "probe");
	policy_free(&p);
}

static void
test_load(void **state)
{
	struct policy *p = rules("filter picky\nfilter picky second { level 2 }", "");
	const struct env_picky *conf = policy_filter(p, 1)->conf;

	(void)state;
	assert_int_equal(env_picky_loaded, 2);
	assert_non_null(conf->memory);
	assert_non_null(conf->shared);
	policy_free(&p);
	assert_int_equal(env_picky_loaded, 0);
}

/* A module loaded before the mistake was found is unloaded. */
static void
test_load_undone(void **state)
{
	struct policy_diag d;

	(void)state;
	policy_diag_init(&d);
	assert_null(policy_compile_text("t", span_str("policy 1\nfilter picky\nrules { a : if no.fact reject accept }"), &test_env, &d));
	assert_int_equal(d.errors, 1);
	assert_int_equal(env_picky_loaded, 0);
	policy_diag_fini(&d);
}

/* ---- facts and rules ----------------------------------------------------------------------------- */

static void
test_facts(void **state)
{
	struct policy *p = rules("", "a : if client.ip in 192.0.2.0/24 reject \"{client.ip} {message.header(\\\"Subject\\\")}\"\n"
				     "b : if message.header(\"SUBJECT\") ~ /x/ and message.header(\"To\") reject \"{message.header(to)}\"");

	(void)state;
	assert_int_equal(policy_fact_count(p), 3);
	assert_non_null(fact(p, "client.ip"));
	assert_text(fact(p, "message.header(\"Subject\")")->name, "Subject");
	assert_int_equal(fact(p, "message.header(\"To\")")->stage, SP_HEADER);
	assert_ptr_equal(fact(p, "client.ip")->space, &env_spaces[0]);
	assert_int_equal(fact(p, "client.ip")->fact, CLIENT_IP);
	assert_int_equal(fact(p, "client.ip")->filter, -1);
	assert_null(policy_fact(p, 3));
	policy_free(&p);
}

static void
assert_template(const struct template *t, const char *expected)
{
	struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < t->count; i++)
		if (t->parts[i].ref != NULL)
			buf_printf(&b, "<%.*s>", (int)t->parts[i].ref->text.len, t->parts[i].ref->text.ptr);
		else
			buf_add(&b, t->parts[i].literal);
	assert_string_equal(buf_cstr(&b), expected);
	buf_fini(&b);
}

static void
test_replies(void **state)
{
	struct policy *p = rules("on unknown reject 554 5.7.0 \"un{{known\"",
		"a : if tls.active reject\nb : if tls.active reject 552 5.3.4 \"{rule} {{ } \\\"{client.ip}\\\"{client.port}\"\n"
		"c : if tls.active defer \"x\" shadow at rcpt on unknown skip\nd : if tls.active discard on unknown defer 450\n"
		"e : if tls.active defer 421 on unknown accept");
	const struct policy_rule *r = policy_rule(p, 0);

	(void)state;
	assert_int_equal(r->reply.code, 550);
	assert_text(r->reply.enhanced, "5.7.1");
	assert_template(&r->reply.text, "refused by policy (a)");
	assert_int_equal(r->on_unknown, UNKNOWN_DEFAULT);
	assert_int_equal(r->pinned, -1);
	r = policy_rule(p, 1);
	assert_int_equal(r->reply.code, 552);
	assert_text(r->reply.enhanced, "5.3.4");
	assert_template(&r->reply.text, "b { } \"<client.ip>\"<client.port>");
	r = policy_rule(p, 2);
	assert_int_equal(r->reply.code, 451);
	assert_int_equal(r->on_unknown, UNKNOWN_SKIP);
	assert_int_equal(r->pinned, SP_RCPT);
	assert_true(policy_rule_shadow(r));
	r = policy_rule(p, 3);
	assert_int_equal(r->reply.verdict, POLICY_DISCARD);
	assert_int_equal(r->reply.code, 250);
	assert_int_equal(r->on_unknown, UNKNOWN_VERDICT);
	assert_int_equal(r->unknown.code, 450);
	assert_template(&r->unknown.text, "deferred by policy, try again later (d)");
	assert_int_equal(policy_rule(p, 4)->unknown.verdict, POLICY_ACCEPT);
	assert_text(policy_rule_name(policy_rule(p, 5)), "accept");
	assert_int_equal(policy_rule_place(policy_rule(p, 5)).line, 9);
	assert_int_equal(policy_rule_count(p), 6);
	assert_null(policy_rule(p, 6));
	assert_int_equal(p->unknown.code, 554);
	assert_template(&p->unknown.text, "un{known");
	policy_free(&p);
}

static void
test_verbs(void **state)
{
	struct policy *p = rules("filter scan { socket \"x\" }",
		"a : add-header \"X-A\" \"by {rule}\"\nb : remove-header \"X-B\"\nc : score -1.25\nd : tag big\ne : log \"{client.ip}\"\n"
		"f : filter scan\ng : if tagged big and score >= 2 reject");

	(void)state;
	assert_int_equal(policy_rule(p, 0)->verb, VERB_ADD_HEADER);
	assert_text(policy_rule(p, 0)->arg_name, "X-A");
	assert_template(&policy_rule(p, 0)->arg, "by a");
	assert_text(policy_rule(p, 1)->arg_name, "X-B");
	assert_true(policy_rule(p, 2)->points < -1.24 && policy_rule(p, 2)->points > -1.26);
	assert_text(policy_rule(p, 3)->arg_name, "big");
	assert_template(&policy_rule(p, 4)->arg, "<client.ip>");
	assert_int_equal(policy_rule(p, 5)->filter, 0);
	assert_null(policy_rule(p, 5)->condition);
	assert_int_equal(policy_rule(p, 6)->condition->op, EXPR_AND);
	policy_free(&p);
}

static const struct expr *
condition(const struct policy *p, size_t rule)
{
	return policy_rule(p, rule)->condition;
}

/* Literals take the type of the fact on the left. */
static void
test_types(void **state)
{
	struct policy *p = rules("filter probe\ntable t : domain -> int { a.example -> 3 }",
		"a : if mail.domain == Example.ORG reject\nb : if mail.address != \"\" reject\nc : if client.ip in (192.0.2.0/24, ::1) reject\n"
		"d : if probe.score > 5 reject\ne : if time.weekday == monday reject\nf : if t[mail.domain] <= 7 reject\n"
		"g : if mail.domain in probe.domains reject\nh : if tls.active == yes reject\ni : if not tls.cipher reject\n"
		"j : if client.helo !~ /X/i reject");

	(void)state;
	assert_int_equal(condition(p, 0)->right->type, SP_DOMAIN);
	assert_text(condition(p, 0)->right->value.u.text, "example.org");
	assert_int_equal(condition(p, 1)->op, EXPR_NE);
	assert_int_equal(condition(p, 1)->right->value.u.text.len, 0);
	assert_int_equal(condition(p, 2)->op, EXPR_IN_LIST);
	assert_int_equal(condition(p, 2)->items[0]->type, SP_NET);
	assert_int_equal(condition(p, 2)->items[1]->type, SP_IP);
	assert_int_equal(condition(p, 3)->right->type, SP_SCORE);
	assert_int_equal(condition(p, 4)->right->value.u.integer, 1);
	assert_int_equal(condition(p, 5)->left->op, EXPR_LOOKUP);
	assert_int_equal(condition(p, 5)->left->type, SP_INT);
	assert_int_equal(condition(p, 6)->op, EXPR_IN_LIST);
	assert_int_equal(condition(p, 6)->items[0]->op, EXPR_FACT);
	assert_true(condition(p, 7)->right->value.u.boolean);
	assert_int_equal(condition(p, 8)->op, EXPR_NOT);
	assert_int_equal(condition(p, 8)->left->op, EXPR_TRUTH);
	assert_int_equal(condition(p, 9)->left->op, EXPR_MATCH);
	assert_non_null(condition(p, 9)->left->regex);
	assert_text(condition(p, 9)->left->value.u.text, "/X/i");
	policy_free(&p);
}

/* ---- limits and messages --------------------------------------------------------------------------- */

static unsigned
errors_of(struct sp_span text)
{
	struct policy_diag d;
	struct policy *p;
	unsigned errors;

	policy_diag_init(&d);
	p = policy_compile_text("t", text, &test_env, &d);
	errors = d.errors;
	assert_int_equal(p == NULL, errors > 0);
	policy_free(&p);
	policy_diag_fini(&d);
	return errors;
}

static unsigned
errors_of_chain(size_t operands)
{
	struct buf b;
	unsigned errors;

	buf_init(&b, 1 << 20);
	buf_add_str(&b, "policy 1\nrules { a : if tls.active");
	for (size_t i = 1; i < operands; i++)
		buf_add_str(&b, " or\ntls.active");
	buf_add_str(&b, " reject accept }");
	errors = errors_of(buf_span(&b));
	buf_fini(&b);
	return errors;
}

static unsigned
errors_of_size(size_t size)
{
	static const char text[] = "policy 1\nrules { accept }\n";
	char *padded = malloc(size);
	unsigned errors;

	assert_non_null(padded);
	memset(padded, '\n', size);
	memcpy(padded, text, sizeof(text) - 1);
	errors = errors_of(span_of(padded, size));
	free(padded);
	return errors;
}

static unsigned
errors_of_depth(size_t depth)
{
	struct buf b;
	unsigned errors;

	buf_init(&b, 4096);
	buf_add_str(&b, "policy 1\nrules { a : if ");
	for (size_t i = 0; i < depth; i++)
		buf_add_char(&b, '(');
	buf_add_str(&b, "tls.active");
	for (size_t i = 0; i < depth; i++)
		buf_add_char(&b, ')');
	buf_add_str(&b, " reject accept }");
	errors = errors_of(buf_span(&b));
	buf_fini(&b);
	return errors;
}

static void
test_limits(void **state)
{
	(void)state;
	assert_int_equal(errors_of_chain(1024), 0);
	assert_int_equal(errors_of_chain(1025), 1);
	assert_int_equal(errors_of_depth(32), 0);
	assert_int_equal(errors_of_depth(33), 1);
	assert_int_equal(errors_of_size(1 << 20), 0);
	assert_int_equal(errors_of_size((1 << 20) + 1), 1);
}

/* A policy that includes count files. */
static unsigned
errors_of_includes(unsigned count)
{
	char dir[] = "/tmp/policy-test-XXXXXX", path[64];
	struct policy_diag d;
	struct policy *p;
	unsigned errors;
	FILE *to;

	assert_non_null(mkdtemp(dir));
	for (unsigned i = 0; i <= count; i++) {
		snprintf(path, sizeof(path), "%s/%03u.%s", dir, i, i == 0 ? "policy" : "inc");
		to = fopen(path, "w");
		assert_non_null(to);
		if (i == 0)
			fprintf(to, "policy 1\ninclude \"*.inc\"\nrules { accept }\n");
		fclose(to);
	}
	snprintf(path, sizeof(path), "%s/000.policy", dir);
	policy_diag_init(&d);
	p = policy_compile(path, &test_env, &d);
	errors = d.errors;
	policy_free(&p);
	policy_diag_fini(&d);
	for (unsigned i = 0; i <= count; i++) {
		snprintf(path, sizeof(path), "%s/%03u.%s", dir, i, i == 0 ? "policy" : "inc");
		unlink(path);
	}
	rmdir(dir);
	return errors;
}

static void
test_includes(void **state)
{
	(void)state;
	assert_int_equal(errors_of_includes(100), 0);
	assert_int_equal(errors_of_includes(101), 1);
}

static void
test_unreadable(void **state)
{
	struct policy_diag d;

	(void)state;
	policy_diag_init(&d);
	assert_null(policy_compile("/nonexistent/x.policy", &test_env, &d));
	assert_string_equal(buf_cstr(&d.text),
		"/nonexistent/x.policy: error: cannot read the policy: No such file or directory\n");
	assert_null(policy_compile("/dev", &test_env, &d));
	assert_null(policy_compile("/dev/zero", &test_env, &d));
	assert_int_equal(d.errors, 3);
	policy_diag_fini(&d);
}

static void
test_diag_at(void **state)
{
	struct policy *p = rules("listen 0.0.0.0:25 { relay late }", "");
	struct policy_diag d;

	(void)state;
	policy_diag_init(&d);
	policy_diag_at(&d, p, policy_setting_place(policy_block(p, "listen", 0), "relay"), false, "late is %s", "too late");
	policy_diag_at(&d, p, policy_block_place(policy_block(p, "listen", 0)), true, "no 'relay to'");
	assert_string_equal(buf_cstr(&d.text),
		"test.policy:2:21: error: late is too late\n    2 | listen 0.0.0.0:25 { relay late }\n      |                     ^^^^^\n"
		"test.policy:2:8: warning: no 'relay to'\n    2 | listen 0.0.0.0:25 { relay late }\n      |        ^^^^^^^^^^\n");
	assert_int_equal(d.errors, 1);
	assert_int_equal(d.warnings, 1);
	policy_diag_fini(&d);
	policy_free(&p);
}

static void
test_facts_print(void **state)
{
	static const char *const filters[] = { "rate", "nonesuch", NULL };
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	(void)state;
	assert_non_null(to);
	policy_facts(&test_env, filters, to);
	fclose(to);
	assert_non_null(strstr(text, "client.ip                        ip        connect  the client's address\n"));
	assert_non_null(strstr(text, "message.header(\"...\")"));
	assert_non_null(strstr(text, "sunday monday"));
	assert_non_null(strstr(text, "rate.ENTRY.over"));
	assert_non_null(strstr(text, "nonesuch: no such module is installed\n"));
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_load_undone),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_includes),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_diag_at),
		cmocka_unit_test(test_facts_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
