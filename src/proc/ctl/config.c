/* config.c: `mansio config check` and `config show`: the configuration as the server would read it. Both work without a
 * server; check says everything that is wrong at once. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/json.h"
#include "proc/key_pair.h"
#include "proc/store_folder.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBLEMS_MAX    (256 * 1024)
#define SHOWN_MAX       (1024 * 1024)
#define FOLDER_TEXT_MAX (4 * CONF_PATH_MAX) /* two paths and a sentence */

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

/* One that could not be read is nobody. */
static void check_users(struct problems *problems, const struct conf *conf, const bool unread[CONF_SETTINGS])
{
	struct store_owners owners;
	enum conf_setting setting = CONF_server_user;
	(void)store_owner_find(conf->server.user, conf->server.user_id, &owners.user, &owners.group);
	(void)store_owner_find(conf->server.network_user, conf->server.network_user_id, &owners.network_user,
	                       &owners.network_group);
	if (unread[CONF_server_user] && unread[CONF_server_network_user])
		return;
	if (unread[CONF_server_user])
		owners.user = UINT32_MAX;
	if (unread[CONF_server_network_user])
		owners.network_user = UINT32_MAX;
	const char *what = store_owners_warning(&owners);
	if (owners.user != 0 && conf->lines[CONF_server_network_user] != CONF_LINE_DEFAULT)
		setting = CONF_server_network_user;
	if (what)
		add_warning(problems, setting, str_from_c(what));
}

/* line: 0 where it has no place. */
static void add_problem(struct problems *problems, uint32_t line, uint32_t column, struct str text)
{
	problems->n++;
	if (!problems->ctl->json) {
		if (line > 0)
			buf_addf(&problems->text, "%s:%u:%u: ", problems->ctl->config_file, (unsigned)line, (unsigned)column);
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
	add_problem(problems, MAX(problems->ctl->conf.lines[setting], 1u), 1, what);
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
	if (lstat(path.p, &status) == 0 && !S_ISSOCK(status.st_mode)) {
		buf_addf(&text, "%.*s is there already, and is no socket: the server could not listen there", STR_ARG(path));
		add_file_problem(problems, setting, buf_str(&text));
	}
	buf_free(&text);
}

/* Up to the last slash before `end`, without it; "/" itself. */
static size_t parent_length(struct str path, size_t end)
{
	while (end > 1 && path.p[end - 1] != '/')
		end--;
	return end > 1 ? end - 1 : end;
}

/* False: what lies at this path, or the nearest above it that is there, is no folder, so there can be none. */
static bool can_be_folder(struct str path, char nearest[CONF_PATH_MAX + 1], bool *is_there)
{
	struct stat status;
	*is_there = true;
	for (size_t n = path.n;; n = parent_length(path, n)) {
		snprintf(nearest, CONF_PATH_MAX + 1, "%.*s", STR_ARG(str_first(path, n)));
		if (stat(nearest, &status) == 0)
			return S_ISDIR(status.st_mode);
		if ((errno != ENOENT && errno != ENOTDIR) || n <= 1)
			return true; /* we cannot tell */
		*is_there = false;
	}
}

static struct str without_last_slashes(struct str path)
{
	while (path.n > 1 && str_ends(path, STR("/")))
		path.n--;
	return path;
}

/* The folder of a socket. The server makes its own folder, and no other. One that is missing may be made before it starts,
 * as systemd does. */
static void check_folder(struct problems *problems, enum conf_setting setting, struct str folder, struct str directory)
{
	folder = without_last_slashes(folder);
	directory = without_last_slashes(directory);
	char nearest[CONF_PATH_MAX + 1];
	struct buf text = BUF_INIT(FOLDER_TEXT_MAX);
	bool is_there, is_ours = str_starts(folder, directory) &&
	                         (folder.n == directory.n || str_eq(str_from(folder, directory.n), STR("/" STORE_FOLDER_RUN)));
	if (!can_be_folder(folder, nearest, &is_there)) {
		buf_addf(&text, "%s is no folder, and so there can be no folder %.*s", nearest, STR_ARG(folder));
		add_file_problem(problems, setting, buf_str(&text));
	} else if (!is_there && !is_ours) {
		buf_addf(&text, "there is no folder %.*s now; the server does not make it, and does not start without it",
		         STR_ARG(folder));
		add_warning(problems, setting, buf_str(&text));
	}
	buf_free(&text);
}

static void check_places(struct problems *problems, const struct conf *conf, const bool unread[CONF_SETTINGS])
{
	const enum conf_setting settings[] = { CONF_server_control_socket, CONF_listen_lmtp_socket };
	const struct str paths[] = { conf->server.control_socket, conf->listen.lmtp_socket }, directory = conf->server.directory;
	if (!unread[CONF_server_directory])
		check_folder(problems, CONF_server_directory, directory, directory);
	for (size_t i = 0; i < COUNT_OF(settings); i++) {
		if (unread[settings[i]] || paths[i].n == 0)
			continue;
		if (conf->lines[settings[i]] != CONF_LINE_DEFAULT) /* else it is in server.directory */
			check_folder(problems, settings[i], str_first(paths[i], parent_length(paths[i], paths[i].n)), directory);
		check_socket(problems, settings[i], paths[i]);
	}
}

/* What could be read is looked at although other settings are wrong. */
static void check_all(struct problems *problems, struct ctl *ctl)
{
	struct conf_errors errors;
	bool unread[CONF_SETTINGS];
	const struct conf *conf = &ctl->conf;
	conf_parse_all(buf_str(&ctl->conf_text), str_from_c(ctl->config_file), &ctl->conf, unread, &errors);
	for (size_t i = 0; i < errors.n; i++)
		add_problem(problems, errors.list[i].line, errors.list[i].column, errors.list[i].what);
	if (errors.omitted > 0)
		add_problem(problems, 0, 0, STR("there are more errors"));
	conf_errors_free(&errors);
	if (conf->tls.certificate.n > 0 && conf->tls.key.n > 0)
		check_keys(problems, conf);
	check_users(problems, conf, unread);
	check_places(problems, conf, unread);
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
