#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- tables --------------------------------------------------------------- */

/* The loop that goes on; NULL outside of one. */
static const char *table_of_row;
static size_t row;

bool
unit_row(size_t i, size_t count, const char *table)
{
	table_of_row = i < count ? table : NULL;
	row = i;
	return i < count;
}

/* A test that passes has left its loops by their ends. */
static int
show_row(void **state)
{
	(void)state;
	if (table_of_row != NULL)
		print_message("in row %zu of '%s'\n", row, table_of_row);
	table_of_row = NULL;
	return 0;
}

void
unit_show_rows(struct CMUnitTest *tests, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (tests[i].teardown_func == NULL)
			tests[i].teardown_func = show_row;
}

/* --- the directory -------------------------------------------------------- */

static char directory[32];
static pid_t owner;

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* A child of the test that ends must not take it away. */
void
unit_remove_directory(void)
{
	if (directory[0] == '\0' || getpid() != owner)
		return;
	nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	directory[0] = '\0';
}

const char *
unit_directory(void)
{
	if (directory[0] != '\0')
		return directory;
	if (owner == 0)
		atexit(unit_remove_directory);
	owner = getpid();
	strcpy(directory, "/tmp/onehop-unit-XXXXXX");
	if (mkdtemp(directory) == NULL || chmod(directory, 0755) != 0)
		abort();
	return directory;
}

char *
unit_path(const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", unit_directory(), name) < 0)
		abort();
	return path;
}

void
unit_write_bytes(const char *name, mode_t mode, const void *bytes, size_t len)
{
	char *path = unit_path(name);
	struct stat st;
	int fd;

	if (lstat(path, &st) == 0 &&
	    (!S_ISREG(st.st_mode) || access(path, W_OK) != 0))
		unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len ||
	    fchmod(fd, mode) != 0 || close(fd) != 0)
		fail_msg("cannot write %s: %s", path, strerror(errno));
	free(path);
}

void
unit_write(const char *name, mode_t mode, const char *text)
{
	unit_write_bytes(name, mode, text, strlen(text));
}

void
unit_make_directory(const char *name)
{
	char *path = unit_path(name);

	if (mkdir(path, 0755) != 0)
		fail_msg("cannot make %s: %s", path, strerror(errno));
	free(path);
}
