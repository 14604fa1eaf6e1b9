/*
 * data.c - see data.h.  Holds no memory: spans handed out point into the caller's input, or are constants.
 *
 * The input is searched by memchr() for CR, LF and NUL, each octet once for each of the three; what lies between is
 * handed out in one piece.  What cannot be judged at the end of an input (CR; a dot that begins a line; both) is held back
 * as two flags, and judged with the first octets of the next.  Only CRLF leads to DATA_BOL, so neither a fault nor a
 * space that stands for one can make a line start, a stuffed dot or an end (RFC 5321 2.3.8, 4.1.1.4, 4.5.2; RFC 3030).
 */
#include "proxy/smtp/data.h"

#include "policy/kit/span.h"

enum { DATA_BOL, DATA_TEXT, DATA_END };

struct feed {
	struct data_parser *p;
	const struct data_sink *sink;
	struct sp_span in;
	size_t pos;           /* the next octet to judge */
	size_t cr, lf, nul;   /* the first of each from pos on; in.len: none */
	size_t wire, content; /* what precedes has been handed out */
};

void
data_init(struct data_parser *p, const struct data_config *config)
{
	*p = (struct data_parser){ .config = *config, .state = DATA_BOL };
}

static void
hand_out(struct feed *f, enum sp_status (*to)(void *, struct sp_span), struct sp_span bytes)
{
	struct data_parser *p = f->p;

	if (bytes.len > 0 && to != NULL && p->faults == 0 && p->sink_status == SP_OK)
		p->sink_status = to(f->sink->arg, bytes);
}

/* Hands out everything before pos. */
static void
flush(struct feed *f)
{
	hand_out(f, f->sink->wire, span_of(f->in.ptr + f->wire, f->pos - f->wire));
	hand_out(f, f->sink->content, span_of(f->in.ptr + f->content, f->pos - f->content));
	f->wire = f->content = f->pos;
}

/* Passes over n octets of the input that were handed out otherwise, or are not to be. */
static void
leave_out(struct feed *f, size_t n)
{
	f->pos += n;
	f->wire = f->content = f->pos;
}

static void
fault(struct feed *f, unsigned bit)
{
	flush(f);
	f->p->faults |= bit;
}

/* How many of n more octets of content are within the limits; those that are not are a fault. in_line: they
 * count for the line too, if there are lines. */
static size_t
within_limits(const struct data_parser *p, size_t n, bool in_line, unsigned *ret_bits)
{
	size_t line = p->binary ? 0 : p->config.max_line, room = n;

	*ret_bits = 0;
	if (p->config.max_octets > 0 && (int64_t)n > p->config.max_octets - p->octets) {
		*ret_bits |= DATA_TOO_BIG;
		room = p->octets < p->config.max_octets ? (size_t)(p->config.max_octets - p->octets) : 0;
	}
	if (in_line && line > 0 && (p->line > line || n > line - p->line)) {
		*ret_bits |= DATA_LONG_LINE;
		if (p->line >= line)
			room = 0;
		else if (line - p->line < room)
			room = line - p->line;
	}
	return room;
}

/* Counts n octets of a line; the first `held` of them lie in earlier inputs, the others at pos. */
static void
take_text(struct feed *f, size_t n, size_t held)
{
	struct data_parser *p = f->p;
	unsigned bits;
	size_t room = within_limits(p, n, true, &bits);

	if (bits != 0) {
		size_t before = room > held ? room - held : 0;

		f->pos += before;
		fault(f, bits);
		f->pos += n - held - before;
	} else {
		f->pos += n - held;
	}
	p->octets += (int64_t)n;
	p->line += n;
	p->state = DATA_TEXT;
}

/* A CRLF; with held its CR came with an earlier input. */
static void
take_crlf(struct feed *f, size_t held)
{
	struct data_parser *p = f->p;
	unsigned bits;

	within_limits(p, 2, false, &bits);
	if (bits != 0)
		fault(f, bits);
	if (held > 0) {
		hand_out(f, f->sink->wire, SPAN_LIT("\r\n"));
		hand_out(f, f->sink->content, SPAN_LIT("\r\n"));
		leave_out(f, 2 - held);
	} else {
		f->pos += 2;
	}
	p->binary |= p->config.binary && p->state == DATA_BOL;
	p->octets += 2;
	p->line = 0;
	p->state = DATA_BOL;
}

/* In binary content: text like any other. A CR that lay in an earlier input has not been handed out yet. */
static void
take_binary(struct feed *f, size_t held)
{
	take_text(f, 1, held);
	if (held > 0) {
		hand_out(f, f->sink->wire, SPAN_LIT("\r"));
		hand_out(f, f->sink->content, SPAN_LIT("\r"));
	}
}

/* A bare CR, bare LF or NUL: a fault, or a space. It lies at pos, or, if held, in an earlier input. */
static void
take_bare(struct feed *f, unsigned bit, size_t held)
{
	struct data_parser *p = f->p;

	if (p->binary) {
		take_binary(f, held);
		return;
	}
	flush(f);
	if (p->config.space)
		p->noted |= bit;
	else
		fault(f, bit);
	take_text(f, 1, held);
	hand_out(f, f->sink->wire, SPAN_LIT(" "));
	hand_out(f, f->sink->content, SPAN_LIT(" "));
	leave_out(f, 0);
}

