/* table.h: the table of settings made of settings.h, and reading and printing of one value; for conf/ alone. */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include "conf/conf.h"
#include "syntax/toml.h"

enum setting_type {
	SETTING_BOOL,
	SETTING_INTEGER,
	SETTING_SIZE,
	SETTING_DURATION,
	SETTING_STRING,
	SETTING_HOSTNAME,
	SETTING_PATH,
	SETTING_ADDRESSES,
	SETTING_LOG_LEVEL,
	SETTING_TLS_VERSION,
	SETTING_PLAIN_LOGIN,
	SETTING_FULL_ANSWER,
	SETTING_POP3_MODE,
	SETTING_POP3_DELETED,
};

struct setting {
	struct str path; /* section.name */
	struct str section, name;
	enum setting_type type;
	enum conf_when when;
	struct str default_text; /* as TOML */
	uint64_t min, max;
	size_t offset; /* of its field in struct conf */
};

/* By enum conf_setting: sections together, in the order of settings.h. */
extern const struct setting conf_table[CONF_SETTINGS];

/* The field of a setting. */
static inline void *setting_field(const struct setting *setting, struct conf *conf)
{
	return (char *)conf + setting->offset;
}
static inline const void *setting_field_of(const struct setting *setting, const struct conf *conf)
{
	return (const char *)conf + setting->offset;
}

/* A unit of sizes or durations, "KB" and 1024; the last of a list has an empty name. Smallest first. */
struct unit {
	struct str name;
	uint64_t factor;
};
extern const struct unit conf_size_units[], conf_duration_units[];

/* One word of a closed choice and what it means; the last of a list has an empty word. */
struct choice {
	struct str word;
	int value;
};
/* The words of a type, NULL when it is no closed choice. */
const struct choice *conf_choices(enum setting_type type);

/* A size or duration with the largest unit that leaves no rest: 25MB; 0 has the smallest. */
void conf_print_quantity(uint64_t value, const struct unit *units, struct buf *out);

/* A setting's value, as TOML and JSON write it. */
void conf_print_value(const struct setting *setting, const struct conf *conf, struct buf *out);

/* What is being read, and where errors go. */
struct reader {
	struct str file_name;
	const struct toml *toml;
	struct conf *conf;
	struct conf_errors *errors;
	bool unread[CONF_SETTINGS]; /* it stands in the file, or may, and could not be read: it has its default */
};

/* Notes an error at its place in the file. */
void conf_report(struct reader *reader, struct toml_place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts the value of an entry into the setting's field; reports what is wrong with it. */
void conf_read_value(struct reader *reader, const struct setting *setting, const struct toml_entry *entry);

/* Edit distance of two names, for "did you mean"; names of over 64 bytes are far from everything. */
size_t conf_distance(struct str a, struct str b);

#endif
