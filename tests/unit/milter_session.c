/*
 * What a client's session is to a milter: which commands it is told, in what order, and what becomes of what it says.
 */
#include "tests/unit/milter_host.h"

enum { VERDICT, STAGE, REPLY, QUARANTINE, SECONDS, RCPT_VERDICT, RCPT_REPLY }; /* facts, as milter.c has them */

static void
fact_is(const struct use *u, unsigned fact, int64_t n)
{
	const struct sp_value *v = box_fact(&u->box, -1, fact);

	assert_non_null(v);
	assert_int_equal(v->u.integer, n);
}

static void
text_is(const struct use *u, unsigned fact, const char *text)
{
	const struct sp_value *v = box_fact(&u->box, -1, fact);

	assert_non_null(v);
	assert_int_equal(v->u.text.len, strlen(text));
	assert_memory_equal(v->u.text.ptr, text, strlen(text));
}

#define ONE_MESSAGE \
	"1 Cmx.example.org|4?@192.0.2.1|\n1 Hmx|\n1 M<a@example.org>|SIZE=9|\n1 R<b@example.com>|\n1 T\n1 LSubject|hello|\n1 N\n" \
	"1 Btext?~\n1 E\n"

/* Without the negotiation. */
static const char *
said(void)
{
	static char text[HUB_TEXT];
	size_t len = 0;

	for (const char *line = hub.said; *line != '\0'; line = strchr(line, '\n') + 1) {
		size_t n = (size_t)(strchr(line, '\n') - line) + 1;

		if (line[2] == SMFIC_OPTNEG)
			continue;
		memcpy(text + len, line, n);
		len += n;
	}
	text[len] = '\0';
	return text;
}

static void
test_order(void **state)
{
	struct use u;

	(void)state;
	hub_reset(NULL);
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_OK);
	assert_string_equal(said(), ONE_MESSAGE);
	assert_int_equal(hub.refusals, 0);
	fact_is(&u, VERDICT, VERDICT_CONTINUE);
	fact_is(&u, STAGE, STAGE_EOM);
	fact_is(&u, RCPT_VERDICT, VERDICT_CONTINUE);
	text_is(&u, REPLY, "");
	text_is(&u, QUARANTINE, "");
	use_reset(&u);
	assert_string_equal(said(), ONE_MESSAGE); /* it is over: nothing to abort */
	assert_int_equal(use_mail(&u, "", ""), SP_OK);
	use_close(&u);
	assert_string_equal(said(), ONE_MESSAGE "1 M<>|\n1 A\n1 Q\n");
	assert_int_equal(u.conf.pool->active, 0);
	assert_int_equal(u.conf.pool->parked_count, 0);
	use_fini(&u, NULL);
	assert_int_equal(hub.closes, 1);
}

static void
test_unwanted(void **state)
{
	struct use u;

	(void)state;
	hub_reset(NULL);
	hub.options.protocol = SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOMAIL | SMFIP_NORCPT | SMFIP_NODATA | SMFIP_NOHDRS | SMFIP_NOEOH |
		SMFIP_NOBODY;
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_OK);
	assert_string_equal(said(), "1 E\n");
	use_close(&u);
	use_fini(&u, NULL);
}

static void
test_unanswered(void **state)
{
	struct use u;

	(void)state;
	hub_reset(NULL);
	hub.options.protocol = SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT | SMFIP_NR_DATA | SMFIP_NR_HDR |
		SMFIP_NR_EOH | SMFIP_NR_BODY;
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_OK);
	assert_string_equal(said(), ONE_MESSAGE);
	use_close(&u);
	use_fini(&u, NULL);
}

