/*
 * inspect_said.c - what filters that decide may say, whom it is about, when it is forgotten; and sessions that last.
 */
#include "inspect_env.h"

/* ---- modules that are told by the test what to say, where ------------------------------------------ */

enum { WHERE_MAX = 4 };

struct talker {
	struct {
		enum sp_stage at; /* its hook of this stage says it */
		const char *who;  /* SP_RCPT: the local part, null: anyone's */
		struct sp_reply reply;
	} words[WHERE_MAX];
	size_t count;
	enum sp_status fails[SP_STAGES + 1];
	enum sp_status said; /* what the service answered last */
	unsigned sessions, closed;
	bool saw_recipient; /* in on_body, which is nobody's */
};
static struct talker talkers[2];

struct talker_conf {
	int64_t index;
};
static const struct sp_param talker_params[] = {
	{ .name = "index", .type = SP_INT, .offset = offsetof(struct talker_conf, index), .fallback = "0", .min = 0, .max = 1 },
	SP_PARAMS_END
};
enum { TALKER_HELO, TALKER_EOM };
static const struct sp_fact_decl talker_facts[] = {
	[TALKER_HELO] = { .name = "helo", .type = SP_STRING, .stage = SP_HELO, .help = "the HELO name" },
	[TALKER_EOM] = { .name = "eom", .type = SP_BOOL, .stage = SP_EOM, .help = "it saw the end" },
	SP_FACTS_END
};

struct talker_session {
	bool known;
	char *helo; /* of the session's memory */
};

static struct talker *
of(struct sp_ctx *ctx)
{
	return &talkers[((const struct talker_conf *)ctx->conf)->index];
}

static enum sp_status
hook(struct sp_ctx *ctx, enum sp_stage at, struct sp_span local)
{
	struct talker *t = of(ctx);

	for (size_t n = 0; n < t->count; n++)
		if (t->words[n].at == at && (t->words[n].who == NULL || span_eq(local, span_str(t->words[n].who))))
			t->said = sp_refuse(ctx, &t->words[n].reply);
	return t->fails[at];
}

static enum sp_status
talker_on_connect(struct sp_ctx *ctx, const struct sp_connect *ev)
{
	(void)ev;
	saw("%d:connect ", (int)(of(ctx) - talkers));
	of(ctx)->sessions++;
	return hook(ctx, SP_CONNECT, SPAN_LIT(""));
}

static enum sp_status
talker_on_helo(struct sp_ctx *ctx, const struct sp_helo *ev)
{
	struct talker_session *s = ctx->session;

	saw("%d:helo ", (int)(of(ctx) - talkers));
	s->known = true;
	s->helo = sp_alloc(ctx, ev->name.len + 1);
	memcpy(s->helo, ev->name.ptr, ev->name.len);
	sp_fact_text(ctx, TALKER_HELO, SP_STRING, ev->name);
	return hook(ctx, SP_HELO, SPAN_LIT(""));
}

static enum sp_status
talker_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	const struct talker_session *s = ctx->session;

	(void)ev;
	saw("%d:mail(%s) ", (int)(of(ctx) - talkers), s->known ? s->helo : "?");
	return hook(ctx, SP_MAIL, SPAN_LIT(""));
}

static enum sp_status
talker_on_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	saw("%d:%.*s ", (int)(of(ctx) - talkers), (int)ev->local.len, ev->local.ptr);
	return hook(ctx, SP_RCPT, ev->local);
}

static enum sp_status
talker_on_eoh(struct sp_ctx *ctx, const struct sp_eoh *ev)
{
	(void)ev;
	return hook(ctx, SP_HEADER, SPAN_LIT(""));
}

static enum sp_status
talker_on_body(struct sp_ctx *ctx, const struct sp_body *ev)
{
	struct sp_value value;

	(void)ev;
	of(ctx)->saw_recipient = sp_fact_named(ctx, "rcpt.address", &value) == SP_OK;
	return SP_OK;
}

