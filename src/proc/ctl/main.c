/* main.c: arguments of the command line, the configuration, and how failures are said. */
#include "proc/ctl/ctl.h"
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <unistd.h>

int ctl_fail(const struct ctl *ctl, int exit_code, const char *code, struct str message)
{
	if (!ctl->json) {
		fprintf(stderr, "mansio: %.*s\n", STR_ARG(message));
		return exit_code;
	}
	struct buf out = BUF_INIT(64 * 1024);
	json_begin_object(&out);
	json_key(&out, "error");
	json_begin_object(&out);
	json_field_string(&out, "code", str_from_c(code));
	json_field_string(&out, "message", message);
	json_end_object(&out);
	json_end_object(&out);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_free(&out);
	return exit_code;
}

int ctl_exit_code(int err)
{
	switch (err) {
	case 0:
		return EXIT_DONE;
	case ERR_SYNTAX:
		return EXIT_USAGE;
	case ERR_NOT_FOUND:
		return EXIT_NOT_FOUND;
	case ERR_EXISTS:
		return EXIT_EXISTS;
	case ERR_CONFIG:
		return EXIT_CONFIG;
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_CLOSED:
		return EXIT_UNAVAILABLE;
	default:
		return EXIT_FAILED;
	}
}

/* "ERR_NOT_FOUND" is "not_found" to those who read JSON. */
int ctl_fail_reply(const struct ctl *ctl, const struct ctl_reply *reply)
{
	char code[64] = "";
	const char *name = err_name(reply->result);
	if (str_starts(str_from_c(name), STR("ERR_")))
		name += 4;
	for (size_t i = 0; name[i] && i < sizeof code - 1; i++)
		code[i] = ascii_lower(name[i]);
	return ctl_fail(ctl, ctl_exit_code(reply->result), code, buf_str(&reply->message));
}

int ctl_usage(const struct ctl *ctl, const char *format, struct str what)
{
	char text[512];
	snprintf(text, sizeof text, format, (int)MIN(what.n, (size_t)200), what.p ? what.p : "");
	return ctl_fail(ctl, EXIT_USAGE, "usage", str_from_c(text));
}

bool ctl_read_file(const char *name, struct buf *text)
{
	return file_read_given(name, text) == 0;
}

/* Without -c a missing file means the defaults: `mansio status` works on a fresh machine. */
int ctl_read_configuration(struct ctl *ctl)
{
	ctl->conf_text = BUF_INIT(CONF_TEXT_MAX);
	bool exists = access(ctl->config_file, F_OK) == 0;
	int err = exists || ctl->config_given ? file_read_given(ctl->config_file, &ctl->conf_text) : 0;
	if (err < 0) {
		char text[512];
		if (err == ERR_LIMIT)
			snprintf(text, sizeof text, "the configuration %s is larger than %d KB", ctl->config_file, CONF_TEXT_MAX / 1024);
		else
			snprintf(text, sizeof text, "cannot read the configuration %s: %s", ctl->config_file,
			         err == ERR_FILE_TYPE ? err_text(err) : strerror(errno));
		return ctl_fail(ctl, EXIT_CONFIG, "config", str_from_c(text));
	}
	return EXIT_DONE;
}

static int parse_configuration(struct ctl *ctl, const struct ctl_command *command)
{
	struct conf_errors errors;
	int failed = ctl_read_configuration(ctl);
	if (failed)
		return failed;
	int err = conf_parse(buf_str(&ctl->conf_text), str_from_c(ctl->config_file), &ctl->conf, &errors);
	if (err && command->only_socket && conf_parse_socket(buf_str(&ctl->conf_text), &ctl->conf) == 0) {
		fprintf(stderr, "mansio: there are mistakes in %s, which do not concern this command (see mansio config check)\n",
		        ctl->config_file);
		err = 0;
	}
	if (err) {
		struct buf text = BUF_INIT(64 * 1024);
		conf_errors_print(&errors, &text);
		ctl_fail(ctl, EXIT_CONFIG, "config", str_trim(buf_str(&text)));
		buf_free(&text);
	}
	conf_errors_free(&errors);
	return err ? EXIT_CONFIG : EXIT_DONE;
}

