/*
 * plan_print.c - "sallyport plan": at which stage each rule fires, what it reads, for whom it waits.
 *
 * Columns are as wide as their widest cell, up to a limit past which a line may stick out.
 */
#include "policy/kit/span.h"
#include "policy/policy_priv.h"

#define NAME_WIDTH_MAX 24
#define VERB_WIDTH_MAX 32
#define CONDITION_WIDTH_MAX 64
#define LINE_MAX 65536

struct columns {
	size_t name, verb, condition;
};

static void
condition_text(struct buf *to, const struct policy_rule *r)
{
	buf_clear(to);
	if (r->condition == NULL) {
		buf_add_str(to, "always");
		return;
	}
	buf_add_str(to, "if ");
	show_expr(to, r->condition);
}

static void
verb_text(struct buf *to, const struct policy_rule *r)
{
	buf_clear(to);
	show_verb(to, r);
	if (r->shadow)
		buf_add_str(to, " shadow");
}

static size_t
wider(size_t width, size_t cell, size_t max)
{
	return cell > width && cell <= max ? cell : width;
}

static struct columns
measure(const struct policy *p, struct buf *cell)
{
	struct columns c = { 1, 1, 1 };

	for (size_t i = 0; i < p->rule_count; i++) {
		c.name = wider(c.name, p->rules[i]->name.len, NAME_WIDTH_MAX);
		verb_text(cell, p->rules[i]);
		c.verb = wider(c.verb, cell->len, VERB_WIDTH_MAX);
		condition_text(cell, p->rules[i]);
		c.condition = wider(c.condition, cell->len, CONDITION_WIDTH_MAX);
	}
	return c;
}

static void
print_rule(struct buf *to, struct buf *cell, const struct policy_rule *r, const struct columns *c)
{
	buf_clear(cell);
	show_name(cell, r);
	buf_add_str(to, "  ");
	show_padded(to, buf_span(cell), c->name);
	verb_text(cell, r);
	buf_add_str(to, "  ");
	show_padded(to, buf_span(cell), c->verb);
	condition_text(cell, r);
	buf_add_str(to, "  ");
	show_padded(to, buf_span(cell), c->condition);
	buf_add_str(to, "  ");
	show_place(to, r);
	buf_add_char(to, '\n');
}

static void
print_reads(struct buf *to, const struct policy_rule *r, size_t indent)
{
	if (r->read_count == 0)
		return;
	show_padded(to, SPAN_LIT(""), indent);
	buf_add_str(to, "reads ");
	for (size_t i = 0; i < r->read_count; i++) {
		buf_add_str(to, i > 0 ? ", " : "");
		buf_add(to, r->reads[i]->text);
		buf_printf(to, " (%s)", policy_stage_name(r->reads[i]->stage));
	}
	if (r->reads_rcpt && r->fires > SP_RCPT)
		buf_add_str(to, "; judged for each recipient");
	buf_add_char(to, '\n');
}

/* What the rule above may still do that r has to wait for. */
static void
print_reason(struct buf *to, const struct policy_rule *above, const struct policy_rule *r)
{
	unsigned mine = plan_class(r);

	if (above->awaits) {
		buf_add_str(to, ", which decides until eom");
		return;
	}
	for (unsigned c = POLICY_ACCEPT; c <= POLICY_REJECT; c++)
		if (c != mine && (above->decides & 1u << c) != 0) {
			buf_printf(to, ", which may still %s", policy_class_name((enum policy_class)c));
			return;
		}
	if ((above->decides & 1u << PLAN_QUARANTINE) != 0)
		buf_add_str(to, ", which may still quarantine");
	else if ((above->defaults & 1u << POLICY_UNDECIDED) != 0)
		buf_add_str(to, ", whose effect comes first");
	else
		buf_add_str(to, ", of which a fact may yet be unknown");
}

static void
print_wait(struct buf *to, const struct policy_rule *r, size_t indent)
{
	if (r->pinned >= 0) {
		show_padded(to, SPAN_LIT(""), indent);
		buf_printf(to, "pinned at %s\n", policy_stage_name((enum sp_stage)r->pinned));
	}
	if (r->awaits) {
		show_padded(to, SPAN_LIT(""), indent);
		buf_add_str(to, "decides until eom\n");
	}
	if (r->waits_for == NULL)
		return;
	show_padded(to, SPAN_LIT(""), indent);
	buf_printf(to, "known at %s, waits for '", policy_stage_name(r->known));
	show_name(to, r->waits_for);
	buf_add_str(to, "' (");
	show_place(to, r->waits_for);
	buf_add_char(to, ')');
	print_reason(to, r->waits_for, r);
	buf_add_char(to, '\n');
}

static void
print_stage(const struct policy *p, enum sp_stage stage, const struct columns *c, FILE *to)
{
	struct buf line, cell;
	bool any = false;

	buf_init(&line, LINE_MAX);
	buf_init(&cell, LINE_MAX);
	fprintf(to, "%s\n", policy_stage_name(stage));
	for (size_t i = 0; i < p->rule_count; i++) {
		const struct policy_rule *r = p->rules[i];

		if (r->fires != stage)
			continue;
		any = true;
		buf_clear(&line);
		print_rule(&line, &cell, r, c);
		print_reads(&line, r, c->name + 4);
		print_wait(&line, r, c->name + 4);
		fwrite(line.ptr, 1, line.len, to);
	}
	if (!any)
		fputs("  no rule\n", to);
	buf_fini(&cell);
	buf_fini(&line);
}

void
policy_plan(const struct policy *p, FILE *to)
{
	struct columns c;
	struct buf cell;

	buf_init(&cell, LINE_MAX);
	c = measure(p, &cell);
	buf_fini(&cell);
	for (unsigned stage = SP_CONNECT; stage < SP_STAGES; stage++)
		print_stage(p, (enum sp_stage)stage, &c, to);
}
