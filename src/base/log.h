/* log.h: one structured line (logfmt) an event, to stderr. Only session engines and proc/ log; libraries return errors.
 *
 *     log_info("login", LOG_ID(session), LOG_S("user", name), LOG_U("milliseconds", took));
 *     -> time=2026-01-01T12:00:00.123Z level=info role=access.0 event=login session=9f3a… user=alice@example.test … */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/str.h"

#define LOG_LEVEL_LIST(X) X(LOG_DEBUG, "debug") X(LOG_INFO, "info") X(LOG_WARNING, "warning") X(LOG_ERROR, "error")

enum log_level {
#define LOG_ENUM(name, text) name,
	LOG_LEVEL_LIST(LOG_ENUM)
#undef LOG_ENUM
};

enum log_kind { LOG_KIND_STR, LOG_KIND_U64, LOG_KIND_HEX };

struct log_field {
	const char *key; /* NULL ends the list */
	enum log_kind kind;
	struct str s;
	uint64_t u;
};

#define LOG_S(key, slice)     { (key), LOG_KIND_STR, (slice), 0 }
#define LOG_C(key, cstring)   { (key), LOG_KIND_STR, str_from_c(cstring), 0 }
#define LOG_U(key, number)    { (key), LOG_KIND_U64, { NULL, 0 }, (uint64_t)(number) }
#define LOG_ID(session_id)    { "session", LOG_KIND_HEX, { NULL, 0 }, (session_id) }
#define LOG_ERR(err)          { "error", LOG_KIND_STR, str_from_c(err_text(err)), 0 }

#define log_at(level, event, ...)                                                                                      \
	log_write(level, event,                                                                                            \
	          (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ NULL, LOG_KIND_STR, { NULL, 0 }, 0 } })
#define log_debug(event, ...)   log_at(LOG_DEBUG, event __VA_OPT__(, ) __VA_ARGS__)
#define log_info(event, ...)    log_at(LOG_INFO, event __VA_OPT__(, ) __VA_ARGS__)
#define log_warning(event, ...) log_at(LOG_WARNING, event __VA_OPT__(, ) __VA_ARGS__)
#define log_error(event, ...)   log_at(LOG_ERROR, event __VA_OPT__(, ) __VA_ARGS__)

/* The name that stands in every line, "shard.0"; at most 31 bytes are kept. */
void log_set_role(struct str role);

/* "debug" */
struct str log_level_name(enum log_level level);

/* Lines below this level are not written. Default: LOG_INFO. */
void log_set_level(enum log_level level);

/* From now on lines below LOG_WARNING wait for log_flush, a later line that finds no room, or the end of the process;
 * who serves many in a turn then pays for one write. */
void log_gather(void);
/* Writes the lines that wait, as far as stderr takes them now. Cheap when there are none. */
void log_flush(void);

/* At the start of the process that others inherit stderr from: where it is a pipe, it is opened anew, so that no write waits
 * for its reader, and nothing changes for those who share the old one. Where that cannot be (a pipe of another user, no
 * /proc), each write is preceded by a look whether there is room. */
void log_never_wait(void);

/* Are there lines that found no room? Then log_flush is to be called again before long. */
bool log_waits(void);

/* Writes one line, whole; lines longer than 4 KB are cut. Values are quoted and escaped where needed. A line that nobody
 * reads is lost when there is no room for it, and counted: event log-lines-lost. */
void log_write(enum log_level level, const char *event, const struct log_field *fields);

#endif