static int read_arguments(struct ctl *ctl, int argc, char **argv)
{
	bool options_over = false;
	for (int i = 1; i < argc; i++) /* first, so that any failure is said as it is wanted */
		ctl->json |= strcmp(argv[i], "--json") == 0;
	for (int i = 1; i < argc; i++) {
		struct str argument = str_from_c(argv[i]);
		if (!options_over && str_eq(argument, STR("--"))) {
			options_over = true;
			continue;
		}
		if (!options_over && argument.n > 1 && argument.p[0] == '-') {
			int failed = ctl_read_option(ctl, argc, argv, &i);
			if (failed)
				return failed;
			continue;
		}
		if (ctl->n_arguments == CTL_ARGUMENTS_MAX)
			return ctl_usage(ctl, "too many arguments, from \"%.*s\" on", argument);
		if (argument.n > CONTROL_ARGUMENT_MAX)
			return ctl_usage(ctl, "an argument is too long: \"%.*s…\"", argument);
		ctl->arguments[ctl->n_arguments++] = argument;
	}
	return EXIT_DONE;
}

/* The command that the first words name; *words of them. */
static const struct ctl_command *find_command(const struct ctl *ctl, uint32_t *words)
{
	for (size_t i = 0; i < CTL_N_COMMANDS; i++) {
		const struct ctl_command *command = &CTL_COMMANDS[i];
		*words = command->verb ? 2 : 1;
		if (ctl->n_arguments >= *words && str_eq(ctl->arguments[0], str_from_c(command->group)) &&
		    (!command->verb || str_eq(ctl->arguments[1], str_from_c(command->verb))))
			return command;
	}
	return NULL;
}

static int print_version(const struct ctl *ctl)
{
	puts(ctl->json ? "{\"version\":\"" MANSIO_VERSION "\"}" : "mansio " MANSIO_VERSION);
	return EXIT_DONE;
}

/* Help, and what is said of a command that is none. */
static int help_or_usage(struct ctl *ctl)
{
	struct str first = ctl->n_arguments ? ctl->arguments[0] : STR("");
	char words[200];
	for (size_t i = 0; i < CTL_N_GROUPS; i++) {
		if (!str_eq(first, str_from_c(CTL_GROUPS[i].name)))
			continue;
		if (ctl->help) {
			fputs(CTL_GROUPS[i].help, stdout);
			return EXIT_DONE;
		}
		if (ctl->n_arguments < 2)
			return ctl_usage(ctl, "a command is missing (see mansio %.*s --help)", first);
		snprintf(words, sizeof words, "%.*s %.*s\" (see mansio %.*s --help)", STR_ARG(first),
		         STR_ARG(str_first(ctl->arguments[1], 100)), STR_ARG(first));
		return ctl_usage(ctl, "unknown command \"%.*s", str_from_c(words));
	}
	if (str_eq(first, STR("version")))
		return print_version(ctl);
	if (ctl->help || str_eq(first, STR("help"))) {
		fputs(CTL_HELP, stdout);
		return EXIT_DONE;
	}
	if (first.n == 0)
		return ctl_usage(ctl, "no command given%.*s (see mansio --help)", STR(""));
	return ctl_usage(ctl, "unknown command \"%.*s\" (see mansio --help)", first);
}

static int run(struct ctl *ctl)
{
	uint32_t words;
	const struct ctl_command *command = find_command(ctl, &words);
	if (!command)
		return help_or_usage(ctl);
	if (ctl->help) {
		fputs(command->help, stdout);
		return EXIT_DONE;
	}
	ctl->n_arguments -= words;
	memmove(ctl->arguments, ctl->arguments + words, ctl->n_arguments * sizeof ctl->arguments[0]);
	if (ctl->n_arguments < command->min_arguments)
		return ctl_usage(ctl, "an argument is missing%.*s (add --help to see what is needed)", STR(""));
	if (ctl->n_arguments > command->max_arguments)
		return ctl_usage(ctl, "one argument too many: \"%.*s\"", ctl->arguments[command->max_arguments]);
	int failed = ctl_check_options(ctl, command);
	if (failed == EXIT_DONE && !command->any_configuration)
		failed = parse_configuration(ctl, command);
	return failed ? failed : command->run(ctl, command);
}

int ctl_main(int argc, char **argv)
{
	struct ctl *ctl = mem_alloc(1, sizeof *ctl);
	bool may_be_missing;
	ctl->config_file = conf_choose_file(NULL, &may_be_missing);
	ctl->config_given = !may_be_missing;
	int result = read_arguments(ctl, argc, argv);
	if (result == EXIT_DONE)
		result = ctl->version ? print_version(ctl) : run(ctl);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fputs("mansio: the answer cannot be written to the standard output\n", stderr);
		result = result == EXIT_DONE ? EXIT_FAILED : result;
	}
	ctl_offline_close(ctl);
	mem_wipe(ctl->password, sizeof ctl->password);
	conf_free(&ctl->conf);
	buf_free(&ctl->conf_text);
	mem_free(ctl);
	return result;
}
