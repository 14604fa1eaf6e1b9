/*
 * loader.c - filter modules: finding NAME.so, checking it by the one ABI rule, keeping it loaded.
 *
 * Runs in the master (and in the commands), before workers exist; one thread.  All memory here is
 * the process's: modules are never unloaded, since descriptors are held by compiled policies and by
 * shared tables that outlive them.
 */
#include "proxy/inspect/loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	LOADER_FOLDERS_MAX = 16,
	LOADER_MODULES_MAX = 256,
	LOADER_NAME_MAX = 64,
	LOADER_PATH_MAX = 4096,
	LOADER_TABLES_MAX = 1024
};

struct loader_module {
	char name[LOADER_NAME_MAX + 1];
	struct sp_filter filter; /* a copy: what a module of a lower minor does not have is null in it */
};

struct loader_table {
	char *name;
	size_t size;
	void *memory;
};

static struct {
	char given[LOADER_PATH_MAX]; /* as told to loader_path() */
	char *folders[LOADER_FOLDERS_MAX];
	size_t folder_count;
	bool resolved;
	struct loader_module modules[LOADER_MODULES_MAX];
	size_t module_count;
	struct loader_table tables[LOADER_TABLES_MAX];
	size_t table_count;
	char *names[LOADER_MODULES_MAX + 1];
	char error[LOADER_PATH_MAX + 512];
} loader;

/* ---- the path ------------------------------------------------------------------------------- */

static void
folder_add(const char *text, size_t len)
{
	if (len == 0 || loader.folder_count == LOADER_FOLDERS_MAX)
		return;
	for (size_t i = 0; i < loader.folder_count; i++)
		if (strlen(loader.folders[i]) == len && memcmp(loader.folders[i], text, len) == 0)
			return;
	loader.folders[loader.folder_count] = strndup(text, len);
	if (loader.folders[loader.folder_count] != NULL)
		loader.folder_count++;
}

static void
folders_add(const char *list)
{
	while (list != NULL && *list != '\0') {
		size_t len = strcspn(list, ":");

		folder_add(list, len);
		list += len + (list[len] == ':');
	}
}

/* The folder "filters" beside the running program: a build tree has it. */
static void
folder_add_own(void)
{
	char path[LOADER_PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof("filters"));
	char *slash;

	if (len <= 0)
		return;
	path[len] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL)
		return;
	memcpy(slash + 1, "filters", sizeof("filters"));
	if (access(path, F_OK) == 0)
		folder_add(path, strlen(path));
}

static void
folders_resolve(void)
{
	if (loader.resolved)
		return;
	/* secure_: a program that was given rights takes no code from its caller's environment */
	folders_add(secure_getenv("SALLYPORT_FILTER_PATH"));
	folder_add_own();
	folders_add(loader.given);
#ifdef SALLYPORT_FILTER_DIR
	folders_add(SALLYPORT_FILTER_DIR);
#endif
	loader.resolved = true;
}

void
loader_path(const char *folders)
{
	snprintf(loader.given, sizeof(loader.given), "%s", folders != NULL ? folders : "");
	while (loader.folder_count > 0)
		free(loader.folders[--loader.folder_count]);
	loader.resolved = false;
}

/* ---- one module ----------------------------------------------------------------------------- */

/* A name is part of a symbol and of a file name: letters, digits, '_', no digit first. */
static bool
name_ok(const char *name, size_t len)
{
	if (len == 0 || len > LOADER_NAME_MAX || (name[0] >= '0' && name[0] <= '9'))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_'))
			return false;
	}
	return true;
}

__attribute__((format(printf, 2, 3))) static enum sp_status
refuse(const char **reterr, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(loader.error, sizeof(loader.error), fmt, ap);
	va_end(ap);
	*reterr = loader.error;
	return SP_NONE;
}

enum sp_status
loader_check(const char *file, const char *name, const struct sp_filter *f, const char **reterr)
{
	if (f->abi_major != SP_ABI_MAJOR)
		return refuse(reterr,
			"%s is for filter ABI %d.%d, this Sallyport has %d.%d: rebuild it", file,
			f->abi_major, f->abi_minor, SP_ABI_MAJOR, SP_ABI_MINOR);
	if (f->abi_minor > SP_ABI_MINOR)
		return refuse(reterr,
			"%s needs filter ABI %d.%d, this Sallyport has %d.%d: use a newer "
			"Sallyport",
			file, f->abi_major, f->abi_minor, SP_ABI_MAJOR, SP_ABI_MINOR);
	if (f->size < SP_FILTER_SIZE_MIN)
		return refuse(reterr,
			"%s: its descriptor has %lu octets, ABI %d.%d has at least %lu: it was "
			"built wrongly",
			file, (unsigned long)f->size, SP_ABI_MAJOR, SP_ABI_MINOR,
			(unsigned long)SP_FILTER_SIZE_MIN);
	if (f->name == NULL || strcmp(f->name, name) != 0)
		return refuse(reterr,
			"%s: its descriptor is named '%s', not '%s': it was built wrongly", file,
			f->name != NULL ? f->name : "", name);
	return SP_OK;
}

