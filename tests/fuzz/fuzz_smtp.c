/* fuzz_smtp.c: any bytes as lines of SMTP commands, as a message after DATA, and as a message that is submitted. Holds
 * that an accepted address prints and reads back the same, quoted anew too; that the data decoder, whatever the cuts,
 * agrees with a plain reading of the rules: the end is the first CRLF.CRLF, and flaws are found where they are; and
 * that what is taken out of a submitted message are its fields Bcc and Resent-Bcc as syntax/header.h sees them. */
#include "base/buf.h"
#include "base/checked.h"
#include "syntax/header.h"
#include "syntax/smtp.h"
#include "syntax/smtp_data.h"
#include "syntax/submission_header.h"

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
	const char *parameters = command->verb == SMTP_MAIL && command->utf8 ? " SMTPUTF8" : "";
	struct buf line = BUF_INIT(4 * SMTP_PATH_MAX);
	require(path->local.n <= SMTP_LOCAL_PART_MAX && path->address.n <= SMTP_LOCAL_PART_MAX + 1 + SMTP_DOMAIN_MAX);
	require(str_starts(path->address, path->local));
	for (size_t i = 0; i < path->address.n; i++)
		require((unsigned char)path->address.p[i] >= ' ' && path->address.p[i] != 0x7f);
	require(str_is_utf8(path->written) && (!path->eight_bit || command->verb == SMTP_RCPT || command->utf8));
	buf_addf(&line, "%s:<%.*s>%s", verb, STR_ARG(path->written), parameters);
	reads_as(&line, command);
	buf_clear(&line);
	if (path->address.n > path->local.n) {
		buf_addf(&line, "%s:<\"", verb);
		for (size_t i = 0; i < path->local.n; i++)
			buf_addf(&line, "%s%c", (unsigned char)path->local.p[i] < 0x80 ? "\\" : "", path->local.p[i]);
		buf_addf(&line, "\"%.*s>%s", STR_ARG(str_from(path->address, path->local.n)), parameters);
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

/* --- submission --- */

static bool is_secret(struct str name)
{
	return str_ieq(name, STR("Bcc")) || str_ieq(name, STR("Resent-Bcc"));
}

/* Plainly: the message without its secret fields. */
static void filter_plainly(struct str message, struct submission_header *seen, struct buf *out)
{
	struct str rest = message;
	struct header_field field;
	const char *from = message.p;
	while (header_next(&rest, &field)) {
		seen->has_date |= str_ieq(field.name, STR("Date"));
		seen->has_message_id |= str_ieq(field.name, STR("Message-ID"));
		if (!is_secret(field.name))
			continue;
		buf_add(out, str_of(from, (size_t)(field.whole.p - from)));
		from = field.whole.p + field.whole.n;
	}
	buf_add(out, str_of(from, (size_t)(message.p + message.n - from)));
}

/* Messages come here with every line ended by CRLF and nothing else; a name with very many blanks is another matter. */
static bool could_be_submitted(struct str message)
{
	struct str rest = message;
	if (message.n > 0 && !str_ends(message, STR("\r\n")))
		return false;
	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n');
		if (!str_ends(line, STR("\r")) || str_find_byte(str_first(line, line.n - 1), '\r') >= 0)
			return false;
		if (str_find(line, STR("                ")) >= 0 || str_find_byte(line, '\t') >= 0)
			return false;
	}
	return true;
}

static void check_submission(struct str message, size_t step)
{
	struct submission_header header = SUBMISSION_HEADER_INIT, seen = SUBMISSION_HEADER_INIT;
	struct buf plain = BUF_INIT(message.n + 1), kept = BUF_INIT(message.n + 1);
	filter_plainly(message, &seen, &plain);
	for (struct str rest = message; rest.n > 0; rest = str_from(rest, step)) {
		struct str in = str_first(rest, step), piece;
		while (submission_header_next(&header, &in, &piece))
			buf_add(&kept, piece);
		require(in.n == 0);
	}
	require(buf_error(&plain) == 0 && buf_error(&kept) == 0);
	if (could_be_submitted(message)) {
		require(str_eq(buf_str(&plain), buf_str(&kept)));
		require(header.has_date == seen.has_date && header.has_message_id == seen.has_message_id);
	}
	buf_free(&plain);
	buf_free(&kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = str_of((const char *)data, size), rest = input;
	for (unsigned n = 0; rest.p && n < LINES_MAX; n++) {
		struct str line = str_cut(&rest, '\n');
		check_line(str_ends(line, STR("\r")) ? str_first(line, line.n - 1) : line);
	}
	for (size_t step = 1; step <= 5; step++) {
		check_data(input, step);
		check_submission(input, step);
	}
	check_data(input, MAX(input.n, (size_t)1));
	check_submission(input, MAX(input.n, (size_t)1));
	return 0;
}
