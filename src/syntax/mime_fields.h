/* mime_fields.h: header fields that describe a MIME part, from text to struct mime_part. For syntax/mime*.c only. */
#ifndef SYNTAX_MIME_FIELDS_H
#define SYNTAX_MIME_FIELDS_H

#include "base/arena.h"
#include "syntax/mime.h"

/* One parameter as it stands in the field, before RFC 2231. */
struct mime_raw_param {
	struct str name, base; /* whole, and without "*0*" */
	struct str value;      /* quoting still in it, without the quotes */
	int32_t section;       /* of RFC 2231, 3; -1: none */
	bool extended, quoted;
	bool joined;           /* stands in the list of another one */
	struct mime_raw_param *next; /* the section that follows */
};

/* Where values go and what they may cost; raw has room for params_max. */
struct mime_field_memory {
	struct arena *arena;
	struct mime_raw_param *raw;
	uint32_t params_max;
};

/* The text in the arena; lower case where asked for. p is NULL when the arena is full. */
struct str mime_keep(struct arena *arena, struct str s, bool lower);

/* Content-Type (RFC 2045, 5.1): type, subtype and params of the part; text/plain when it is malformed (5.2). */
void mime_read_content_type(const struct mime_field_memory *memory, struct str body, struct mime_part *part);

/* Content-Disposition (RFC 2183). Parameters without a type mean "attachment". */
void mime_read_disposition(const struct mime_field_memory *memory, struct str body, struct mime_part *part);

/* Content-Transfer-Encoding (RFC 2045, 6.1). */
void mime_read_encoding(const struct mime_field_memory *memory, struct str body, struct mime_part *part);

#endif
