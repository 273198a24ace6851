/* value.c: reads one value of a configuration into its field, by the type of the setting. Text is copied into the arena
 * of the struct conf. What is wrong is reported with the place of the value and what was expected; the field then keeps
 * what it had. */
#include "conf/table.h"

#include "base/checked.h"

#include <arpa/inet.h>

#define SHOWN_MAX  60 /* bytes of a bad value that an error text shows */
#define LABEL_MAX  63 /* RFC 1035, section 2.3.4 */
#define NAME_MAX_COMPARED 64

const struct unit conf_size_units[] = { { STR_INIT("B"), 1 }, { STR_INIT("KB"), CONF_KB }, { STR_INIT("MB"), CONF_MB },
	{ STR_INIT("GB"), CONF_GB }, { STR_INIT("TB"), 1024 * CONF_GB }, { STR_INIT(""), 0 } };

const struct unit conf_duration_units[] = { { STR_INIT("ms"), 1 }, { STR_INIT("s"), CONF_SECOND },
	{ STR_INIT("m"), CONF_MINUTE }, { STR_INIT("h"), CONF_HOUR }, { STR_INIT("d"), CONF_DAY },
	{ STR_INIT(""), 0 } };

static const struct choice log_level_choices[] = {
#define CHOICE(level, word) { STR_INIT(word), level },
	LOG_LEVEL_LIST(CHOICE)
#undef CHOICE
	{ STR_INIT(""), 0 }
};

static const struct choice tls_version_choices[] = { { STR_INIT("1.2"), CONF_TLS_1_2 },
	{ STR_INIT("1.3"), CONF_TLS_1_3 }, { STR_INIT(""), 0 } };

static const struct choice plain_login_choices[] = { { STR_INIT("never"), CONF_PLAIN_NEVER },
	{ STR_INIT("loopback"), CONF_PLAIN_LOOPBACK }, { STR_INIT("always"), CONF_PLAIN_ALWAYS }, { STR_INIT(""), 0 } };

static const struct choice full_answer_choices[] = { { STR_INIT("permanent"), CONF_FULL_PERMANENT },
	{ STR_INIT("temporary"), CONF_FULL_TEMPORARY }, { STR_INIT(""), 0 } };

static const struct choice pop3_mode_choices[] = {
#define CHOICE(mode, word) { STR_INIT(word), mode },
	POP3_MODE_LIST(CHOICE)
#undef CHOICE
	{ STR_INIT(""), 0 }
};

static const struct choice pop3_deleted_choices[] = { { STR_INIT("gone"), CONF_DELETED_GONE },
	{ STR_INIT("trash"), CONF_DELETED_TRASH }, { STR_INIT(""), 0 } };

/* The closed choices are stored through int, which all enums of struct conf must therefore be like. */
_Static_assert(sizeof(enum log_level) == sizeof(int) && sizeof(enum conf_tls_version) == sizeof(int) &&
	sizeof(enum conf_plain_login) == sizeof(int) && sizeof(enum conf_full_answer) == sizeof(int) &&
	sizeof(enum pop3_mode) == sizeof(int) && sizeof(enum conf_pop3_deleted) == sizeof(int), "enums have the size of int");

const struct choice *conf_choices(enum setting_type type)
{
	switch (type) {
	case SETTING_LOG_LEVEL:
		return log_level_choices;
	case SETTING_TLS_VERSION:
		return tls_version_choices;
	case SETTING_PLAIN_LOGIN:
		return plain_login_choices;
	case SETTING_FULL_ANSWER:
		return full_answer_choices;
	case SETTING_POP3_MODE:
		return pop3_mode_choices;
	case SETTING_POP3_DELETED:
		return pop3_deleted_choices;
	case SETTING_BOOL:
	case SETTING_INTEGER:
	case SETTING_SIZE:
	case SETTING_DURATION:
	case SETTING_STRING:
	case SETTING_HOSTNAME:
	case SETTING_PATH:
	case SETTING_ADDRESSES:
		return NULL;
	}
	return NULL;
}

size_t conf_distance(struct str a, struct str b)
{
	size_t row[NAME_MAX_COMPARED + 1];
	if (a.n > NAME_MAX_COMPARED || b.n > NAME_MAX_COMPARED)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t change = diagonal + (ascii_lower(a.p[i - 1]) != ascii_lower(b.p[j - 1]));
			diagonal = row[j];
			row[j] = MIN(change, 1 + MIN(row[j], row[j - 1]));
		}
	}
	return row[b.n];
}