static void
test_versions(void **state)
{
	struct use u;

	(void)state;
	for (uint32_t version = 2; version <= 6; version++) {
		hub_reset(NULL);
		hub.options.version = version;
		hub.options.actions = SMFI_V2_ACTS;
		hub.options.protocol = SMFIP_HDR_LEADSPC | SMFIP_SKIP | SMFIP_MDS_1M | 0x40000000; /* more than most versions have */
		use_init(&u, NULL);
		assert_int_equal(use_message(&u), SP_OK);
		assert_non_null(strstr(said(), version < 6 ? "1 LSubject|hello|" : "1 LSubject| hello|"));
		assert_true((strstr(said(), "1 T\n") != NULL) == (version >= 4));
		use_close(&u);
		assert_non_null(strstr(said(), version < 6 ? "1 Q\n" : "1 K\n"));
		use_fini(&u, NULL);
	}
	hub_reset(NULL);
	use_init(&u, NULL);
	u.conf.protocol = 2; /* the milter wants 6 */
	assert_int_equal(use_message(&u), SP_INVALID);
	use_close(&u);
	hub.options.version = 2;
	hub.options.actions = SMFI_V2_ACTS;
	assert_int_equal(use_message(&u), SP_OK);
	use_close(&u);
	hub.options.actions = SMFI_V2_ACTS | SMFIF_CHGFROM; /* which 2 has not */
	assert_int_equal(use_message(&u), SP_INVALID);
	use_close(&u);
	use_fini(&u, NULL);
}

static void
test_leading_space(void **state)
{
	struct use u;

	(void)state;
	hub_reset(NULL);
	hub.options.protocol = SMFIP_HDR_LEADSPC;
	hub_fields_set("@ | A: 1 | B:2 | C:  3 | D: one\r\n\ttwo | E:");
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_OK);
	assert_non_null(strstr(said(), "1 LA| 1|\n1 LB|2|\n1 LC|  3|\n1 LD| one~?two|\n1 LE||\n"));
	use_close(&u);
	hub.options.protocol = 0;
	hub.said[0] = '\0';
	u.conf.pool->parked_count = 0;
	pool_fini(u.conf.pool);
	assert_int_equal(use_message(&u), SP_OK);
	assert_non_null(strstr(said(), "2 LA|1|\n2 LB|2|\n2 LC| 3|\n2 LD|one~?two|\n2 LE||\n"));
	use_close(&u);
	use_fini(&u, NULL);
}

static void
test_skip(void **state)
{
	const struct deed deeds[] = { { 'L', 1, PACK('s', ""), false, false }, { 'B', 1, PACK('s', ""), false, false }, { 0 } };
	struct use u;
	static char body[200000];

	(void)state;
	hub_reset(deeds);
	hub.options.protocol = SMFIP_SKIP;
	hub_fields_set("@ | A: 1 | B: 2");
	use_init(&u, NULL);
	memset(body, 'x', sizeof(body) - 1);
	assert_int_equal(use_mail(&u, "a", ""), SP_OK);
	assert_int_equal(use_rcpt(&u, "b"), SP_OK);
	assert_int_equal(use_eom(&u, body), SP_OK);
	assert_non_null(strstr(said(), "1 LA|1|\n1 N\n"));
	assert_int_equal(hub.seen['B'], 1);
	use_reset(&u);
	assert_int_equal(use_mail(&u, "a", ""), SP_OK);
	assert_int_equal(use_eom(&u, body), SP_OK);
	assert_int_equal(hub.seen['L'], 3);
	assert_int_equal(hub.seen['B'], 1 + 4); /* chunks of 65535 octets */
	use_close(&u);

	hub_reset(deeds); /* it has not asked leave for that */
	pool_fini(u.conf.pool);
	assert_int_equal(use_message(&u), SP_INVALID);
	use_close(&u);
	use_fini(&u, NULL);
}

static enum sp_status
get_long(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	static char value[70000];

	(void)ctx;
	memset(value, 'x', sizeof(value));
	*ret = (struct sp_header){ .name = box_span("Long"), .value = { value, sizeof(value) } };
	return index == 0 ? SP_OK : SP_NONE;
}

