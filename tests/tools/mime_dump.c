/* mime_dump.c: reads a message on standard input (any size, in pieces) and prints what the parser makes of it, for
 * comparisons by hand and by script: ENVELOPE, BODYSTRUCTURE and BODY as on the wire, each on a line that begins with
 * its name, then the facts about the message and one line for each part. */
#include "syntax/mime.h"

#include <inttypes.h>
#include <unistd.h>

#define OUT_MAX (64 << 20)

static void put_line(const char *name, struct buf *text)
{
	printf("%s ", name);
	fwrite(text->p, 1, text->n, stdout);
	putchar('\n');
	buf_clear(text);
}

static void put_message(const struct mime_message *message)
{
	struct buf out = BUF_INIT(OUT_MAX);
	envelope_print(message, 0, &out);
	put_line("ENVELOPE", &out);
	bodystructure_print(message, true, &out);
	put_line("BODYSTRUCTURE", &out);
	bodystructure_print(message, false, &out);
	put_line("BODY", &out);
	buf_free(&out);
	printf("FACTS size=%" PRIu64 " lines=%" PRIu64 " header=%" PRIu64 " crlf=%d nul=%d 8bit=%d dots=%d\n",
	       message->size, message->lines, message->header_size, message->pure_crlf, message->has_nul, message->has_8bit,
	       message->needs_dot_stuffing);
	for (uint32_t i = 0; i < message->n_parts; i++) {
		const struct mime_part *part = &message->parts[i];
		printf("PART %" PRIu32 " depth=%" PRIu32 " %.*s/%.*s header=%" PRIu64 " body=%" PRIu64 " end=%" PRIu64
		       " lines=%" PRIu64 "\n",
		       i, part->depth, STR_ARG(part->type), STR_ARG(part->subtype), part->header_start, part->body_start,
		       part->body_end, part->lines);
	}
}

int main(void)
{
	static char chunk[65536];
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	struct mime_parser *parser = mime_parser_new(&limits);
	ssize_t n;
	while ((n = read(STDIN_FILENO, chunk, sizeof chunk)) > 0)
		mime_parser_feed(parser, str_of(chunk, (size_t)n));
	if (n == 0)
		put_message(mime_parser_finish(parser));
	mime_parser_free(&parser);
	return n == 0 ? 0 : 1;
}
