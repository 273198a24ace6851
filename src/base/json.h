/* json.h: printing JSON (RFC 8259) into a buffer, piece by piece. Commas come by themselves: a value that follows
 * another in the same list or object gets one before it. A new line in the buffer begins a new text.
 *
 *     json_begin_object(out);
 *     json_field_string(out, "address", address);
 *     json_key(out, "targets"); json_begin_array(out); ... json_end_array(out);
 *     json_end_object(out);
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"

void json_begin_object(struct buf *out);
void json_end_object(struct buf *out);
void json_begin_array(struct buf *out);
void json_end_array(struct buf *out);

/* The name of a member; its value comes next. */
void json_key(struct buf *out, const char *key);
void json_key_str(struct buf *out, struct str key);

/* Bytes that are not UTF-8 are printed as U+FFFD, each. */
void json_put_string(struct buf *out, struct str value);
void json_put_u64(struct buf *out, uint64_t value);
void json_put_i64(struct buf *out, int64_t value);
void json_put_bool(struct buf *out, bool value);
void json_put_null(struct buf *out);
/* A value that is JSON text already. */
void json_put_raw(struct buf *out, struct str json);

/* A member: key and value. */
void json_field_string(struct buf *out, const char *key, struct str value);
void json_field_u64(struct buf *out, const char *key, uint64_t value);
void json_field_bool(struct buf *out, const char *key, bool value);

#endif
