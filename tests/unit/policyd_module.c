/* The module by a scripted server: what is asked when, what the answers do, and each way in which the server fails. */
#include "tests/unit/wire_host.h"

extern const struct sp_filter sp_filter_policyd;

enum { AT_MAIL, AT_RCPT, AT_DATA, AT_EOM };
enum { FACT_VERDICT, FACT_REPLY, FACT_ACTION, FACT_TEXT, FACT_QUARANTINE };
enum { VERDICT_NONE, VERDICT_REJECT, VERDICT_DEFER, VERDICT_DISCARD, VERDICT_HOLD };

/* As policyd.c has it; the parameters' offsets say where each is. */
struct setup {
	_Alignas(16) char conf[512];
	struct box box;
};

static void
set(struct setup *s, const char *name, const void *value, size_t len)
{
	for (const struct sp_param *p = sp_filter_policyd.params; p->type != SP_END; p++)
		if (strcmp(p->name, name) == 0) {
			memcpy(s->conf + p->offset, value, len);
			return;
		}
	fail_msg("no parameter %s", name);
}

static void
set_text(struct setup *s, const char *name, const char *text)
{
	struct sp_span span = box_span(text);

	set(s, name, &span, sizeof(span));
}

static void
setup(struct setup *s, int64_t at, bool obey, const struct wire_step *script)
{
	int64_t timeout = 30000;

	memset(s, 0, sizeof(*s));
	assert_true(sp_filter_policyd.conf_size <= sizeof(s->conf));
	set_text(s, "socket", "127.0.0.1:10023");
	set(s, "at", &at, sizeof(at));
	set(s, "timeout", &timeout, sizeof(timeout));
	set(s, "obey", &obey, sizeof(obey));
	set_text(s, "context", "");
	assert_int_equal(box_init(&s->box, &sp_filter_policyd, s->conf, NULL, 0), SP_OK);
	wire_init(&s->box, script);
}

static void
done(struct setup *s)
{
	wire_fini();
	box_fini(&s->box, s->conf, NULL);
}

static void
transaction(struct setup *s)
{
	assert_int_equal(box_connect(&s->box), SP_OK);
	assert_int_equal(box_helo(&s->box, "mx.example.org"), SP_OK);
	assert_int_equal(box_mail(&s->box, 1000), SP_OK);
}

static enum sp_status
end(struct setup *s)
{
	return box_message(&s->box, box_span("Subject: x\r\n\r\nbody\r\n"));
}

static int64_t
verdict(const struct setup *s)
{
	const struct sp_value *v = box_fact(&s->box, -1, FACT_VERDICT);

	return v == NULL ? -1 : v->u.integer;
}

static void
fact_is(const struct setup *s, unsigned fact, const char *want)
{
	const struct sp_value *v = box_fact(&s->box, -1, fact);

	assert_non_null(v);
	assert_int_equal(v->u.text.len, strlen(want));
	assert_memory_equal(v->u.text.ptr, want, v->u.text.len);
}

static void
asked(const char *line)
{
	if (strstr(wire.written, line) == NULL)
		fail_msg("not asked: %sbut %s", line, wire.written);
}

/* ---- what is asked --------------------------------------------------------------------------- */

