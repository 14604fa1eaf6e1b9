/*
 * guest.c - see guest.h.  Each callback runs in a thread of libmilter's; those of one connection never at once.
 *
 * Fields and body are gathered, and go over in pieces.  The mail server waits for no answer to them, where it can do without.
 */
#include "proxy/milter/guest_priv.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/milter/bridge.h"
#include "proxy/milter/guest.h"

enum { PIECE = 64 * 1024, CONTENT_MAX = 4 << 20 };

static const struct milter_config *config;
/* What was agreed on last: holds for a connection that begins anew without agreeing again (SMFIC_QUIT_NC, version 6). */
static _Atomic unsigned long last_actions, last_protocol;

/* ---- asking --------------------------------------------------------------------------------- */

static const char *
macro(SMFICTX *ctx, const char *name)
{
	const char *value = smfi_getsymval(ctx, (char *)(uintptr_t)name);

	return value != NULL ? value : "";
}

/* What the mail server says of TLS and of who has logged in. */
static void
take_macros(SMFICTX *ctx, struct request *r)
{
	const char *verify = macro(ctx, "{verify}");

	r->tls_version = macro(ctx, "{tls_version}");
	r->cipher = macro(ctx, "{cipher}");
	r->cipher_bits = macro(ctx, "{cipher_bits}");
	r->subject = macro(ctx, "{cert_subject}");
	r->issuer = macro(ctx, "{cert_issuer}");
	/* Postfix tells the subject of those only that it believes; Sendmail says what it thinks of it */
	r->verified = r->subject[0] != '\0' && (verify[0] == '\0' || strcmp(verify, "OK") == 0);
	r->user = macro(ctx, "{auth_authen}");
	r->mechanism = macro(ctx, "{auth_type}");
	r->host = macro(ctx, "j");
}

/* The mail server waits longer for the end of a message if it sees that we are alive. */
static void
show_life(void *ctx)
{
	(void)smfi_progress(ctx);
}

/* Asks, and says the reply. Nobody there: the client is to come again. */
static sfsistat
ask(SMFICTX *ctx, struct request *r, void (*fn)(void *))
{
	struct answer answer;
	sfsistat status = SMFIS_TEMPFAIL;

	r->answer = &answer;
	if (answer_init(&answer) && bridge_call(fn, r, (struct bridge_meanwhile){ NULL, NULL }))
		status = carry_reply(ctx, &answer);
	answer_fini(&answer);
	return status;
}

static struct guest *
guest_of(SMFICTX *ctx)
{
	struct guest *g = smfi_getpriv(ctx);

	return g != NULL && g->judge != NULL ? g : NULL;
}

/* ---- the session ---------------------------------------------------------------------------- */

static struct guest *
guest_new(void)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (g != NULL)
		buf_init(&g->content, CONTENT_MAX);
	return g;
}

static void
guest_free(struct guest *g)
{
	struct request r = { .judge = g->judge };

	if (g->judge != NULL)
		(void)bridge_call(judge_close, &r, (struct bridge_meanwhile){ NULL, NULL });
	if (g->owes)
		answer_fini(&g->owed);
	buf_fini(&g->content);
	free(g);
}

/* What we want to know; a mail server that takes no such list tells what it is configured to. */
static void
ask_for_macros(SMFICTX *ctx)
{
	static const struct {
		int stage;
		const char *names;
	} lists[] = {
		{ SMFIM_CONNECT, "j {daemon_name} {daemon_addr} {daemon_port} {if_addr} {client_resolve}" },
		{ SMFIM_HELO, "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer} {verify}" },
		{ SMFIM_ENVFROM, "i j {auth_authen} {auth_type} {tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer} {verify}" },
		{ SMFIM_ENVRCPT, "i j" },
		{ SMFIM_EOM, "i" },
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		(void)smfi_setsymlist(ctx, lists[i].stage, (char *)(uintptr_t)lists[i].names);
}

/* libmilter's type has eight. */
static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3, unsigned long *pf0,
	unsigned long *pf1, unsigned long *pf2, unsigned long *pf3)
{
	struct guest *g = smfi_getpriv(ctx);

	(void)f2;
	(void)f3;
	if (g == NULL)
		g = guest_new();
	if (g == NULL || smfi_setpriv(ctx, g) != MI_SUCCESS)
		return SMFIS_REJECT;
	g->actions = f0 & (SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_CHGBODY | SMFIF_ADDRCPT | SMFIF_ADDRCPT_PAR | SMFIF_DELRCPT |
		SMFIF_CHGFROM | SMFIF_QUARANTINE | SMFIF_SETSYMLIST);
	g->protocol = f1 & (SMFIP_NOUNKNOWN | SMFIP_HDR_LEADSPC | SMFIP_NR_HDR | SMFIP_NR_BODY);
	last_actions = g->actions;
	last_protocol = g->protocol;
	if ((f0 & SMFIF_SETSYMLIST) != 0)
		ask_for_macros(ctx);
	*pf0 = g->actions;
	*pf1 = g->protocol;
	*pf2 = *pf3 = 0;
	return SMFIS_CONTINUE;
}