/* ---- error texts ---- */

/* A value as it may stand in an error text: quoted, its beginning only, cut between characters. */
static void print_shown(struct str value, struct buf *out)
{
	struct str s = str_first(value, SHOWN_MAX);
	while (s.n < value.n && s.n > 0 && ((unsigned char)value.p[s.n] & 0xC0) == 0x80)
		s.n--;
	toml_print_string(s, out);
	if (s.n < value.n)
		buf_add(out, STR("..."));
}

static void report_shown(struct reader *reader, const struct setting *setting, const struct toml_entry *entry,
	const char *what)
{
	struct buf shown = BUF_INIT(1024);
	print_shown(entry->string, &shown);
	conf_report(reader, entry->value, "%.*s: %.*s %s", STR_ARG(setting->path), STR_ARG(buf_str(&shown)), what);
	buf_free(&shown);
}

static bool has_type(struct reader *reader, const struct setting *setting, const struct toml_entry *entry,
	enum toml_type type)
{
	if (entry->type == type)
		return true;
	conf_report(reader, entry->value, "%.*s is %s, but must be %s", STR_ARG(setting->path),
		toml_type_name(entry->type), toml_type_name(type));
	return false;
}

/* ---- numbers, sizes, durations ---- */

/* A bound, in quotes when it has a unit, as it would be written in the file. */
static void print_bound(uint64_t value, const struct unit *units, struct buf *out)
{
	if (!units) {
		buf_add_u64(out, value);
		return;
	}
	buf_add_byte(out, '"');
	conf_print_quantity(value, units, out);
	buf_add_byte(out, '"');
}

static void store_number(struct reader *reader, const struct setting *setting, const struct toml_entry *entry,
	const struct unit *units, uint64_t value, bool negative)
{
	if (!negative && value >= setting->min && value <= setting->max) {
		*(uint64_t *)setting_field(setting, reader->conf) = value;
		return;
	}
	struct buf bounds = BUF_INIT(256);
	print_bound(setting->min, units, &bounds);
	buf_add(&bounds, STR(" to "));
	print_bound(setting->max, units, &bounds);
	conf_report(reader, entry->value, "%.*s is out of range, which is %.*s", STR_ARG(setting->path),
		STR_ARG(buf_str(&bounds)));
	buf_free(&bounds);
}

static void read_integer(struct reader *reader, const struct setting *setting, const struct toml_entry *entry)
{
	if (has_type(reader, setting, entry, TOML_INTEGER))
		store_number(reader, setting, entry, NULL, (uint64_t)entry->integer, entry->integer < 0);
}

/* digits and a unit, nothing between them: ERR_SYNTAX or ERR_OVERFLOW */
static int parse_quantity(struct str s, const struct unit *units, uint64_t *out)
{
	size_t digits = 0;
	uint64_t number;
	while (digits < s.n && ascii_is_digit(s.p[digits]))
		digits++;
	while (units->name.n > 0 && !str_eq(units->name, str_from(s, digits)))
		units++;
	if (units->name.n == 0)
		return ERR_SYNTAX;
	int err = str_to_u64(str_first(s, digits), UINT64_MAX, &number);
	if (err < 0)
		return err;
	return checked_mul(number, units->factor, out) ? 0 : ERR_OVERFLOW;
}

/* "25MB", or an integer of the unit `plain`. */
static void read_quantity(struct reader *reader, const struct setting *setting, const struct toml_entry *entry,
	const struct unit *units, uint64_t plain, const char *what)
{
	uint64_t value = 0;
	int err = 0;
	if (entry->type == TOML_STRING) {
		err = parse_quantity(entry->string, units, &value);
	} else if (entry->type == TOML_INTEGER) {
		if (entry->integer >= 0 && !checked_mul((uint64_t)entry->integer, plain, &value))
			err = ERR_OVERFLOW;
	} else {
		conf_report(reader, entry->value, "%.*s is %s, but must be %s", STR_ARG(setting->path),
			toml_type_name(entry->type), what);
		return;
	}
	if (err == ERR_SYNTAX) {
		struct buf text = BUF_INIT(256);
		buf_addf(&text, "is not %s", what);
		buf_add_byte(&text, '\0');
		report_shown(reader, setting, entry, text.p);
		buf_free(&text);
		return;
	}
	if (err == ERR_OVERFLOW)
		value = UINT64_MAX; /* beyond every maximum */
	store_number(reader, setting, entry, units, value, entry->type == TOML_INTEGER && entry->integer < 0);
}

