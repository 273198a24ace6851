/* toml_scan.h: the words of TOML, for toml.c alone: bytes with their places, white space, strings, numbers. */
#ifndef SYNTAX_TOML_SCAN_H
#define SYNTAX_TOML_SCAN_H

#include "syntax/toml.h"

/* All strings, paths and error texts of a file together. */
#define TOML_ARENA_MAX (16 * 1024 * 1024)

struct toml_scan {
	const char *p, *end;     /* what is still to be read */
	struct toml_place place; /* of p */
	struct toml *out;        /* takes the errors; its arena takes the strings */
	struct buf text;         /* the string that is being read */
	unsigned depth;          /* of arrays and inline tables */
	bool ends_here;          /* an error now leaves no sure place to go on from */
	int err;                 /* 0, ERR_LIMIT, or ERR_SYNTAX when there was one: the result so far */
};

/* Starts to read. Fails when the text is too large or not UTF-8; toml_scan_end is to be called in any case. */
int toml_scan_begin(struct str text, struct toml *out, struct toml_scan *scan) MUST_CHECK;
void toml_scan_end(struct toml_scan *scan);

/* Notes an error and returns `err`. After ERR_LIMIT reading ends. */
int toml_fail_at(struct toml_scan *scan, int err, struct toml_place place, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
#define toml_fail(scan, ...) toml_fail_at(scan, ERR_SYNTAX, (scan)->place, __VA_ARGS__)
/* The arena of the file is full. */
int toml_fail_memory(struct toml_scan *scan, struct toml_place place);

/* The next byte; -1 at the end. */
static inline int toml_peek(const struct toml_scan *scan)
{
	return scan->p == scan->end ? -1 : (unsigned char)*scan->p;
}

/* Goes on by n bytes, which are there. */
void toml_take(struct toml_scan *scan, size_t n);
bool toml_take_if(struct toml_scan *scan, char c);

/* LF or CRLF. */
bool toml_at_newline(const struct toml_scan *scan);
void toml_take_newline(struct toml_scan *scan);

void toml_skip_spaces(struct toml_scan *scan);
int toml_skip_comment(struct toml_scan *scan) MUST_CHECK;
/* Spaces, comments and line ends, as between the elements of an array. */
int toml_skip_lines(struct toml_scan *scan) MUST_CHECK;

/* A byte of a key without quotes. */
bool toml_is_bare(char c);

/* At a quote: a string of any of the four kinds, decoded into the arena. */
int toml_string_parse(struct toml_scan *scan, bool may_be_multi_line, struct str *out) MUST_CHECK;

/* An integer, true or false: type and value of *entry. */
int toml_token_parse(struct toml_scan *scan, struct toml_entry *entry) MUST_CHECK;

#endif
