/* fuzz_import_record.c: what an import remembers: the record, and the lines of the list. What is read is printed and
 * read again, to the same text; a line lies in its text, and numbers only grow. */
#include "proc/ctl/import_record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_record(struct str input)
{
	struct arena arena = ARENA_INIT(IMPORT_ARENA_MAX);
	struct buf first = BUF_INIT(8 * IMPORT_RECORD_MAX), second = BUF_INIT(8 * IMPORT_RECORD_MAX);
	struct import_record record, again;
	if (import_record_parse(input, &arena, &record) == 0) {
		if (record.number >= record.next || record.before >= record.next || record.left.n > IMPORT_LEFT_MAX ||
		    set_has(&record.left, 0))
			abort();
		import_record_print(&record, &first);
		if (import_record_parse(buf_str(&first), &arena, &again) < 0)
			abort();
		import_record_print(&again, &second);
		if (buf_error(&first) < 0 || !str_eq(buf_str(&first), buf_str(&second)))
			abort();
		set_free(&record.left);
		set_free(&again.left);
	}
	buf_free(&first);
	buf_free(&second);
	arena_free(&arena);
}

static void try_lines(struct str input)
{
	struct str rest = input;
	struct import_line line = { .number = 0 }, again;
	uint64_t after = 0;
	unsigned char list[ACCOUNT_ID_SIZE], same[ACCOUNT_ID_SIZE];
	if (import_head_take(&rest, list) < 0)
		return;
	struct buf head = BUF_INIT(100);
	import_head_print(list, &head);
	struct str printed_head = buf_str(&head);
	if (import_head_take(&printed_head, same) < 0 || printed_head.n > 0 || memcmp(list, same, sizeof list) != 0)
		abort();
	buf_free(&head);
	while (rest.n > 0 && import_line_take(&rest, after, &line) == 0) {
		struct buf printed = BUF_INIT(1 << 20);
		import_line_print(&line, &printed);
		struct str text = buf_str(&printed);
		if (line.number <= after || line.folder.n == 0 || line.name.p + line.name.n > input.p + input.n ||
		    import_line_take(&text, after, &again) < 0 || text.n > 0 || again.number != line.number ||
		    !str_eq(again.folder, line.folder) || !str_eq(again.name, line.name))
			abort();
		after = line.number;
		buf_free(&printed);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = str_of((const char *)data, size);
	try_record(input);
	try_lines(input);
	return 0;
}