static void
test_sizes(void **state)
{
	static const uint32_t bits[] = { 0, SMFIP_MDS_256K, SMFIP_MDS_1M };
	static const unsigned chunks[] = { 4, 1, 1 };
	static char body[200001];
	struct use u;

	(void)state;
	memset(body, 'x', sizeof(body) - 1);
	for (size_t i = 0; i < 3; i++) {
		hub_reset(NULL);
		hub.options.protocol = bits[i];
		use_init(&u, NULL);
		u.host.draft_get = get_long;
		assert_int_equal(use_mail(&u, "a", ""), SP_OK);
		assert_int_equal(use_eom(&u, body), SP_OK);
		assert_int_equal(hub.seen['B'], chunks[i]);
		assert_int_equal(hub.seen['L'], 1);
		assert_true((strstr(u.box.logs, "is shown 65471 octets of a field of 70004") != NULL) == (i == 0));
		use_close(&u);
		use_fini(&u, NULL);
	}
}

/* ---- what it says ---------------------------------------------------------------------------------- */

struct word_case {
	char on;
	struct sp_span reply;
	enum sp_stage at; /* the hook in which the host hears of it */
	int code;
	const char *enhanced, *text;
	enum verdict verdict;
};

/* The stages until the host has been told; the last hook's status is OK. */
static enum sp_stage
run(struct use *u)
{
	struct sp_connect connect = { .client = { 4, { 192, 0, 2, 1 } }, .port = 40000 };

	assert_int_equal(sp_filter_milter.on_connect(&u->box.ctx, &connect), SP_OK);
	if (hub.refusals > 0)
		return SP_CONNECT;
	assert_int_equal(box_helo(&u->box, "mx"), SP_OK);
	if (hub.refusals > 0)
		return SP_HELO;
	assert_int_equal(use_mail(u, "a@example.org", ""), SP_OK);
	if (hub.refusals > 0)
		return SP_MAIL;
	assert_int_equal(use_rcpt(u, "b@example.com"), SP_OK);
	if (hub.refusals > 0)
		return SP_RCPT;
	assert_int_equal(box_data(&u->box), SP_OK);
	if (hub.refusals > 0)
		return SP_DATA;
	assert_int_equal(use_eom(u, "text\r\n"), SP_OK);
	return hub.refusals > 0 ? SP_EOM : SP_STAGES;
}

