/* conf.c: the table of settings, and a configuration file read against it: syntax by toml.c, each value by value.c,
 * then what must fit together. Everything that is wrong is gathered in struct conf_errors, in the order of the file; a
 * struct conf is handed out only when nothing is. */
#include "conf/table.h"

#include "base/checked.h"
#include "syntax/imap_name.h"

#include <arpa/inet.h>
#include <stdarg.h>

#define CONF_ARENA_MAX    CONF_MB
#define ERRORS_ARENA_MAX  (256 * 1024)
#define ERROR_TEXT_MAX    1024
#define FILE_NAME_MAX     256         /* bytes of the file's name that an error text shows */
#define DEFAULTS_TEXT_MAX (64 * 1024)
#define CONTROL_SOCKET    "/run/control.sock" /* below server.directory */

/* The name of a setting's field in its struct. */
#define MEMBER_BOOL(name)        name
#define MEMBER_INTEGER(name)     name
#define MEMBER_SIZE(name)        name
#define MEMBER_DURATION(name)    name##_ms
#define MEMBER_STRING(name)      name
#define MEMBER_HOSTNAME(name)    name
#define MEMBER_PATH(name)        name
#define MEMBER_ADDRESSES(name)   name
#define MEMBER_LOG_LEVEL(name)   name
#define MEMBER_TLS_VERSION(name) name
#define MEMBER_PLAIN_LOGIN(name) name
#define MEMBER_FULL_ANSWER(name) name
#define MEMBER_POP3_MODE(name)   name
#define MEMBER_POP3_DELETED(name) name

