/* findings.c - see findings.h.  Holds no memory beyond a call. */
#include "proxy/session/findings.h"

#include "policy/kit/span.h"
#include "proxy/session/log.h"

enum { NOTES_MAX = 2048 };

static void
log_notes(struct inspect *i)
{
	struct buf rules, tags, logs, edits;
	struct inspect_notes notes = { &rules, &tags, &logs, &edits };

	buf_init(&rules, NOTES_MAX);
	buf_init(&tags, NOTES_MAX);
	buf_init(&logs, NOTES_MAX);
	buf_init(&edits, NOTES_MAX);
	inspect_notes(i, &notes);
	log_real("score", inspect_score(i));
	log_text("rules", buf_span(&rules));
	log_text("tags", buf_span(&tags));
	log_text("edits", buf_span(&edits));
	if (logs.len > 0)
		log_text("note", buf_span(&logs));
	buf_fini(&rules);
	buf_fini(&tags);
	buf_fini(&logs);
	buf_fini(&edits);
}

/* What filters state of who sent it, "spf=pass:example.org dkim=fail:example.net (the body was altered)"; where
 * none looked nothing is said. */
static void
log_results(struct inspect *i)
{
	struct sp_auth_result r;
	struct buf text;

	buf_init(&text, NOTES_MAX);
	for (size_t n = 0; inspect_result(i, n, &r) == SP_OK; n++) {
		buf_printf(&text, "%s%s=%s", n > 0 ? " " : "", r.method, r.result);
		if (r.prop_count > 0) {
			buf_add_char(&text, ':');
			buf_add(&text, r.props[0].value);
		}
		if (r.reason.len > 0)
			buf_printf(&text, " (%.*s)", (int)r.reason.len, r.reason.ptr);
	}
	if (text.len > 0)
		log_text("auth", buf_span(&text));
	buf_fini(&text);
}

void
log_findings(struct inspect *i)
{
	log_results(i);
	log_notes(i);
}