static void
test_words(void **state)
{
	const struct word_case cases[] = {
		{ 'C', PACK('r', ""), SP_CONNECT, 550, "5.7.1", "Command rejected", 0 },
		{ 'C', PACK('t', ""), SP_CONNECT, 451, "4.7.1", "Service unavailable - try again later", 0 },
		{ 'C', PACK('y', "554 5.7.7 go\0"), SP_CONNECT, 554, "5.7.7", "go", 0 },
		{ 'C', PACK('a', ""), SP_STAGES, 0, "", "", VERDICT_ACCEPT },
		{ 'C', PACK('d', ""), SP_STAGES, 0, "", "", VERDICT_CONTINUE },
		{ 'H', PACK('r', ""), SP_HELO, 550, "5.7.1", "Command rejected", 0 },
		{ 'H', PACK('a', ""), SP_STAGES, 0, "", "", VERDICT_ACCEPT },
		{ 'M', PACK('r', ""), SP_MAIL, 550, "5.7.1", "Command rejected", 0 },
		{ 'M', PACK('d', ""), SP_MAIL, 250, "", "", 0 },
		{ 'M', PACK('a', ""), SP_STAGES, 0, "", "", VERDICT_ACCEPT },
		{ 'R', PACK('t', ""), SP_RCPT, 451, "4.7.1", "Service unavailable - try again later", 0 },
		{ 'R', PACK('y', "550 5.1.1 who?\0"), SP_RCPT, 550, "5.1.1", "who?", 0 },
		{ 'R', PACK('d', ""), SP_DATA, 250, "", "", 0 },
		{ 'R', PACK('a', ""), SP_STAGES, 0, "", "", VERDICT_ACCEPT },
		{ 'T', PACK('r', ""), SP_DATA, 550, "5.7.1", "Command rejected", 0 },
		{ 'L', PACK('r', ""), SP_EOM, 550, "5.7.1", "Command rejected", VERDICT_REJECT },
		{ 'L', PACK('a', ""), SP_STAGES, 0, "", "", VERDICT_ACCEPT },
		{ 'N', PACK('t', ""), SP_EOM, 451, "4.7.1", "Service unavailable - try again later", VERDICT_TEMPFAIL },
		{ 'B', PACK('d', ""), SP_EOM, 250, "", "", VERDICT_DISCARD },
		{ 'E', PACK('r', ""), SP_EOM, 550, "5.7.1", "Command rejected", VERDICT_REJECT },
		{ 'E', PACK('t', ""), SP_EOM, 451, "4.7.1", "Service unavailable - try again later", VERDICT_TEMPFAIL },
		{ 'E', PACK('d', ""), SP_EOM, 250, "", "", VERDICT_DISCARD },
		{ 'E', PACK('a', ""), SP_STAGES, 0, "", "", VERDICT_ACCEPT },
		{ 'E', PACK('y', "552-5.3.4 100%% too\r\n552 5.3.4 big\0"), SP_EOM, 552, "5.3.4", "100% too\nbig", VERDICT_REJECT },
		{ 'E', PACK('y', "450 later\0"), SP_EOM, 450, "", "later", VERDICT_TEMPFAIL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct word_case *c = &cases[i];
		const struct deed deeds[] = { { c->on, 0, c->reply, false, false }, { 0 } };
		struct use u;
		enum sp_stage at;

		hub_reset(deeds);
		use_init(&u, NULL);
		at = run(&u);
		if (at != c->at || hub.code != c->code)
			fail_msg("case %zu: at %d, code %d", i, at, hub.code);
		assert_string_equal(hub.enhanced, c->enhanced);
		assert_string_equal(hub.text, c->text);
		if (at >= SP_EOM)
			fact_is(&u, VERDICT, c->verdict);
		if (at == SP_STAGES && c->verdict == VERDICT_ACCEPT) /* nothing more was said of it */
			assert_int_equal(hub.seen[(unsigned char)c->on], 1);
		use_close(&u);
		assert_int_equal(u.conf.pool->active, 0);
		use_fini(&u, NULL);
	}
}

/* A recipient that it refuses is not the others' business. */
static void
test_recipients(void **state)
{
	const struct deed deeds[] = { { 'R', 1, PACK('r', ""), false, false }, { 0 } };
	struct use u;

	(void)state;
	hub_reset(deeds);
	use_init(&u, NULL);
	assert_int_equal(use_mail(&u, "a", ""), SP_OK);
	assert_int_equal(use_rcpt(&u, "b"), SP_OK);
	fact_is(&u, RCPT_VERDICT, VERDICT_REJECT);
	text_is(&u, RCPT_REPLY, "550 5.7.1 Command rejected");
	assert_int_equal(hub.refusals, 1);
	assert_int_equal(use_rcpt(&u, "c"), SP_OK);
	fact_is(&u, RCPT_VERDICT, VERDICT_CONTINUE);
	text_is(&u, RCPT_REPLY, "");
	assert_int_equal(use_eom(&u, ""), SP_OK);
	assert_int_equal(hub.refusals, 1);
	fact_is(&u, VERDICT, VERDICT_CONTINUE);
	use_close(&u);
	use_fini(&u, NULL);
}

static void
test_not_obeyed(void **state)
{
	const struct deed deeds[] = { { 'R', 1, PACK('r', ""), false, false },
		{ 'E', 0, hub_join(PACK('h', "X\0y\0"), PACK('y', "550 5.7.1 a\r\n")), false, false }, { 0 } };
	const struct deed well[] = { { 'E', 0, hub_join(hub_join(PACK('h', "X\0y\0"), PACK('b', "new\n")),
						hub_join(PACK('q', "odd\0"), PACK('y', "550-5.7.1 a\r\n550 5.7.1 b\0"))), false, false },
		{ 0 } };
	struct use u;

	(void)state;
	hub_reset(deeds);
	use_init(&u, NULL);
	u.conf.obey = false;
	assert_false(sp_filter_milter.decides(&u.conf));
	assert_false(sp_filter_milter.by_rule(&u.conf));
	assert_int_equal(use_message(&u), SP_INVALID); /* its last packet has no NUL */
	fact_is(&u, RCPT_VERDICT, VERDICT_REJECT);
	use_close(&u);
	hub_reset(well);
	assert_int_equal(use_message(&u), SP_OK);
	fact_is(&u, VERDICT, VERDICT_REJECT);
	text_is(&u, REPLY, "550 5.7.1 a b");
	text_is(&u, QUARANTINE, "odd");
	assert_int_equal(hub.refusals, 0);
	assert_string_equal(hub_fields_get(), "@ | Subject: hello");
	assert_int_equal(hub.body_len, 0);
	use_close(&u);
	use_fini(&u, NULL);
}

static void
test_quarantine(void **state)
{
	const struct deed deeds[] = { { 'E', 0, hub_join(PACK('q', "\0"), PACK('c', "")), false, false }, { 0 } };
	struct use u;

	(void)state;
	hub_reset(deeds);
	use_init(&u, NULL);
	hub.wanted = true; /* a rule says where it goes */
	assert_int_equal(use_message(&u), SP_OK);
	text_is(&u, QUARANTINE, "quarantined");
	assert_int_equal(hub.refusals, 0);
	use_close(&u);
	hub_reset(deeds);
	assert_int_equal(use_message(&u), SP_OK);
	assert_int_equal(hub.code, 451);
	use_close(&u);
	use_fini(&u, NULL);
}

static void
test_progress(void **state)
{
	const struct deed deeds[] = { { 'E', 0, hub_join(hub_join(PACK('p', ""), PACK('p', "")), PACK('a', "")), false, false }, { 0 } };
	struct use u;

	(void)state;
	hub_reset(deeds);
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_OK);
	fact_is(&u, VERDICT, VERDICT_ACCEPT);
	use_close(&u);
	use_fini(&u, NULL);
}