static void
take_address(const struct sockaddr *addr, struct request *r)
{
	if (addr != NULL && addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;

		r->ip.family = 4;
		memcpy(r->ip.bytes, &in->sin_addr, 4);
		r->port = ntohs(in->sin_port);
	} else if (addr != NULL && addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;

		r->ip.family = 6;
		memcpy(r->ip.bytes, &in6->sin6_addr, 16);
		r->port = ntohs(in6->sin6_port);
	}
}

/* The mail server has looked up the name, and back; else we ask ourselves, if a rule wants to know. */
static const char *
confirmed_name(SMFICTX *ctx, const char *hostname)
{
	const char *resolved = macro(ctx, "{client_resolve}");

	if (hostname == NULL || hostname[0] == '[' || strchr(hostname, '.') == NULL || (resolved[0] != '\0' && strcmp(resolved, "OK") != 0))
		return NULL;
	return hostname;
}

static sfsistat
on_connect(SMFICTX *ctx, char *hostname, struct sockaddr *addr)
{
	struct guest *g = smfi_getpriv(ctx);
	struct request r = { .config = config };
	sfsistat status;

	if (g == NULL) {
		g = guest_new();
		if (g == NULL || smfi_setpriv(ctx, g) != MI_SUCCESS)
			return SMFIS_TEMPFAIL;
		g->actions = last_actions;
		g->protocol = last_protocol;
	}
	take_address(addr, &r);
	r.client_name = confirmed_name(ctx, hostname);
	r.daemon = macro(ctx, "{daemon_name}");
	r.daemon_addr = macro(ctx, "{daemon_addr}");
	if (r.daemon_addr[0] == '\0')
		r.daemon_addr = macro(ctx, "{if_addr}");
	r.daemon_port = macro(ctx, "{daemon_port}");
	status = ask(ctx, &r, judge_connect);
	g->judge = r.judge;
	return status;
}

static sfsistat
on_helo(SMFICTX *ctx, char *name)
{
	struct guest *g = guest_of(ctx);
	struct request r = { .helo = name != NULL ? name : "" };

	if (g == NULL)
		return SMFIS_TEMPFAIL;
	r.judge = g->judge;
	take_macros(ctx, &r);
	return ask(ctx, &r, judge_helo);
}

static sfsistat
on_close(SMFICTX *ctx)
{
	struct guest *g = smfi_getpriv(ctx);

	if (g != NULL) {
		(void)smfi_setpriv(ctx, NULL);
		guest_free(g);
	}
	return SMFIS_CONTINUE;
}

/* ---- the transaction ------------------------------------------------------------------------ */

static sfsistat
on_path(SMFICTX *ctx, char **words, void (*fn)(void *))
{
	struct guest *g = guest_of(ctx);
	struct request r = { .words = words };

	if (g == NULL || words == NULL || words[0] == NULL)
		return SMFIS_TEMPFAIL;
	r.judge = g->judge;
	take_macros(ctx, &r);
	return ask(ctx, &r, fn);
}

/* What was gathered of a message, and what was said of it. */
static void
forget(struct guest *g)
{
	buf_clear(&g->content);
	if (g->owes)
		answer_fini(&g->owed);
	g->owes = g->decided = false;
}

static sfsistat
on_mail(SMFICTX *ctx, char **words)
{
	struct guest *g = guest_of(ctx);

	if (g == NULL)
		return SMFIS_TEMPFAIL;
	forget(g);
	return on_path(ctx, words, judge_mail);
}

static sfsistat
on_rcpt(SMFICTX *ctx, char **words)
{
	return on_path(ctx, words, judge_rcpt);
}

static sfsistat
on_data(SMFICTX *ctx)
{
	struct guest *g = guest_of(ctx);
	struct request r = { 0 };

	if (g == NULL)
		return SMFIS_TEMPFAIL;
	r.judge = g->judge;
	return ask(ctx, &r, judge_data);
}

static sfsistat
on_abort(SMFICTX *ctx)
{
	struct guest *g = guest_of(ctx);
	struct request r = { 0 };

	if (g == NULL)
		return SMFIS_CONTINUE;
	r.judge = g->judge;
	forget(g);
	(void)bridge_call(judge_abort, &r, (struct bridge_meanwhile){ NULL, NULL });
	return SMFIS_CONTINUE;
}

/* ---- the message ---------------------------------------------------------------------------- */

/* What was gathered goes over.  False: the verdict has fallen, and is owed. */
static bool
hand_over(struct guest *g)
{
	struct request r = { .judge = g->judge, .answer = &g->owed, .content = buf_span(&g->content) };
	bool whole = buf_status(&g->content) == SP_OK;

	if (!g->decided) {
		g->decided = true; /* until it is known otherwise */
		g->owes = answer_init(&g->owed);
		if (g->owes && whole && bridge_call(judge_content, &r, (struct bridge_meanwhile){ NULL, NULL }) &&
			g->owed.word == ANSWER_GO_ON) {
			answer_fini(&g->owed);
			g->decided = g->owes = false;
		} else if (g->owes && g->owed.word == ANSWER_GO_ON) {
			answer_refuse(&g->owed, 451, SPAN_LIT("4.3.0"), SPAN_LIT("not available now, try again later"), NULL);
		}
	}
	buf_clear(&g->content);
	return !g->decided;
}