static enum sp_status
talker_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	(void)ev;
	saw("%d:eom ", (int)(of(ctx) - talkers));
	sp_fact_bool(ctx, TALKER_EOM, true);
	return hook(ctx, SP_EOM, SPAN_LIT(""));
}

static void
talker_on_reset(struct sp_ctx *ctx)
{
	saw("%d:reset ", (int)(of(ctx) - talkers));
	hook(ctx, SP_STAGES, SPAN_LIT(""));
}

static void
talker_on_close(struct sp_ctx *ctx, const struct sp_close *ev)
{
	(void)ev;
	saw("%d:close ", (int)(of(ctx) - talkers));
	of(ctx)->closed++;
}

static bool
talker_decides(const void *conf)
{
	(void)conf;
	return true;
}

#define TALKER(what, stays, tx) \
	{ SP_FILTER_HEAD, .name = (what), .summary = "says", .params = talker_params, .conf_size = sizeof(struct talker_conf), \
		.facts = talker_facts, .session_size = sizeof(struct talker_session), .on_connect = talker_on_connect, \
		.on_helo = talker_on_helo, .on_mail = talker_on_mail, .on_rcpt = talker_on_rcpt, .on_eoh = talker_on_eoh, \
		.on_body = talker_on_body, \
		.on_eom = talker_on_eom, .on_reset = talker_on_reset, .on_close = talker_on_close, \
		.decides = talker_decides, .lasts = (stays), .tx_size = (tx) }
static const struct sp_filter talker = TALKER("talker", false, 0), stayer = TALKER("stayer", true, 0);
static const struct sp_filter huge = TALKER("huge", true, 1 << 30); /* there is never memory for its transactions */
static const struct sp_filter *const modules[] = { &talker, &stayer, &huge, NULL };

static void
begin(struct world *w, const char *policy)
{
	memset(talkers, 0, sizeof(talkers));
	env_modules = modules;
	world_init(w, policy);
}

static void
says(int index, enum sp_stage at, int code, const char *text)
{
	struct talker *t = &talkers[index];

	t->words[t->count].at = at;
	t->words[t->count++].reply = (struct sp_reply){ .code = code, .text = span_str(text) };
}

static void
assert_reply(const struct world *w, int code, const char *enhanced, const char *text)
{
	if (w->verdict.code != code || !span_eq(w->verdict.enhanced, span_str(enhanced)) || !span_eq(w->verdict.text, span_str(text)))
		fail_msg("%d %.*s %.*s", w->verdict.code, (int)w->verdict.enhanced.len, w->verdict.enhanced.ptr,
			(int)w->verdict.text.len, w->verdict.text.ptr);
}

#define ONE "policy 1\nfilter talker\nrules {\nscan : filter talker\naccept\n}\n"
#define MESSAGE "Subject: x\r\n\r\nbody\r\n.\r\n"

/* ---- what may be said --------------------------------------------------------------------------------- */

