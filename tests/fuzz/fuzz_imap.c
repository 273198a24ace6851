/* fuzz_imap.c: the IMAP reader and parser. The first byte chooses how the rest is cut into chunks and the limits.
 *
 * Checked: the transcript of events is the same for one chunk and for many; a parsed command prints to text that parses
 * again and prints the same; mailbox names survive encoding; a sequence set resolves; patterns end. */
#include "base/mem.h"
#include "syntax/imap_name.h"
#include "syntax/imap_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TRANSCRIPT_MAX (1 << 22)

static const struct imap_limits limits[2] = {
	IMAP_LIMITS_DEFAULT,
	{ .line_bytes = 100, .literal_bytes = 40, .command_bytes = 200, .discard_bytes = 300, .arena_bytes = 16384,
		.list_items = 10, .set_ranges = 10, .search_depth = 5, .part_depth = 4 },
};

static void must(bool condition)
{
	if (!condition)
		abort();
}

/* text parses to something that prints as text again */
static void check_round_trip(struct str text)
{
	static const struct imap_limits wide = { .line_bytes = SIZE_MAX, .literal_bytes = SIZE_MAX,
		.command_bytes = 1 << 24, .discard_bytes = 0, .arena_bytes = 1 << 26, .list_items = 100000,
		.set_ranges = 100000, .search_depth = 200, .part_depth = 1000 };
	struct arena arena = ARENA_INIT(wide.arena_bytes);
	struct imap_command command;
	struct imap_error error;
	struct buf again = BUF_INIT(TRANSCRIPT_MAX);
	must(imap_parse(text, &wide, &arena, &command, &error) == 0);
	imap_command_print(&command, &again);
	must(!again.failed && str_eq(buf_str(&again), text));
	buf_free(&again);
	arena_free(&arena);
}

static void check_sequence(const struct imap_sequence *sequence)
{
	struct set set = SET_INIT;
	must(sequence->n > 0);
	imap_sequence_resolve(sequence, 1000, &set);
	must(set.n > 0 && set.n <= sequence->n);
	imap_sequence_resolve(sequence, 0, &set);
	set_free(&set);
}

static void check_list(const struct imap_list *list)
{
	for (uint32_t i = 0; i < list->patterns.n; i++)
		imap_list_match(list->patterns.items[i], STR("INBOX/some/deep/name"));
}

static void check_command(const struct imap_command *command, struct buf *transcript)
{
	struct buf text = BUF_INIT(TRANSCRIPT_MAX);
	imap_command_print(command, &text);
	must(!text.failed);
	check_round_trip(buf_str(&text));
	buf_add(transcript, buf_str(&text));
	buf_free(&text);
	if (command->kind == IMAP_COMMAND_FETCH)
		check_sequence(&command->fetch.set);
	else if (command->kind == IMAP_COMMAND_STORE)
		check_sequence(&command->store.set);
	else if (command->kind == IMAP_COMMAND_LIST)
		check_list(&command->list);
}

static void note(const struct imap_reader *reader, enum imap_read event, struct buf *transcript)
{
	/* how the message's bytes are cut depends on the chunks */
	if (event == IMAP_READ_DATA) {
		buf_add(transcript, reader->data);
		return;
	}
	buf_add_byte(transcript, (char)('0' + (int)event));
	if (event == IMAP_READ_COMMAND || event == IMAP_READ_APPEND)
		check_command(&reader->command, transcript);
	if (event == IMAP_READ_LINE)
		buf_add(transcript, reader->line);
	if (event == IMAP_READ_BAD || event == IMAP_READ_CLOSE) {
		buf_add(transcript, reader->error.tag);
		imap_error_print(&reader->error, transcript);
	}
}

static bool feed(struct imap_reader *reader, struct str chunk, bool refuse, struct buf *transcript)
{
	char *copy = mem_copy(chunk); /* a slice of it kept too long is found by ASan */
	struct str input = str_of(copy, chunk.n);
	enum imap_read event;
	while ((event = imap_reader_next(reader, &input)) != IMAP_READ_MORE) {
		note(reader, event, transcript);
		if (event == IMAP_READ_CLOSE)
			break;
		if (event == IMAP_READ_APPEND && refuse)
			imap_reader_refuse(reader);
		enum imap_command_kind kind = reader->command.kind;
		if (event == IMAP_READ_COMMAND && (kind == IMAP_COMMAND_IDLE || kind == IMAP_COMMAND_AUTHENTICATE))
			imap_reader_expect_line(reader);
	}
	must(event == IMAP_READ_CLOSE || input.n == 0);
	mem_free(copy);
	return event != IMAP_READ_CLOSE;
}

static void run(struct str text, size_t step, unsigned choice, struct buf *transcript)
{
	struct imap_reader reader;
	bool open = true;
	imap_reader_init(&reader, &limits[choice & 1]);
	for (size_t at = 0; open && at < text.n; at += step)
		open = feed(&reader, str_first(str_from(text, at), step), choice & 2, transcript);
	imap_reader_free(&reader);
}

static void check_name(struct str wire)
{
	struct buf name = BUF_INIT(65536), again = BUF_INIT(65536);
	const char *why;
	if (wire.n < 8192 && imap_utf7_decode(wire, &name) == 0) {
		must(str_is_utf8(buf_str(&name)));
		must(imap_utf7_encode(buf_str(&name), &again) == 0);
		must(str_eq(buf_str(&again), wire));
		if (imap_name_check(buf_str(&name), &why) == 0)
			must(imap_list_match(STR("*"), buf_str(&name)) && imap_list_match(buf_str(&name), buf_str(&name)));
	}
	buf_free(&name);
	buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 100000)
		return 0;
	struct str text = str_of((const char *)data + 1, size - 1);
	struct buf whole = BUF_INIT(TRANSCRIPT_MAX), pieces = BUF_INIT(TRANSCRIPT_MAX);
	run(text, text.n + 1, data[0], &whole);
	run(text, 1 + (data[0] >> 2), data[0], &pieces);
	must(whole.failed || str_eq(buf_str(&whole), buf_str(&pieces)));
	buf_free(&whole);
	buf_free(&pieces);
	check_name(text);
	return 0;
}