/* ---- text ---- */

/* A copy in the arena of the configuration, with a NUL behind it. */
static bool copy_text(struct reader *reader, const struct toml_entry *entry, struct str s, struct str *out)
{
	char *p = arena_alloc(&reader->conf->arena, s.n + 1, 1);
	if (!p) {
		conf_report(reader, entry->value, "the configuration needs too much memory");
		return false;
	}
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	*out = str_of(p, s.n);
	return true;
}

static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F)
			return true;
	return false;
}

/* Labels of letters, digits and inner hyphens, with dots between them: what EHLO and Received may say of this host
 * (RFC 5321, section 2.3.5; RFC 1123, section 2.1). */
static bool is_hostname(struct str s)
{
	while (s.p) {
		struct str label = str_cut(&s, '.');
		if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!ascii_is_alpha(label.p[i]) && !ascii_is_digit(label.p[i]) && label.p[i] != '-')
				return false;
	}
	return true;
}

static void read_text(struct reader *reader, const struct setting *setting, const struct toml_entry *entry)
{
	if (!has_type(reader, setting, entry, TOML_STRING))
		return;
	struct str s = entry->string;
	if (has_control(s))
		report_shown(reader, setting, entry, "has control characters");
	else if (s.n < setting->min)
		conf_report(reader, entry->value, "%.*s cannot be empty", STR_ARG(setting->path));
	else if (s.n > setting->max)
		conf_report(reader, entry->value, "%.*s is longer than %u bytes", STR_ARG(setting->path),
			(unsigned)setting->max);
	else if (setting->type == SETTING_PATH && s.n > 0 && s.p[0] != '/')
		report_shown(reader, setting, entry, "is no absolute path: it must begin with /");
	else if (setting->type == SETTING_HOSTNAME && s.n > 0 && !is_hostname(s))
		report_shown(reader, setting, entry, "is no host name");
	else if (copy_text(reader, entry, s, &s))
		*(struct str *)setting_field(setting, reader->conf) = s;
}

static void read_choice(struct reader *reader, const struct setting *setting, const struct toml_entry *entry)
{
	struct buf words = BUF_INIT(256);
	if (!has_type(reader, setting, entry, TOML_STRING))
		return;
	buf_add(&words, STR("is none of"));
	for (const struct choice *choice = conf_choices(setting->type); choice->word.n > 0; choice++) {
		if (str_eq(choice->word, entry->string)) {
			*(int *)setting_field(setting, reader->conf) = choice->value;
			buf_free(&words);
			return;
		}
		buf_addf(&words, " \"%.*s\"", STR_ARG(choice->word));
	}
	buf_add_byte(&words, '\0');
	report_shown(reader, setting, entry, words.p);
	buf_free(&words);
}

/* ---- addresses ---- */

/* The host of an address: text for inet_pton(3) out of "127.0.0.1", "[::1]" or "*". */
static bool parse_host(struct str s, struct str *host, enum conf_family *family)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char binary[sizeof(struct in6_addr)];
	*family = CONF_FAMILY_IPV4;
	if (str_eq(s, STR("*"))) {
		*family = CONF_FAMILY_BOTH;
		*host = s;
		return true;
	}
	if (str_starts(s, STR("[")) && str_ends(s, STR("]")) && s.n > 2) {
		*family = CONF_FAMILY_IPV6;
		s = str_of(s.p + 1, s.n - 2);
	}
	if (s.n >= sizeof text || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	*host = s;
	return inet_pton(*family == CONF_FAMILY_IPV6 ? AF_INET6 : AF_INET, text, binary) == 1;
}

static bool parse_address(struct str s, struct conf_address *out)
{
	uint64_t port;
	size_t colon = s.n;
	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	if (colon < 2 || str_to_u64(str_from(s, colon), UINT16_MAX, &port) < 0)
		return false;
	if (!parse_host(str_first(s, colon - 1), &out->host, &out->family))
		return false;
	out->text = s;
	out->port = (uint16_t)port;
	return true;
}