/* ---- who stands -------------------------------------------------------------------------------------- */

static void
stand(const char *one, const char *two)
{
	hub.no_rcpts = false;
	hub.rcpt_count = 0;
	hub.rcpts[hub.rcpt_count++] = (struct sp_rcpt){ .address = box_span(one) };
	if (two != NULL)
		hub.rcpts[hub.rcpt_count++] = (struct sp_rcpt){ .address = box_span(two) };
}

static void
test_others_refuse(void **state)
{
	struct use u;

	(void)state;
	hub_reset(NULL);
	use_init(&u, NULL);
	assert_int_equal(use_mail(&u, "a", "SIZE=1"), SP_OK);
	assert_int_equal(use_rcpt(&u, "b"), SP_OK);
	assert_int_equal(use_rcpt(&u, "c"), SP_OK);
	stand("b", "c");
	assert_int_equal(box_data(&u.box), SP_OK);
	assert_null(strstr(said(), " A\n"));
	use_reset(&u);

	hub.said[0] = '\0';
	assert_int_equal(use_mail(&u, "a", "SIZE=1"), SP_OK);
	assert_int_equal(use_rcpt(&u, "b"), SP_OK);
	assert_int_equal(use_rcpt(&u, "c"), SP_OK);
	stand("c", NULL);
	assert_int_equal(box_data(&u.box), SP_OK);
	assert_string_equal(said(), "1 M<a>|SIZE=1|\n1 R<b>|\n1 R<c>|\n1 A\n1 M<a>|SIZE=1|\n1 R<c>|\n1 T\n");
	use_close(&u);
	pool_fini(u.conf.pool);

	hub_reset(NULL); /* it wants to know of the refused */
	hub.options.protocol = SMFIP_RCPT_REJ;
	hub.with_macros = true;
	assert_int_equal(use_mail(&u, "a", ""), SP_OK);
	assert_int_equal(use_rcpt(&u, "b"), SP_OK);
	hub.said[0] = '\0';
	stand("c", NULL);
	assert_int_equal(box_data(&u.box), SP_OK);
	assert_non_null(strstr(hub.said, "{rcpt_addr}|Recipient refused|{rcpt_host}|5.7.1|{rcpt_mailer}|error|\n1 R<b>|\n"));
	use_close(&u);
	use_fini(&u, NULL);
}

