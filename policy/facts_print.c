/* facts_print.c - "sallyport facts": what a policy can speak of, with type, stage and meaning. */
#include "policy/kit/span.h"
#include "policy/policy_priv.h"

static void
print_fact(const char *space, const char *entry, const struct sp_fact_decl *d, FILE *to)
{
	char name[128];

	snprintf(name, sizeof(name), "%s%s.%s%s", space, entry, d->name, d->takes_name ? "(\"...\")" : "");
	fprintf(to, "%-32s %-9s %-8s %s\n", name, policy_type_name(d->type), policy_stage_name(d->stage),
		d->help != NULL ? d->help : "");
	for (size_t i = 0; d->words != NULL && d->words[i] != NULL; i++)
		fprintf(to, "%s%s%s", i == 0 ? "                                  " : " ", d->words[i],
			d->words[i + 1] == NULL ? "\n" : "");
}

static void
print_facts(const char *space, const char *entry, const struct sp_fact_decl *d, FILE *to)
{
	for (; d != NULL && d->type != SP_END; d++)
		print_fact(space, entry, d, to);
}

void
policy_facts(const struct policy_env *env, const char *const *filters, FILE *to)
{
	const struct sp_filter *module;
	const char *error;

	for (const struct policy_space *s = env->spaces; s != NULL && s->name != NULL; s++)
		print_facts(s->name, "", s->facts, to);
	for (; filters != NULL && *filters != NULL; filters++) {
		error = "no such module";
		if (env->filter_find == NULL || env->filter_find(env->arg, *filters, &module, &error) != SP_OK) {
			fprintf(to, "%s: %s\n", *filters, error);
			continue;
		}
		print_facts(module->name, "", module->facts, to);
		print_facts(module->name, ".ENTRY", module->entry_facts, to);
	}
}
