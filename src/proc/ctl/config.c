/* config.c: `mansio config check` and `config show`: the configuration as the server would read it. Both work without a
 * server; check says everything that is wrong at once. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/json.h"
#include "proc/key_pair.h"
#include "proc/store_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#define PROBLEMS_MAX (256 * 1024)
#define SHOWN_MAX    (1024 * 1024)

/* What is wrong: lines for people, or a JSON array. */
struct problems {
	const struct ctl *ctl;
	struct buf text;
	size_t n, warnings;
};

/* Good, but hardly meant. */
static void add_warning(struct problems *problems, enum conf_setting setting, struct str what)
{
	const struct ctl *ctl = problems->ctl;
	uint32_t line = ctl->conf.lines[setting];
	problems->warnings++;
	if (!ctl->json) {
		buf_addf(&problems->text, "%s:%u:1: warning: %.*s\n", ctl->config_file, (unsigned)line, STR_ARG(what));
		return;
	}
	json_begin_object(&problems->text);
	json_field_string(&problems->text, "file", str_from_c(ctl->config_file));
	json_field_u64(&problems->text, "line", line);
	json_field_u64(&problems->text, "column", 1);
	json_field_string(&problems->text, "severity", STR("warning"));
	json_field_string(&problems->text, "text", what);
	json_end_object(&problems->text);
}

static void check_users(struct problems *problems, const struct conf *conf)
{
	struct store_owners owners;
	enum conf_setting setting = CONF_server_user;
	(void)store_owner_find(conf->server.user, conf->server.user_id, &owners.user, &owners.group);
	(void)store_owner_find(conf->server.network_user, conf->server.network_user_id, &owners.network_user,
	                       &owners.network_group);
	const char *what = store_owners_warning(&owners);
	if (owners.user != 0 && conf->lines[CONF_server_network_user] != CONF_LINE_DEFAULT)
		setting = CONF_server_network_user;
	if (what)
		add_warning(problems, setting, str_from_c(what));
}

static void add_problem(struct problems *problems, uint32_t line, uint32_t column, struct str text)
{
	problems->n++;
	if (!problems->ctl->json) {
		buf_addf(&problems->text, "%.*s\n", STR_ARG(text));
		return;
	}
	json_begin_object(&problems->text);
	json_field_string(&problems->text, "file", str_from_c(problems->ctl->config_file));
	json_field_u64(&problems->text, "line", line);
	json_field_u64(&problems->text, "column", column);
	json_field_string(&problems->text, "severity", STR("error"));
	json_field_string(&problems->text, "text", text);
	json_end_object(&problems->text);
}

static void add_file_problem(void *owner, enum conf_setting setting, struct str what)
{
	struct problems *problems = owner;
	const struct ctl *ctl = problems->ctl;
	struct buf text = BUF_INIT(CONTROL_ARGUMENT_MAX + KEY_PAIR_TEXT_MAX);
	uint32_t line = ctl->conf.lines[setting];
	buf_addf(&text, "%s:%u:1: %.*s", ctl->config_file, (unsigned)line, STR_ARG(what));
	add_problem(problems, line, 1, buf_str(&text));
	buf_free(&text);
}

/* What the server would find out at its start only. */
static void check_keys(struct problems *problems, const struct conf *conf)
{
	struct key_pair keys;
	struct buf warning = BUF_INIT(KEY_PAIR_TEXT_MAX);
	if (key_pair_read(conf, add_file_problem, problems, &keys) != 0)
		return;
	if (key_pair_warning(&keys, conf->tls.certificate, clock_wall_seconds(), &warning))
		add_warning(problems, CONF_tls_certificate, buf_str(&warning));
	buf_free(&warning);
	key_pair_free(&keys);
}

/* A file of another kind is not removed to make place for a socket. */
static void check_socket(struct problems *problems, enum conf_setting setting, struct str path)
{
	struct stat status;
	struct buf text = BUF_INIT(KEY_PAIR_TEXT_MAX);
	if (path.n > 0 && lstat(path.p, &status) == 0 && !S_ISSOCK(status.st_mode)) {
		buf_addf(&text, "%.*s is there already, and is no socket: the server could not listen there", STR_ARG(path));
		add_file_problem(problems, setting, buf_str(&text));
	}
	buf_free(&text);
}

static void check_all(struct problems *problems, struct ctl *ctl)
{
	struct conf_errors errors;
	if (conf_parse(buf_str(&ctl->conf_text), str_from_c(ctl->config_file), &ctl->conf, &errors) == 0) {
		check_keys(problems, &ctl->conf);
		check_users(problems, &ctl->conf);
		check_socket(problems, CONF_server_control_socket, ctl->conf.server.control_socket);
		check_socket(problems, CONF_listen_lmtp_socket, ctl->conf.listen.lmtp_socket);
	}
	for (size_t i = 0; i < errors.n; i++)
		add_problem(problems, errors.list[i].line, errors.list[i].column, errors.list[i].text);
	if (errors.omitted > 0)
		add_problem(problems, 0, 0, STR("there are more errors"));
	conf_errors_free(&errors);
}

int ctl_run_config_check(struct ctl *ctl, const struct ctl_command *command)
{
	struct problems problems = { .ctl = ctl, .text = BUF_INIT(PROBLEMS_MAX) };
	if (ctl->n_arguments > 0) {
		ctl->config_file = ctl->arguments[0].p;
		ctl->config_given = true;
	}
	int result = ctl_read_configuration(ctl);
	if (result != EXIT_DONE)
		return result;
	if (ctl->json)
		json_begin_array(&problems.text);
	check_all(&problems, ctl);
	if (ctl->json)
		json_end_array(&problems.text);
	if (ctl->json)
		printf("%.*s\n", STR_ARG(buf_str(&problems.text)));
	else
		fprintf(stderr, "%.*s", STR_ARG(buf_str(&problems.text)));
	if (!ctl->json && problems.n == 0)
		printf("%s: %s\n", ctl->config_file,
		       access(ctl->config_file, F_OK) != 0 ? "there is none, and the defaults are in force"
		       : problems.warnings > 0             ? "good, with warnings"
		                                           : "good");
	buf_free(&problems.text);
	return problems.n > 0 ? EXIT_CONFIG : EXIT_DONE;
}

int ctl_run_config_show(struct ctl *ctl, const struct ctl_command *command)
{
	struct buf shown = BUF_INIT(SHOWN_MAX);
	if (conf_apply_environment(&ctl->conf) != 0)
		return ctl_fail(ctl, EXIT_CONFIG, "config", STR("MANSIO_SANDBOX in the environment is neither on nor off"));
	if (ctl->json) {
		conf_print_effective_json(&ctl->conf, &shown);
		buf_add_byte(&shown, '\n');
	} else {
		conf_print_effective(&ctl->conf, &shown);
	}
	printf("%.*s", STR_ARG(buf_str(&shown)));
	buf_free(&shown);
	return EXIT_DONE;
}