/* A verdict that has fallen is told. */
static sfsistat
tell_owed(SMFICTX *ctx, struct guest *g)
{
	sfsistat status = SMFIS_TEMPFAIL;

	if (g->owes) {
		status = carry_reply(ctx, &g->owed);
		answer_fini(&g->owed);
		g->owes = false;
	}
	return status;
}

/* One more piece of the message is there. */
static sfsistat
gathered(SMFICTX *ctx, struct guest *g, unsigned long no_reply)
{
	bool goes_on = g->content.len < PIECE || hand_over(g);

	if ((g->protocol & no_reply) != 0)
		return SMFIS_NOREPLY;
	return goes_on ? SMFIS_CONTINUE : tell_owed(ctx, g);
}

/* A line end is LF here, and was CR LF. */
static void
add_lines(struct buf *to, struct sp_span text)
{
	while (text.len > 0) {
		size_t len = span_find(text, '\n');

		buf_add(to, span_head(text, len));
		if (len < text.len)
			buf_add_str(to, len > 0 && text.ptr[len - 1] == '\r' ? "\n" : "\r\n");
		text = span_from(text, len + 1);
	}
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	struct guest *g = guest_of(ctx);

	if (g == NULL)
		return SMFIS_TEMPFAIL;
	buf_add_str(&g->content, name);
	buf_add_str(&g->content, (g->protocol & SMFIP_HDR_LEADSPC) != 0 ? ":" : ": ");
	add_lines(&g->content, span_str(value));
	buf_add_str(&g->content, "\r\n");
	return gathered(ctx, g, SMFIP_NR_HDR);
}

static sfsistat
on_eoh(SMFICTX *ctx)
{
	struct guest *g = guest_of(ctx);

	if (g == NULL)
		return SMFIS_TEMPFAIL;
	buf_add_str(&g->content, "\r\n");
	return hand_over(g) ? SMFIS_CONTINUE : tell_owed(ctx, g);
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *bytes, size_t len)
{
	struct guest *g = guest_of(ctx);

	if (g == NULL)
		return SMFIS_TEMPFAIL;
	buf_add(&g->content, span_of((const char *)bytes, len));
	return gathered(ctx, g, SMFIP_NR_BODY);
}

static sfsistat
finish(SMFICTX *ctx, struct guest *g, struct request *r)
{
	bool done;

	if (r->answer->word != ANSWER_GO_ON)
		return carry_reply(ctx, r->answer);
	done = carry_changes(ctx, g, r->answer);
	if (!bridge_call(done ? judge_done : judge_failed, r, (struct bridge_meanwhile){ NULL, NULL }))
		return SMFIS_TEMPFAIL;
	return carry_reply(ctx, r->answer);
}

static sfsistat
on_eom(SMFICTX *ctx)
{
	struct guest *g = guest_of(ctx);
	struct request r = { 0 };
	struct answer answer;
	sfsistat status = SMFIS_TEMPFAIL;

	if (g == NULL || g->decided || buf_status(&g->content) != SP_OK)
		return g != NULL && g->decided ? tell_owed(ctx, g) : SMFIS_TEMPFAIL;
	r = (struct request){ .judge = g->judge, .answer = &answer, .content = buf_span(&g->content), .queue_id = macro(ctx, "i") };
	if (answer_init(&answer) && bridge_call(judge_end, &r, (struct bridge_meanwhile){ show_life, ctx }))
		status = finish(ctx, g, &r);
	answer_fini(&answer);
	buf_fini(&g->content);
	return status;
}

/* ---- the whole ------------------------------------------------------------------------------ */

bool
guest_open(const struct milter_config *c)
{
	static char name[] = "sallyport-milter";
	const struct smfiDesc callbacks = { .xxfi_name = name, .xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_CHGBODY | SMFIF_ADDRCPT | SMFIF_ADDRCPT_PAR | SMFIF_DELRCPT |
			SMFIF_CHGFROM | SMFIF_QUARANTINE | SMFIF_SETSYMLIST,
		.xxfi_connect = on_connect, .xxfi_helo = on_helo, .xxfi_envfrom = on_mail, .xxfi_envrcpt = on_rcpt,
		.xxfi_data = on_data, .xxfi_header = on_header, .xxfi_eoh = on_eoh, .xxfi_body = on_body, .xxfi_eom = on_eom,
		.xxfi_abort = on_abort, .xxfi_close = on_close, .xxfi_negotiate = on_negotiate };

	config = c;
	if (smfi_setconn((char *)(uintptr_t)c->socket) != MI_SUCCESS) {
		fprintf(stderr, "sallyport-milter: '%s' is no socket\n", c->socket);
		return false;
	}
	if (smfi_register(callbacks) != MI_SUCCESS || smfi_opensocket(true) != MI_SUCCESS) {
		fprintf(stderr, "sallyport-milter: cannot open %s\n", c->socket);
		return false;
	}
	return true;
}
