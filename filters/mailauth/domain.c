/*
 * domain.c - domain names: grammar, case, ancestry (see domain.h).  Nothing is allocated.  RFC 5890 2.3.1 with the '_'
 * that names in the DNS have; U-labels are no domains here.
 */
#include "mailauth/domain.h"
#include "mailauth/text.h"

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