/* A dot that begins a line and is not alone on it: stuffed, so it is on the wire and not in the content. */
static void
take_held_dot(struct feed *f)
{
	hand_out(f, f->sink->wire, SPAN_LIT("."));
	f->p->pending_dot = false;
	f->p->state = DATA_TEXT;
}

static void
take_end(struct feed *f, size_t n)
{
	flush(f);
	leave_out(f, n);
	f->p->state = DATA_END;
	f->p->pending_dot = f->p->pending_cr = false;
}

/* Judges what earlier inputs held back by the front of this one, which is not empty. */
static void
take_pending(struct feed *f)
{
	struct data_parser *p = f->p;

	if (p->pending_dot && !p->pending_cr && f->in.ptr[0] == '\r') {
		p->pending_cr = true;
		leave_out(f, 1);
		if (f->in.len == 1)
			return;
	}
	if (p->pending_cr && f->in.ptr[f->pos] == '\n') {
		if (p->pending_dot)
			take_end(f, 1);
		else
			take_crlf(f, 1);
		p->pending_cr = false;
		return;
	}
	if (p->pending_dot)
		take_held_dot(f);
	if (p->pending_cr)
		take_bare(f, DATA_BARE_CR, 1);
	p->pending_cr = false;
}

/* A dot at pos that begins a line. */
static void
take_dot(struct feed *f)
{
	const char *at = f->in.ptr + f->pos;
	size_t left = f->in.len - f->pos;

	if (f->p->config.counted) { /* only content yet: it gets its second dot here */
		flush(f);
		hand_out(f, f->sink->wire, SPAN_LIT("."));
		f->p->state = DATA_TEXT;
	} else if (left == 1 || (left == 2 && at[1] == '\r')) {
		flush(f);
		f->p->pending_dot = true;
		f->p->pending_cr = left == 2;
		leave_out(f, left);
	} else if (at[1] == '\r' && at[2] == '\n') {
		take_end(f, 3);
	} else {
		hand_out(f, f->sink->content, span_of(f->in.ptr + f->content, f->pos - f->content));
		f->content = ++f->pos;
		f->p->state = DATA_TEXT;
	}
}

/* The CR at pos. */
static void
take_cr(struct feed *f)
{
	if (f->pos + 1 == f->in.len) {
		flush(f);
		f->p->pending_cr = true;
		leave_out(f, 1);
	} else if (f->in.ptr[f->pos + 1] == '\n') {
		take_crlf(f, 0);
	} else {
		take_bare(f, DATA_BARE_CR, 0);
	}
}

/* Offset of the first c from pos on, or in.len. */
static size_t
find(const struct feed *f, char c)
{
	const char *at = memchr(f->in.ptr + f->pos, c, f->in.len - f->pos);

	return at != NULL ? (size_t)(at - f->in.ptr) : f->in.len;
}

static void
find_again(const struct feed *f, size_t *at, char c)
{
	if (*at < f->pos)
		*at = find(f, c);
}

/* Takes text up to the next CR, LF or NUL, and then that. */
static void
take_next(struct feed *f)
{
	size_t at;

	find_again(f, &f->cr, '\r');
	find_again(f, &f->lf, '\n');
	find_again(f, &f->nul, '\0');
	at = f->cr < f->lf ? f->cr : f->lf;
	at = at < f->nul ? at : f->nul;
	if (at > f->pos)
		take_text(f, at - f->pos, 0);
	if (at == f->in.len)
		return;
	if (at == f->cr)
		take_cr(f);
	else
		take_bare(f, at == f->lf ? DATA_BARE_LF : DATA_NUL, 0);
}

bool
data_feed(struct data_parser *p, struct sp_span in, const struct data_sink *sink, size_t *used)
{
	struct feed f = { .p = p, .sink = sink, .in = in };

	*used = 0;
	if (in.len == 0 || p->state == DATA_END)
		return p->state == DATA_END;
	if (p->pending_dot || p->pending_cr)
		take_pending(&f);
	f.cr = find(&f, '\r');
	f.lf = find(&f, '\n');
	f.nul = find(&f, '\0');
	while (f.pos < in.len && p->state != DATA_END) {
		if (p->state == DATA_BOL && in.ptr[f.pos] == '.')
			take_dot(&f);
		else
			take_next(&f);
	}
	flush(&f);
	*used = f.pos;
	return p->state == DATA_END;
}

bool
data_end(struct data_parser *p, const struct data_sink *sink)
{
	struct feed f = { .p = p, .sink = sink, .in = SPAN_LIT("") };

	if (p->pending_cr)
		take_bare(&f, DATA_BARE_CR, 1);
	p->pending_cr = false;
	return p->state == DATA_BOL;
}

struct sp_span
data_unstuff(struct data_unstuff *u, struct sp_span in, size_t *used)
{
	size_t dot = u->bol && in.ptr[0] == '.';
	struct sp_span piece = span_from(in, dot);
	bool cr = u->cr;
	const char *next;

	*u = (struct data_unstuff){ 0 };
	*used = dot;
	if (piece.len == 0)
		return piece;
	next = memmem(piece.ptr, piece.len, "\r\n.", 3);
	if (cr && span_starts(piece, SPAN_LIT("\n.")))
		piece.len = 1;
	else if (next != NULL)
		piece.len = (size_t)(next - piece.ptr) + 2;
	*used += piece.len;
	u->cr = piece.ptr[piece.len - 1] == '\r';
	u->bol = piece.ptr[piece.len - 1] == '\n' && (piece.len > 1 ? piece.ptr[piece.len - 2] == '\r' : cr);
	return piece;
}
