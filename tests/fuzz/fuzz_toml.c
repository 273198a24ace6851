/* fuzz_toml.c: any bytes as a configuration file. Holds that the TOML reader's entries and errors keep what toml.h
 * promises, and that a configuration that is read prints, and what is printed reads back the same. */
#include "base/checked.h"
#include "conf/conf.h"
#include "syntax/toml.h"

#define PRINTED_MAX (1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool before(struct toml_place a, struct toml_place b)
{
	return a.line < b.line || (a.line == b.line && a.column < b.column);
}

static void check_toml(struct str text)
{
	struct toml toml;
	int err = toml_parse(text, &toml);
	require((err == 0) == (toml.errors_n == 0));
	require(toml.n <= TOML_ENTRIES_MAX && toml.errors_n <= TOML_ERRORS_MAX);
	for (size_t i = 0; i < toml.errors_n; i++)
		require(toml.errors[i].text.n > 0 && toml.errors[i].place.line > 0 && toml.errors[i].place.column > 0);
	for (size_t i = 0; i < toml.n; i++) {
		const struct toml_entry *entry = &toml.entries[i];
		require(entry->path.n > 0 && entry->path.n <= TOML_PATH_MAX && str_is_utf8(entry->path));
		require(entry->key.line > 0 && entry->key.column > 0 && !before(entry->value, entry->key));
		require(i == 0 || !before(entry->value, toml.entries[i - 1].value));
		require(entry->type != TOML_STRING || (entry->string.n <= TOML_STRING_MAX && str_is_utf8(entry->string)));
		require(i > 64 || toml_find(&toml, entry->path) == entry); /* no path twice */
	}
	toml_free(&toml);
}

/* The configuration without the comments' line numbers. */
static void print(struct conf *conf, struct buf *out)
{
	memset(conf->lines, 0xFF, sizeof conf->lines);
	conf_print_effective(conf, out);
	require(buf_error(out) == 0);
}

static void check_conf(struct str text)
{
	struct conf conf, again;
	struct conf_errors errors;
	struct buf first = BUF_INIT(PRINTED_MAX), second = BUF_INIT(PRINTED_MAX);
	int err = conf_parse(text, STR("fuzz"), &conf, &errors);
	require((err == 0) == (errors.n == 0));
	for (size_t i = 1; i < errors.n; i++)
		require(errors.list[i - 1].line <= errors.list[i].line);
	conf_errors_print(&errors, &first);
	require(buf_error(&first) == 0);
	buf_clear(&first);
	conf_errors_free(&errors);
	if (err == 0) {
		print(&conf, &first);
		require(conf_parse(buf_str(&first), STR("again"), &again, &errors) == 0);
		print(&again, &second);
		require(str_eq(buf_str(&first), buf_str(&second)));
		conf_errors_free(&errors);
		conf_free(&conf);
		conf_free(&again);
	}
	buf_free(&first);
	buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_of((const char *)data, size);
	check_toml(text);
	check_conf(text);
	return 0;
}
