/*
 * secure.c - TLS in a scene: what its clients and its fake backend do, and what they must see of the other side.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/net/tls.h"
#include "proxy/test/play.h"

enum { PATH = 512, WHY = 512 };

static bool
pair_of(const char *folder, struct sp_span name, char certificate[static PATH], char key[static PATH])
{
	return snprintf(certificate, PATH, "%s/%.*s.pem", folder, (int)name.len, name.ptr) < PATH &&
		snprintf(key, PATH, "%s/%.*s.key", folder, (int)name.len, name.ptr) < PATH;
}

void
secure_plain(struct stream *s, struct sp_span bytes)
{
	(void)send(stream_fd(s), bytes.ptr, bytes.len, MSG_NOSIGNAL);
}

/* ---- the backend ---------------------------------------------------------------------------- */

bool
fake_backend_secure(struct fake_backend *b, struct stream *s, int64_t deadline_ms)
{
	char certificate[PATH], key[PATH], why[WHY] = "no memory";
	struct tls_pair pair = { certificate, key };

	if (b->tls == NULL && pair_of(b->folder, b->scene->backend_tls, certificate, key))
		b->tls = tls_server_new(&(struct tls_server){ .pairs = &pair, .count = 1 }, why, sizeof(why));
	if (b->tls == NULL) {
		transcript_add(&b->transcript, "B<", span_str(why));
		return false;
	}
	if (stream_tls_accept(s, b->tls, deadline_ms) != SP_OK) {
		transcript_add(&b->transcript, "B<", SPAN_LIT("(handshake failed)\r\n"));
		return false;
	}
	transcript_add(&b->transcript, "B<", SPAN_LIT("(handshake)\r\n"));
	return true;
}

/* ---- clients -------------------------------------------------------------------------------- */

struct wish {
	char host[256];
	struct sp_span with, shows;
	bool old, fails;
};

static struct sp_span
next_word(struct sp_span *text)
{
	struct sp_span word;

	*text = span_trim(*text);
	word = span_head(*text, span_find(*text, ' '));
	*text = span_trim(span_from(*text, word.len));
	return word;
}

/* [as HOST] [with NAME] [shows NAME] [old] [fails] */
static bool
wish_read(struct sp_span text, struct wish *w)
{
	*w = (struct wish){ 0 };
	while (text.len > 0) {
		struct sp_span word = next_word(&text), host;

		if (span_eq(word, SPAN_LIT("as"))) {
			host = next_word(&text);
			snprintf(w->host, sizeof(w->host), "%.*s", (int)host.len, host.ptr);
		} else if (span_eq(word, SPAN_LIT("with"))) {
			w->with = next_word(&text);
		} else if (span_eq(word, SPAN_LIT("shows"))) {
			w->shows = next_word(&text);
		} else if (span_eq(word, SPAN_LIT("old"))) {
			w->old = true;
		} else if (span_eq(word, SPAN_LIT("fails"))) {
			w->fails = true;
		} else {
			return false;
		}
	}
	return true;
}

static bool
shown(const struct play *p, const struct stream *s, struct sp_span name)
{
	char print[CERTIFICATE_PRINT];
	struct tls_peer peer;

	return name.len == 0 || (certificate_fingerprint(p->child.world.folder, name, print) && stream_tls_peer(s, &peer) &&
		strcmp(print, peer.fingerprint) == 0);
}

void
secure_client(struct play *p, struct stream *s, const struct step *st)
{
	struct tls_client from = { 0 };
	char certificate[PATH], key[PATH], why[WHY] = "no memory";
	struct tls_context *c;
	struct wish wish;
	enum sp_status status;

	if (!wish_read(st->text, &wish)) {
		play_fail(p, st->line, "starttls takes 'as HOST', 'with NAME', 'shows NAME', 'old' and 'fails'");
		return;
	}
	from.name = wish.host[0] != '\0' ? wish.host : NULL;
	from.old = wish.old;
	if (wish.with.len > 0 && pair_of(p->child.world.folder, wish.with, certificate, key))
		from.own = (struct tls_pair){ certificate, key };
	c = tls_client_new(&from, why, sizeof(why));
	if (c == NULL) {
		play_fail(p, st->line, "%s", why);
		return;
	}
	status = stream_tls_connect(s, c, play_deadline(p));
	if ((status == SP_OK) == wish.fails)
		play_fail(p, st->line, "the TLS handshake %s", wish.fails ? "succeeded" : "failed");
	else if (status == SP_OK && !shown(p, s, wish.shows))
		play_fail(p, st->line, "the gateway showed another certificate than '%.*s'", (int)wish.shows.len, wish.shows.ptr);
	tls_context_free(&c);
}