static void
attributes(void **state)
{
	static const struct wire_step script[] = { { "action=DUNNO\n\n", SP_OK, false } };
	const struct wire_fact facts[] = { { "client.name", wire_text("mx.example.org") }, { "client.helo", wire_text("mx\nx=y") },
		{ "listener.ip", { .type = SP_IP, .u.ip = { 6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } } } },
		{ "listener.port", { .type = SP_INT, .u.integer = 25 } }, { "tls.bits", { .type = SP_INT, .u.integer = 256 } },
		{ "mail.id", wire_text("B4QSEA9DB8") }, { "auth.user", wire_text("ann") },
		{ "auth.mechanism", wire_text("PLAIN") }, { "tls.version", wire_text("TLSv1.3") },
		{ "tls.cipher", wire_text("TLS_AES_256_GCM_SHA384") }, { "tls.client.fingerprint", wire_text("ab12cd") },
		{ "tls.client.subject", wire_text("CN=x") }, { NULL, { 0 } } };
	struct setup s;
	const char *p;

	(void)state;
	setup(&s, AT_RCPT, true, script);
	wire.facts = facts;
	transaction(&s);
	assert_int_equal(wire.connects, 0);
	assert_int_equal(box_rcpt(&s.box, "bob@example.com", 0), SP_OK);
	assert_string_equal(wire.endpoint, "127.0.0.1:10023");
	p = wire.written;
	assert_memory_equal(p, "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n", 67);
	asked("\nclient_name=mx.example.org\n");
	asked("\nclient_port=40000\n");
	asked("\nreverse_client_name=unknown\n");
	asked("\nserver_address=2001:db8::1\nserver_port=25\n");
	asked("\nhelo_name=mx?x=y\n");
	asked("\nsender=a@example.org\nrecipient=bob@example.com\nrecipient_count=0\n");
	asked("\nqueue_id=B4QSEA9DB8\n");
	asked("\nsize=1000\n");
	asked("\nsasl_method=PLAIN\nsasl_username=ann\nsasl_sender=\n");
	asked("\nccert_subject=\nccert_issuer=\nccert_fingerprint=AB:12:CD\n");
	asked("\nencryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\n");
	assert_string_equal(wire.written + wire.written_len - 2, "\n\n");
	assert_null(strstr(wire.written, "\n\nx"));
	assert_int_equal(verdict(&s), VERDICT_NONE);
	fact_is(&s, FACT_ACTION, "DUNNO");
	done(&s);
}

/* One instance for all questions of a message, another for the next; at eom the true size, and no recipient of several. */
static void
stages(void **state)
{
	static const struct wire_step script[] = { { "action=DUNNO\n\n", SP_OK, false }, { "action=DUNNO\n\n", SP_OK, false },
		{ "action=DUNNO\n\n", SP_OK, false } };
	struct setup s;
	const char *first, *second;

	(void)state;
	setup(&s, AT_RCPT, true, script);
	transaction(&s);
	assert_int_equal(box_rcpt(&s.box, "a@example.com", 0), SP_OK);
	assert_int_equal(box_rcpt(&s.box, "b@example.com", 1), SP_OK);
	first = strstr(wire.written, "\ninstance=");
	second = strstr(first + 1, "\ninstance=");
	assert_memory_equal(first, second, strcspn(first + 1, "\n"));
	assert_int_equal(box_data(&s.box), SP_OK);
	assert_int_equal(wire.connects, 1);
	assert_int_equal(box_mail(&s.box, -1), SP_OK);
	assert_int_equal(box_rcpt(&s.box, "a@example.com", 0), SP_OK);
	second = strstr(second + 1, "\ninstance=");
	assert_memory_not_equal(first, second, strcspn(first + 1, "\n"));
	assert_int_equal(wire.connects, 1);
	done(&s);

	setup(&s, AT_EOM, true, script);
	transaction(&s);
	assert_int_equal(box_rcpt(&s.box, "a@example.com", 0), SP_OK);
	assert_int_equal(box_rcpt(&s.box, "b@example.com", 1), SP_OK);
	assert_int_equal(box_data(&s.box), SP_OK);
	assert_int_equal(wire.connects, 0);
	wire.rcpts[0] = "a@example.com";
	wire.rcpts[1] = "b@example.com";
	assert_int_equal(end(&s), SP_OK);
	asked("\nprotocol_state=END-OF-MESSAGE\n");
	asked("\nrecipient=\nrecipient_count=2\n");
	asked("\nsize=20\n");
	done(&s);
	assert_int_equal(sp_filter_policyd.fact_stage(s.conf, FACT_VERDICT, SP_RCPT), SP_EOM);

	setup(&s, AT_DATA, true, script); /* one of two was refused by somebody else */
	transaction(&s);
	assert_int_equal(box_rcpt(&s.box, "a@example.com", 0), SP_OK);
	assert_int_equal(box_rcpt(&s.box, "b@example.com", 1), SP_OK);
	wire.rcpts[0] = "b@example.com";
	assert_int_equal(box_data(&s.box), SP_OK);
	asked("\nrecipient=b@example.com\nrecipient_count=1\n");
	done(&s);
}

/* ---- what answers do ---------------------------------------------------------------------------- */