/* The first folder that has NAME.so; false: none. */
static bool
module_locate(const char *name, char *path, size_t room)
{
	for (size_t i = 0; i < loader.folder_count; i++) {
		int len = snprintf(path, room, "%s/%s.so", loader.folders[i], name);

		if (len > 0 && (size_t)len < room && access(path, F_OK) == 0)
			return true;
	}
	return false;
}

static enum sp_status
refuse_missing(const char *name, const char **reterr)
{
	size_t len;

	if (loader.folder_count == 0)
		return refuse(reterr, "there is no folder of filters to look for %s.so in", name);
	refuse(reterr, "there is no %s.so in %s", name, loader.folders[0]);
	for (size_t i = 1; i < loader.folder_count; i++) {
		len = strlen(loader.error);
		snprintf(loader.error + len, sizeof(loader.error) - len, ", %s", loader.folders[i]);
	}
	return SP_NONE;
}

static void
filter_copy(struct sp_filter *to, const struct sp_filter *from)
{
	memset(to, 0, sizeof(*to));
	memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
}

static enum sp_status
module_open(const char *path, const char *name, struct sp_filter *ret, const char **reterr)
{
	char symbol[sizeof("sp_filter_") + LOADER_NAME_MAX], file[sizeof(".so") + LOADER_NAME_MAX];
	const struct sp_filter *filter;
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const char *why;

	if (handle == NULL) {
		why = dlerror();
		return refuse(reterr, "it cannot be loaded: %s", why != NULL ? why : path);
	}
	snprintf(symbol, sizeof(symbol), "sp_filter_%s", name);
	snprintf(file, sizeof(file), "%s.so", name);
	filter = dlsym(handle, symbol);
	if (filter == NULL)
		refuse(reterr, "%s has no symbol %s: it is not a filter module of that name", file,
			symbol);
	else if (loader_check(file, name, filter, reterr) == SP_OK) {
		filter_copy(ret, filter);
		return SP_OK;
	}
	dlclose(handle);
	return SP_NONE;
}

enum sp_status
loader_find(void *arg, const char *name, const struct sp_filter **ret, const char **reterr)
{
	char path[LOADER_PATH_MAX];
	struct loader_module *m = &loader.modules[loader.module_count];
	enum sp_status st;

	(void)arg;
	if (!name_ok(name, strlen(name)))
		return refuse(reterr,
			"a filter's name has letters, digits and '_' only, at most %d",
			LOADER_NAME_MAX);
	for (size_t i = 0; i < loader.module_count; i++)
		if (strcmp(loader.modules[i].name, name) == 0) {
			*ret = &loader.modules[i].filter;
			return SP_OK;
		}
	if (loader.module_count == LOADER_MODULES_MAX)
		return refuse(reterr, "%d modules are loaded already, that is the most",
			LOADER_MODULES_MAX);
	folders_resolve();
	if (!module_locate(name, path, sizeof(path)))
		return refuse_missing(name, reterr);
	st = module_open(path, name, &m->filter, reterr);
	if (st != SP_OK)
		return st;
	snprintf(m->name, sizeof(m->name), "%s", name);
	loader.module_count++;
	*ret = &m->filter;
	return SP_OK;
}

/* ---- all modules ---------------------------------------------------------------------------- */

static bool
name_known(const char *name, size_t len, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(loader.names[i]) == len && memcmp(loader.names[i], name, len) == 0)
			return true;
	return false;
}

static size_t
names_read(const char *folder, size_t count)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;

	if (dir == NULL)
		return count;
	while (count < LOADER_MODULES_MAX && (entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name);

		if (len < 4 || memcmp(entry->d_name + len - 3, ".so", 3) != 0)
			continue;
		len -= 3;
		if (!name_ok(entry->d_name, len) || name_known(entry->d_name, len, count))
			continue;
		loader.names[count] = strndup(entry->d_name, len);
		if (loader.names[count] == NULL)
			break;
		count++;
	}
	closedir(dir);
	return count;
}

static int
names_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

const char *const *
loader_names(void *arg)
{
	size_t count = 0;

	(void)arg;
	for (size_t i = 0; loader.names[i] != NULL; i++)
		free(loader.names[i]);
	folders_resolve();
	for (size_t i = 0; i < loader.folder_count; i++)
		count = names_read(loader.folders[i], count);
	loader.names[count] = NULL;
	qsort(loader.names, count, sizeof(loader.names[0]), names_cmp);
	return (const char *const *)loader.names;
}

/* ---- shared tables -------------------------------------------------------------------------- */

void *
loader_shared(void *arg, const char *name, size_t size)
{
	struct loader_table *t;

	(void)arg;
	for (size_t i = 0; i < loader.table_count; i++) {
		t = &loader.tables[i];
		if (t->size == size && strcmp(t->name, name) == 0)
			return t->memory;
	}
	if (size == 0 || loader.table_count == LOADER_TABLES_MAX)
		return NULL;
	t = &loader.tables[loader.table_count];
	t->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->memory == MAP_FAILED)
		return NULL;
	t->name = strdup(name);
	if (t->name == NULL) {
		munmap(t->memory, size);
		return NULL;
	}
	t->size = size;
	loader.table_count++;
	return t->memory;
}
