/* The command line on a store without a server: each command is run in a child, its exit code and output are looked
 * at. */
#include "proc/ctl/ctl.h"

#include "auth/directory.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/test_folder.h"
#include "db/bodylog.h"
#include "proc/ctl/backup.h"
#include "proc/ctl/export.h"
#include "proc/store_folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGUMENTS_MAX    16
#define MORE_THAN_A_PAGE 1100 /* domains; a page has 1000 */

struct place {
	char folder[TEST_FOLDER_SIZE], config[128], password[128];
	struct buf out; /* stdout and stderr of the last command */
};

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int make_place(void **state)
{
	static struct place place;
	char text[512], store[128];
	struct store_identity identity;
	struct store_owners owners = { (uint32_t)geteuid(), (uint32_t)geteuid() };
	if (!test_folder_make(place.folder, "ctl-test"))
		return -1;
	snprintf(store, sizeof store, "%s/store", place.folder);
	snprintf(place.config, sizeof place.config, "%s/mansio.toml", place.folder);
	snprintf(place.password, sizeof place.password, "%s/password", place.folder);
	snprintf(text, sizeof text,
		"server.directory = \"%s\"\nlogin.password_memory = \"64KB\"\nlogin.password_iterations = 1\n", store);
	write_file(place.config, text);
	write_file(place.password, "a secret\n");
	place.out = BUF_INIT(1024 * 1024);
	if (store_folder_make(store) < 0 || store_folder_fill(store, 2, &owners, &identity) < 0)
		return -1;
	*state = &place;
	return 0;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
	return remove(path);
}

