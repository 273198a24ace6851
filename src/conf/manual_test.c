/* manual_test.c: mansio.toml(5) documents every setting, with its bounds, default and sentence as in settings.h. Run
 * with the argument "print" it prints the part of the manual that must stand there, for whoever changes a setting. */
#include "base/mem.h"
#include "conf/table.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MANUAL_MAX (256 * 1024)

static const char *const sentences[CONF_SETTINGS] = {
#define SENTENCE(type, when, section, name, default_, min, max, sentence) [CONF_##section##_##name] = sentence,
#define SECTION_SENTENCES(section, list) list(SENTENCE)
	CONF_SECTIONS(SECTION_SENTENCES)
};

static void print_range(const char *what, const struct setting *setting, const struct unit *units, struct buf *out)
{
	buf_addf(out, "%s from ", what);
	if (units) {
		conf_print_quantity(setting->min, units, out);
		buf_add(out, STR(" to "));
		conf_print_quantity(setting->max, units, out);
	} else {
		buf_addf(out, "%llu to %llu", (unsigned long long)setting->min, (unsigned long long)setting->max);
	}
}

static void print_words(const struct choice *choice, struct buf *out)
{
	buf_add(out, STR("One of"));
	for (const char *comma = ""; choice->word.n > 0; choice++, comma = ",")
		buf_addf(out, "%s \"%.*s\"", comma, STR_ARG(choice->word));
}

static void print_type(const struct setting *setting, struct buf *out)
{
	switch (setting->type) {
	case SETTING_BOOL:
		buf_add(out, STR("True or false"));
		break;
	case SETTING_INTEGER:
		print_range("Integer", setting, NULL, out);
		break;
	case SETTING_SIZE:
		print_range("Size", setting, conf_size_units, out);
		break;
	case SETTING_DURATION:
		print_range("Duration", setting, conf_duration_units, out);
		break;
	case SETTING_STRING:
		buf_addf(out, "String of %u to %u bytes", (unsigned)setting->min, (unsigned)setting->max);
		break;
	case SETTING_HOSTNAME:
		buf_addf(out, "Host name of up to %u bytes", (unsigned)setting->max);
		break;
	case SETTING_PATH:
		buf_addf(out, "Absolute path of up to %u bytes", (unsigned)setting->max);
		break;
	case SETTING_ADDRESSES:
		buf_addf(out, "Up to %u addresses", (unsigned)setting->max);
		break;
	case SETTING_LOG_LEVEL:
	case SETTING_TLS_VERSION:
	case SETTING_PLAIN_LOGIN:
	case SETTING_FULL_ANSWER:
	case SETTING_POP3_MODE:
	case SETTING_POP3_DELETED:
		print_words(conf_choices(setting->type), out);
		break;
	}
	buf_addf(out, "; default: %.*s.\n%s", STR_ARG(setting->default_text), setting->when == CONF_RESTART ? "Needs a restart.\n" : "");
}

/* Sentences stand on lines of their own, as mdoc(7) wants it. */
static void print_sentences(const char *text, struct buf *out)
{
	struct str rest = str_from_c(text);
	for (;;) {
		ptrdiff_t end = str_find(rest, STR(". "));
		if (end < 0)
			break;
		buf_addf(out, "%.*s.\n", (int)end, rest.p);
		rest = str_from(rest, (size_t)end + 2);
	}
	buf_add(out, rest);
	buf_add_byte(out, '\n');
}

static void print_manual(struct buf *out)
{
	for (enum conf_setting id = 0; id < CONF_SETTINGS; id++) {
		const struct setting *setting = &conf_table[id];
		if (id == 0 || !str_eq(setting->section, conf_table[id - 1].section))
			buf_addf(out, "%s.Ss [%.*s]\n.Bl -tag -width Ds\n", id == 0 ? "" : ".El\n",
				STR_ARG(setting->section));
		buf_addf(out, ".It Cm %.*s\n", STR_ARG(setting->name));
		print_type(setting, out);
		print_sentences(sentences[id], out);
	}
	buf_add(out, STR(".El\n"));
}

static void manual_documents_every_setting_as_the_table_has_it(void **state)
{
	struct buf expected = BUF_INIT(MANUAL_MAX);
	char *manual = mem_alloc(MANUAL_MAX, 1);
	FILE *file = fopen(MANUAL, "r");
	assert_non_null(file);
	size_t n = fread(manual, 1, MANUAL_MAX, file);
	fclose(file);
	print_manual(&expected);
	assert_int_equal(buf_error(&expected), 0);
	if (str_find(str_of(manual, n), buf_str(&expected)) < 0)
		fail_msg("the settings in %s are not those of settings.h: run this test with the argument \"print\"",
			MANUAL);
	mem_free(manual);
	buf_free(&expected);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(manual_documents_every_setting_as_the_table_has_it) };
	if (argc == 2 && str_eq(str_from_c(argv[1]), STR("print"))) {
		struct buf out = BUF_INIT(MANUAL_MAX);
		print_manual(&out);
		fwrite(out.p, 1, out.n, stdout);
		buf_free(&out);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
