/* fuzz_smtp.c: any bytes as lines of SMTP commands and as a message after DATA. Holds that an accepted address
 * prints and reads back the same, quoted anew too; and that the data decoder, whatever the cuts, agrees with a
 * plain reading of the rules: the end is the first CRLF.CRLF, and flaws are found where they are. */
#include "base/buf.h"
#include "base/checked.h"
#include "syntax/smtp.h"
#include "syntax/smtp_data.h"

#define LINES_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* --- commands --- */

static void reads_as(const struct buf *line, const struct smtp_command *expected)
{
	struct arena arena = ARENA_INIT(SMTP_COMMAND_ARENA);
	struct smtp_command again;
	require(buf_error(line) == 0);
	require(smtp_parse(buf_str(line), &arena, &again) == SMTP_FLAW_NONE);
	require(again.verb == expected->verb && str_eq(again.path.address, expected->path.address));
	require(str_eq(again.path.local, expected->path.local));
	arena_free(&arena);
}

static void check_path(const struct smtp_command *command)
{
	const struct smtp_path *path = &command->path;
	const char *verb = command->verb == SMTP_MAIL ? "MAIL FROM" : "RCPT TO";
	struct buf line = BUF_INIT(4 * SMTP_PATH_MAX);
	require(path->local.n <= SMTP_LOCAL_PART_MAX && path->address.n <= SMTP_LOCAL_PART_MAX + 1 + SMTP_DOMAIN_MAX);
	require(str_starts(path->address, path->local));
	for (size_t i = 0; i < path->address.n; i++)
		require(path->address.p[i] >= ' ' && path->address.p[i] < 0x7f);
	buf_addf(&line, "%s:<%.*s>", verb, STR_ARG(path->written));
	reads_as(&line, command);
	buf_clear(&line);
	if (path->address.n > path->local.n) {
		buf_addf(&line, "%s:<\"", verb);
		for (size_t i = 0; i < path->local.n; i++)
			buf_addf(&line, "\\%c", path->local.p[i]);
		buf_addf(&line, "\"%.*s>", STR_ARG(str_from(path->address, path->local.n)));
		reads_as(&line, command);
	}
	buf_free(&line);
}

static void check_line(struct str line)
{
	struct arena arena = ARENA_INIT(SMTP_COMMAND_ARENA);
	struct smtp_command command;
	enum smtp_flaw flaw = smtp_parse(line, &arena, &command);
	require(flaw == SMTP_FLAW_NONE || smtp_flaw_complaint(flaw).code >= 500);
	if (flaw == SMTP_FLAW_NONE) {
		require(command.verb != SMTP_UNKNOWN && str_istarts(line, smtp_verb_name(command.verb)));
		if (command.verb == SMTP_MAIL || command.verb == SMTP_RCPT)
			check_path(&command);
	}
	arena_free(&arena);
}

/* --- data --- */

/* Plainly: length of the input up to and with its end, or 0. The message goes to `out`. */
static size_t read_plainly(struct str input, struct buf *out, unsigned *flaws)
{
	bool line_start = true;
	for (size_t i = 0; i < input.n; i++) {
		char c = input.p[i], before = i > 0 ? input.p[i - 1] : '\0', after = i + 1 < input.n ? input.p[i + 1] : '\0';
		if (line_start && c == '.' && after == '\r' && i + 2 < input.n && input.p[i + 2] == '\n')
			return i + 3;
		if (!(line_start && c == '.'))
			buf_add_byte(out, c);
		*flaws |= c == '\0' ? SMTP_DATA_NUL : 0;
		*flaws |= c == '\n' && before != '\r' ? SMTP_DATA_BARE_LF : 0;
		*flaws |= c == '\r' && after != '\n' && i + 1 < input.n ? SMTP_DATA_BARE_CR : 0;
		line_start = c == '\n' && before == '\r';
	}
	return 0;
}

static void check_data(struct str input, size_t step)
{
	struct buf plain = BUF_INIT(input.n + 1), message = BUF_INIT(input.n + 1);
	unsigned flaws = 0;
	size_t end = read_plainly(input, &plain, &flaws), used = 0;
	struct smtp_data data = SMTP_DATA_INIT;
	enum smtp_data_event event = SMTP_DATA_MORE;
	while (used < input.n && event != SMTP_DATA_END) {
		struct str chunk = str_first(str_from(input, used), step), rest = chunk, piece;
		while ((event = smtp_data_next(&data, &rest, &piece)) == SMTP_DATA_TEXT)
			buf_add(&message, piece);
		used += chunk.n - rest.n;
	}
	require((end > 0) == (event == SMTP_DATA_END));
	require(end == 0 || used == end);
	require(data.size == message.n);
	if (end > 0) {
		require(data.flaws == flaws);
		require(flaws || str_eq(buf_str(&plain), buf_str(&message)));
	}
	buf_free(&plain);
	buf_free(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = str_of((const char *)data, size), rest = input;
	for (unsigned n = 0; rest.p && n < LINES_MAX; n++) {
		struct str line = str_cut(&rest, '\n');
		check_line(str_ends(line, STR("\r")) ? str_first(line, line.n - 1) : line);
	}
	for (size_t step = 1; step <= 5; step++)
		check_data(input, step);
	check_data(input, MAX(input.n, (size_t)1));
	return 0;
}