static int remove_place(void **state)
{
	struct place *place = *state;
	buf_free(&place->out);
	return nftw(place->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void in_child(const struct place *place, char **arguments, int n, int out)
{
	int null = open("/dev/null", O_RDONLY);
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	setsid(); /* no terminal to ask on */
	setenv("MANSIO_CONFIG", place->config, 1);
	int result = ctl_main(n, arguments);
	fflush(NULL);
	_exit(result);
}

/* `mansio line`; words are separated by single spaces. The exit code. */
static int mansio(struct place *place, const char *line)
{
	char text[1024], name[] = "mansio", *arguments[ARGUMENTS_MAX + 1] = { name };
	int n = 1, fds[2], status;
	snprintf(text, sizeof text, "%s", line);
	for (char *word = text; word && n < ARGUMENTS_MAX; n++) {
		arguments[n] = word;
		word = strchr(word, ' ');
		if (word)
			*word++ = '\0';
	}
	assert_int_equal(0, pipe(fds));
	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		in_child(place, arguments, n, fds[1]);
	close(fds[1]);
	buf_clear(&place->out);
	ssize_t got;
	do {
		char *room = buf_reserve(&place->out, 4096);
		assert_non_null(room);
		got = read(fds[0], room, 4096);
		buf_commit(&place->out, got > 0 ? (size_t)got : 0);
	} while (got > 0);
	close(fds[0]);
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool said(const struct place *place, const char *text)
{
	return str_find(buf_str(&place->out), str_from_c(text)) >= 0;
}

static void add_alice(struct place *place)
{
	char line[512];
	assert_int_equal(0, mansio(place, "domain add example.test"));
	snprintf(line, sizeof line, "account add alice@example.test --password-file %s", place->password);
	assert_int_equal(0, mansio(place, line));
	assert_true(said(place, "account alice@example.test: added"));
}

static void accounts_come_and_go(void **state)
{
	struct place *place = *state;
	add_alice(place);
	assert_int_equal(0, mansio(place, "--json account add Bob@example.test --generate-password"));
	assert_true(said(place, "{\"address\":\"bob@example.test\",\"id\":\""));
	assert_true(said(place, "\"shard\":1,"));
	assert_true(said(place, "\"password\":\""));
	assert_int_equal(0, mansio(place, "account list"));
	assert_true(said(place, "alice@example.test      0  "));
	assert_int_equal(3, mansio(place, "account list other.test"));
	assert_true(said(place, "there is no domain other.test here"));
	assert_int_equal(0, mansio(place, "alias list --json example.test"));
	assert_true(str_eq(buf_str(&place->out), STR("[]\n")));
	assert_int_equal(0, mansio(place, "account password bob@example.test --generate-password"));
	assert_int_equal(0, mansio(place, "account show bob@example.test --json"));
	assert_true(said(place, "\"aliases\":[],\"pop3\":null,\"pop3_app_passwords\":[],\"messages\":null,\"bytes\":null}"));
	assert_int_equal(2, mansio(place, "account remove bob@example.test"));
	assert_true(said(place, "This destroys the account bob@example.test with all its mail"));
	assert_int_equal(0, mansio(place, "account show bob@example.test"));
	assert_int_equal(0, mansio(place, "account remove bob@example.test --yes"));
	assert_int_equal(3, mansio(place, "account show bob@example.test"));
}

static void aliases_and_domains_come_and_go(void **state)
{
	struct place *place = *state;
	add_alice(place);
	assert_int_equal(0, mansio(place, "domain list --json"));
	assert_true(str_eq(buf_str(&place->out), STR("[{\"domain\":\"example.test\"}]\n")));
	assert_int_equal(0, mansio(place, "alias add team@example.test alice@example.test"));
	assert_int_equal(0, mansio(place, "alias list --json"));
	assert_true(str_eq(buf_str(&place->out),
		STR("[{\"address\":\"team@example.test\",\"targets\":[\"alice@example.test\"]}]\n")));
	assert_int_equal(1, mansio(place, "alias add team@example.test team@example.test"));
	assert_true(said(place, "circle"));
	assert_int_equal(1, mansio(place, "domain remove example.test"));
	assert_int_equal(0, mansio(place, "alias remove team@example.test"));
	assert_int_equal(0, mansio(place, "account remove -y alice@example.test"));
	assert_int_equal(0, mansio(place, "domain remove example.test"));
	assert_int_equal(0, mansio(place, "domain list"));
	assert_true(said(place, "There are no domains."));
}

static void lists_of_more_than_a_page_are_whole(void **state)
{
	struct place *place = *state;
	const struct directory_settings settings = { .shards = 1, .max_alias_targets = 1, .max_alias_depth = 1 };
	struct directory *directory;
	char folder[128], name[64];
	snprintf(folder, sizeof folder, "%s/store/" STORE_FOLDER_AUTH, place->folder);
	assert_int_equal(0, directory_open(str_from_c(folder), &settings, 0, &directory, NULL));
	for (int i = 0; i < MORE_THAN_A_PAGE; i++) {
		snprintf(name, sizeof name, "d%04d.test", i);
		assert_int_equal(0, directory_domain_add(directory, str_from_c(name)));
	}
	directory_free(&directory);
	assert_int_equal(0, mansio(place, "domain list"));
	struct str rest = buf_str(&place->out);
	for (int i = 0; i < MORE_THAN_A_PAGE; i++) {
		snprintf(name, sizeof name, "d%04d.test", i);
		assert_true(str_eq(str_cut(&rest, '\n'), str_from_c(name)));
	}
	assert_int_equal(0, rest.n);
	assert_int_equal(0, mansio(place, "domain list --json"));
	assert_true(said(place, "{\"domain\":\"d0999.test\"},{\"domain\":\"d1000.test\"}"));
}

static void failures_have_their_exit_codes(void **state)
{
	struct place *place = *state;
	add_alice(place);
	char line[512];
	snprintf(line, sizeof line, "account add alice@example.test --json --password-file %s", place->password);
	assert_int_equal(4, mansio(place, line));
	assert_true(said(place, "{\"error\":{\"code\":\"exists\",\"message\":\"alice@example.test exists already"));
	snprintf(line, sizeof line, "account add bob@other.test --password-file=%s", place->password);
	assert_int_equal(3, mansio(place, line));
	assert_true(said(place, "mansio domain add other.test"));
	assert_int_equal(2, mansio(place, "account add bob@example.test")); /* no terminal */
	assert_true(said(place, "--password-file"));
	assert_int_equal(2, mansio(place, "account add bob@example.test --password-file /nonexistent"));
	assert_int_equal(2, mansio(place, "account add bob@example.test --password-file -")); /* an empty line */
	assert_int_equal(2, mansio(place, "account add alice --generate-password"));
	assert_int_equal(5, mansio(place, "status"));
	assert_true(said(place, "not running"));
	assert_int_equal(5, mansio(place, "status --json"));
	assert_true(said(place, "{\"running\":false"));
	assert_int_equal(6, mansio(place, "account list -c /nonexistent"));
}

static void wrong_arguments_are_usage_errors(void **state)
{
	static const char *const LINES[] = { "nonsense", "account", "account nonsense", "account add", "account add a@b c@d",
		"domain list x", "account list --nonsense", "account list -c", "account list --json=yes", "alias add a@b",
		"account list --password-file=", "account list --json --nonsense" };
	struct place *place = *state;
	for (size_t i = 0; i < COUNT_OF(LINES); i++)
		assert_int_equal(2, mansio(place, LINES[i]));
	assert_true(said(place, "{\"error\":{\"code\":\"usage\","));
	assert_int_equal(2, mansio(place, "account ad x"));
	assert_true(said(place, "unknown command \"account ad\" (see mansio account --help)"));
}

static void help_is_everywhere_and_has_an_example(void **state)
{
	static const char *const LINES[] = { "--help", "account --help", "domain --help", "alias --help", "account add --help",
		"account list --help", "account show -h", "account password --help", "account remove --help", "domain add --help",
		"domain list --help", "domain remove --help", "alias add --help", "alias list --help", "alias remove --help",
		"status --help" };
	struct place *place = *state;
	for (size_t i = 0; i < COUNT_OF(LINES); i++) {
		assert_int_equal(0, mansio(place, LINES[i]));
		assert_true(said(place, "example:\n  mansio "));
	}
	assert_int_equal(0, mansio(place, "--version"));
	assert_true(said(place, "mansio " MANSIO_VERSION "\n"));
	assert_int_equal(0, mansio(place, "account add --version"));
	assert_true(said(place, "mansio " MANSIO_VERSION "\n"));
	assert_int_equal(0, mansio(place, "--json --version"));
	assert_true(said(place, "{\"version\":\"" MANSIO_VERSION "\"}\n"));
	assert_int_equal(2, mansio(place, "--version --nonsense"));
}

static void a_store_in_use_is_left_alone(void **state)
{
	struct place *place = *state;
	char store[128];
	int lock;
	snprintf(store, sizeof store, "%s/store", place->folder);
	assert_int_equal(0, store_folder_lock(store, &lock));
	assert_int_equal(5, mansio(place, "domain add example.test"));
	assert_true(said(place, "is in use"));
	close(lock);
	assert_int_equal(0, mansio(place, "domain add example.test"));
}

/* Our own memory is a file with a hole that cannot be read: what is unmapped. */
static void what_a_disk_cannot_read_is_lost_by_sectors(void **state)
{
	enum { SECTOR = 4096, SECTORS = 64, BAD = 10, SHIFT = 100 };
	char *memory = mmap(NULL, SECTORS * SECTOR, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static char expected[SECTORS * SECTOR], got[SECTORS * SECTOR];
	uint64_t at = (uint64_t)(uintptr_t)memory, lost = 0;
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	assert_true(memory != MAP_FAILED && fd >= 0);
	for (size_t i = 0; i < sizeof expected; i++)
		memory[i] = expected[i] = (char)(i % 251 + 1);
	assert_true(read_or_zeros(fd, at + SHIFT, got, sizeof got - SHIFT, &lost));
	assert_memory_equal(got, expected + SHIFT, sizeof got - SHIFT);
	assert_int_equal(0, munmap(memory + BAD * SECTOR, SECTOR));
	memset(expected + BAD * SECTOR, 0, SECTOR);
	assert_false(read_or_zeros(fd, at + SHIFT, got, sizeof got - SHIFT, &lost));
	assert_memory_equal(got, expected + SHIFT, sizeof got - SHIFT);
	assert_int_equal(lost, at + BAD * SECTOR);
	memset(got, 1, sizeof got);
	assert_false(read_or_zeros(-1, 7, got, sizeof got, &lost));
	assert_int_equal(lost, 7);
	assert_true(got[0] == 0 && memcmp(got, got + 1, sizeof got - 1) == 0);
	close(fd);
	munmap(memory, BAD * SECTOR);
	munmap(memory + (BAD + 1) * SECTOR, (SECTORS - BAD - 1) * SECTOR);
}

static void take_spooled(void *owner, struct str bytes)
{
	buf_add(owner, bytes);
}

/* 100 messages of 1000 bytes, all of which begin with their number; every fifth is in a mailbox that is left out, at first. */
static void the_spool_holds_only_what_may_be_wanted_again(void **state)
{
	enum { MESSAGES = 100, SIZE = 1000 };
	struct place *place = *state;
	struct export x = { .spool_fd = -1, .folder_fd = open(place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	char bytes[SIZE] = "";
	uint64_t most = 0;
	for (uint64_t number = 1; number <= MESSAGES; number++) {
		bytes[0] = (char)number;
		assert_int_equal(0, export_spool_begin(&x, &(struct parcel_message){ .number = number, .size = SIZE }));
		assert_int_equal(0, export_spool_add(&x, str_of(bytes, SIZE)));
		if (number % 5 == 0)
			export_keep(&x, export_find(&x, number));
		else
			export_written(&x, export_find(&x, number));
		most = MAX(most, x.spool_end);
	}
	assert_int_equal(most, (MESSAGES / 5) * SIZE);
	for (uint64_t number = 5; number <= MESSAGES; number += 5) {
		struct buf got = BUF_INIT(SIZE);
		assert_int_equal(0, export_read(&x, export_find(&x, number), take_spooled, &got));
		assert_int_equal(got.n, SIZE);
		assert_int_equal(got.p[0], number);
		export_keep(&x, export_find(&x, number));
		export_written(&x, export_find(&x, number));
		buf_free(&got);
	}
	assert_int_equal(x.n_waiting, 0);
	export_spool_free(&x);
	close(x.folder_fd);
}

/* What a manifest of two shards says beside its other members. */
static struct backup_manifest *manifest_with(const char *members)
{
	struct buf rest = BUF_INIT(4096), text = BUF_INIT(4096);
	struct body_sum *sum = body_sum_new();
	struct backup_manifest *manifest = NULL;
	char digits[17];
	buf_addf(&rest,
	         "\"format\":1,\"name\":\"a\",\"store\":\"b\",\"time\":1,\"shards\":2,\"files\":[],\"segments\":[]%s}",
	         members);
	body_sum_add(sum, buf_str(&rest));
	print_sum(body_sum_end(&sum), digits);
	buf_addf(&text, "{\"sum\":\"%s\",%.*s", digits, STR_ARG(buf_str(&rest)));
	assert_int_equal(manifest_parse(buf_str(&text), &manifest), 0);
	buf_free(&rest);
	buf_free(&text);
	return manifest;
}

static struct backup_manifest *printed_and_read(struct backup_manifest *manifest)
{
	struct buf text = BUF_INIT(4096);
	manifest_print(manifest, &text);
	manifest_free(&manifest);
	assert_int_equal(manifest_parse(buf_str(&text), &manifest), 0);
	buf_free(&text);
	return manifest;
}

static void what_a_manifest_does_not_say_is_doubted(void **state)
{
	static const struct {
		const char *members;
		enum backup_doubt first, second;
		bool is_directory_doubted;
	} CASES[] = {
		{ "", DOUBT_DAMAGE, DOUBT_DAMAGE, false }, /* of a version that wrote no doubt */
		{ ",\"doubted\":[1]", DOUBT_DAMAGE, DOUBT_NO_SNAPSHOT, false },
		{ ",\"damaged\":[],\"doubted\":[]", DOUBT_NONE, DOUBT_NONE, false },
		{ ",\"damaged\":[0],\"doubted\":[1],\"directory_doubted\":true", DOUBT_DAMAGE, DOUBT_NO_SNAPSHOT, true },
	};
	for (size_t i = 0; i < COUNT_OF(CASES); i++) {
		struct backup_manifest *manifest = manifest_with(CASES[i].members);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(manifest_doubt_of(manifest, 0), CASES[i].first);
			assert_int_equal(manifest_doubt_of(manifest, 1), CASES[i].second);
			assert_null(manifest_doubt_of_file(manifest, "00.db"));
			assert_int_equal(manifest_doubt_of_file(manifest, "01.db") != NULL, CASES[i].second == DOUBT_NO_SNAPSHOT);
			assert_int_equal(manifest_doubt_of_file(manifest, BACKUP_DIRECTORY) != NULL, CASES[i].is_directory_doubted);
			manifest = printed_and_read(manifest);
		}
		manifest_free(&manifest);
	}
}

int main(void)
{
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
	const struct CMUnitTest tests[] = {
		ON_STORE(accounts_come_and_go),
		ON_STORE(aliases_and_domains_come_and_go),
		ON_STORE(lists_of_more_than_a_page_are_whole),
		ON_STORE(failures_have_their_exit_codes),
		ON_STORE(wrong_arguments_are_usage_errors),
		ON_STORE(help_is_everywhere_and_has_an_example),
		ON_STORE(a_store_in_use_is_left_alone),
		cmocka_unit_test(what_a_disk_cannot_read_is_lost_by_sectors),
		cmocka_unit_test(what_a_manifest_does_not_say_is_doubted),
		ON_STORE(the_spool_holds_only_what_may_be_wanted_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