static const struct word_case {
	const char *answer;
	int64_t verdict;
	int code;
	const char *reply;
} word_cases[] = {
	{ "action=OK\n\n", VERDICT_NONE, 0, "" },
	{ "action=REJECT\n\n", VERDICT_REJECT, 554, "554 5.7.1 Access denied" },
	{ "action=REJECT 4.7.9 no\n\n", VERDICT_REJECT, 554, "554 5.7.9 no" },
	{ "action=550 5.7.23 Message rejected due to: SPF fail\n\n", VERDICT_REJECT, 550,
		"550 5.7.23 Message rejected due to: SPF fail" },
	{ "action=DEFER_IF_PERMIT Greylisted, see http://a/b.html\n\n", VERDICT_DEFER, 450,
		"450 4.7.1 Greylisted, see http://a/b.html" },
	{ "action=451 t\xc3\xa4st\n\n", VERDICT_DEFER, 451, "451 4.7.1 t??st" },
	{ "action=550 5.7. x\n\n", VERDICT_REJECT, 550, "550 5.7.1 5.7. x" },
};

static void
words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(word_cases) / sizeof(word_cases[0]); i++) {
		const struct word_case *c = &word_cases[i];
		struct wire_step script[] = { { c->answer, SP_OK, false }, { c->answer, SP_OK, false } };
		char said[1200];
		struct setup s;

		setup(&s, AT_RCPT, true, script);
		transaction(&s);
		assert_int_equal(box_rcpt(&s.box, "bob@example.com", 0), SP_OK);
		assert_int_equal(verdict(&s), c->verdict);
		assert_int_equal(wire.code, c->code);
		fact_is(&s, FACT_REPLY, c->reply);
		snprintf(said, sizeof(said), "%d %s %s", wire.code, wire.enhanced, wire.text);
		if (c->code != 0)
			assert_string_equal(said, c->reply);
		done(&s);
		setup(&s, AT_RCPT, false, script); /* obey no: the facts alone */
		transaction(&s);
		assert_int_equal(box_rcpt(&s.box, "bob@example.com", 0), SP_OK);
		assert_int_equal(wire.code, 0);
		fact_is(&s, FACT_REPLY, c->reply);
		done(&s);
	}
}

static void
effects(void **state)
{
	static const struct wire_step script[] = { { "action=PREPEND X-One: 1\n\n", SP_OK, false },
		{ "action=prepend X-Two: 2 2\n\n", SP_OK, false }, { "action=WARN look\n\n", SP_OK, false },
		{ "action=DISCARD\n\n", SP_OK, false } };
	struct setup s;

	(void)state;
	for (int obey = 0; obey < 2; obey++) {
		setup(&s, AT_RCPT, obey != 0, script);
		transaction(&s);
		for (size_t i = 0; i < 4; i++)
			assert_int_equal(box_rcpt(&s.box, "bob@example.com", i), SP_OK);
		assert_int_equal(verdict(&s), VERDICT_DISCARD);
		assert_int_equal(wire.code, 0);
		assert_int_equal(end(&s), SP_OK);
		assert_string_equal(wire.fields, obey ? "X-One: 1\nX-Two: 2 2\n" : "");
		assert_int_equal(wire.code, obey ? 250 : 0);
		assert_non_null(strstr(s.box.logs, "look"));
		fact_is(&s, FACT_QUARANTINE, "");
		done(&s);
	}
}

static void
held(void **state)
{
	static const struct wire_step script[] = { { "action=HOLD bad words\n\n", SP_OK, false } };
	struct setup s;

	(void)state;
	for (int wanted = 0; wanted < 2; wanted++) {
		setup(&s, AT_MAIL, true, script);
		wire.wanted = wanted != 0;
		transaction(&s);
		assert_int_equal(box_rcpt(&s.box, "bob@example.com", 0), SP_OK);
		assert_int_equal(end(&s), SP_OK);
		fact_is(&s, FACT_QUARANTINE, "bad words");
		assert_int_equal(wire.code, wanted ? 0 : 451);
		done(&s);
	}
}

/* ---- failures ---------------------------------------------------------------------------------- */

static const struct failure {
	const char *what;
	struct wire_step script[3];
	const char *log;
} failures[] = {
	{ "refused", { { NULL, SP_TEMPFAIL, true } }, "cannot be reached" },
	{ "silent at connect", { { NULL, SP_TIMEOUT, true } }, "in time" },
	{ "silent", { { NULL, SP_TIMEOUT, false } }, "in time" },
	{ "closed", { { NULL, SP_GONE, false } }, "closes" },
	{ "closed half-way", { { "action=DUN", SP_OK, false }, { NULL, SP_GONE, false } }, "closes" },
	{ "closed before the empty line", { { "action=DUNNO\n", SP_OK, false }, { NULL, SP_GONE, false } }, "closes" },
	{ "too much", { { "action=DUNNO\n\naction=DUNNO\n\n", SP_OK, false } }, "more than one" },
	{ "garbage", { { "HTTP/1.1 400 Bad Request\n\n", SP_OK, false } }, "name=value" },
	{ "another word", { { "action=FILTER x:y\n\n", SP_OK, false } }, "FILTER" },
};

