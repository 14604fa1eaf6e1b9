/*
 * folder.h - a folder of a test program's own, for the files that it writes; gone with all that is in it at the end.
 */
#ifndef TESTS_UNIT_FOLDER_H
#define TESTS_UNIT_FOLDER_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void
folder_write(const char *name, const char *text, mode_t mode)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static int
folder_new(void)
{
	snprintf(folder, sizeof(folder), "/tmp/sallyport-unit.XXXXXX");
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
folder_remove(void **state)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	(void)state;
	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		closedir(d);
	return rmdir(folder);
}

#endif
