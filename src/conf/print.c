/* print.c: the configuration in force as TOML. Prints into the caller's buffer, whose sticky failure tells when it was
 * too small; owns nothing. */
#include "conf/table.h"

#define COMMENT_COLUMN 48

void conf_print_quantity(uint64_t value, const struct unit *units, struct buf *out)
{
	const struct unit *best = units;
	for (const struct unit *unit = units; unit->name.n > 0; unit++)
		if (value > 0 && value % unit->factor == 0)
			best = unit;
	buf_add_u64(out, value / best->factor);
	buf_add(out, best->name);
}

static void print_addresses(const struct conf_addresses *addresses, struct buf *out)
{
	buf_add_byte(out, '[');
	for (size_t i = 0; i < addresses->n; i++) {
		if (i > 0)
			buf_add(out, STR(", "));
		toml_print_string(addresses->list[i].text, out);
	}
	buf_add_byte(out, ']');
}

static void print_choice(const struct choice *choice, int value, struct buf *out)
{
	while (choice->word.n > 0 && choice->value != value)
		choice++;
	toml_print_string(choice->word, out);
}

static void print_quantity(uint64_t value, const struct unit *units, struct buf *out)
{
	buf_add_byte(out, '"');
	conf_print_quantity(value, units, out);
	buf_add_byte(out, '"');
}

void conf_print_value(const struct setting *setting, const struct conf *conf, struct buf *out)
{
	const void *field = setting_field_of(setting, conf);
	switch (setting->type) {
	case SETTING_BOOL:
		buf_add(out, *(const bool *)field ? STR("true") : STR("false"));
		break;
	case SETTING_INTEGER:
		buf_add_u64(out, *(const uint64_t *)field);
		break;
	case SETTING_SIZE:
		print_quantity(*(const uint64_t *)field, conf_size_units, out);
		break;
	case SETTING_DURATION:
		print_quantity(*(const uint64_t *)field, conf_duration_units, out);
		break;
	case SETTING_STRING:
	case SETTING_HOSTNAME:
	case SETTING_PATH:
		toml_print_string(*(const struct str *)field, out);
		break;
	case SETTING_ADDRESSES:
		print_addresses(field, out);
		break;
	case SETTING_LOG_LEVEL:
	case SETTING_TLS_VERSION:
	case SETTING_PLAIN_LOGIN:
	case SETTING_FULL_ANSWER:
	case SETTING_POP3_MODE:
	case SETTING_POP3_DELETED:
		print_choice(conf_choices(setting->type), *(const int *)field, out);
		break;
	}
}

static void print_origin(enum conf_setting id, const struct conf *conf, struct buf *out)
{
	uint32_t line = conf->lines[id];
	bool needs_tls = id == CONF_listen_imaps || id == CONF_listen_pop3s || id == CONF_listen_submission ||
	                 id == CONF_listen_submissions;
	if (line == CONF_LINE_ENVIRONMENT)
		buf_add(out, STR("environment"));
	else if (line != CONF_LINE_DEFAULT)
		buf_addf(out, "line %u", (unsigned)line);
	else if (needs_tls && conf->tls.certificate.n == 0)
		buf_add(out, STR("default without tls.certificate"));
	else
		buf_add(out, STR("default"));
}

static bool begins_section(enum conf_setting id)
{
	return id == 0 || !str_eq(conf_table[id].section, conf_table[id - 1].section);
}

void conf_print_effective(const struct conf *conf, struct buf *out)
{
	for (enum conf_setting id = 0; id < CONF_SETTINGS; id++) {
		const struct setting *setting = &conf_table[id];
		if (begins_section(id))
			buf_addf(out, "%s[%.*s]\n", id == 0 ? "" : "\n", STR_ARG(setting->section));
		size_t begin = out->n;
		buf_add(out, setting->name);
		buf_add(out, STR(" = "));
		conf_print_value(setting, conf, out);
		do
			buf_add_byte(out, ' ');
		while (!out->failed && out->n - begin < COMMENT_COLUMN);
		buf_add(out, STR("# "));
		print_origin(id, conf, out);
		buf_add_byte(out, '\n');
	}
}

/* Values of settings are written alike in TOML and JSON: they hold no control characters. */
void conf_print_effective_json(const struct conf *conf, struct buf *out)
{
	for (enum conf_setting id = 0; id < CONF_SETTINGS; id++) {
		const struct setting *setting = &conf_table[id];
		if (begins_section(id))
			buf_addf(out, "%s\"%.*s\":{", id == 0 ? "{" : "},", STR_ARG(setting->section));
		buf_addf(out, "%s\"%.*s\":{\"value\":", begins_section(id) ? "" : ",", STR_ARG(setting->name));
		conf_print_value(setting, conf, out);
		buf_add(out, STR(",\"from\":\""));
		print_origin(id, conf, out);
		buf_add(out, STR("\"}"));
	}
	buf_add(out, STR("}}"));
}
