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

static bool
expects_error(const struct scene *s)
{
	for (size_t i = 0; i < s->expectation_count; i++)
		if (span_eq(s->expectations[i].words[0], SPAN_LIT("error")))
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

	if (!fake_backend_start(&p->backend, p->scene)) {
		play_fail(p, 1, "the fake backend cannot listen");
		return;
	}
	w.backend_port = p->backend.port;
	w.dns_port = start_dns(p);
	if (!child_start(&p->child, p->scene, &w) && !expects_error(p->scene))
		play_fail(p, 1, "the gateway did not start:\n%.*s", (int)p->child.log.len,
			p->child.log.len > 0 ? p->child.log.ptr : "");
	else if (p->child.port != 0 && expects_error(p->scene))
		play_fail(p, 1, "an error was expected, but the policy is taken");
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
	buf_printf(to, "---- log\n%s", buf_cstr(&st->play.child.log));
}

bool
scene_play(struct scene *s, const struct scene_options *o)
{
	struct stage *st = calloc(1, sizeof(*st));
	bool ok;

	if (st == NULL)
		return false;
	st->play.scene = s;
	st->play.backend.listener = -1;
	st->options = o;
	buf_init(&st->play.transcript, SCENE_TRANSCRIPT);
	snprintf(st->folder, sizeof(st->folder), "/tmp/sallyport-test-XXXXXX");
	rt_clock_scale((double)s->clock);
	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(st->folder) == NULL || rt_init() != SP_OK || co_start(stage_run, st, NULL) != SP_OK)
		play_fail(&st->play, 1, "the stage could not be set");
	else
		rt_run();
	ok = !st->play.failed;
	if (!ok || o->verbose)
		report(st);
	if (!o->keep)
		site_remove(st->folder);
	fakedns_free(&st->play.dns);
	fake_backend_stop(&st->play.backend);
	buf_fini(&st->play.transcript);
	buf_fini(&st->play.child.log);
	free(st);
	return ok;
}