/* It refuses whom it has let pass: nobody can be told that now. */
static void
test_mind_changed(void **state)
{
	const struct deed deeds[] = { { 'R', 3, PACK('r', ""), false, false }, { 0 } };
	struct use u;

	(void)state;
	hub_reset(deeds);
	use_init(&u, NULL);
	assert_int_equal(use_mail(&u, "a", ""), SP_OK);
	assert_int_equal(use_rcpt(&u, "b"), SP_OK);
	assert_int_equal(use_rcpt(&u, "c"), SP_OK);
	stand("c", NULL);
	assert_int_equal(box_data(&u.box), SP_TEMPFAIL);
	assert_int_equal(use_eom(&u, ""), SP_TEMPFAIL);
	use_close(&u);
	use_fini(&u, NULL);
}

/* ---- macros -------------------------------------------------------------------------------------------- */

static void
test_macros(void **state)
{
	struct use u;

	(void)state;
	hub_reset(NULL);
	hub.with_macros = true;
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_OK);
	assert_non_null(strstr(hub.said, "1 DCj|gw.example.net|_|mx.example.org [192.0.2.1]|v|Sallyport|{daemon_name}|gw.example.net|{if_name}|"
					 "gw.example.net|{client_addr}|192.0.2.1|{client_name}|mx.example.org|{client_port}|40000|"
					 "{client_ptr}|mx.example.org|{client_resolve}|OK|\n"));
	assert_non_null(strstr(hub.said, "1 DH{tls_version}|TLSv1.3|\n1 H"));
	assert_non_null(strstr(hub.said, "1 DMi|ID1|{mail_addr}|a@example.org|{mail_host}|example.org|{mail_mailer}|smtp|"
					 "{tls_version}|TLSv1.3|\n1 M"));
	assert_non_null(strstr(hub.said, "1 DRi|ID1|{rcpt_addr}|b@example.com|{rcpt_host}|example.com|{rcpt_mailer}|smtp|\n1 R"));
	assert_non_null(strstr(hub.said, "1 DTi|ID1|\n1 T"));
	assert_non_null(strstr(hub.said, "1 DNi|ID1|\n1 N"));
	assert_non_null(strstr(hub.said, "1 DEi|ID1|\n1 E"));
	use_close(&u);
	pool_fini(u.conf.pool);

	hub_reset(NULL); /* lists of its own; one of them empty */
	hub.with_macros = true;
	hub.options.listed[SMFIM_CONNECT] = hub.options.listed[SMFIM_ENVFROM] = true;
	hub.options.lists[SMFIM_ENVFROM] = box_span("{client_addr}, none {auth_author}\tj");
	assert_int_equal(use_message(&u), SP_OK);
	assert_null(strstr(hub.said, "1 DC"));
	assert_non_null(strstr(hub.said, "1 DM{client_addr}|192.0.2.1|j|gw.example.net|\n"));
	assert_non_null(strstr(hub.said, "1 DR"));
	use_close(&u);
	use_fini(&u, NULL);
}

/* ---- from session to session -------------------------------------------------------------------------------- */

