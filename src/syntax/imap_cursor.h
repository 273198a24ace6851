/* imap_cursor.h: the words of IMAP's grammar (RFC 3501 section 9), shared by imap_parse*.c and private to them.
 *
 * Each function takes what its name says from the front of the text and returns true, or records the first error in
 * c->error and returns false; so a command's parser is the grammar's line with && between its words. */
#ifndef SYNTAX_IMAP_CURSOR_H
#define SYNTAX_IMAP_CURSOR_H

#include "syntax/imap.h"

struct imap_cursor {
	const char *start, *p, *end;
	const struct imap_limits *limits;
	struct arena *arena;
	struct imap_error *error;
	int err;       /* ERR_SYNTAX or ERR_LIMIT once something failed */
	uint32_t keys; /* SEARCH: keys so far, against limits->list_items */
	uint32_t depth; /* SEARCH: open keys, against limits->search_depth */
};

/* Bits of what a byte may be part of. */
enum imap_class {
	IMAP_CLASS_ATOM = 1,
	IMAP_CLASS_ASTRING = 2,
	IMAP_CLASS_LIST = 4, /* list-char: wildcards too */
	IMAP_CLASS_TAG = 8,
	IMAP_CLASS_NAME = 16, /* letters, digits, '.', '-': keywords of the grammar */
};

bool imap_fail(struct imap_cursor *c, const char *message);
bool imap_fail_limit(struct imap_cursor *c, const char *message);

static inline bool imap_at_end(const struct imap_cursor *c)
{
	return c->p == c->end;
}

static inline bool imap_at(const struct imap_cursor *c, char byte)
{
	return c->p < c->end && *c->p == byte;
}

/* Takes the byte if it is next; no error if not. */
static inline bool imap_try(struct imap_cursor *c, char byte)
{
	if (!imap_at(c, byte))
		return false;
	c->p++;
	return true;
}

bool imap_expect(struct imap_cursor *c, char byte, const char *message);
bool imap_space(struct imap_cursor *c);
bool imap_open(struct imap_cursor *c);

/* Between two items of a list in brackets: takes ")" and returns false, or a space and returns true. Anything else
 * fails and returns false too: look at c->err behind the loop. */
bool imap_list_goes_on(struct imap_cursor *c);

/* Only trailing spaces are left. */
bool imap_finish(struct imap_cursor *c);

/* The longest run of bytes of a class; may be empty. */
struct str imap_run(struct imap_cursor *c, enum imap_class class);

/* Takes the word, ASCII case aside, if it is next and no longer word stands there; no error if not. */
bool imap_try_word(struct imap_cursor *c, struct str word);

bool imap_atom(struct imap_cursor *c, const char *message, struct str *out);
bool imap_string(struct imap_cursor *c, const char *message, struct str *out);
bool imap_astring(struct imap_cursor *c, const char *message, struct str *out);
bool imap_nstring(struct imap_cursor *c, struct str *out);
bool imap_number(struct imap_cursor *c, uint64_t max, uint64_t *out);
bool imap_nz_number(struct imap_cursor *c, uint32_t *out);

/* Takes "{n}" or "{n+}" (RFC 7888). */
bool imap_literal_head(struct imap_cursor *c, uint64_t *n, bool *synchronising);

/* Decoded, INBOX normalised; list_mailbox takes wildcards too and leaves INBOX as it is. */
bool imap_mailbox(struct imap_cursor *c, struct str *out);
bool imap_list_mailbox(struct imap_cursor *c, struct str *out);

bool imap_sequence_set(struct imap_cursor *c, struct imap_sequence *out);

/* "(" [flag *(SP flag)] ")"; and the form without brackets that STORE allows, up to the end. */
bool imap_flag_list(struct imap_cursor *c, struct imap_flags *out);
bool imap_flag_words(struct imap_cursor *c, struct imap_flags *out);

/* "(" [param *(SP param)] ")" of RFC 4466. */
bool imap_params(struct imap_cursor *c, struct imap_params *out);

/* date-time in quotes (APPEND); date, quoted or not (SEARCH), as days since 1970. */
bool imap_date_time(struct imap_cursor *c, int64_t *seconds, int32_t *zone_minutes);
bool imap_date(struct imap_cursor *c, int32_t *day);

/* Room for one more item behind n items of a growing array in the arena; false over limits->list_items or memory. */
bool imap_grow(struct imap_cursor *c, void **items, uint32_t n, size_t size, uint32_t max);

bool imap_strings_add(struct imap_cursor *c, struct imap_strings *list, struct str item);

/* The tag at the front of a command, empty if there is none or it does not end. */
struct str imap_tag_of(struct str text);

/* The tag and the command's name only, for a reader that has to decide about a literal early; *arguments is the offset
 * behind the name. *error as from imap_parse. */
int imap_parse_head(struct str text, const struct imap_limits *limits, struct arena *arena,
	enum imap_command_kind *kind, size_t *arguments, struct imap_error *error) MUST_CHECK;

/* Arguments of single commands, from the space behind the name; the rest is in imap_parse.c. */
bool imap_parse_fetch(struct imap_cursor *c, struct imap_command *command);
bool imap_parse_search(struct imap_cursor *c, struct imap_command *command);
bool imap_parse_sort(struct imap_cursor *c, struct imap_command *command);
bool imap_parse_thread(struct imap_cursor *c, struct imap_command *command);
/* The keys that SEARCH, SORT and THREAD end with. */
bool imap_search_keys(struct imap_cursor *c, struct imap_search *out);
bool imap_parse_list(struct imap_cursor *c, struct imap_command *command);
bool imap_parse_status(struct imap_cursor *c, struct imap_command *command);

/* Takes the parameters of RFC 7162 out of command->params. */
bool imap_select_params(struct imap_cursor *c, struct imap_command *command);
bool imap_fetch_params(struct imap_cursor *c, struct imap_command *command);
bool imap_store_params(struct imap_cursor *c, struct imap_command *command);

#endif
