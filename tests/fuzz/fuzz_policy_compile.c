/*
 * fuzz_policy_compile - any bytes as a policy: compile them, lay them out, plan what compiled.
 *
 * Held besides memory safety: a policy comes out exactly when there was no error; what the formatter
 * gives compiles as before, and formatting it again changes nothing.
 */
#include "policy/kit/must.h"
#include "tests/unit/policy_env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
compiles(struct sp_span text)
{
	struct policy_diag d;
	struct policy *p;
	bool good;

	policy_diag_init(&d);
	p = policy_compile_text("fuzz", text, &test_env, &d);
	good = p != NULL;
	MUST(good == (d.errors == 0));
	MUST(good || d.text.len > 0);
	policy_free(&p);
	policy_diag_fini(&d);
	return good;
}

static bool
formats(struct sp_span text, struct buf *to)
{
	struct policy_diag d;
	bool good;

	policy_diag_init(&d);
	buf_init(to, (size_t)4 << 20);
	good = policy_format("fuzz", text, to, &d) == SP_OK;
	policy_diag_fini(&d);
	return good;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span text = span_of((const char *)data, size);
	bool good = compiles(text);
	struct buf once, twice;

	if (formats(text, &once)) {
		MUST(!good || compiles(buf_span(&once)));
		MUST(formats(buf_span(&once), &twice));
		MUST(span_eq(buf_span(&once), buf_span(&twice)));
		buf_fini(&twice);
	} else {
		MUST(!good);
	}
	buf_fini(&once);
	return 0;
}
