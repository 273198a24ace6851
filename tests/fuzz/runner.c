/* runner.c: main() of the fuzz targets where there is no libFuzzer (gcc): runs every file of the corpus folders
 * given, then a bounded number of random mutations of them, the same ones at every run.
 *
 *   fuzz_NAME [-m MUTATIONS] [-s SEED] FILE-OR-FOLDER...
 *
 * A target that finds a broken invariant aborts; the input that did it then lies in fuzz-last-input in the folder
 * where the runner was started. Owns everything it allocates until it ends; ends with status 2 when it cannot read
 * its corpus.
 * */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SEEDS_MAX = 4096,
	INPUT_BYTES_MAX = 64 * 1024,
	DEFAULT_MUTATIONS = 10000,
	EDITS_MAX = 8,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	uint8_t *bytes;
	size_t size;
};

struct corpus {
	struct input seeds[SEEDS_MAX];
	size_t count;
};

/* What is being run, for the signal handler: the one place where a global is the only way. */
static const uint8_t *running_bytes;
static size_t running_size;

/* Leaves the input that broke the target in a file and lets the signal do its work. Only async-signal-safe calls. */
static void keep_input(int signal_number)
{
	int fd = open("fuzz-last-input", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0) {
		ssize_t written = write(fd, running_bytes, running_size);
		(void)written;
		close(fd);
	}
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* Runs one input from a block of exactly its size, so that a read past its end is seen by the sanitizer. */
static void run(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);
	if (copy == NULL)
		exit(2);
	if (size > 0)
		memcpy(copy, bytes, size);
	running_bytes = copy;
	running_size = size;
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

/* xorshift64*: good enough to choose edits, and the same on every machine. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static size_t below(uint64_t *state, size_t bound)
{
	return bound == 0 ? 0 : (size_t)(next_random(state) % bound);
}

static void load_file(struct corpus *corpus, const char *path)
{
	FILE *file = fopen(path, "rbe");
	if (file == NULL) {
		perror(path);
		exit(2);
	}
	uint8_t *bytes = malloc(INPUT_BYTES_MAX);
	if (bytes == NULL || corpus->count == SEEDS_MAX)
		exit(2);
	size_t size = fread(bytes, 1, INPUT_BYTES_MAX, file);
	fclose(file);
	corpus->seeds[corpus->count++] = (struct input){bytes, size};
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Loads a file, or each file of a folder in the order of their names. */
static void load(struct corpus *corpus, const char *path)
{
	struct stat facts;
	if (stat(path, &facts) != 0) {
		perror(path);
		exit(2);
	}
	if (!S_ISDIR(facts.st_mode)) {
		load_file(corpus, path);
		return;
	}
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, not_hidden, alphasort);
	if (count < 0) {
		perror(path);
		exit(2);
	}
	for (int i = 0; i < count; i++) {
		char inner[4096];
		int length = snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
		if (length > 0 && (size_t)length < sizeof inner)
			load(corpus, inner);
		free(entries[i]);
	}
	free(entries);
}

/* One random edit in place: change, drop, double or splice some bytes. The result stays below INPUT_BYTES_MAX. */
static void edit(struct input *input, const struct corpus *corpus, uint64_t *state)
{
	static const uint8_t telling[] = "\0\r\n \"\\(){}<>[]:;,=?%*&+-.\x7f\xff";
	size_t at = below(state, input->size + 1);
	size_t left = input->size - at;
	size_t room = INPUT_BYTES_MAX - input->size;
	switch (below(state, 6)) {
	case 0: /* another byte */
		if (left > 0)
			input->bytes[at] = (uint8_t)next_random(state);
		break;
	case 1: /* a byte that means something to parsers */
		if (left > 0)
			input->bytes[at] = telling[below(state, sizeof telling)];
		break;
	case 2: /* a flipped bit */
		if (left > 0)
			input->bytes[at] ^= (uint8_t)(1u << below(state, 8));
		break;
	case 3: { /* bytes dropped */
		size_t gone = below(state, left < 32 ? left + 1 : 32);
		memmove(input->bytes + at, input->bytes + at + gone, left - gone);
		input->size -= gone;
		break;
	}
	case 4: { /* bytes doubled */
		size_t more = below(state, left < 64 ? left + 1 : 64);
		if (more > room)
			break;
		memmove(input->bytes + at + more, input->bytes + at, left);
		input->size += more;
		break;
	}
	case 5: { /* the tail of another seed instead of ours */
		const struct input *other = &corpus->seeds[below(state, corpus->count)];
		size_t from = below(state, other->size + 1);
		size_t tail = other->size - from;
		if (tail > INPUT_BYTES_MAX - at)
			tail = INPUT_BYTES_MAX - at;
		memcpy(input->bytes + at, other->bytes + from, tail);
		input->size = at + tail;
		break;
	}
	}
}

static void run_mutations(const struct corpus *corpus, unsigned long count, uint64_t state)
{
	struct input input = {malloc(INPUT_BYTES_MAX), 0};
	if (input.bytes == NULL)
		exit(2);
	for (unsigned long i = 0; i < count; i++) {
		const struct input *seed = &corpus->seeds[below(&state, corpus->count)];
		memcpy(input.bytes, seed->bytes, seed->size);
		input.size = seed->size;
		for (size_t edits = 1 + below(&state, EDITS_MAX); edits > 0; edits--)
			edit(&input, corpus, &state);
		run(input.bytes, input.size);
	}
	free(input.bytes);
}

int main(int argc, char **argv)
{
	static struct corpus corpus;
	unsigned long mutations = DEFAULT_MUTATIONS;
	uint64_t seed = 1;
	int option;
	while ((option = getopt(argc, argv, "m:s:")) != -1) {
		switch (option) {
		case 'm':
			mutations = strtoul(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10) | 1;
			break;
		default:
			return 2;
		}
	}
	signal(SIGABRT, keep_input);
	signal(SIGSEGV, keep_input);
	for (int i = optind; i < argc; i++)
		load(&corpus, argv[i]);
	run(NULL, 0);
	for (size_t i = 0; i < corpus.count; i++)
		run(corpus.seeds[i].bytes, corpus.seeds[i].size);
	if (corpus.count > 0)
		run_mutations(&corpus, mutations, seed * UINT64_C(0x9e3779b97f4a7c15));
	printf("%zu seeds, %lu mutations\n", corpus.count, corpus.count > 0 ? mutations : 0);
	for (size_t i = 0; i < corpus.count; i++)
		free(corpus.seeds[i].bytes);
	return 0;
}
