/* conf.h: the typed configuration. The supervisor reads mansio.toml once and passes its text on; each role makes a
 * struct conf of the same text and only reads it from then on. The settings themselves: settings.h, mansio.toml(5). */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/pop3_policy.h"
#include "conf/settings.h"
#include "syntax/mime.h"

#define CONF_FILE "/etc/mansio/mansio.toml"

/* More text is refused. */
#define CONF_TEXT_MAX (1024 * 1024)

/* The values are those of the protocol (and of OpenSSL). */
enum conf_tls_version { CONF_TLS_1_2 = 0x0303, CONF_TLS_1_3 = 0x0304 };

/* Where a password may cross a connection without TLS. */
enum conf_plain_login { CONF_PLAIN_NEVER, CONF_PLAIN_LOOPBACK, CONF_PLAIN_ALWAYS };

/* What a sender is told whose message does not fit into an account any more. */
enum conf_full_answer { CONF_FULL_PERMANENT, CONF_FULL_TEMPORARY };

/* Where a message goes that a POP3 client has deleted. */
enum conf_pop3_deleted { CONF_DELETED_GONE, CONF_DELETED_TRASH };

/* An address to listen on: "127.0.0.1:143", "[::1]:143", or "*:143" for all of both families. */
enum conf_family { CONF_FAMILY_BOTH, CONF_FAMILY_IPV4, CONF_FAMILY_IPV6 };
struct conf_address {
	struct str text; /* as it was written */
	struct str host; /* for inet_pton(3), no brackets; "*" when family is CONF_FAMILY_BOTH; followed by a NUL */
	enum conf_family family;
	uint16_t port; /* 0: the kernel chooses one */
};

struct conf_addresses {
	const struct conf_address *list;
	size_t n;
};

/* What each type of setting is in struct conf. Durations carry their unit in the name: login.timeout_ms. Strings, paths
 * and host names are UTF-8 without control characters; a NUL follows them, so that p serves at libc's edge. */
#define CONF_FIELD_BOOL(name)        bool name;
#define CONF_FIELD_INTEGER(name)     uint64_t name;
#define CONF_FIELD_SIZE(name)        uint64_t name;
#define CONF_FIELD_DURATION(name)    uint64_t name##_ms;
#define CONF_FIELD_STRING(name)      struct str name;
#define CONF_FIELD_HOSTNAME(name)    struct str name;
#define CONF_FIELD_PATH(name)        struct str name;
#define CONF_FIELD_ADDRESSES(name)   struct conf_addresses name;
#define CONF_FIELD_LOG_LEVEL(name)   enum log_level name;
#define CONF_FIELD_TLS_VERSION(name) enum conf_tls_version name;
#define CONF_FIELD_PLAIN_LOGIN(name) enum conf_plain_login name;
#define CONF_FIELD_FULL_ANSWER(name) enum conf_full_answer name;
#define CONF_FIELD_POP3_MODE(name)   enum pop3_mode name;
#define CONF_FIELD_POP3_DELETED(name) enum conf_pop3_deleted name;

/* One constant for each setting, CONF_server_hostname: its place in the table and in struct conf's lines. */
enum conf_setting {
#define CONF_ID(type, when, section, name, ...) CONF_##section##_##name,
#define CONF_SECTION_IDS(section, list) list(CONF_ID)
	CONF_SECTIONS(CONF_SECTION_IDS)
#undef CONF_SECTION_IDS
#undef CONF_ID
	CONF_SETTINGS
};

/* Instead of a line: the setting has its default, or came from the environment. */
#define CONF_LINE_DEFAULT 0
#define CONF_LINE_ENVIRONMENT UINT32_MAX

/* One member struct for each section, one field for each setting: conf.imap.idle_timeout_ms, conf.tls.certificate.
 * Owns all that it points to. */
struct conf {
#define CONF_FIELD(type, when, section, name, ...) CONF_FIELD_##type(name)
#define CONF_SECTION_STRUCT(section, fields) struct { fields(CONF_FIELD) } section;
	CONF_SECTIONS(CONF_SECTION_STRUCT)
#undef CONF_SECTION_STRUCT
#undef CONF_FIELD
	uint32_t lines[CONF_SETTINGS]; /* where each setting came from, by enum conf_setting */
	struct arena arena;
};