static void
test_reuse(void **state)
{
	struct use u, v;

	(void)state;
	hub_reset(NULL);
	use_init(&u, NULL);
	use_init(&v, &u);
	assert_int_equal(use_message(&u), SP_OK);
	use_close(&u);
	assert_int_equal(use_message(&v), SP_OK);
	assert_int_equal(hub.connects, 1);
	assert_non_null(strstr(said(), "1 E\n1 K\n1 Cmx"));
	use_close(&v);

	u.box.now_ms += POOL_IDLE_MS + 1; /* it has waited for too long */
	assert_int_equal(use_message(&u), SP_OK);
	assert_int_equal(hub.connects, 2);
	u.conf.reuse = false;
	use_close(&u);
	assert_non_null(strstr(said(), "2 Q\n"));
	assert_int_equal(u.conf.pool->parked_count, 0);
	use_fini(&v, &u);
	use_fini(&u, NULL);
}

/* Where libmilter does not go on to another session, it is not asked to. */
static void
test_reuse_not(void **state)
{
	const struct deed accepts[] = { { 'E', 0, PACK('a', ""), false, false }, { 0 } };
	const struct deed refuses[] = { { 'C', 0, PACK('a', ""), false, false }, { 0 } };
	struct use u;

	(void)state;
	use_init(&u, NULL);
	hub_reset(accepts);
	assert_int_equal(use_message(&u), SP_OK);
	use_close(&u);
	assert_non_null(strstr(said(), "1 E\n1 Q\n"));
	hub_reset(refuses);
	assert_int_equal(use_message(&u), SP_OK);
	assert_non_null(strstr(said(), "|\n1 Q\n"));
	use_close(&u);
	hub_reset(NULL);
	assert_int_equal(use_message(&u), SP_OK);
	use_reset(&u);
	assert_int_equal(box_helo(&u.box, "other"), SP_OK);
	use_close(&u);
	assert_non_null(strstr(said(), "1 Hother|\n1 Q\n"));
	assert_int_equal(u.conf.pool->parked_count, 0);
	use_fini(&u, NULL);
}

/* A connection that died while it waited: found at the first answer, however late that is. */
static void
test_stale(void **state)
{
	static const uint32_t bits[] = { 0, SMFIP_NR_CONN | SMFIP_NR_HELO, SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL,
		SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT,
		SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT | SMFIP_NR_DATA | SMFIP_NR_HDR | SMFIP_NR_EOH |
			SMFIP_NR_BODY };
	struct use u;

	(void)state;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		hub_reset(NULL);
		hub.options.protocol = bits[i];
		use_init(&u, NULL);
		assert_int_equal(use_message(&u), SP_OK);
		hub.dead_parked = true;
		use_close(&u);
		hub.said[0] = '\0';
		assert_int_equal(use_message(&u), SP_OK);
		assert_int_equal(hub.connects, 2);
		assert_int_equal(u.conf.pool->failed, 0);
		for (const char *c = "CHMRTLNBE"; *c != '\0'; c++) /* the second has seen all of it once */
			assert_int_equal(hub.seen[(unsigned char)*c], 2);
		use_close(&u);
		use_fini(&u, NULL);
	}
}

/* The first answer that comes settles it: from then on a death is one. */
static void
test_stale_no_more(void **state)
{
	const struct deed deeds[] = { { 'M', 2, { 0 }, true, false }, { 0 } };
	struct use u;

	(void)state;
	hub_reset(deeds);
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_OK);
	use_close(&u);
	assert_int_equal(use_message(&u), SP_GONE);
	assert_int_equal(hub.connects, 1);
	assert_int_equal(u.conf.pool->failed, 1);
	use_close(&u);
	use_fini(&u, NULL);
}

static void
test_hello_again(void **state)
{
	struct use u;

	(void)state;
	hub_reset(NULL);
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_OK);
	use_reset(&u);
	assert_int_equal(box_helo(&u.box, "other"), SP_OK);
	assert_non_null(strstr(said(), "1 E\n1 Hother|\n"));
	use_close(&u);
	use_fini(&u, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_unwanted),
		cmocka_unit_test(test_unanswered),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_leading_space),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_not_obeyed),
		cmocka_unit_test(test_quarantine),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_others_refuse),
		cmocka_unit_test(test_mind_changed),
		cmocka_unit_test(test_macros),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_reuse_not),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_stale_no_more),
		cmocka_unit_test(test_hello_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