/* An IPv6 socket of ours speaks no IPv4 (IPV6_V6ONLY), and an address of one link means nothing without the link (RFC
 * 4007, section 11.2): the server could not bind them. */
static bool can_be_bound(struct reader *reader, const struct setting *setting, const struct toml_entry *entry,
	const struct conf_address *address)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr binary;
	if (address->family != CONF_FAMILY_IPV6)
		return true;
	memcpy(text, address->host.p, address->host.n); /* parse_host has measured it */
	text[address->host.n] = '\0';
	if (inet_pton(AF_INET6, text, &binary) != 1)
		return false; /* cannot be: parse_host has read it */
	if (IN6_IS_ADDR_V4MAPPED(&binary))
		report_shown(reader, setting, entry, "is IPv4 written as IPv6: write it as IPv4, such as \"127.0.0.1:143\"");
	else if (IN6_IS_ADDR_LINKLOCAL(&binary))
		report_shown(reader, setting, entry, "belongs to one link, and there is no way to say which");
	else
		return true;
	return false;
}

static bool read_address(struct reader *reader, const struct setting *setting, const struct toml_entry *entry,
	struct conf_address *out)
{
	if (!has_type(reader, setting, entry, TOML_STRING))
		return false;
	if (!parse_address(entry->string, out)) {
		report_shown(reader, setting, entry,
			"is no address and port, such as \"*:143\", \"127.0.0.1:143\" or \"[::1]:143\"");
		return false;
	}
	if (!can_be_bound(reader, setting, entry, out))
		return false;
	return copy_text(reader, entry, out->text, &out->text) && copy_text(reader, entry, out->host, &out->host);
}

/* The elements of an array stand behind it; an element that is itself an array is an error and ends the reading. */
static void read_addresses(struct reader *reader, const struct setting *setting, const struct toml_entry *entry)
{
	if (!has_type(reader, setting, entry, TOML_ARRAY))
		return;
	if (entry->count > setting->max) {
		conf_report(reader, entry->value, "%.*s has more than %u addresses", STR_ARG(setting->path),
			(unsigned)setting->max);
		return;
	}
	struct conf_address *list = arena_alloc(&reader->conf->arena, entry->count, sizeof *list);
	if (!list) {
		conf_report(reader, entry->value, "the configuration needs too much memory");
		return;
	}
	bool good = true;
	for (size_t i = 0; i < entry->count; i++) {
		const struct toml_entry *element = &entry[1 + i];
		good = read_address(reader, setting, element, &list[i]) && good;
		if (element->type == TOML_ARRAY || element->type == TOML_TABLE)
			return;
	}
	if (good)
		*(struct conf_addresses *)setting_field(setting, reader->conf) =
			(struct conf_addresses){ list, entry->count };
}

void conf_read_value(struct reader *reader, const struct setting *setting, const struct toml_entry *entry)
{
	switch (setting->type) {
	case SETTING_BOOL:
		if (has_type(reader, setting, entry, TOML_BOOLEAN))
			*(bool *)setting_field(setting, reader->conf) = entry->boolean;
		break;
	case SETTING_INTEGER:
		read_integer(reader, setting, entry);
		break;
	case SETTING_SIZE:
		read_quantity(reader, setting, entry, conf_size_units, 1,
			"a size such as \"25MB\" (units B, KB, MB, GB, TB) or a number of bytes");
		break;
	case SETTING_DURATION:
		read_quantity(reader, setting, entry, conf_duration_units, CONF_SECOND,
			"a duration such as \"30m\" (units ms, s, m, h, d) or a number of seconds");
		break;
	case SETTING_STRING:
	case SETTING_HOSTNAME:
	case SETTING_PATH:
		read_text(reader, setting, entry);
		break;
	case SETTING_ADDRESSES:
		read_addresses(reader, setting, entry);
		break;
	case SETTING_LOG_LEVEL:
	case SETTING_TLS_VERSION:
	case SETTING_PLAIN_LOGIN:
	case SETTING_FULL_ANSWER:
	case SETTING_POP3_MODE:
	case SETTING_POP3_DELETED:
		read_choice(reader, setting, entry);
		break;
	}
}