/* What is wrong with a configuration, all of it, in the order of the file. */
#define CONF_ERRORS_MAX 50
struct conf_error {
	uint32_t line, column; /* from 1; columns count characters */
	struct str text; /* "mansio.toml:3:1: unknown setting imap.idle_timout; did you mean imap.idle_timeout?" */
	struct str what; /* the same without its place */
};

struct conf_errors {
	struct conf_error list[CONF_ERRORS_MAX];
	size_t n;
	size_t omitted; /* errors beyond CONF_ERRORS_MAX */
	struct arena arena;
};

/* Every setting at its default, as if an empty file had been read. */
void conf_defaults(struct conf *out);

/* Reads a configuration file's text (at most CONF_TEXT_MAX bytes). `file_name` stands in the error texts. ERR_SYNTAX
 * with at least one error in *errors when anything is wrong; then *out is untouched. *errors is overwritten in any case
 * and is to be freed with conf_errors_free. Checks also that those that could be read fit together
 * (certificate with key, no address twice, ...); fills in server.control_socket, and takes listen.imaps, pop3s, submission and submissions
 * away when they have their defaults and there is no certificate. */
int conf_parse(struct str text, struct str file_name, struct conf *out, struct conf_errors *errors) MUST_CHECK;

/* The same for who looks for further mistakes, where there are some: *out is overwritten in any case. unread: settings that
 * have their defaults there because what the file says of them is wrong, or cannot be told (all, where it is no TOML); and
 * paths of sockets that name a folder. */
void conf_parse_all(struct str text, struct str file_name, struct conf *out, bool unread[CONF_SETTINGS],
                    struct conf_errors *errors);

/* Of a file that conf_parse refuses, for who only wants to speak with the running server: *out has server.directory and
 * server.control_socket as the file says, and defaults. ERR_SYNTAX, and *out untouched, where what is wrong may concern
 * these two: the file is no TOML, one of them cannot be read, or a name is unknown that may have meant one. */
int conf_parse_socket(struct str text, struct conf *out) MUST_CHECK;

/* The configuration file: `given` on the command line (NULL: none was), else what MANSIO_CONFIG names, else CONF_FILE,
 * which alone may be missing: then the defaults are in force. */
const char *conf_choose_file(const char *given, bool *may_be_missing);

/* Takes over what the environment says: MANSIO_SANDBOX=on or off. ERR_SYNTAX for another value. */
int conf_apply_environment(struct conf *conf) MUST_CHECK;

/* When a changed value takes effect (settings.h). */
enum conf_when { CONF_LIVE, CONF_RESTART, CONF_NEW_STORE };

/* A setting whose value in a file is not the one in force. */
struct conf_change {
	struct str name;          /* "imap.idle_timeout" */
	struct str before, after; /* as TOML writes them */
	enum conf_when when;
};

struct conf_changes {
	struct conf_change list[CONF_SETTINGS];
	size_t n;
	struct arena arena;
};

/* What differs, in the order of settings.h; *out is overwritten, and to be freed with conf_changes_free. */
void conf_compare(const struct conf *running, const struct conf *file, struct conf_changes *out);
void conf_changes_free(struct conf_changes *changes);

/* What is in force after a reload, as a configuration file's text: of `file` what can change while the server runs, all
 * else as it is in `running`. conf_parse may still find that the two do not fit together. */
void conf_print_reloaded(const struct conf *running, const struct conf *file, struct buf *out);

/* Puts *fresh, which is empty then, in the place of *running. Slices of the first configuration of a process stay valid
 * for settings that need a restart: it goes to *first, which was all zeros; each later one is freed. */
void conf_replace(struct conf *running, struct conf *first, struct conf *fresh);

/* The section [mime] as the parser takes it. */
struct mime_limits conf_mime_limits(const struct conf *conf);

void conf_free(struct conf *conf);
void conf_errors_free(struct conf_errors *errors);

/* All error texts, each with a line end behind it. */
void conf_errors_print(const struct conf_errors *errors, struct buf *out);

/* The configuration in force as a TOML file, each value with a comment that says where it comes from ("default",
 * "line 12", "environment"). What it prints can be read again and gives the same settings. */
void conf_print_effective(const struct conf *conf, struct buf *out);

/* The same as a JSON object of sections: {"imap": {"idle_timeout": {"value": "30m", "from": "line 12"}, ...}, ...}. */
void conf_print_effective_json(const struct conf *conf, struct buf *out);

#endif