static void
test_replies(void **state)
{
	static char longest[481], longer[482], lines8[] = "1\n2\n3\n4\n5\n6\n7\n8", lines9[] = "1\n2\n3\n4\n5\n6\n7\n8\n9";
	static const struct {
		int code;
		const char *enhanced, *text;
		enum policy_class verdict; /* UNDECIDED: it may not be said */
		int as;
		const char *as_enhanced, *as_text;
	} cases[] = {
		{ 550, "5.1.1", "no\nreally", POLICY_REJECT, 550, "5.1.1", "no\nreally" },
		{ 554, "", "", POLICY_REJECT, 554, "5.7.1", "refused" },
		{ 452, "", "x", POLICY_DEFER, 452, "4.7.1", "x" },
		{ 421, "4.3.2", "", POLICY_DEFER, 451, "4.3.2", "deferred, try again later" },
		{ 250, "", "", POLICY_DISCARD, 250, "2.0.0", "accepted" },
		{ 599 - 40, "5.999.999", " ", POLICY_REJECT, 559, "5.999.999", " " },
		{ 550, "", longest, POLICY_REJECT, 550, "5.7.1", longest },
		{ 550, "", longer, POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "", lines8, POLICY_REJECT, 550, "5.7.1", lines8 },
		{ 550, "", lines9, POLICY_UNDECIDED, 0, NULL, NULL },
		{ 560, "", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 399, "", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 354, "", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 251, "", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 600, "", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 0, "", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ -550, "", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 5500, "", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "4.7.1", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 250, "5.7.1", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "5.7", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "5.7.", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "5..1", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "5.7.1.1", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "5.7.1000", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "55.7.1", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "5.7.x", "x", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "", "a\r\n250 ok", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "", "a\tb", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "", "\x7f", POLICY_UNDECIDED, 0, NULL, NULL },
		{ 550, "", "caf\xc3\xa9", POLICY_UNDECIDED, 0, NULL, NULL },
	};
	struct world w;

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	memset(longer, 'x', sizeof(longer) - 1);
	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		begin(&w, ONE);
		says(0, SP_MAIL, cases[n].code, cases[n].text);
		talkers[0].words[0].reply.enhanced = span_str(cases[n].enhanced);
		world_connect(&w);
		world_helo(&w, "mx.example.org");
		world_mail(&w, "a@example.org", -1);
		if (w.verdict.verdict != cases[n].verdict)
			fail_msg("case %zu: %d", n, w.verdict.verdict);
		assert_int_equal(talkers[0].said, cases[n].as != 0 ? SP_OK : SP_INVALID);
		if (cases[n].as != 0)
			assert_reply(&w, cases[n].as, cases[n].as_enhanced, cases[n].as_text);
		else
			assert_non_null(strstr(logged, "may not be said"));
		world_fini(&w);
	}
	begin(&w, ONE);
	says(0, SP_MAIL, 550, "a");
	talkers[0].words[0].reply.text = span_of("a\0b", 3);
	world_envelope(&w);
	assert_int_equal(talkers[0].said, SP_INVALID);
	world_fini(&w);
}

/* ---- whom it is about -------------------------------------------------------------------------------------- */

static void
test_one_recipient(void **state)
{
	struct world w;

	(void)state;
	begin(&w, ONE);
	says(0, SP_RCPT, 550, "not carol");
	talkers[0].words[0].who = "carol";
	world_connect(&w);
	world_helo(&w, "mx.example.org");
	assert_int_equal(world_mail(&w, "a@example.org", -1), POLICY_UNDECIDED);
	assert_int_equal(world_rcpt(&w, "bob@example.com"), POLICY_UNDECIDED);
	assert_int_equal(world_rcpt(&w, "carol@example.com"), POLICY_REJECT);
	assert_reply(&w, 550, "5.7.1", "not carol");
	assert_int_equal(world_rcpt(&w, "dave@example.com"), POLICY_UNDECIDED);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_string_equal(seen, "0:connect 0:helo 0:mail(mx.example.org) 0:bob 0:carol 0:dave 0:eom ");
	world_fini(&w);
}

/* Said at connect: for the session; with HELO: until the next one; of a message: for that one. */
static void
test_scopes(void **state)
{
	struct world w;

	(void)state;
	begin(&w, ONE);
	says(0, SP_CONNECT, 450, "never");
	assert_int_equal(world_connect(&w), POLICY_DEFER);
	assert_int_equal(world_helo(&w, "mx.example.org"), POLICY_DEFER);
	assert_int_equal(world_mail(&w, "a@example.org", -1), POLICY_DEFER);
	assert_reply(&w, 450, "4.7.1", "never");
	world_fini(&w);

	begin(&w, ONE);
	says(0, SP_HELO, 550, "bad name");
	assert_int_equal(world_connect(&w), POLICY_UNDECIDED);
	assert_int_equal(world_helo(&w, "bad.example.org"), POLICY_REJECT);
	assert_int_equal(world_mail(&w, "a@example.org", -1), POLICY_REJECT);
	talkers[0].count = 0;
	assert_int_equal(world_helo(&w, "good.example.org"), POLICY_UNDECIDED);
	assert_int_equal(world_mail(&w, "a@example.org", -1), POLICY_UNDECIDED);
	world_fini(&w);

	begin(&w, ONE);
	says(0, SP_HEADER, 550, "this one");
	says(0, SP_EOM, 450, "said too late"); /* the first word counts */
	world_envelope(&w);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_REJECT);
	assert_int_equal(w.verdict.stage, SP_HEADER);
	talkers[0].count = 0;
	inspect_reset(w.in);
	world_mail(&w, "a@example.org", -1);
	world_rcpt(&w, "bob@example.com");
	inspect_data(w.in, RT_NEVER);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	world_fini(&w);
}

