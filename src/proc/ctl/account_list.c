/* account_list.c: `mansio account add --from FILE`: many accounts, one a line. A line that cannot be carried out is
 * told and the next one goes on; a server that cannot be reached ends it, and so does what cannot be read, which is never
 * taken for the end of the list. Passwords are wiped as they are done with. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"
#include "proc/ctl/progress.h"

#include <sys/stat.h>

#define LINE_SIZE       (CONTROL_ARGUMENT_MAX + PASSWORD_MAX + 4)
#define BYTE_ORDER_MARK "\xEF\xBB\xBF" /* of UTF-8: some editors put it before the first line */
#define ERRORS_MAX      (16 * 1024 * 1024)

struct list {
	struct ctl *ctl;
	FILE *file;
	struct progress progress;
	uint64_t line, bytes, added, failed;
	struct buf errors; /* with --json: an array */
	int result;        /* exit code of the first failure */
	bool over;         /* nothing more can be done */
};

static void tell(struct list *list, struct str address, const struct ctl_reply *reply)
{
	if (list->result == EXIT_DONE)
		list->result = ctl_exit_code(reply->result);
	if (list->ctl->json) {
		json_begin_object(&list->errors);
		json_field_u64(&list->errors, "line", list->line);
		json_field_string(&list->errors, "address", address);
		json_field_string(&list->errors, "message", buf_str(&reply->message));
		json_end_object(&list->errors);
		return;
	}
	progress_end(&list->progress);
	fprintf(stderr, "mansio: line %llu: %.*s\n", (unsigned long long)list->line, STR_ARG(buf_str(&reply->message)));
}

static void tell_failure(struct list *list, struct str address, const struct ctl_reply *reply)
{
	list->failed++;
	list->over = ctl_exit_code(reply->result) == EXIT_UNAVAILABLE;
	tell(list, address, reply);
}

/* Nothing behind this is known. */
static void tell_end(struct list *list, int result, const char *what)
{
	struct ctl_reply reply;
	ctl_reply_init(&reply);
	ctl_reply_fail(&reply, result, "%s; nothing behind it was read", what);
	tell(list, STR(""), &reply);
	ctl_reply_free(&reply);
	list->over = true;
}

/* "ADDRESS PASSWORD": the password is all that follows the first space or tab, less the line end. */
static void add(struct list *list, struct str line)
{
	struct ctl_reply reply;
	size_t n = 0;
	ctl_reply_init(&reply);
	while (n < line.n && line.p[n] != ' ' && line.p[n] != '\t')
		n++;
	struct str arguments[] = { str_first(line, n), str_from(line, MIN(n + 1, line.n)) };
	if (str_find_byte(line, '\0') >= 0)
		ctl_reply_fail(&reply, ERR_SYNTAX, "there is a NUL byte in it; the list must be plain text (ASCII or UTF-8)");
	else if (arguments[1].n == 0 || arguments[1].n > PASSWORD_MAX)
		ctl_reply_fail(&reply, ERR_SYNTAX, "an address, a space and a password of 1 to %d bytes are expected", PASSWORD_MAX);
	else
		ctl_request(list->ctl, CONTROL_ACCOUNT_ADD, arguments, 2, &reply);
	if (reply.result)
		tell_failure(list, arguments[0], &reply);
	else
		list->added++;
	ctl_reply_free(&reply);
}

/* Without its line end. False: there is none, as was told where it is not the end of the file. */
static bool read_line(struct list *list, char line[LINE_SIZE], struct str *out)
{
	char wrong[128];
	size_t n = 0;
	int c = EOF;
	list->line++;
	while (n < LINE_SIZE && (c = getc(list->file)) != EOF && c != '\n')
		line[n++] = (char)c;
	*out = str_of(line, n);
	if (n == LINE_SIZE) {
		tell_end(list, ERR_LIMIT, "the line is too long");
		return false;
	}
	if (ferror(list->file)) {
		snprintf(wrong, sizeof wrong, "reading failed (%m)");
		tell_end(list, ERR_IO, wrong);
		return false;
	}
	list->bytes += n + 1;
	if (list->line == 1 && str_starts(*out, STR(BYTE_ORDER_MARK)))
		*out = str_from(*out, sizeof BYTE_ORDER_MARK - 1);
	if (str_ends(*out, STR("\r")))
		out->n--;
	return n > 0 || c == '\n';
}

static void add_all(struct list *list)
{
	char *line = mem_alloc(1, LINE_SIZE);
	struct str text;
	while (!list->over && read_line(list, line, &text)) {
		if (text.n > 0)
			add(list, text);
		progress_set(&list->progress, list->bytes, list->added);
	}
	mem_wipe(line, LINE_SIZE);
	mem_free(line);
}

static void print_result(const struct list *list)
{
	if (!list->ctl->json) {
		printf("added: %llu account%s\n", (unsigned long long)list->added, list->added == 1 ? "" : "s");
		if (list->failed)
			printf("not added: %llu\n", (unsigned long long)list->failed);
		return;
	}
	struct buf out = BUF_INIT(ERRORS_MAX + 1024);
	json_begin_object(&out);
	json_field_u64(&out, "added", list->added);
	json_field_u64(&out, "failed", list->failed);
	json_key(&out, "errors");
	buf_add(&out, buf_error(&list->errors) ? STR("[]") : buf_str(&list->errors));
	json_end_object(&out);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_free(&out);
}

int ctl_add_accounts(struct ctl *ctl, struct str name)
{
	struct list list = { .ctl = ctl, .errors = BUF_INIT(ERRORS_MAX) };
	struct stat about;
	bool is_stdin = str_eq(name, STR("-"));
	list.file = is_stdin ? stdin : fopen(name.p, "re");
	if (!list.file) {
		char text[512];
		snprintf(text, sizeof text, "cannot read %.*s: %m", (int)MIN(name.n, (size_t)300), name.p);
		return ctl_fail(ctl, EXIT_FAILED, "io", str_from_c(text));
	}
	bool known = fstat(fileno(list.file), &about) == 0 && S_ISREG(about.st_mode);
	progress_begin(&list.progress, "adding", known ? (uint64_t)about.st_size : 0, "accounts");
	json_begin_array(&list.errors);
	add_all(&list);
	json_end_array(&list.errors);
	progress_end(&list.progress);
	print_result(&list);
	buf_free(&list.errors);
	if (!is_stdin)
		fclose(list.file);
	return list.result;
}
