/*
 * domain.c - domain names: grammar, case, ancestry (see domain.h).  RFC 5890 2.3.1 with the '_' that names in the DNS
 * have; RFC 5891 by libidn2, whose memory is freed here, one label at a time.
 */
#include "mailauth/domain.h"

#include <idn2.h>

#include "mailauth/text.h"
#include "mailauth/utf8.h"

static bool
is_label_octet(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool
domain_ok(struct sp_span name)
{
	size_t label = 0, dots = 0;

	if (name.len == 0 || name.len > DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
			dots++;
		} else if (!is_label_octet(name.ptr[i]) || ++label > DOMAIN_LABEL_MAX) {
			return false;
		}
	}
	return label > 0 && dots > 0;
}

enum sp_status
domain_fold(struct sp_span name, char memory[static DOMAIN_MAX + 1], struct sp_span *ret)
{
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (!domain_ok(name))
		return SP_INVALID;
	for (size_t i = 0; i < name.len; i++)
		memory[i] = text_lower(name.ptr[i]);
	memory[name.len] = '\0';
	*ret = (struct sp_span){ memory, name.len };
	return SP_OK;
}

/* The A-label of a U-label, behind what is in w; false: it is none. */
static bool
label_encode(struct writer *w, struct sp_span label)
{
	char text[DOMAIN_MAX + 1];
	struct sp_span encoded;
	uint8_t *out = NULL;
	bool ok = false;

	if (label.len > DOMAIN_MAX || text_find(label, '\0') < label.len)
		return false;
	memcpy(text, label.ptr, label.len);
	text[label.len] = '\0';
	if (idn2_lookup_u8((const uint8_t *)text, &out, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK) {
		encoded = text_of((const char *)out);
		/* else it was ASCII, or several labels, in another form */
		ok = text_is(text_head(encoded, 4), TEXT("xn--")) && text_find(encoded, '.') == encoded.len;
		if (ok)
			writer_add(w, encoded);
	}
	idn2_free(out);
	return ok;
}

enum sp_status
domain_fold_utf8(struct sp_span name, char memory[static DOMAIN_MAX + 1], struct sp_span *ret)
{
	char text[DOMAIN_MAX + 1];
	struct sp_span rest = name, label;
	struct writer w;

	if (utf8_ascii_only(name))
		return domain_fold(name, memory, ret);
	if (!utf8_is_clear(name))
		return SP_INVALID;
	writer_init(&w, text, sizeof(text));
	while (!w.full && text_cut(&rest, '.', &label)) {
		if (label.ptr > name.ptr)
			writer_char(&w, '.');
		if (utf8_ascii_only(label))
			writer_add(&w, label);
		else if (!label_encode(&w, label))
			return SP_INVALID;
	}
	return w.full ? SP_INVALID : domain_fold(writer_text(&w), memory, ret);
}

bool
domain_within(struct sp_span name, struct sp_span parent)
{
	if (parent.len == 0 || !text_ends(name, parent))
		return false;
	return name.len == parent.len || name.ptr[name.len - parent.len - 1] == '.';
}

struct sp_span
domain_parent(struct sp_span name)
{
	size_t dot = text_find(name, '.');

	return dot < name.len ? text_from(name, dot + 1) : (struct sp_span){ NULL, 0 };
}