static void
test_too_late(void **state)
{
	struct world w;

	(void)state;
	begin(&w, ONE);
	says(0, SP_STAGES, 550, "in on_reset");
	world_envelope(&w);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	inspect_reset(w.in);
	assert_int_equal(talkers[0].said, SP_INVALID);
	assert_non_null(strstr(logged, "too late"));
	assert_int_equal(world_mail(&w, "a@example.org", -1), POLICY_UNDECIDED);
	world_fini(&w);
}

/* ---- failures ------------------------------------------------------------------------------------------------ */

static void
test_failed(void **state)
{
	static const enum sp_stage stages[] = { SP_MAIL, SP_RCPT, SP_HEADER, SP_EOM };
	struct world w;

	(void)state;
	for (size_t n = 0; n < sizeof(stages) / sizeof(stages[0]); n++) {
		begin(&w, ONE);
		talkers[0].fails[stages[n]] = SP_GONE;
		says(0, stages[n], 250, "a word of one that fails is none");
		world_connect(&w);
		world_helo(&w, "mx.example.org");
		if (world_mail(&w, "a@example.org", -1) == POLICY_UNDECIDED && world_rcpt(&w, "bob@example.com") == POLICY_UNDECIDED)
			world_message(&w, MESSAGE, 0);
		assert_int_equal(w.verdict.verdict, POLICY_DEFER);
		assert_true(w.verdict.unknown);
		assert_int_equal(w.verdict.code, 451);
		assert_int_equal(w.verdict.stage, stages[n]);
		talkers[0].count = 0;
		memset(talkers[0].fails, 0, sizeof(talkers[0].fails));
		inspect_reset(w.in); /* the next message has nothing to do with it */
		world_mail(&w, "a@example.org", -1);
		world_rcpt(&w, "bob@example.com");
		inspect_data(w.in, RT_NEVER);
		assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
		world_fini(&w);
	}
	for (enum sp_stage stage = SP_CONNECT; stage <= SP_HELO; stage++) { /* what it thinks of the session is not known then */
		begin(&w, ONE);
		talkers[0].fails[stage] = SP_GONE;
		world_connect(&w);
		if (w.verdict.verdict == POLICY_UNDECIDED)
			world_helo(&w, "mx.example.org");
		assert_int_equal(w.verdict.verdict, POLICY_DEFER);
		assert_true(w.verdict.unknown);
		assert_int_equal(w.verdict.stage, stage);
		talkers[0].fails[SP_HELO] = SP_OK;
		if (stage == SP_HELO) { /* the next name has nothing to do with it */
			world_helo(&w, "mx.example.net");
			assert_int_equal(w.verdict.verdict, POLICY_UNDECIDED);
		}
		world_fini(&w);
	}
	begin(&w, ONE); /* nothing more to do is none either */
	talkers[0].fails[SP_MAIL] = SP_NONE;
	world_envelope(&w);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	world_fini(&w);
}

/* ---- two of them ----------------------------------------------------------------------------------------------- */