static void
failing(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		struct setup s;

		setup(&s, AT_RCPT, true, failures[i].script);
		transaction(&s);
		if (box_rcpt(&s.box, "bob@example.com", 0) == SP_OK)
			fail_msg("%s: no failure", failures[i].what);
		if (strstr(s.box.logs, failures[i].log) == NULL)
			fail_msg("%s: %s", failures[i].what, s.box.logs);
		assert_int_equal(wire.code, 0);
		assert_int_equal(verdict(&s), -1);
		/* in this transaction it is not asked again, and there is no good end */
		assert_int_not_equal(box_rcpt(&s.box, "eve@example.com", 1), SP_OK);
		assert_int_not_equal(end(&s), SP_OK);
		assert_int_equal(wire.connects, 1);
		done(&s);
	}
}

static void
too_long(void **state)
{
	static char text[20000];
	const struct wire_step script[] = { { text, SP_OK, false } };
	struct setup s;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	setup(&s, AT_RCPT, true, script);
	transaction(&s);
	assert_int_equal(box_rcpt(&s.box, "bob@example.com", 0), SP_LIMIT);
	assert_non_null(strstr(s.box.logs, "too long"));
	assert_int_equal(wire.closes, 1);
	done(&s);
}

/* A kept connection that the server has closed is replaced, once, whether that is seen before or after the question. */
static void
replaced(void **state)
{
	static const struct wire_step script[] = { { "action=DUNNO\n\n", SP_OK, false }, { NULL, SP_GONE, false },
		{ "action=DUNNO\n\n", SP_OK, false }, { "action=DUNNO\n\n", SP_OK, false }, { NULL, SP_GONE, false },
		{ NULL, SP_GONE, false } };
	struct setup s;

	(void)state;
	setup(&s, AT_RCPT, true, script);
	transaction(&s);
	assert_int_equal(box_rcpt(&s.box, "a@example.com", 0), SP_OK);
	assert_int_equal(box_rcpt(&s.box, "b@example.com", 1), SP_OK);
	assert_int_equal(wire.connects, 2);
	wire.idle_broken = true;
	assert_int_equal(box_rcpt(&s.box, "c@example.com", 2), SP_OK);
	assert_int_equal(wire.connects, 3);
	wire.idle_broken = false;
	assert_int_equal(box_rcpt(&s.box, "d@example.com", 3), SP_GONE);
	assert_int_equal(wire.connects, 4);
	assert_int_equal(wire.closes, 4);
	done(&s);
}

static void
not_in_a_trial(void **state)
{
	struct setup s;

	(void)state;
	setup(&s, AT_RCPT, true, NULL);
	s.box.ctx.dry_run = true;
	transaction(&s);
	assert_int_equal(box_rcpt(&s.box, "a@example.com", 0), SP_OK);
	assert_int_equal(wire.connects, 0);
	assert_int_equal(verdict(&s), VERDICT_NONE);
	done(&s);
}

static void
configured(void **state)
{
	struct setup s;

	(void)state;
	setup(&s, AT_RCPT, true, NULL);
	done(&s);
	set_text(&s, "socket", "");
	assert_int_equal(box_init(&s.box, &sp_filter_policyd, s.conf, NULL, 0), SP_INVALID);
	done(&s);
	set_text(&s, "socket", "unix:/a");
	set_text(&s, "command", "/bin/a");
	assert_int_equal(box_init(&s.box, &sp_filter_policyd, s.conf, NULL, 0), SP_INVALID);
	assert_non_null(strstr(s.box.errors, "either"));
	done(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(attributes), cmocka_unit_test(stages), cmocka_unit_test(words),
		cmocka_unit_test(effects), cmocka_unit_test(held), cmocka_unit_test(failing), cmocka_unit_test(too_long),
		cmocka_unit_test(replaced), cmocka_unit_test(not_in_a_trial), cmocka_unit_test(configured) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
