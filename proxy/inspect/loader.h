/*
 * loader.h - filter modules: finding NAME.so, checking it by the one ABI rule, keeping it loaded.
 */
#ifndef PROXY_INSPECT_LOADER_H
#define PROXY_INSPECT_LOADER_H

#include <sallyport/filter.h>

/* Folders are searched in the order given, joined by ':'; $SALLYPORT_FILTER_PATH comes first, then the folder
 * "filters" beside the running program (a build tree), then the installed one. */
void loader_path(const char *folders);

/* dlopen(RTLD_NOW | RTLD_LOCAL) of NAME.so and its sp_filter_NAME, checked. Modules stay loaded until the process ends; the
 * same name gives the same descriptor. SP_NONE: *reterr is a sentence that says what was looked for, or which rule was broken:
 *   "rate.so is for filter ABI 1.0, this Sallyport has 0.2: rebuild it"          (other major)
 *   "rate.so needs filter ABI 0.9, this Sallyport has 0.2: use a newer Sallyport" (higher minor)
 *   "rate.so: its descriptor has 16 octets, ABI 0.2 has at least 200: it was built wrongly" (short size)
 * reterr has static life until the next call. Signature as policy_env.filter_find wants it. */
enum sp_status loader_find(void *arg, const char *name, const struct sp_filter **ret, const char **reterr);
/* All module names in the path, sorted, null-ended. */
const char *const *loader_names(void *arg);
/* The rule by itself, for tests and for the loader. */
enum sp_status loader_check(const char *file, const char *name, const struct sp_filter *f, const char **reterr);

/* Shared tables for modules (sp_host.load_shared): MAP_SHARED | MAP_ANONYMOUS memory made in the master; the same name and
 * size give the same table, so it survives reloads. For policy_env.shared. */
void *loader_shared(void *arg, const char *name, size_t size);

#endif