#define TWO(first, second) \
	"policy 1\nfilter talker one\nfilter talker two { index 1 }\nrules {\na : " first "filter one\nb : " second "filter two\n" \
	"c : if two.eom tag seen\naccept\n}\n"

static void
test_moot(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TWO("", ""));
	says(0, SP_EOM, 250, "thanks");
	world_envelope(&w);
	seen[0] = '\0';
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_DISCARD);
	assert_string_equal(seen, "0:eom "); /* the other one need not be asked */
	world_fini(&w);
	begin(&w, TWO("", ""));
	says(1, SP_EOM, 554, "virus");
	world_envelope(&w);
	seen[0] = '\0';
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_REJECT);
	assert_string_equal(seen, "0:eom 1:eom ");
	world_fini(&w);
	begin(&w, TWO("", ""));
	says(0, SP_EOM, 554, "virus");
	talkers[0].fails[SP_EOM] = SP_TEMPFAIL; /* what it said is nothing worth */
	world_envelope(&w);
	seen[0] = '\0';
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_DEFER);
	assert_string_equal(seen, "0:eom 1:eom ");
	world_fini(&w);
}

/* One recipient's filter does not speak for another's. */
static void
test_not_moot(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TWO("if rcpt.local == \"bob\" ", "if rcpt.local == \"carol\" "));
	says(0, SP_EOM, 250, "bob does not want it");
	world_connect(&w);
	world_helo(&w, "mx.example.org");
	world_mail(&w, "a@example.org", -1);
	world_rcpt(&w, "bob@example.com");
	world_rcpt(&w, "carol@example.com");
	inspect_data(w.in, RT_NEVER);
	seen[0] = '\0';
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT); /* she does */
	assert_string_equal(seen, "0:eom 1:eom ");
	world_fini(&w);
}

/* The body is everybody's. */
static void
test_body_of_nobody(void **state)
{
	struct world w;

	(void)state;
	begin(&w, ONE);
	world_connect(&w);
	world_helo(&w, "mx.example.org");
	world_mail(&w, "a@example.org", -1);
	world_rcpt(&w, "bob@example.com");
	world_rcpt(&w, "carol@example.com");
	inspect_data(w.in, RT_NEVER);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_false(talkers[0].saw_recipient);
	world_fini(&w);
}

/* ---- one that lasts ------------------------------------------------------------------------------------------------ */

#define LASTS \
	"policy 1\nfilter stayer scan\nrules {\ns : if mail.domain == example.org filter scan\n" \
	"t : if scan.helo == \"first.example.org\" tag first\naccept\n}\n"

static enum policy_class
transaction(struct world *w, const char *sender)
{
	inspect_reset(w->in);
	world_mail(w, sender, -1);
	world_rcpt(w, "bob@example.com");
	inspect_data(w->in, RT_NEVER);
	return world_message(w, MESSAGE, 0);
}

static void
tags(struct world *w, const char *expected)
{
	struct inspect_notes notes = { 0 };
	struct buf text;

	buf_init(&text, 256);
	notes.tags = &text;
	inspect_notes(w->in, &notes);
	assert_string_equal(buf_cstr(&text), expected);
	buf_fini(&text);
}

static void
test_lasts(void **state)
{
	struct world w;

	(void)state;
	begin(&w, LASTS);
	world_connect(&w);
	world_helo(&w, "first.example.org");
	assert_string_equal(seen, "");
	transaction(&w, "a@example.org");
	tags(&w, "first");
	transaction(&w, "a@example.net"); /* nobody asks for it */
	tags(&w, "");
	transaction(&w, "a@example.org");
	tags(&w, "first");
	assert_string_equal(seen, "0:connect 0:helo 0:mail(first.example.org) 0:bob 0:eom 0:reset "
				  "0:mail(first.example.org) 0:bob 0:eom ");
	seen[0] = '\0';
	world_helo(&w, "second.example.org");
	transaction(&w, "a@example.org");
	tags(&w, "");
	assert_string_equal(seen, "0:reset 0:helo 0:mail(second.example.org) 0:bob 0:eom ");
	assert_int_equal(talkers[0].sessions, 1);
	assert_int_equal(talkers[0].closed, 0);
	world_fini(&w);
	assert_int_equal(talkers[0].closed, 1);
}

