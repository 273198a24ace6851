/* fuzz_row_check.c: a row that was derived of a message is right, wherever the pieces are cut in which it is read again;
 * and whatever stands in the columns of a row, to compare it is safe. Input: a cut, a column, what is in that, a line end,
 * the message. */
#include "mail/row_check.h"

#include "base/checked.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mail_reader *reader;
static struct mail_row_check *check;

static void end(void)
{
	mail_row_check_free(&check);
	mail_reader_free(&reader);
}

static const char *compare(struct str message, size_t cut, const struct message_row *row)
{
	struct check_reader through = mail_row_check_reader(check);
	bool is_note;
	cut = MIN(cut, message.n);
	through.begin(through.owner);
	through.feed(through.owner, str_first(message, cut));
	through.feed(through.owner, str_from(message, cut));
	return through.compare(through.owner, row, &is_note);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mime_limits limits = MIME_LIMITS_DEFAULT;
	if (!reader) {
		reader = mail_reader_new(&limits);
		check = mail_row_check_new(reader);
		atexit(end);
	}
	if (size < 2)
		return 0;
	struct str message = str_of((const char *)data + 2, size - 2), column = str_cut(&message, '\n');
	struct mail_source source = { .bytes = message, .fd = -1 };
	struct message_arrival found = { 0 };
	int result = mail_examine(reader, &source, &found);
	if (result < 0 && result != ERR_SYNTAX)
		return 0;
	struct message_row row = { .size = found.size, .traits = found.traits, .header_size = found.header_size, .lines = found.lines,
		                   .derived = found.derived };
	if (compare(message, data[0], &row))
		abort();
	struct str *columns[] = { &row.derived.envelope, &row.derived.structure, &row.derived.body, &row.derived.parts,
		                  &row.derived.headers };
	*columns[data[1] % COUNT_OF(columns)] = column;
	(void)compare(message, data[0], &row);
	if (mail_is_wire_list(column) && (column.n < 2 || column.p[0] != '(' || column.p[column.n - 1] != ')'))
		abort();
	return 0;
}