const struct setting conf_table[CONF_SETTINGS] = {
#define ROW(type_, when_, section_, name_, default_, min_, max_, sentence)                                             \
	[CONF_##section_##_##name_] = { .path = STR_INIT(#section_ "." #name_), .section = STR_INIT(#section_),        \
		.name = STR_INIT(#name_), .type = SETTING_##type_, .when = CONF_##when_,                               \
		.default_text = STR_INIT(default_), .min = (min_), .max = (max_),                                      \
		.offset = offsetof(struct conf, section_.MEMBER_##type_(name_)) },
#define SECTION_ROWS(section, list) list(ROW)
	CONF_SECTIONS(SECTION_ROWS)
#undef SECTION_ROWS
#undef ROW
};

static const struct str section_names[] = {
#define SECTION_NAME(section, list) STR_INIT(#section),
	CONF_SECTIONS(SECTION_NAME)
#undef SECTION_NAME
};

/* ---- errors ---- */

/* Puts an error where it belongs in the order of the file, behind others of the same place. */
static void errors_insert(struct conf_errors *errors, struct conf_error error)
{
	size_t at = errors->n;
	if (errors->n == CONF_ERRORS_MAX) {
		errors->omitted++;
		return;
	}
	for (; at > 0; at--) {
		const struct conf_error *before = &errors->list[at - 1];
		if (before->line < error.line || (before->line == error.line && before->column <= error.column))
			break;
		errors->list[at] = *before;
	}
	errors->list[at] = error;
	errors->n++;
}

void conf_report(struct reader *reader, struct toml_place place, const char *format, ...)
{
	char what[ERROR_TEXT_MAX];
	struct buf text = BUF_INIT(ERROR_TEXT_MAX + FILE_NAME_MAX + 32);
	struct conf_error error = { .line = place.line, .column = place.column };
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	buf_addf(&text, "%.*s:%u:%u: ", STR_ARG(str_first(reader->file_name, FILE_NAME_MAX)), (unsigned)place.line,
		(unsigned)place.column);
	size_t n = text.n;
	buf_addf(&text, "%s", what);
	if (arena_copy(&reader->errors->arena, buf_str(&text), &error.text) == 0)
		error.what = str_from(error.text, n);
	else
		error.what = error.text = STR("too many errors to tell");
	errors_insert(reader->errors, error);
	buf_free(&text);
}

void conf_errors_free(struct conf_errors *errors)
{
	arena_free(&errors->arena);
	errors->n = errors->omitted = 0;
}

void conf_errors_print(const struct conf_errors *errors, struct buf *out)
{
	for (size_t i = 0; i < errors->n; i++) {
		buf_add(out, errors->list[i].text);
		buf_add_byte(out, '\n');
	}
	if (errors->omitted > 0)
		buf_addf(out, "and %zu more errors\n", errors->omitted);
}

/* ---- names ---- */

static const struct setting *find_setting(struct str path)
{
	for (size_t i = 0; i < CONF_SETTINGS; i++)
		if (str_eq(conf_table[i].path, path))
			return &conf_table[i];
	return NULL;
}

static bool is_section(struct str path)
{
	for (size_t i = 0; i < COUNT_OF(section_names); i++)
		if (str_eq(section_names[i], path))
			return true;
	return false;
}

/* Keeps the candidate that is nearest to the path. */
static void nearer(struct str path, struct str candidate, size_t *distance, struct str *nearest)
{
	size_t d = conf_distance(path, candidate);
	if (d < *distance) {
		*distance = d;
		*nearest = candidate;
	}
}

/* The name that may have been meant: a section for a [table], else a setting; one of the same name in another section
 * counts as near. Empty when nothing is near. */
static struct str nearest_name(struct str path, bool table)
{
	struct str nearest = STR(""), last = path;
	while (str_find_byte(last, '.') >= 0)
		str_cut(&last, '.');
	size_t distance = last.n / 3 + 2; /* no farther than a third of the name, and one */
	if (table) {
		for (size_t i = 0; i < COUNT_OF(section_names); i++)
			nearer(path, section_names[i], &distance, &nearest);
		return nearest;
	}
	for (size_t i = 0; i < CONF_SETTINGS; i++)
		nearer(path, conf_table[i].path, &distance, &nearest);
	for (size_t i = 0; nearest.n == 0 && i < CONF_SETTINGS; i++)
		if (str_eq(conf_table[i].name, last))
			nearest = conf_table[i].path;
	return nearest;
}

static void report_unknown(struct reader *reader, const struct toml_entry *entry)
{
	bool table = entry->type == TOML_TABLE && str_find_byte(entry->path, '.') < 0;
	struct str nearest = STR("");
	if (reader->errors->n < CONF_ERRORS_MAX) /* the search is long, and what is omitted needs none */
		nearest = nearest_name(entry->path, table);
	const struct setting *meant = find_setting(nearest);
	if (meant)
		reader->unread[meant - conf_table] = true;
	if (nearest.n > 0)
		conf_report(reader, entry->key, "unknown %s %.*s; did you mean %.*s?", table ? "section" : "setting",
			STR_ARG(entry->path), STR_ARG(nearest));
	else
		conf_report(reader, entry->key, "unknown %s %.*s", table ? "section" : "setting", STR_ARG(entry->path));
}

/* ---- reading ---- */

/* Whether an entry is an element or a member of what `path` names. */
static bool is_within(const struct toml_entry *entry, struct str path)
{
	return entry->path.n > path.n && str_starts(entry->path, path) &&
		(entry->path.p[path.n] == '.' || entry->path.p[path.n] == '[');
}

static void read_entries(struct reader *reader)
{
	const struct toml *toml = reader->toml;
	for (size_t i = 0; i < toml->n; i++) {
		const struct toml_entry *entry = &toml->entries[i];
		const struct setting *setting = find_setting(entry->path);
		bool section = is_section(entry->path);
		if (section && entry->type == TOML_TABLE)
			continue;
		if (setting) {
			size_t before = reader->errors->n + reader->errors->omitted;
			reader->conf->lines[setting - conf_table] = entry->key.line;
			conf_read_value(reader, setting, entry);
			if (reader->errors->n + reader->errors->omitted > before)
				reader->unread[setting - conf_table] = true;
		} else if (section) {
			conf_report(reader, entry->key, "%.*s is a section, written [%.*s] on a line of its own",
				STR_ARG(entry->path), STR_ARG(entry->path));
		} else {
			report_unknown(reader, entry);
		}
		while (i + 1 < toml->n && is_within(&toml->entries[i + 1], entry->path))
			i++;
	}
}

/* ---- what must fit together ---- */

/* Reports at the line of a setting; a default is as good as the file's first line. Nothing of one that was not read: its
 * default stands for it. */
#define report_setting(reader, id, ...)                                                                                \
	((reader)->unread[id]                                                                                          \
		 ? (void)0                                                                                             \
		 : conf_report(reader, (struct toml_place){ MAX((reader)->conf->lines[id], 1u), 1 }, __VA_ARGS__))

/* Of two settings that do not fit together: the first, unless only the other stands in the file. */
#define report_either(reader, id, other, ...)                                                                          \
	((reader)->unread[id] || (reader)->unread[other]                                                               \
		 ? (void)0                                                                                             \
		 : report_setting(reader, (reader)->conf->lines[id] == CONF_LINE_DEFAULT ? (other) : (id), __VA_ARGS__))

/* Without a certificate a default is taken away, and what the file says is an error. */
static void take_away(struct reader *reader, enum conf_setting id, struct conf_addresses *addresses, const char *needs)
{
	if (reader->conf->lines[id] == CONF_LINE_DEFAULT)
		addresses->n = 0;
	else if (addresses->n > 0)
		report_setting(reader, id, "%.*s needs a tls.certificate%s", STR_ARG(conf_table[id].path), needs);
}

static void check_tls(struct reader *reader)
{
	struct conf *conf = reader->conf;
	bool certificate = conf->tls.certificate.n > 0, key = conf->tls.key.n > 0;
	if (certificate && !key)
		report_either(reader, CONF_tls_certificate, CONF_tls_key, "tls.certificate needs a tls.key");
	if (key && !certificate)
		report_either(reader, CONF_tls_key, CONF_tls_certificate, "tls.key needs a tls.certificate");
	if (certificate || key || reader->unread[CONF_tls_certificate] || reader->unread[CONF_tls_key])
		return;
	take_away(reader, CONF_listen_imaps, &conf->listen.imaps, "");
	take_away(reader, CONF_listen_pop3s, &conf->listen.pop3s, "");
	take_away(reader, CONF_listen_submissions, &conf->listen.submissions, "");
	/* Every mail there needs a login, and a login TLS, unless the administrator says otherwise. */
	bool possible = conf->login.allow_plain_without_tls != CONF_PLAIN_NEVER ||
	                reader->unread[CONF_login_allow_plain_without_tls];
	if (!possible || conf->lines[CONF_listen_submission] == CONF_LINE_DEFAULT)
		take_away(reader, CONF_listen_submission, &conf->listen.submission, ", or login.allow_plain_without_tls");
}

/* A socket is made at the path itself, which can be no folder. */
static void check_socket_path(struct reader *reader, enum conf_setting id)
{
	struct str path = *(const struct str *)setting_field_of(&conf_table[id], reader->conf), last = path;
	for (ptrdiff_t at; (at = str_find_byte(last, '/')) >= 0;)
		last = str_from(last, (size_t)at + 1);
	if (path.n > 0 && (last.n == 0 || str_eq(last, STR(".")) || str_eq(last, STR("..")))) {
		report_setting(reader, id, "%.*s: \"%.*s\" is a folder: name the socket in it", STR_ARG(conf_table[id].path),
			STR_ARG(path));
		reader->unread[id] = true; /* nobody looks for more in it */
	}
}

static void check_control_socket(struct reader *reader)
{
	struct conf *conf = reader->conf;
	if (conf->server.control_socket.n > 0)
		return;
	size_t n = conf->server.directory.n + strlen(CONTROL_SOCKET);
	if (n > CONF_SOCKET_PATH_MAX) {
		report_setting(reader, CONF_server_directory, "server.directory is too long for a unix socket in it: "
			"set server.control_socket");
		return;
	}
	char *path = arena_alloc(&conf->arena, n + 1, 1);
	if (!path)
		return; /* cannot be: the arena holds every setting at its longest */
	snprintf(path, n + 1, "%.*s%s", STR_ARG(conf->server.directory), CONTROL_SOCKET);
	conf->server.control_socket = str_of(path, n);
}

/* What it tells nobody has to know, and who asks is not asked for a password. */
static void check_metrics(struct reader *reader)
{
	const struct conf_addresses *addresses = &reader->conf->metrics.listen;
	for (size_t i = 0; i < addresses->n; i++) {
		struct str host = addresses->list[i].host;
		if (!str_starts(host, STR("127.")) && !str_eq(host, STR("::1")))
			report_setting(reader, CONF_metrics_listen, "metrics.listen must be an address of this machine alone, "
				"127.0.0.1 or [::1], not %.*s", STR_ARG(addresses->list[i].text));
	}
}

/* In network order; *any: all addresses of the family. */
static void host_bytes(const struct conf_address *address, unsigned char out[sizeof(struct in6_addr)], bool *any)
{
	static const unsigned char none[sizeof(struct in6_addr)];
	memset(out, 0, sizeof none);
	if (address->family != CONF_FAMILY_BOTH)
		(void)inet_pton(address->family == CONF_FAMILY_IPV6 ? AF_INET6 : AF_INET, address->host.p, out);
	*any = memcmp(out, none, sizeof none) == 0;
}

/* The system gives an address to one socket, and all addresses of a port to none when another has one of them. */
static bool is_same_address(const struct conf_address *one, const struct conf_address *other)
{
	unsigned char a[sizeof(struct in6_addr)], b[sizeof(struct in6_addr)];
	bool any_a, any_b;
	if (one->port != other->port || one->port == 0)
		return false;
	if (one->family != other->family && one->family != CONF_FAMILY_BOTH && other->family != CONF_FAMILY_BOTH)
		return false;
	host_bytes(one, a, &any_a);
	host_bytes(other, b, &any_b);
	return any_a || any_b || memcmp(a, b, sizeof a) == 0;
}

/* NULL: it has none, or they could not be read. */
static const struct conf_addresses *addresses_of(const struct reader *reader, enum conf_setting id)
{
	bool has_some = conf_table[id].type == SETTING_ADDRESSES && !reader->unread[id];
	return has_some ? setting_field_of(&conf_table[id], reader->conf) : NULL;
}

/* Is an address of setting `id` (its first `n`) also this one of `other`? That is reported. */
static bool check_address(struct reader *reader, enum conf_setting id, size_t n, enum conf_setting other,
	const struct conf_address *address)
{
	const struct conf_addresses *addresses = addresses_of(reader, id);
	for (size_t i = 0; i < n; i++)
		if (is_same_address(&addresses->list[i], address)) {
			report_either(reader, other, id, "%.*s: \"%.*s\" is taken already, by \"%.*s\" of %.*s",
				STR_ARG(conf_table[other].path), STR_ARG(address->text),
				STR_ARG(addresses->list[i].text), STR_ARG(conf_table[id].path));
			return true;
		}
	return false;
}

static void check_addresses(struct reader *reader)
{
	for (enum conf_setting other = 0; other < CONF_SETTINGS; other++) {
		const struct conf_addresses *addresses = addresses_of(reader, other);
		for (size_t k = 0; addresses && k < addresses->n; k++)
			for (enum conf_setting id = 0; id <= other; id++)
				if (addresses_of(reader, id) &&
				    check_address(reader, id, id == other ? k : addresses_of(reader, id)->n, other,
				                  &addresses->list[k]))
					break;
	}
}

static void check_together(struct reader *reader)
{
	const struct conf *conf = reader->conf;
	const char *why;
	check_metrics(reader);
	check_tls(reader);
	check_addresses(reader);
	check_socket_path(reader, CONF_server_control_socket);
	check_socket_path(reader, CONF_listen_lmtp_socket);
	check_control_socket(reader);
	if (conf->server.restart_delay_min_ms > conf->server.restart_delay_max_ms)
		report_either(reader, CONF_server_restart_delay_min, CONF_server_restart_delay_max,
			"server.restart_delay_min is more than server.restart_delay_max");
	if (conf->login.failure_delay_ms > conf->login.failure_delay_max_ms)
		report_either(reader, CONF_login_failure_delay, CONF_login_failure_delay_max,
			"login.failure_delay is more than login.failure_delay_max");
	/* Of both protocols: a command pauses behind what it wrote last, which must fit too. */
	if (conf->imap.output_pause > conf->imap.output_max / 2)
		report_either(reader, CONF_imap_output_pause, CONF_imap_output_max,
			"imap.output_pause is more than half of imap.output_max");
	if (conf->imap.output_pause > conf->pop3.output_max / 2)
		report_either(reader, CONF_imap_output_pause, CONF_pop3_output_max,
			"imap.output_pause is more than half of pop3.output_max");
	if (conf->listen.lmtp_socket.n > 0 && str_eq(conf->listen.lmtp_socket, conf->server.control_socket))
		report_setting(reader, CONF_listen_lmtp_socket, "listen.lmtp_socket is the control socket's path");
	if (imap_name_check(conf->pop3.mailbox, &why) < 0)
		report_setting(reader, CONF_pop3_mailbox, "pop3.mailbox: there can be no such mailbox: %s", why);
	struct str delimiter = conf->smtp.recipient_delimiter;
	if (delimiter.n == 1 && !memchr("+-_.=#~", delimiter.p[0], 7))
		report_setting(reader, CONF_smtp_recipient_delimiter,
			"smtp.recipient_delimiter must be one of + - _ . = # ~");
}

/* ---- the whole ---- */

/* Reads settings from TOML text into *reader->conf and gathers errors, without what must fit together. */
static void read_text(struct reader *reader, struct str text)
{
	struct toml toml;
	if (toml_parse(text, &toml) < 0) {
		for (size_t i = 0; i < toml.errors_n; i++)
			conf_report(reader, toml.errors[i].place, "%.*s", STR_ARG(toml.errors[i].text));
		memset(reader->unread, true, sizeof reader->unread); /* any may have stood there */
	}
	reader->toml = &toml;
	read_entries(reader);
	reader->toml = NULL;
	toml_free(&toml);
}

/* All defaults; errors would be errors of settings.h, which conf_test looks for. */
static void read_defaults(struct reader *reader)
{
	struct buf text = BUF_INIT(DEFAULTS_TEXT_MAX);
	for (size_t i = 0; i < CONF_SETTINGS; i++)
		buf_addf(&text, "%.*s = %.*s\n", STR_ARG(conf_table[i].path), STR_ARG(conf_table[i].default_text));
	read_text(reader, buf_str(&text));
	memset(reader->conf->lines, 0, sizeof reader->conf->lines);
	buf_free(&text);
}

void conf_parse_all(struct str text, struct str file_name, struct conf *out, bool unread[CONF_SETTINGS],
                    struct conf_errors *errors)
{
	struct reader reader = { .file_name = file_name, .conf = out, .errors = errors };
	*out = (struct conf){ .arena = ARENA_INIT(CONF_ARENA_MAX) };
	*errors = (struct conf_errors){ .arena = ARENA_INIT(ERRORS_ARENA_MAX) };
	read_defaults(&reader);
	read_text(&reader, text);
	check_together(&reader);
	memcpy(unread, reader.unread, sizeof reader.unread);
}

int conf_parse(struct str text, struct str file_name, struct conf *out, struct conf_errors *errors)
{
	struct conf conf;
	bool unread[CONF_SETTINGS];
	conf_parse_all(text, file_name, &conf, unread, errors);
	if (errors->n > 0) {
		conf_free(&conf);
		return ERR_SYNTAX;
	}
	*out = conf;
	return 0;
}

/* May this unknown name have meant one of the two? */
static bool is_elsewhere(struct str path)
{
	struct str section = str_cut(&path, '.');
	return path.p && is_section(section) && !str_eq(section, STR("server"));
}

/* False: where the socket is cannot be told. */
static bool read_socket(struct reader *reader)
{
	const struct toml *toml = reader->toml;
	bool good = true;
	for (size_t i = 0; i < toml->n && good; i++) {
		const struct toml_entry *entry = &toml->entries[i];
		const struct setting *setting = find_setting(entry->path);
		if (entry->type == TOML_TABLE && is_section(entry->path))
			continue;
		if (setting == &conf_table[CONF_server_directory] || setting == &conf_table[CONF_server_control_socket])
			conf_read_value(reader, setting, entry);
		else
			good = setting || is_elsewhere(entry->path);
		while (i + 1 < toml->n && is_within(&toml->entries[i + 1], entry->path))
			i++;
	}
	return good;
}

int conf_parse_socket(struct str text, struct conf *out)
{
	struct conf conf = { .arena = ARENA_INIT(CONF_ARENA_MAX) };
	struct conf_errors errors = { .arena = ARENA_INIT(ERRORS_ARENA_MAX) };
	struct reader reader = { .file_name = STR(""), .conf = &conf, .errors = &errors };
	struct toml toml;
	read_defaults(&reader);
	reader.toml = &toml;
	bool good = toml_parse(text, &toml) == 0 && read_socket(&reader);
	reader.toml = NULL;
	toml_free(&toml);
	check_control_socket(&reader);
	good = good && errors.n == 0;
	conf_errors_free(&errors);
	if (!good) {
		conf_free(&conf);
		return ERR_SYNTAX;
	}
	*out = conf;
	return 0;
}

void conf_defaults(struct conf *out)
{
	struct conf_errors errors;
	if (conf_parse(STR(""), STR("defaults"), out, &errors) < 0)
		*out = (struct conf){ .arena = ARENA_INIT(CONF_ARENA_MAX) };
	conf_errors_free(&errors);
}

const char *conf_choose_file(const char *given, bool *may_be_missing)
{
	if (!given)
		given = getenv("MANSIO_CONFIG");
	*may_be_missing = !given || !given[0];
	return *may_be_missing ? CONF_FILE : given;
}

int conf_apply_environment(struct conf *conf)
{
	struct str value = str_from_c(getenv("MANSIO_SANDBOX"));
	if (!value.p)
		return 0;
	if (!str_eq(value, STR("on")) && !str_eq(value, STR("off")))
		return ERR_SYNTAX;
	conf->server.sandbox = str_eq(value, STR("on"));
	conf->lines[CONF_server_sandbox] = CONF_LINE_ENVIRONMENT;
	return 0;
}

struct mime_limits conf_mime_limits(const struct conf *conf)
{
	return (struct mime_limits){
		.depth = (uint32_t)conf->mime.max_depth,
		.parts = (uint32_t)conf->mime.max_parts,
		.header_fields = (uint32_t)conf->mime.max_header_fields,
		.header_bytes = (uint32_t)conf->mime.max_header_size,
		.header_total = (uint32_t)conf->mime.max_header_total,
		.params = (uint32_t)conf->mime.max_parameters,
		.addresses = (uint32_t)conf->mime.max_addresses,
	};
}

void conf_free(struct conf *conf)
{
	arena_free(&conf->arena);
	*conf = (struct conf){ .arena = ARENA_INIT(CONF_ARENA_MAX) };
}