/* What it says of the session within a transaction counts for the later ones, too. */
static void
test_lasts_word(void **state)
{
	struct world w;

	(void)state;
	begin(&w, LASTS);
	says(0, SP_CONNECT, 554, "a client of that kind");
	world_connect(&w);
	world_helo(&w, "first.example.org");
	assert_int_equal(world_mail(&w, "a@example.org", -1), POLICY_REJECT);
	inspect_reset(w.in);
	talkers[0].count = 0;
	assert_int_equal(world_mail(&w, "a@example.net", -1), POLICY_ACCEPT);
	inspect_reset(w.in);
	assert_int_equal(world_mail(&w, "a@example.org", -1), POLICY_REJECT);
	assert_reply(&w, 554, "5.7.1", "a client of that kind");
	world_fini(&w);
}

/* Where no time was left to tell it of the client, the next transaction begins with that. */
static void
test_lasts_untold(void **state)
{
	const struct command_path mail = { .size = -1, .address = { .text = SPAN_LIT("a@example.org"), .local = SPAN_LIT("a"),
		.domain = SPAN_LIT("example.org") } };
	struct world w;

	(void)state;
	begin(&w, LASTS);
	world_connect(&w);
	world_helo(&w, "first.example.org");
	assert_int_equal(inspect_mail(w.in, &mail, 0).verdict, POLICY_DEFER);
	transaction(&w, "a@example.org");
	assert_string_equal(seen, "0:reset 0:connect 0:helo 0:mail(first.example.org) 0:bob 0:eom ");
	world_fini(&w);
}

/* Its session is there, but its transaction cannot be. */
static void
test_lasts_no_memory(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "policy 1\nfilter huge scan\nrules {\nh : if client.helo == \"first.example.org\" filter scan on unknown skip\n"
		  "m : if mail.domain == example.org filter scan on unknown skip\naccept\n}\n");
	world_connect(&w);
	world_helo(&w, "first.example.org");
	world_helo(&w, "second.example.org");
	assert_int_equal(transaction(&w, "a@example.org"), POLICY_ACCEPT);
	assert_string_equal(seen, "0:connect 0:helo ");
	world_fini(&w);
}

/* Called for by a recipient whom the backend does not take, then by another. */
static void
test_lasts_per_recipient(void **state)
{
	struct world w;
	struct address a;

	(void)state;
	begin(&w, "policy 1\nfilter stayer scan\nrules {\ns : if rcpt.domain == example.com filter scan\n"
		  "t : if scan.helo == \"first.example.org\" tag first\naccept\n}\n");
	world_connect(&w);
	world_helo(&w, "first.example.org");
	world_mail(&w, "a@example.org", -1);
	assert_int_equal(address_parse_bare(SPAN_LIT("bob@example.com"), &a), ADDRESS_OK);
	inspect_rcpt(w.in, &a, RT_NEVER);
	inspect_rcpt_result(w.in, false);
	world_rcpt(&w, "carol@example.com");
	inspect_data(w.in, RT_NEVER);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	tags(&w, "first");
	assert_string_equal(seen, "0:connect 0:helo 0:mail(first.example.org) 0:bob 0:reset "
				  "0:mail(first.example.org) 0:carol 0:eom ");
	world_fini(&w);
	assert_int_equal(talkers[0].closed, 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_one_recipient),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_too_late),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_moot),
		cmocka_unit_test(test_not_moot),
		cmocka_unit_test(test_body_of_nobody),
		cmocka_unit_test(test_lasts),
		cmocka_unit_test(test_lasts_word),
		cmocka_unit_test(test_lasts_untold),
		cmocka_unit_test(test_lasts_no_memory),
		cmocka_unit_test(test_lasts_per_recipient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
