/* toml.h: a strict reader of TOML 1.0 (https://toml.io/en/v1.0.0) into a flat list of entries with their places.
 * All of the language is read but floating-point numbers, dates and times, which get an error that says so. */
#ifndef SYNTAX_TOML_H
#define SYNTAX_TOML_H

#include "base/arena.h"
#include "base/buf.h"

#define TOML_TEXT_MAX    (1024 * 1024) /* bytes of a file */
#define TOML_ENTRIES_MAX 10000         /* values, elements and tables of a file */
#define TOML_DEPTH_MAX   16            /* keys of a dotted key; arrays and inline tables within one another */
#define TOML_PATH_MAX    1024          /* bytes of a path */
#define TOML_STRING_MAX  65536         /* bytes of a string */
#define TOML_ERRORS_MAX  20            /* errors gathered before the reader gives up */

enum toml_type { TOML_STRING, TOML_INTEGER, TOML_BOOLEAN, TOML_ARRAY, TOML_TABLE };

/* Both from 1; columns count characters, not bytes. */
struct toml_place {
	uint32_t line, column;
};

struct toml_entry {
	/* Keys with dots between them, elements by number: imap.idle_timeout, listen.imap[0], domain[1]."a key".
	 * No two entries have the same path. */
	struct str path;
	enum toml_type type;
	union {
		struct str string; /* TOML_STRING: decoded, UTF-8, may hold any character */
		int64_t integer;   /* TOML_INTEGER */
		bool boolean;      /* TOML_BOOLEAN */
		size_t count;      /* TOML_ARRAY: number of elements, whose entries follow it */
	};
	struct toml_place key;   /* where its key stands; of an element: its value */
	struct toml_place value; /* where its value starts; of a [table]: its key */
};

struct toml_error {
	struct toml_place place;
	struct str text; /* "expected a value after the equals sign" */
};

/* A file that was read, in its order. Tables appear for each [header], [[header]] and inline table, not for the tables
 * that dotted keys imply. Owns all it points to. */
struct toml {
	struct toml_entry *entries;
	size_t n;
	struct toml_error errors[TOML_ERRORS_MAX];
	size_t errors_n;
	struct arena arena;
};

/* Reads a text. Errors: ERR_SYNTAX; ERR_LIMIT when only a limit above is passed. In each case *out is overwritten,
 * is to be freed, and holds what could be read; after an error in one line it goes on with the next, so that errors[]
 * (at least one of them) serves somebody who mends the file by hand. */
int toml_parse(struct str text, struct toml *out) MUST_CHECK;

void toml_free(struct toml *toml);

/* The entry with this path, or NULL. Linear. */
const struct toml_entry *toml_find(const struct toml *toml, struct str path);

/* "a string", "an array", ... for error texts. */
const char *toml_type_name(enum toml_type type);

/* Prints UTF-8 as a basic string, with its quotes. */
void toml_print_string(struct str s, struct buf *out);

#endif
