/* json.h: reading JSON (RFC 8259) into a tree. Strict: UTF-8, one value, nothing behind it, no double keys looked
 * for. */
#ifndef SYNTAX_JSON_H
#define SYNTAX_JSON_H

#include "base/arena.h"
#include "base/buf.h"

#define JSON_DEPTH_MAX 32

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* Lives in the arena that was given; numbers point into the text, which must live as long. */
struct json_value {
	enum json_kind kind;
	struct str text;          /* of a string, without escapes; of a number, as it was written */
	struct str key;           /* of a member of an object */
	struct json_value *first; /* of an array or object: its values, in order */
	struct json_value *next;
};

/* ERR_SYNTAX; ERR_LIMIT: deeper than JSON_DEPTH_MAX, or the arena is full. Linear in the length. */
int json_parse(struct str text, struct arena *arena, struct json_value **out) MUST_CHECK;

/* The first member of that name; NULL when there is none or the value is no object. Accepts NULL. */
const struct json_value *json_member(const struct json_value *object, const char *key);
/* Text of a string; empty for anything else. Accepts NULL. */
struct str json_string(const struct json_value *value);
/* A number without sign, fraction and exponent; 0 for anything else. Accepts NULL. */
uint64_t json_u64(const struct json_value *value);
bool json_is_true(const struct json_value *value);

/* Prints the value in one line, in the form that json_parse reads. */
void json_print(const struct json_value *value, struct buf *out);

#endif
