/*
 * play.c - plays a scene: the world first, then the gateway, the dialogues one after the other, the end of all, the judging.
 */
#include "proxy/test/play.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/dns/dns.h"

struct stage {
	struct play play;
	const struct scene_options *options;
	char folder[64];
};

/* Is there an expectation that begins with this word? */
static bool
is_told(const struct scene *s, const char *what)
{
	for (size_t i = 0; i < s->expectation_count; i++)
		if (span_eq(s->expectations[i].words[0], span_str(what)))
			return true;
	return false;
}

/* "NAME fails servfail" and "NAME delays 2000" beside records. */
static bool
add_record(struct play *p, const struct record *r)
{
	enum fakedns_kind kind;
	uint64_t ms;

	if (span_eq(r->type, SPAN_LIT("fails")))
		return fakedns_kind_parse(r->value, &kind) == SP_OK && fakedns_fail(p->dns, r->name, kind) == SP_OK;
	if (span_eq(r->type, SPAN_LIT("delays")))
		return span_to_u64(r->value, 1u << 30, &ms) == SP_OK && fakedns_delay(p->dns, r->name, (int64_t)ms) == SP_OK;
	return fakedns_add(p->dns, r->name, r->type, r->value) == SP_OK;
}

static uint16_t
start_dns(struct play *p)
{
	p->dns = fakedns_new();
	if (p->dns == NULL)
		return 0;
	for (size_t i = 0; i < p->scene->record_count; i++)
		if (!add_record(p, &p->scene->records[i])) {
			play_fail(p, 1, "dns: '%.*s %.*s' is no record", (int)p->scene->records[i].name.len,
				p->scene->records[i].name.ptr, (int)p->scene->records[i].type.len,
				p->scene->records[i].type.ptr);
			return 0;
		}
	return fakedns_start(p->dns);
}

static void
start_all(struct stage *st)
{
	struct play *p = &st->play;
	struct child_world w = { .program = st->options->program, .folder = st->folder, .clock = p->scene->clock };

	p->backend.folder = st->folder;
	if (!fake_backend_start(&p->backend, p->scene) ||
		(p->scene->backend_local && !fake_backend_local(&p->backend, st->folder))) {
		play_fail(p, 1, "the fake backend cannot listen");
		return;
	}
	if (!fake_milters_start(p, st->folder)) {
		play_fail(p, 1, "a fake milter cannot listen");
		return;
	}
	w.backend_port = p->backend.port;
	w.dns_port = start_dns(p);
	if (!child_start(&p->child, p->scene, &w) && !is_told(p->scene, "error"))
		play_fail(p, 1, "the gateway did not start:\n%.*s", (int)p->child.log.len,
			p->child.log.len > 0 ? p->child.log.ptr : "");
	else if (p->child.port != 0 && is_told(p->scene, "error"))
		play_fail(p, 1, "an error was expected, but the policy is taken");
}

/* Whatever a scene is about: no process of the gateway may die of itself, nor a sanitizer have to speak. */
static void
check_health(struct play *p)
{
	static const char *const signs[] = { "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
		"ended by signal 11", "ended by signal 6" };
	const struct child *c = &p->child;

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (c->log.len > 0 && memmem(c->log.ptr, c->log.len, signs[i], strlen(signs[i])) != NULL)
			play_fail(p, 1, "the gateway broke: its log says '%s'", signs[i]);
	if (c->port != 0 && c->status != 0 && !is_told(p->scene, "exit"))
		play_fail(p, 1, "the gateway ended with status %d", c->status);
}

static void
stage_run(void *arg)
{
	struct stage *st = arg;
	struct play *p = &st->play;

	start_all(st);
	for (size_t i = 0; i < p->scene->dialogue_count && !p->failed; i++)
		dialogue_play(p, &p->scene->dialogues[i]);
	child_stop(&p->child);
	fake_milters_stop(p);
	check_health(p);
	if (!p->failed)
		expect_all(p);
	rt_stop();
}

static void
report(struct stage *st)
{
	struct buf *to = &st->play.scene->error;

	buf_printf(to, "---- client and gateway (C> sent, S< received)\n%s", buf_cstr(&st->play.transcript));
	buf_printf(to, "---- gateway and backend (B< received, B> sent)\n%s", buf_cstr(&st->play.backend.transcript));
	for (size_t i = 0; i < st->play.scene->milter_count; i++)
		buf_printf(to, "---- gateway and milter (< received, > sent)\n%s", buf_cstr(&st->play.milters[i].transcript));
	buf_printf(to, "---- log\n%s", buf_cstr(&st->play.child.log));
}

/* Was that the failure that the scene is about? */
static bool
failed_rightly(struct stage *st)
{
	struct scene *s = st->play.scene;
	struct sp_span said = buf_span(&s->error);

	if (st->play.failed && said.len >= s->fails.len && memmem(said.ptr, said.len, s->fails.ptr, s->fails.len) != NULL) {
		buf_clear(&s->error);
		return true;
	}
	buf_printf(&s->error, "%s: the scene should have failed with '%.*s'\n", s->path, (int)s->fails.len, s->fails.ptr);
	return false;
}

bool
scene_play(struct scene *s, const struct scene_options *o)
{
	struct stage *st = calloc(1, sizeof(*st));
	bool ok;

	if (st == NULL)
		return false;
	st->play.scene = s;
	st->play.backend.listener = st->play.backend.local = -1;
	st->options = o;
	buf_init(&st->play.transcript, SCENE_TRANSCRIPT);
	snprintf(st->folder, sizeof(st->folder), "/tmp/sallyport-test-XXXXXX");
	rt_clock_scale((double)s->clock);
	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(st->folder) == NULL || rt_init() != SP_OK || co_start(stage_run, st, NULL) != SP_OK)
		play_fail(&st->play, 1, "the stage could not be set");
	else
		rt_run();
	ok = s->fails.len > 0 ? failed_rightly(st) : !st->play.failed;
	if (!ok || o->verbose)
		report(st);
	if (!o->keep)
		site_remove(st->folder);
	fakedns_free(&st->play.dns);
	fake_backend_stop(&st->play.backend);
	for (size_t i = 0; i < s->milter_count; i++)
		buf_fini(&st->play.milters[i].transcript);
	buf_fini(&st->play.transcript);
	buf_fini(&st->play.child.log);
	free(st);
	return ok;
}
