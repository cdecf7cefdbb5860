/* Hands the files that are named on the command line to a target, and those
   of directories; a build without libFuzzer. */
#include <sys/stat.h>

#include <dirent.h>
#include <stdio.h>

#include "fuzz.h"

static unsigned
replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *bytes;
	size_t size;

	CHECK(file != NULL && fstat(fileno(file), &st) == 0);
	size = (size_t)st.st_size;
	/* Exactly as large: a byte too far is noticed. */
	bytes = malloc(size);
	CHECK(fread(bytes, 1, size, file) == size);
	fclose(file);
	fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(bytes, size);
	free(bytes);
	return 1;
}

static unsigned
replay(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[4096];
	unsigned n = 0;

	if (dir == NULL)
		return replay_file(path);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		CHECK(snprintf(name, sizeof(name), "%s/%s", path,
			  entry->d_name) < (int)sizeof(name));
		n += replay_file(name);
	}
	closedir(dir);
	return n;
}

int
main(int argc, char **argv)
{
	unsigned n = 0;
	int i;

	for (i = 1; i < argc; i++)
		n += replay(argv[i]);
	printf("%u inputs\n", n);
	return n == 0;
}
